import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import { IEvent } from '../src/core/model';
import { EventStream, frames } from '../src/core/stream';
import { Service } from './service';

let service: Service;
let stream: EventStream;
const events: IEvent[] = [];
const lost: string[] = [];
let opened = 0;

beforeEach(() => {
  vi.useFakeTimers();
  service = new Service();
  stream = new EventStream(service.api);
  events.length = lost.length = opened = 0;
  stream.event.connect((_, event) => events.push(event));
  stream.lost.connect((_, error) => lost.push(error.finding.code));
  stream.opened.connect(() => (opened += 1));
  void stream.run();
});

afterEach(() => {
  stream.dispose();
  vi.useRealTimers();
});

const settle = (milliseconds = 0) => vi.advanceTimersByTimeAsync(milliseconds);

async function read(...chunks: string[]): Promise<string[]> {
  const bytes = new TextEncoder();
  const body = new ReadableStream<Uint8Array>({
    start: controller => {
      chunks.forEach(one => controller.enqueue(bytes.encode(one)));
      controller.close();
    }
  });
  const found: string[] = [];
  for await (const frame of frames(body, () => undefined)) {
    found.push(`${frame.id} ${frame.kind} ${frame.data}`);
  }
  return found;
}

test('frames are whole however they are cut, and what is not ended is dropped', async () => {
  const text =
    ': keep-alive\n\nid: 1\nevent: log\ndata: a\ndata: b\n\ndata: c\r\n\r\nid: 3\ndata: d\n';
  const whole = ['1 log a\nb', 'null message c'];
  expect(await read(text)).toEqual(whole);
  expect(await read(...text)).toEqual(whole);
});

test('it goes on after the last event', async () => {
  await settle();
  service.tell({ migration: 'a', kind: 'log', line: 'one' });
  await settle();
  service.breakStreams();
  await settle(1000);
  expect(service.resumed).toEqual([null, '1']);
  expect(opened).toBe(2);
  expect(events.map(one => one.line)).toEqual(['one']);
  expect(lost).toEqual(['stream_ended']);
});

test('what the service says before it ends the stream is the reason', async () => {
  await settle();
  service.send(
    'event: failure\ndata: {"code": "forbidden", "message": "", "hint": "", "params": {}}\n\n'
  );
  await settle();
  expect(lost).toEqual(['forbidden']);
});

test('silence is a dead connection, keep-alives are not', async () => {
  await settle();
  await settle(40_000);
  service.send(': keep-alive\n\n');
  await settle(40_000);
  expect(lost).toEqual([]);
  await settle(5_001);
  expect(lost).toHaveLength(1);
});

test('it asks less and less often, and at once when the network is back', async () => {
  await settle();
  for (let n = 0; n < 10; n++) {
    service.failNext('GET events', 'network');
  }
  service.breakStreams();
  await settle(60_000);
  const asked = service.asked.length;
  expect(asked).toBeGreaterThan(5);
  expect(asked).toBeLessThan(11);
  window.dispatchEvent(new Event('online'));
  await settle();
  expect(service.asked.length).toBe(asked + 1);
});

test('once disposed it asks no more', async () => {
  await settle();
  stream.dispose();
  service.breakStreams();
  await settle(60_000);
  expect(service.asked).toEqual(['GET events']);
});
