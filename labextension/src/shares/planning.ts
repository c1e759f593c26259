/** What the form knows beside what is typed: its plan, unsaved documents, what was taken the last time. */

import { IStateDB } from '@jupyterlab/statedb';
import React from 'react';

import { Api, ApiError } from '../core/api';
import { IEnvironment, IPlan, IShareRequest } from '../core/model';
import { IAnswers, IRemembered, recalled, together } from './answers';
import { Documents } from './documents';

/** Milliseconds after the last key. */
const SETTLE = 350;
/** How often is looked for documents with unsaved changes. */
const LOOK = 1000;

export type SetAnswers = React.Dispatch<React.SetStateAction<IAnswers>>;

export interface IPlanning {
  /** The last plan that was made; of the request as it is now only if `current`. */
  plan: IPlan | null;
  error: ApiError | null;
  current: boolean;
  /** Say why a share that was planned was not made. */
  fail: (error: ApiError) => void;
  planAgain: () => void;
}

/** Plan a request whenever it changes. */
export function usePlan(api: Api, request: IShareRequest): IPlanning {
  const body = JSON.stringify(request);
  const [plan, setPlan] = React.useState<IPlan | null>(null);
  const [planned, setPlanned] = React.useState('');
  const [error, setError] = React.useState<ApiError | null>(null);
  const [again, setAgain] = React.useState(0);
  React.useEffect(() => {
    const abort = new AbortController();
    const asked = JSON.parse(body) as IShareRequest;
    const timer = window.setTimeout(() => {
      api
        .plan(asked, abort.signal)
        .then(made => {
          setPlan(made);
          setPlanned(body);
          setError(null);
        })
        .catch((thrown: unknown) => {
          if (!abort.signal.aborted) {
            setPlanned(body);
            setError(ApiError.of(thrown));
          }
        });
    }, SETTLE);
    return () => {
      window.clearTimeout(timer);
      abort.abort();
    };
  }, [api, body, again]);
  return {
    plan,
    error,
    current: planned === body,
    fail: setError,
    planAgain: () => {
      setPlanned('');
      setAgain(again + 1);
    }
  };
}

/** The open documents with unsaved changes. */
export function useUnsaved(documents: Documents): string[] {
  const [unsaved, setUnsaved] = React.useState(() => documents.unsaved());
  React.useEffect(() => {
    const look = () =>
      setUnsaved(before => {
        const now = documents.unsaved();
        return now.join('\0') === before.join('\0') ? before : now;
      });
    const timer = window.setInterval(look, LOOK);
    return () => window.clearInterval(timer);
  }, [documents]);
  return unsaved;
}

/** Where it is remembered which data a project was shared with. */
export function memoryKey(environment: IEnvironment): string {
  return `jupyter-secxops:data:${environment.project.path}`;
}

/** Take along what was taken the last time, once it is known. */
export function useRecalled(
  api: Api,
  environment: IEnvironment,
  state: IStateDB | null,
  setAnswers: SetAnswers
): void {
  React.useEffect(() => {
    let gone = false;
    const recall = async () => {
      const found = (await state?.fetch(memoryKey(environment))) as
        Partial<IRemembered> | undefined;
      const known = new Set(environment.data.map(folder => folder.path));
      const more = (found?.offered ?? []).filter(one => !known.has(one));
      const folders = more.length
        ? await api
            .environment(environment.project.path, more)
            .then(answer => answer.data)
            .catch(() => [])
        : [];
      const further = folders.map((folder, n) => ({ folder, path: more[n]! }));
      if (!gone && found) {
        setAnswers(now => recalled(now, found, further));
      }
    };
    void recall();
    return () => {
      gone = true;
    };
  }, [api, environment, state, setAnswers]);
}

export interface IAdding {
  adding: boolean;
  error: ApiError | null;
  /** Take folders along, `instead` of one that is offered already; says whether they were found. */
  add: (wanted: readonly string[], instead?: string) => Promise<boolean>;
}

/** Look at folders before they are offered. */
export function useAdding(
  api: Api,
  environment: IEnvironment,
  setAnswers: SetAnswers
): IAdding {
  const [adding, setAdding] = React.useState(false);
  const [error, setError] = React.useState<ApiError | null>(null);
  const add = async (wanted: readonly string[], instead?: string) => {
    if (adding) {
      return false;
    }
    setAdding(true);
    setError(null);
    try {
      const { data } = await api.environment(environment.project.path, wanted);
      const found = data.map((folder, n) => {
        // Below the server's root only the server knows what a relative one means.
        const given = wanted[n]!;
        const path = given.startsWith('/') ? given : folder.path;
        return { folder, path, taken: true };
      });
      setAnswers(now => ({
        ...now,
        choices: together(
          now.choices.filter(one => one.path !== instead),
          found
        )
      }));
      return true;
    } catch (thrown) {
      setError(ApiError.of(thrown));
      return false;
    } finally {
      setAdding(false);
    }
  };
  return { adding, error, add };
}
