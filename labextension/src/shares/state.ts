/** What the state of a share is called, and whether its proof is green. Nothing here is drawn. */

import { TranslationBundle } from '@jupyterlab/translation';

import {
  IFinding,
  IMigration,
  INotCopiedItem,
  IPlan,
  IStep,
  StepName
} from '../core/model';
import { notCopied } from '../core/sentences';
import { count } from '../core/units';

const REASONS_SHOWN = 3;

/** Whether something still happens to a share by itself. */
export function isBusy(migration: IMigration): boolean {
  return ['queued', 'running', 'cancelling'].includes(migration.state);
}

/** The state of a share in a few words, and its sign. */
export function stateOf(
  trans: TranslationBundle,
  item: IMigration
): [
  glyph: string,
  words: string,
  kind: 'busy' | 'good' | 'warn' | 'bad' | 'quiet'
] {
  switch (item.state) {
    case 'queued':
    case 'running':
    case 'cancelling':
      return ['●', progressLabel(trans, item), 'busy'];
    case 'cancelled':
      return ['–', trans.__('Cancelled'), 'quiet'];
    case 'failed':
      return ['✕', failure(trans, item), 'bad'];
    case 'succeeded':
      switch (item.environment?.status) {
        case 'starting':
          return ['●', trans.__('Starting'), 'busy'];
        case 'stopping':
          return ['●', trans.__('Stopping…'), 'busy'];
        case 'stopped':
          return ['■', trans.__('Stopped'), 'quiet'];
        case 'gone':
          return ['–', trans.__('Gone'), 'quiet'];
        default:
          return runningState(trans, item);
      }
  }
}

/** Green only if everything arrived as it was. */
function runningState(
  trans: TranslationBundle,
  item: IMigration
): [glyph: string, words: string, kind: 'good' | 'warn'] {
  const less = lacking(trans, item);
  return less.length
    ? ['●', [trans.__('Running'), ...less.map(([n]) => n)].join(' · '), 'warn']
    : ['✓', trans.__('Running'), 'good'];
}

/** What lacks for all to have arrived as it was: how many files, and why. */
export function lacking(
  trans: TranslationBundle,
  item: IMigration
): [words: string, why: string][] {
  if (item.adopted) {
    return [[trans.__('proof lost'), '']];
  }
  const evidence = item.result?.evidence;
  const all = (rows: INotCopiedItem[]) =>
    rows.reduce((sum, row) => sum + (row.files ?? 0), 0);
  const why = (rows: INotCopiedItem[]) => {
    const reasons = rows.map(row => notCopied(trans, row)[1]);
    return reasons.length > REASONS_SHOWN
      ? `${reasons.slice(0, REASONS_SHOWN).join('; ')}; …`
      : reasons.join('; ');
  };
  const found: [string, string][] = [];
  const left = all(evidence?.left_out ?? []);
  if (left) {
    found.push([
      trans._n('%2 left out', '%2 left out', left, count(left)),
      why(evidence?.left_out ?? [])
    ]);
  }
  const changed = all(evidence?.changed ?? []);
  if (changed) {
    found.push([
      trans._n('%2 changed', '%2 changed', changed, count(changed)),
      why(evidence?.changed ?? [])
    ]);
  }
  if (item.result?.image?.entrypoint === 'bypassed') {
    found.push([
      trans.__('its entrypoint was not run'),
      trans.__('it did not start what it was given')
    ]);
  }
  if (item.result?.image?.command === 'replaced') {
    found.push([
      trans.__('its command was not run'),
      trans.__('it did not answer when it was tried')
    ]);
  }
  return found;
}

/** A refusal is made of others, which stand in the plan. */
export function causes(error: IFinding, plan: IPlan | null): IFinding[] {
  return error.code === 'refused' && plan?.refusals.length
    ? plan.refusals
    : [error];
}

function failure(trans: TranslationBundle, item: IMigration): string {
  const { error } = item;
  const line = error?.params.line;
  if (error?.code === 'build_failed' && typeof line === 'number') {
    return trans.__('Build failed at line %1', line);
  }
  if (error?.code === 'refused') {
    return trans.__('Refused by the plan');
  }
  const step = item.steps.find(one => one.state === 'failed');
  return step
    ? {
        check: trans.__('Check failed'),
        build: trans.__('Build failed'),
        push: trans.__('Push failed'),
        copy: trans.__('Copy failed'),
        launch: trans.__('Launch failed'),
        verify: trans.__('Verification failed')
      }[step.name]
    : trans.__('Failed');
}

/** `Copying code and data 62 %`, of whatever runs. */
export function progressLabel(
  trans: TranslationBundle,
  item: IMigration
): string {
  if (item.state === 'queued') {
    return trans.__('Waiting');
  }
  if (item.state === 'cancelling') {
    return trans.__('Cancelling');
  }
  const running = item.steps.filter(step => step.state === 'running');
  // Build and copy run side by side; the one that is farther behind is what is waited for.
  const [slowest] = [...running].sort(
    (a, b) => (percentOf(a) ?? 0) - (percentOf(b) ?? 0)
  );
  if (!slowest) {
    return trans.__('Sharing');
  }
  const percent = percentOf(slowest);
  const words = [doing(trans, slowest.name)];
  if (percent !== null) {
    words.push(trans.__('%1 %', Math.floor(percent)));
  }
  return words.join(' ');
}

/** What a step is called while it runs. */
export function doing(trans: TranslationBundle, step: StepName): string {
  return {
    check: trans.__('Checking'),
    build: trans.__('Building the image'),
    push: trans.__('Pushing the image'),
    copy: trans.__('Copying code and data'),
    launch: trans.__('Launching'),
    verify: trans.__('Verifying')
  }[step];
}

export function percentOf(step: IStep): number | null {
  if (step.percent !== null) {
    return Math.min(100, Math.max(0, step.percent));
  }
  return step.done !== null && step.total
    ? Math.min(100, (100 * step.done) / step.total)
    : null;
}
