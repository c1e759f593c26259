import { expect, test } from 'vitest';

import { IEnvironment, IFolder } from '../src/core/model';
import {
  IAnswers,
  IExtra,
  inGib,
  recalled,
  requestOf,
  together,
  toRemember,
  unanswered
} from '../src/shares/answers';

const folder = (path: string): IFolder => ({
  path,
  name: path,
  mount: null,
  files: 1,
  bytes: 1,
  disk: null,
  transient: null
});
const environment = {
  project: folder('/p'),
  data: [folder('/d/one'), folder('/d/two')]
} as IEnvironment;
const answers = (news: Partial<IAnswers> = {}): IAnswers => ({
  ...unanswered(environment),
  ...news
});
const offered = (path: string, taken = true, given = path) => ({
  folder: folder(path),
  path: given,
  taken
});

test('nothing answered asks for the project alone, as the plan proposes', () => {
  expect(requestOf('/p', answers())).toEqual({
    project: '/p',
    data: [],
    gpu: 0
  });
});

test('what is answered is asked for, and blanks are no answers', () => {
  const asked = requestOf(
    '/p',
    answers({
      name: ' mine ',
      byReference: true,
      reference: ' v1.0 ',
      choices: [offered('/d/one'), offered('/d/two', false)],
      keepOwners: true,
      cpu: '0.5',
      memory: '2.5',
      gpu: '1',
      dockerfile: 'binder/Dockerfile',
      keep: ['.env']
    })
  );
  expect(asked).toEqual({
    project: '/p',
    data: ['/d/one'],
    name: 'mine',
    version: 'v1.0',
    cpu: 0.5,
    memory: 2.5 * 1024 ** 3,
    gpu: 1,
    dockerfile: 'binder/Dockerfile',
    keep: ['.env'],
    keep_owners: true
  });
  const blank = { name: ' ', cpu: '', memory: ' ', gpu: '', reference: 'v1' };
  expect(requestOf('/p', answers(blank))).toEqual({ project: '/p', data: [] });
});

test('mounts come only with the folders that brought them', () => {
  const extras: IExtra[] = [
    { data: ['/d/one'], mounts: { '/d/one': '/mnt/1', '/p': '/srv/p' } },
    { data: ['/d/two'], mounts: { '/d/two': '/mnt/2' } }
  ];
  const mounts = (...taken: string[]) =>
    requestOf(
      '/p',
      answers({
        extras,
        choices: ['/d/one', '/d/two'].map(one =>
          offered(one, taken.includes(one))
        )
      })
    ).mounts;
  expect(mounts()).toBeUndefined();
  expect(mounts('/d/one')).toEqual({ '/d/one': '/mnt/1', '/p': '/srv/p' });
  expect(mounts('/d/two')).toEqual({ '/d/two': '/mnt/2' });
});

test('one folder is offered once, by the name it was given last', () => {
  const found = together(
    [offered('/a', false), offered('/b')],
    [offered('/a', true, '/link/to/a'), offered('/c')]
  );
  expect(found.map(one => one.path)).toEqual(['/link/to/a', '/b', '/c']);
});

test('the next share of a project begins with what was taken for this one', () => {
  const extras = [{ data: ['/link'], mounts: { '/link': '/mnt' } }];
  const first = answers({
    extras,
    choices: [
      offered('/d/one'),
      offered('/d/two', false),
      offered('/x', true, '/link')
    ]
  });
  const again = recalled(answers(), toRemember(first), [
    { folder: folder('/x'), path: '/link' }
  ]);
  expect(requestOf('/p', again)).toEqual(requestOf('/p', first));
  // What has been ticked meanwhile stays.
  const ticked = answers({ choices: [offered('/d/two')] });
  expect(recalled(ticked, { taken: [] }, []).choices[0]?.taken).toBe(true);
  // A folder that is offered now needs no second place.
  const double = [{ folder: folder('/d/one'), path: '/other' }];
  expect(recalled(answers(), {}, double).choices).toHaveLength(2);
});

test('memory is shown with one digit', () => {
  expect(inGib(1.96 * 1024 ** 3)).toBe('2');
  expect(inGib(0.5 * 1024 ** 3)).toBe('0.5');
  expect(inGib(null)).toBe('');
});
