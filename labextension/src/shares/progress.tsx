/** The steps of a share, each with its own measure. */

import { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { IMigration, IStep, StepName } from '../core/model';
import { doing, isBusy, percentOf } from './state';
import { Shares } from './store';
import { between, count, duration, files, size } from '../core/units';
import { useSeconds } from '../core/parts';

function stepName(trans: TranslationBundle, step: StepName): string {
  return {
    check: trans.__('Check'),
    build: trans.__('Build'),
    push: trans.__('Push'),
    copy: trans.__('Copy'),
    launch: trans.__('Launch'),
    verify: trans.__('Verify')
  }[step];
}

function stateName(
  trans: TranslationBundle,
  step: IStep,
  over: boolean
): string {
  if (over && step.state === 'waiting') {
    // Nothing waits in a share that has ended.
    return step.started ? trans.__('stopped') : trans.__('not begun');
  }
  return {
    waiting: trans.__('waiting'),
    running: trans.__('running'),
    done: trans.__('done'),
    failed: trans.__('failed'),
    skipped: trans.__('not needed')
  }[step.state];
}

const GLYPHS: Record<IStep['state'], string> = {
  waiting: '○',
  running: '●',
  done: '✓',
  failed: '✕',
  skipped: '–'
};

/** `1.2 of 1.9 GB · 120 MB/s · 8 s left`. */
export function measure(
  trans: TranslationBundle,
  step: IStep,
  rate: number | null
): string {
  const parts: string[] = [];
  const bytes = step.unit === 'bytes';
  const show = (value: number) => (bytes ? size(trans, value) : count(value));
  if (step.done !== null && step.total) {
    parts.push(trans.__('%1 of %2', show(step.done), show(step.total)));
  } else if (step.done !== null && bytes) {
    parts.push(show(step.done));
  }
  if (step.files !== null) {
    parts.push(files(trans, step.files));
  }
  if (bytes && rate) {
    parts.push(trans.__('%1/s', size(trans, rate)));
    if (step.done !== null && step.total && step.total > step.done) {
      parts.push(
        trans.__('%1 left', duration(trans, (step.total - step.done) / rate))
      );
    }
  }
  return parts.join(' · ');
}

/** What the builder, or the copy, says of its step. */
function said(trans: TranslationBundle, message: string): string {
  if (message === 'comparing the copies with what left') {
    return trans.__('comparing the copies with what left');
  }
  const [, done, total, what] = /^step (\d+)\/(\d+) (.*)$/s.exec(message) ?? [];
  return what === undefined
    ? message
    : trans.__('step %1 of %2: %3', done, total, what);
}

export function ProgressBar(props: {
  trans: TranslationBundle;
  step: IStep;
  rate: number | null;
}): React.ReactElement {
  const { trans, step } = props;
  const percent = percentOf(step);
  const name = doing(trans, step.name);
  const text = [
    percent === null
      ? trans.__('running')
      : trans.__('%1 %', Math.floor(percent)),
    measure(trans, step, props.rate)
  ]
    .filter(Boolean)
    .join(' · ');
  return (
    <div
      role="progressbar"
      aria-label={name}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={percent === null ? undefined : Math.floor(percent)}
      aria-valuetext={text}
      className={`jp-secxops-Bar${percent === null ? ' jp-mod-unknown' : ''}`}
    >
      <div style={percent === null ? undefined : { width: `${percent}%` }} />
    </div>
  );
}

function StepRow(props: {
  trans: TranslationBundle;
  shares: Shares;
  id: string;
  step: IStep;
  over: boolean;
}): React.ReactElement {
  const { trans, step } = props;
  const running = step.state === 'running';
  useSeconds(running);
  const rate = props.shares.rate(props.id, step.name);
  const seconds = step.started ? between(step.started, step.finished) : null;
  const usual = running ? props.shares.usual(step.name) : null;
  const percent = percentOf(step);
  return (
    <li className={`jp-secxops-Step jp-mod-${step.state}`}>
      <div>
        <span aria-hidden="true">{GLYPHS[step.state]} </span>
        {stepName(trans, step.name)}
        <span className="jp-secxops-Quiet">
          {' '}
          {running && percent !== null
            ? trans.__('%1 %', Math.floor(percent))
            : stateName(trans, step, props.over)}
          {seconds !== null && step.state !== 'waiting' && (
            <> · {duration(trans, seconds)}</>
          )}
          {usual !== null && seconds !== null && seconds > 1.5 * usual && (
            <> · {trans.__('longer than usual')}</>
          )}
        </span>
      </div>
      {running && (
        <>
          <ProgressBar trans={trans} step={step} rate={rate} />
          {step.unit === 'bytes' && (
            <p className="jp-secxops-Quiet">{measure(trans, step, rate)}</p>
          )}
          {step.message && (
            <p className="jp-secxops-Quiet">{said(trans, step.message)}</p>
          )}
        </>
      )}
    </li>
  );
}

export function Steps(props: {
  trans: TranslationBundle;
  shares: Shares;
  item: IMigration;
}): React.ReactElement {
  const { trans, shares, item } = props;
  return (
    <ol className="jp-secxops-Steps" aria-label={trans.__('Steps')}>
      {item.steps
        .filter(step => step.state !== 'skipped')
        .map(step => (
          <StepRow
            over={!isBusy(props.item)}
            key={step.name}
            trans={trans}
            shares={shares}
            id={item.id}
            step={step}
          />
        ))}
    </ol>
  );
}
