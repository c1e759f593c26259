import { nullTranslator, TranslationBundle } from '@jupyterlab/translation';
import { beforeEach, expect, test } from 'vitest';

import { IFinding, INotCopiedItem } from '../src/core/model';
import {
  hintOf,
  messageOf,
  notCopied,
  ownFinding,
  versionLabel
} from '../src/core/sentences';
import { writeIn } from '../src/core/units';

const english = nullTranslator.load('');
/** A language in which every word is in capitals. */
const capitals = {
  __: (text: string, ...args: unknown[]) =>
    english.__(text.toUpperCase(), ...(args as string[])),
  _n: (one: string, more: string, n: number, ...args: unknown[]) =>
    english._n(one.toUpperCase(), more.toUpperCase(), n, ...(args as string[]))
} as unknown as TranslationBundle;

const unreadable = (news: Partial<IFinding> = {}): IFinding => ({
  code: 'file_unreadable',
  message: "1,200 files under /data can't be read; the first is a.csv.",
  hint: '',
  params: { count: 1200, path: '/data', first: 'a.csv' },
  ...news
});

beforeEach(() => writeIn('en'));

test('a code becomes a sentence of the language, its parameters as they are', () => {
  expect(messageOf(capitals, unreadable())).toBe(
    "1,200 FILES UNDER /data CAN'T BE READ; THE FIRST IS a.csv."
  );
  const params = { ...unreadable().params, count: 1 };
  expect(messageOf(english, unreadable({ params, message: '' }))).toBe(
    "1 file under /data can't be read; the first is a.csv."
  );
});

test('a cause that only the service knows stands behind', () => {
  const { message } = unreadable();
  const said = unreadable({ message: `${message} Stale\x1b handle.` });
  expect(messageOf(capitals, said)).toMatch(/a\.csv\. Stale\\x1b handle\.$/);
});

test('a code or a parameter of another version keeps the words of the service', () => {
  for (const code of ['not_known_here', 'constructor', '__proto__']) {
    const finding = unreadable({ code, message: 'Said\u202e.', hint: 'Do.' });
    expect(messageOf(capitals, finding)).toBe('Said\\u202e.');
    expect(hintOf(capitals, finding)).toBe('Do.');
  }
  const finding = unreadable({ params: { number: 3 } });
  expect(messageOf(capitals, finding)).toBe(finding.message);
});

test("the service's own words in a parameter are translated, names are not", () => {
  const said = (problem: string, path: string) =>
    messageOf(capitals, {
      code: 'no_such_path',
      message: '',
      hint: '',
      params: { path, problem }
    });
  expect(said('does not exist', 'copy')).toBe('copy DOES NOT EXIST.');
  expect(said('toString', '/x\n')).toBe('/x\\x0a toString.');
});

test('a hint names what can be clicked', () => {
  const hint = hintOf(english, {
    code: 'disk_full',
    message: '',
    hint: 'Delete old shares (`jupyter secxops list`) or free disk there, and retry.',
    params: { step: 'copy' }
  });
  expect(hint).toBe('Delete old shares or free disk there, and retry.');
});

test("the panel's own findings are as whole as those of the service", () => {
  const finding = ownFinding('unexpected_answer', { status: 502 });
  expect(finding.message).toBe('The server answered with status 502.');
  expect(messageOf(capitals, finding)).toBe(
    'THE SERVER ANSWERED WITH STATUS 502.'
  );
});

test('a version is its branch, its commit and how many files are changed', () => {
  const commit = '3f2c1a9'.padEnd(40, '0');
  const version = { branch: 'main', commit, dirty_count: 0 };
  expect(versionLabel(english, version)).toBe('main @ 3f2c1a9');
  expect(versionLabel(english, { ...version, dirty_count: 1 })).toBe(
    'main @ 3f2c1a9 · 1 file changed'
  );
  expect(
    versionLabel(english, { branch: null, commit, dirty_count: 1200 })
  ).toBe('detached @ 3f2c1a9 · 1,200 files changed');
  expect(versionLabel(english, { ...version, commit: null })).toBe('no git');
});

test('what is not copied has its reason in words, whoever gives it', () => {
  const item = (news: Partial<INotCopiedItem>): INotCopiedItem => ({
    name: 'x',
    reason: 'r',
    code: '',
    files: null,
    bytes: null,
    keep: null,
    ...news
  });
  const said = (news: Partial<INotCopiedItem>) =>
    notCopied(capitals, item(news));
  // Of the copier, of the plan, a row of its own, not known.
  expect(said({ code: 'private_key' })).toEqual(['x', 'A PRIVATE KEY']);
  expect(said({ code: 'not_there' })[1]).toBe(
    'WAS THERE FOR THE PLAN AND NOT FOR THE COPY'
  );
  expect(said({ code: 'never_copied', files: 3 })).toEqual([
    '3 MORE',
    'NEVER COPIED'
  ]);
  expect(said({ code: 'valueOf', name: '\x1b', reason: 'r\x07' })).toEqual([
    '\\x1b',
    'r\\x07'
  ]);
});
