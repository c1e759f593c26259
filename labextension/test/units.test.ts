import { nullTranslator } from '@jupyterlab/translation';
import { beforeEach, expect, test } from 'vitest';

import {
  between,
  count,
  duration,
  printable,
  size,
  writeIn
} from '../src/core/units';
import { isLoopback, tunnelTo } from '../src/shares/link';

const trans = nullTranslator.load('');

beforeEach(() => writeIn('en'));

test.each([
  [0, '0 bytes'],
  [1, '1 byte'],
  [999, '999 bytes'],
  [1000, '1\u00a0KB'],
  [1536, '1.5\u00a0KB'],
  [1012 * 1024 ** 2, '1\u00a0GB'],
  [48.4 * 1024 ** 2, '48\u00a0MB'],
  [3000 * 1024 ** 5, '3,000\u00a0PB']
])('%d bytes are %s', (bytes, said) => {
  expect(size(trans, bytes)).toBe(said);
});

test.each([
  [0.4, 'less than a second'],
  [1, '1 s'],
  [89, '89 s'],
  [90, '2 min'],
  [3540, '59 min'],
  [3600, '1 h'],
  [3900, '1 h 5 min']
])('%d seconds are %s', (seconds, said) => {
  expect(duration(trans, seconds)).toBe(said);
});

test('numbers are written as is usual in the language', () => {
  expect(count(1234567)).toBe('1,234,567');
  writeIn('de_DE');
  expect(count(1234567)).toBe('1.234.567');
});

test('what commands a screen is shown as an escape, everything else as it is', () => {
  expect(printable('a\u202eb\x1b[31m\u{e0041}\x85')).toBe(
    'a\\u202eb\\x1b[31m\\U000e0041\\x85'
  );
  expect(printable('数据\t👩‍🔬 é')).toBe('数据\t👩‍🔬 é');
});

test('a time that lies ahead is none', () => {
  expect(between('2026-01-01T00:00:10Z', '2026-01-01T00:00:00Z')).toBe(0);
  expect(between('2026-01-01T00:00:00Z', '2026-01-01T00:01:30Z')).toBe(90);
});

test('only an address of this machine needs a tunnel', () => {
  expect(isLoopback('127.8.0.1')).toBe(true);
  expect(isLoopback('127.0.0.1.example.org')).toBe(false);
  expect(tunnelTo('https://hub.example/lab', 'x')).toBeNull();
  expect(tunnelTo('http://127.0.0.1:8890/lab', 'gpu.example')?.command).toBe(
    'ssh -N -L 8890:127.0.0.1:8890 gpu.example'
  );
  expect(tunnelTo('http://localhost:1/', 'localhost')?.command).toContain(
    'USER@HOST'
  );
});
