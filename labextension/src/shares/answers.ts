/** What a person answers in the form, and the request that it makes. Nothing here is drawn. */

import { IEnvironment, IFolder, IPlan, IShareRequest } from '../core/model';

const GIB = 1024 ** 3;

/** A data folder that is offered. */
export interface IChoice {
  folder: IFolder;
  /** How it is asked for: a link, if that is what was given. */
  path: string;
  taken: boolean;
}

/** What brings along what links lead to: data folders, and where they have to be. */
export type IExtra = {
  data: string[];
  mounts: Record<string, string>;
};

/** Which data was offered, and which was taken, the last time this project was shared. */
export type IRemembered = {
  offered: string[];
  taken: string[];
  extras?: IExtra[];
};

/** The form as it is filled in; null where a person left what the plan proposes. */
export interface IAnswers {
  name: string | null;
  byReference: boolean;
  reference: string;
  choices: IChoice[];
  extras: IExtra[];
  keepOwners: boolean;
  /** CPUs, GB and whole GPUs, as they are typed. */
  cpu: string | null;
  memory: string | null;
  gpu: string;
  dockerfile: string;
  keep: string[];
}

/** The form before anything is filled in. */
export function unanswered(environment: IEnvironment): IAnswers {
  return {
    name: null,
    byReference: false,
    reference: '',
    choices: environment.data.map(folder => ({
      folder,
      path: folder.path,
      taken: false
    })),
    extras: [],
    keepOwners: false,
    cpu: null,
    memory: null,
    gpu: '0',
    dockerfile: '',
    keep: []
  };
}

/** The request that these answers make for a project; it has only what was answered. */
export function requestOf(project: string, answers: IAnswers): IShareRequest {
  const data = takenOf(answers.choices);
  const asked: IShareRequest = { project, data };
  const there = [project, ...data];
  const mounts = answers.extras
    .filter(extra => extra.data.some(path => data.includes(path)))
    .flatMap(extra => Object.entries(extra.mounts))
    .filter(([path]) => there.includes(path));
  if (mounts.length) {
    asked.mounts = Object.fromEntries(mounts);
  }
  if (answers.keepOwners) {
    asked.keep_owners = true;
  }
  if (answers.name?.trim()) {
    asked.name = answers.name.trim();
  }
  if (answers.byReference && answers.reference.trim()) {
    asked.version = answers.reference.trim();
  }
  if (answers.cpu?.trim()) {
    asked.cpu = Number(answers.cpu);
  }
  if (answers.memory?.trim()) {
    asked.memory = Math.round(Number(answers.memory) * GIB);
  }
  if (answers.gpu.trim()) {
    asked.gpu = Number(answers.gpu);
  }
  if (answers.keep.length) {
    asked.keep = answers.keep;
  }
  if (answers.dockerfile) {
    asked.dockerfile = answers.dockerfile;
  }
  return asked;
}

/** The paths of the folders that are taken along. */
export function takenOf(choices: readonly IChoice[]): string[] {
  return choices.filter(one => one.taken).map(one => one.path);
}

/** What to remember of answers for the next share of the project. */
export function toRemember(answers: IAnswers): IRemembered {
  return {
    offered: answers.choices.map(one => one.path),
    taken: takenOf(answers.choices),
    extras: answers.extras
  };
}

/** Answers with what was taken the last time, and the further folders that were offered then. */
export function recalled(
  answers: IAnswers,
  remembered: Partial<IRemembered>,
  further: readonly { folder: IFolder; path: string }[]
): IAnswers {
  const taken = remembered.taken ?? [];
  const choices = answers.choices.map(one => ({
    ...one,
    taken: one.taken || taken.includes(one.path)
  }));
  const more = further
    .map(one => ({ ...one, taken: taken.includes(one.path) }))
    .filter(one => !choices.some(other => same(one, other)));
  return {
    ...answers,
    extras: [...answers.extras, ...(remembered.extras ?? [])],
    choices: together(choices, more)
  };
}

/** Choices with what is chosen now; one folder is there once. */
export function together(
  before: readonly IChoice[],
  now: readonly IChoice[]
): IChoice[] {
  return [
    ...before.map(one => now.find(other => same(one, other)) ?? one),
    ...now.filter(one => !before.some(other => same(one, other)))
  ];
}

/** Whether there are files that only their owners may use. */
export function aboutOwners(plan: IPlan): boolean {
  return [...plan.reasons, ...plan.warnings].some(({ code }) =>
    ['owners_given', 'owners_kept'].includes(code)
  );
}

/** Bytes as GB with one digit, for a field; empty where nothing is known. */
export function inGib(bytes: number | null | undefined): string {
  return bytes ? String(Math.round((10 * bytes) / GIB) / 10) : '';
}

function same(one: IChoice, other: IChoice): boolean {
  return one.folder.path === other.folder.path;
}
