import { StateDB } from '@jupyterlab/statedb';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import { IMigration } from '../src/core/model';
import { BUSY_KEY } from '../src/core/tokens';
import { joined } from '../src/shares/logs';
import { Shares } from '../src/shares/store';
import { finding, migration, Service, step } from './service';

let service: Service;
let state: StateDB;
let shares: Shares;
const finished: string[] = [];

const settle = (milliseconds = 50) => vi.advanceTimersByTimeAsync(milliseconds);
const stateOf = (id: string) =>
  shares.items?.find(one => one.id === id)?.state ?? null;

async function open(...items: IMigration[]): Promise<void> {
  items.forEach(item => service.shares.set(item.id, item));
  shares = new Shares(service.api, state);
  shares.finished.connect((_, item) => finished.push(item.id));
  await settle();
}

beforeEach(() => {
  vi.useFakeTimers();
  service = new Service();
  state = new StateDB();
  finished.length = 0;
});

afterEach(() => {
  shares.dispose();
  vi.useRealTimers();
});

test('a share is followed to its end, which is told once', async () => {
  await open(migration('a'));
  expect(shares.busy).toHaveLength(1);
  service.put(migration('a', { state: 'succeeded' }));
  await settle();
  service.put(migration('a', { state: 'succeeded' }));
  await settle();
  expect(stateOf('a')).toBe('succeeded');
  expect(finished).toEqual(['a']);
});

test('what ended while the connection was lost is told', async () => {
  await open(migration('a'));
  service.shares.set('a', migration('a', { state: 'failed' }));
  service.breakStreams();
  await settle(2000);
  expect(finished).toEqual(['a']);
});

test('what ended while the page was away is told, and nothing else', async () => {
  await state.save(BUSY_KEY, ['a', 'gone']);
  await open(
    migration('a', { state: 'failed' }),
    migration('old', { state: 'succeeded' })
  );
  expect(finished).toEqual(['a']);
  expect(await state.fetch(BUSY_KEY)).toEqual([]);
});

test('one that was begun in another tab appears, and one deleted there goes', async () => {
  await open(migration('a'));
  service.put(migration('b', {}, 1));
  await settle();
  expect(shares.items?.map(one => one.id)).toEqual(['b', 'a']);
  service.shares.delete('a');
  service.tell({ migration: 'a', kind: 'deleted' });
  await settle();
  expect(shares.items?.map(one => one.id)).toEqual(['b']);
});

test('a step is as its latest event has it, also while the record is read', async () => {
  await open(migration('a'));
  const release = service.hold('GET migrations/a');
  service.put(migration('a'));
  await settle();
  service.tell({
    migration: 'a',
    kind: 'step',
    step: { name: 'copy', state: 'running', percent: 70 } as never
  });
  await settle();
  release();
  await settle();
  const copy = shares.items?.[0]?.steps.find(one => one.name === 'copy');
  expect(copy).toEqual(step('copy', { state: 'running', percent: 70 }));
});

test('events that come while all is read a second time are not lost', async () => {
  await open(migration('a'), migration('b', {}, 1));
  const first = service.hold('GET migrations');
  service.breakStreams();
  await settle(2000);
  const second = service.hold('GET migrations');
  service.breakStreams();
  await settle(5000);
  service.shares.delete('a');
  service.tell({ migration: 'a', kind: 'deleted' });
  for (const release of [first, second]) {
    await settle();
    release();
  }
  await settle();
  expect(shares.items?.map(one => one.id)).toEqual(['b']);
});

test('a list that can not be read is asked for again, and says since when it is old', async () => {
  await open(migration('a'));
  service.failNext('GET migrations', 'network');
  service.failNext('GET migrations', { status: 503, body: '' });
  const before = Date.now();
  service.breakStreams();
  await settle(4000);
  expect(shares.connection).toMatchObject({ state: 'lost' });
  const { since } = shares.connection as { since: number };
  expect(since - before).toBeLessThan(100);
  await settle(7000);
  expect(shares.connection).toEqual({ state: 'open' });
  expect(stateOf('a')).toBe('running');
});

test('the answer to a share may come after events that tell more of it', async () => {
  await open();
  const release = service.hold('POST migrations');
  const asked = shares.share({ project: '/p' }, 'key');
  await settle();
  service.put({ ...service.shares.get('made-1')!, state: 'failed' });
  await settle();
  release();
  await asked;
  expect(stateOf('made-1')).toBe('failed');
});

test('an action that fails says why, and changes nothing', async () => {
  await open(migration('a'));
  const body = JSON.stringify(finding('wrong_state'));
  service.failNext('POST migrations/a/cancel', { status: 409, body });
  await expect(shares.act('a', 'cancel')).rejects.toMatchObject({
    finding: { code: 'wrong_state' }
  });
  expect(stateOf('a')).toBe('running');
  await shares.act('a', 'cancel');
  expect(stateOf('a')).toBe('cancelling');
  await shares.delete('a');
  expect(shares.items).toEqual([]);
});

test('no token is kept, and no name commands the screen', async () => {
  const url = 'http://127.0.0.1:8888/lab?token=secret';
  const name = 'a\u202eb';
  await open(migration('a', { name }));
  service.put(
    migration('a', { name, state: 'succeeded', result: { url } as never })
  );
  await settle();
  expect(shares.items?.[0]?.name).toBe('a\\u202eb');
  expect(JSON.stringify(shares.items)).not.toContain('secret');
});

test('a log is read once and then followed, while somebody looks', async () => {
  await open(migration('a'));
  service.logs.set('a', 'one\ntwo\n');
  const release = service.hold('GET migrations/a/log');
  const stop = shares.watchLog('a');
  await settle();
  // It is in what is read, and in an event.
  service.tell({ migration: 'a', kind: 'log', line: 'two' });
  service.tell({ migration: 'a', kind: 'log', line: 'three' });
  await settle();
  release();
  await settle();
  expect(shares.log('a')?.lines).toEqual(['one', 'two', 'three']);
  stop();
  expect(shares.log('a')).toBeNull();
});

test('a log has its last lines, however long it is', async () => {
  await open(migration('a'));
  service.logs.set('a', 'x\n'.repeat(5000));
  shares.watchLog('a');
  await settle();
  for (let n = 0; n < 1000; n++) {
    service.tell({ migration: 'a', kind: 'log', line: `${n}` });
  }
  await settle();
  const { lines } = shares.log('a')!;
  expect(lines.length).toBeLessThanOrEqual(2400);
  expect(lines.at(-1)).toBe('999');
});

test('lines that were read and came as well are joined where they meet', () => {
  expect(joined(['a', 'b'], ['b', 'c'])).toEqual(['a', 'b', 'c']);
  expect(joined(['a', 'a'], ['a', 'b'])).toEqual(['a', 'a', 'b']);
  expect(joined([], ['b'])).toEqual(['b']);
  expect(joined(['a'], ['b'])).toEqual(['a', 'b']);
});

test('a rate is that of the last seconds, and begins anew with the step', async () => {
  await open(migration('a'));
  const told = (done: number, after: number, news = {}) =>
    service.tell({
      migration: 'a',
      kind: 'step',
      time: new Date(1_700_000_000_000 + after).toISOString(),
      step: step('copy', { state: 'running', done, ...news })
    });
  told(0, 0);
  await settle();
  expect(shares.rate('a', 'copy')).toBeNull();
  told(1000, 1000);
  await settle();
  expect(shares.rate('a', 'copy')).toBe(1000);
  told(1_000_000, 60_000);
  told(1_000_500, 61_000);
  await settle();
  expect(shares.rate('a', 'copy')).toBe(500);
  told(10, 62_000);
  await settle();
  expect(shares.rate('a', 'copy')).toBeNull();
  told(20, 63_000);
  told(20, 63_500, { state: 'done' });
  await settle();
  expect(shares.rate('a', 'copy')).toBeNull();
});

test('how long a step usually takes is known after three shares', async () => {
  const ended = (id: string, seconds: number) =>
    migration(id, {
      state: 'succeeded',
      steps: [
        step('build', {
          state: 'done',
          started: new Date(0).toISOString(),
          finished: new Date(1000 * seconds).toISOString()
        })
      ]
    });
  await open(ended('a', 10), ended('b', 500));
  expect(shares.usual('build')).toBeNull();
  service.put(ended('c', 20));
  await settle();
  expect(shares.usual('build')).toBe(20);
  expect(shares.usual('copy')).toBeNull();
});
