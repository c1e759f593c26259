import { expect, test } from 'vitest';

import { ApiError } from '../src/core/api';
import { finding, migration, Service } from './service';

async function failure(asked: Promise<unknown>): Promise<ApiError> {
  return asked.then(
    () => {
      throw new Error('It did not fail.');
    },
    (thrown: unknown) => ApiError.of(thrown)
  );
}

test('lists come in pages, newest first', async () => {
  const service = new Service();
  for (let n = 0; n < 120; n++) {
    service.shares.set(`s${n}`, migration(`s${n}`, {}, n));
  }
  const found = await service.api.list();
  expect(found.map(one => one.id)).toEqual(
    Array.from({ length: 120 }, (_, n) => `s${119 - n}`)
  );
  expect(service.asked).toHaveLength(3);
});

test('a share that is deleted between two pages does not end the list', async () => {
  const service = new Service();
  for (let n = 0; n < 60; n++) {
    service.shares.set(`s${n}`, migration(`s${n}`, {}, n));
  }
  const release = service.hold('GET migrations');
  const asked = service.api.list();
  await Promise.resolve();
  service.shares.delete('s10'); // the last of the first page
  release();
  const ids = (await asked).map(one => one.id);
  expect(ids).toContain('s11');
  expect(ids).toContain('s0');
  expect(new Set(ids).size).toBe(ids.length);
});

test('what the service refuses keeps its code and parameters', async () => {
  const service = new Service();
  const { finding } = await failure(service.api.get('../else where'));
  expect(finding).toMatchObject({
    code: 'not_found',
    params: { id: '../else where' }
  });
});

test('a proxy in between, a missing extension and a network that is away have words', async () => {
  const service = new Service();
  service.failNext('GET', { status: 502, body: '<html>Bad gateway' });
  expect((await failure(service.api.get('a'))).finding).toMatchObject({
    code: 'unexpected_answer',
    message: 'The server answered with status 502.',
    params: { status: 502 }
  });
  service.failNext('GET', { status: 404, body: '' });
  expect((await failure(service.api.get('a'))).finding.code).toBe(
    'extension_missing'
  );
  service.failNext('GET', 'network');
  expect((await failure(service.api.get('a'))).finding).toMatchObject({
    code: 'jupyter_unreachable',
    message: 'The Jupyter server does not answer.'
  });
});

test('an error without some of its fields is one all the same', async () => {
  const service = new Service();
  service.failNext('GET', { status: 500, body: '{"code": "internal"}' });
  expect((await failure(service.api.get('a'))).finding).toEqual({
    code: 'internal',
    message: '',
    hint: '',
    params: {}
  });
  service.failNext('GET', { status: 500, body: 'null' });
  expect((await failure(service.api.get('a'))).finding.code).toBe(
    'unexpected_answer'
  );
});

test('a key shares once', async () => {
  const service = new Service();
  const request = { project: '/p' };
  const made = await service.api.share(request, 'k');
  expect((await service.api.share(request, 'k')).id).toBe(made.id);
  expect(service.shares.size).toBe(1);
  expect(finding('a').code).toBe('a');
});
