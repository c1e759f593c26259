import { nullTranslator } from '@jupyterlab/translation';
import { expect, test } from 'vitest';

import {
  IEvidence,
  IImageResult,
  IMigration,
  IMigrationResult,
  INotCopiedItem,
  IPlan
} from '../src/core/model';
import { writeIn } from '../src/core/units';
import { causes, isBusy, progressLabel, stateOf } from '../src/shares/state';
import { finding, migration, step } from './service';

const trans = nullTranslator.load('');
writeIn('en');

const row = (code: string, files: number | null): INotCopiedItem => ({
  name: 'x',
  reason: 'r',
  code,
  files,
  bytes: null,
  keep: null
});

/** A share that runs, with this of its proof. */
function running(
  evidence: Partial<IEvidence> = {},
  image: Partial<IImageResult> = {},
  news: Partial<IMigration> = {}
): IMigration {
  const result = { evidence, image } as IMigrationResult;
  const environment = { status: 'running' } as const;
  return migration('a', { state: 'succeeded', environment, result, ...news });
}

test('green is only what arrived whole and as it was', () => {
  expect(stateOf(trans, running())).toEqual(['✓', 'Running', 'good']);
  expect(
    stateOf(trans, running({ left_out: [], changed: [row('setuid', 0)] }))
  ).toEqual(['✓', 'Running', 'good']);
});

test.each([
  [running({ left_out: [row('private_key', 1200)] }), '1,200 left out'],
  [running({ changed: [row('setuid', 1), row('scrubbed', 1)] }), '2 changed'],
  [running({}, { entrypoint: 'bypassed' }), 'its entrypoint was not run'],
  [running({}, {}, { adopted: true }), 'proof lost']
])('%# is amber and says so', (item, words) => {
  const [glyph, said, kind] = stateOf(trans, item);
  expect(glyph).toBe('●');
  expect(said).toBe(`Running · ${words}`);
  expect(kind).toBe('warn');
});

test('what runs no more is neither', () => {
  for (const status of ['starting', 'stopping', 'stopped', 'gone'] as const) {
    const item = running({}, {}, { environment: { status } });
    expect(['busy', 'quiet']).toContain(stateOf(trans, item)[2]);
  }
});

test('a failure is called by its step, a failed build by its line', () => {
  const failed = (code: string, params = {}) =>
    stateOf(
      trans,
      migration('a', {
        state: 'failed',
        error: finding(code, params),
        steps: [step('build', { state: 'failed' })]
      })
    )[1];
  expect(failed('build_failed', { line: 4 })).toBe('Build failed at line 4');
  expect(failed('build_failed', { line: {} })).toBe('Build failed');
  expect(failed('refused')).toBe('Refused by the plan');
});

test('a refusal is shown by what it is made of', () => {
  const plan = { refusals: [finding('memory_short')] } as IPlan;
  expect(causes(finding('refused'), plan)).toEqual(plan.refusals);
  expect(causes(finding('refused'), null)).toEqual([finding('refused')]);
  expect(causes(finding('disk_full'), plan)).toEqual([finding('disk_full')]);
});

test('progress is that of the step that is farthest behind, between 0 and 100', () => {
  const item = migration('a', {
    steps: [
      step('build', { state: 'running', percent: 140 }),
      step('copy', { state: 'running', done: 30, total: 90 })
    ]
  });
  expect(isBusy(item)).toBe(true);
  expect(progressLabel(trans, item)).toBe('Copying code and data 33 %');
  expect(progressLabel(trans, migration('a'))).toBe('Sharing');
  const ending = migration('a', { state: 'cancelling' });
  expect(progressLabel(trans, ending)).toBe('Cancelling');
});
