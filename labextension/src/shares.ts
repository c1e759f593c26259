/**
 * The shares as the panel shows them: read from the service, kept up to date by its events.
 *
 * The service is the only memory: a reload, a second tab or a restarted server reads the same.
 */

import { IStateDB } from '@jupyterlab/statedb';
import { IDisposable } from '@lumino/disposable';
import { ISignal, Signal } from '@lumino/signaling';

import { Api, ApiError } from './api';
import {
  IEvent,
  IMigration,
  IShareRequest,
  IStep,
  isBusy,
  StepName
} from './model';
import { EventStream } from './stream';

/** Where it is remembered that something was under way, for the next load of the page. */
export const BUSY_KEY = 'jupyter-secxops:busy';

const LOG_LINES = 2000;
const RATE_SECONDS = 5;

/** The log of one share, while somebody looks at it. */
export interface ILog {
  lines: string[];
  /** Lines that came in while the log was being read. */
  waiting: string[] | null;
  error: ApiError | null;
  readers: number;
}

export type Connection =
  | { state: 'connecting' }
  | { state: 'open' }
  | { state: 'lost'; error: ApiError; since: number };

export class Shares implements IDisposable {
  constructor(
    readonly api: Api,
    private readonly state: IStateDB | null
  ) {
    this._stream = new EventStream(api);
    this._stream.event.connect((_, event) => this._apply(event));
    this._stream.opened.connect(() => void this._read());
    this._stream.lost.connect((_, error) => {
      const before = this._connection;
      this._connection = {
        state: 'lost',
        error,
        since: before.state === 'lost' ? before.since : Date.now()
      };
      this._tell();
    });
    void this._stream.run();
  }

  /** Anything below changed; at most once per frame. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** A share came to its end while this page, or the one before a reload, watched it. */
  get finished(): ISignal<this, IMigration> {
    return this._finished;
  }

  /** Newest first; null until they were read once. */
  get items(): readonly IMigration[] | null {
    return this._items;
  }

  get busy(): IMigration[] {
    return (this._items ?? []).filter(isBusy);
  }

  get connection(): Connection {
    return this._connection;
  }

  get isDisposed(): boolean {
    return this._stream.isDisposed;
  }

  dispose(): void {
    this._stream.dispose();
    Signal.clearData(this);
  }

  /** Try to connect now. */
  reconnect(): void {
    this._stream.retry();
  }

  async share(request: IShareRequest, key: string): Promise<IMigration> {
    const made = await this.api.share(request, key);
    // Events may have told of it before this answer came, and more.
    if (!this._items?.some(one => one.id === made.id)) {
      this._put(made);
    }
    return made;
  }

  async act(
    id: string,
    action: 'cancel' | 'retry' | 'start' | 'stop'
  ): Promise<void> {
    await this.api.act(id, action);
    // The answer may be older than events that came while it was on its way.
    await this._reload(id);
  }

  async delete(id: string): Promise<void> {
    await this.api.delete(id);
    this._remove(id);
  }

  /** Units per second of a running step, of the last seconds; null where nothing is known yet. */
  rate(id: string, step: StepName): number | null {
    const samples = this._samples.get(`${id} ${step}`);
    const first = samples?.[0];
    const last = samples?.[samples.length - 1];
    if (!first || !last || last.time - first.time < 500) {
      return null;
    }
    return (1000 * (last.done - first.done)) / (last.time - first.time);
  }

  /** Seconds that a step took in the middle of earlier runs; null with fewer than three. */
  usual(step: StepName): number | null {
    const times = (this._items ?? [])
      .filter(item => item.state === 'succeeded')
      .flatMap(item => item.steps.filter(one => one.name === step))
      .filter(one => one.started && one.finished)
      .map(one => (Date.parse(one.finished!) - Date.parse(one.started!)) / 1000)
      .sort((a, b) => a - b);
    return times.length < 3
      ? null
      : (times[Math.floor(times.length / 2)] ?? null);
  }

  /** The log of a share that `watchLog` was called for. */
  log(id: string): ILog | null {
    return this._logs.get(id) ?? null;
  }

  /** Keep a share's log up to date until the answer is called. */
  watchLog(id: string): () => void {
    let log = this._logs.get(id);
    if (!log) {
      log = { lines: [], waiting: null, error: null, readers: 0 };
      this._logs.set(id, log);
    }
    log.readers += 1;
    void this._readLog(id, log);
    const watched = log;
    return () => {
      watched.readers -= 1;
      if (watched.readers === 0) {
        this._logs.delete(id);
      }
    };
  }

  private async _readLog(id: string, log: ILog): Promise<void> {
    if (log.waiting) {
      return;
    }
    log.waiting = [];
    try {
      const text = await this.api.log(id);
      const lines = text.split('\n');
      if (lines[lines.length - 1] === '') {
        lines.pop();
      }
      log.lines = joined(lines, log.waiting).slice(-LOG_LINES);
      log.error = null;
    } catch (thrown) {
      log.error = ApiError.of(thrown);
    }
    log.waiting = null;
    this._tell();
  }

  private async _read(): Promise<void> {
    this._held = [];
    try {
      const read = await this.api.list();
      const before = this._items;
      this._items = read;
      this._connection = { state: 'open' };
      for (const item of read) {
        const old = before?.find(one => one.id === item.id);
        if (old && isBusy(old) && !isBusy(item)) {
          this._finished.emit(item);
        }
      }
      if (before === null) {
        await this._tellWhatEndedMeanwhile(read);
      }
      for (const [id, log] of this._logs) {
        void this._readLog(id, log);
      }
    } catch (thrown) {
      this._connection = {
        state: 'lost',
        error: ApiError.of(thrown),
        since: Date.now()
      };
      window.setTimeout(() => {
        if (!this.isDisposed && this._connection.state === 'lost') {
          void this._read();
        }
      }, 3000);
    } finally {
      const held = this._held ?? [];
      this._held = null;
      held.forEach(event => this._apply(event));
      this._tell();
    }
  }

  private async _tellWhatEndedMeanwhile(read: IMigration[]): Promise<void> {
    const remembered = await this.state?.fetch(BUSY_KEY);
    const ids: unknown[] = Array.isArray(remembered) ? remembered : [];
    read
      .filter(item => ids.includes(item.id) && !isBusy(item))
      .forEach(item => this._finished.emit(item));
  }

  private _apply(event: IEvent): void {
    if (this._held) {
      this._held.push(event);
      return;
    }
    const item = this._items?.find(one => one.id === event.migration);
    if (event.kind === 'deleted') {
      this._remove(event.migration);
    } else if (event.kind === 'log') {
      const log = this._logs.get(event.migration);
      if (log && event.line !== undefined) {
        (log.waiting ?? log.lines).push(event.line);
        if (log.lines.length > 1.2 * LOG_LINES) {
          log.lines = log.lines.slice(-LOG_LINES);
        }
        this._tell();
      }
    } else if (event.kind === 'step' && event.step && item) {
      this._sample(event);
      const step = { ...EMPTY_STEP, ...event.step };
      this._reloading.get(item.id)?.push(step);
      this._items = this._items!.map(one =>
        one === item ? withSteps(item, [step]) : one
      );
      this._tell();
    } else {
      // A state says only that something changed; the record says what.
      void this._reload(event.migration);
    }
  }

  private async _reload(id: string): Promise<void> {
    if (this._reloading.has(id)) {
      this._again.add(id);
      return;
    }
    const meanwhile: IStep[] = [];
    this._reloading.set(id, meanwhile);
    try {
      // What events told while the answer was on its way is newer, or stands in the answer too.
      this._put(withSteps(await this.api.get(id), meanwhile));
    } catch (thrown) {
      if (ApiError.of(thrown).finding.code === 'not_found') {
        this._remove(id);
      }
      // Any other failure: the stream breaks too, and all is read again when it is back.
    } finally {
      this._reloading.delete(id);
      if (this._again.delete(id)) {
        void this._reload(id);
      }
    }
  }

  private _put(item: IMigration): void {
    const items = this._items ?? [];
    const old = items.find(one => one.id === item.id);
    if (item.result?.url) {
      // The token is asked for anew when it is needed, and kept nowhere.
      const [address] = item.result.url.split('?');
      item = { ...item, result: { ...item.result, url: address ?? null } };
    }
    this._items = old
      ? items.map(one => (one === old ? item : one))
      : [item, ...items].sort((a, b) => b.created.localeCompare(a.created));
    if (!isBusy(item)) {
      for (const step of item.steps) {
        this._samples.delete(`${item.id} ${step.name}`);
      }
      if (old && isBusy(old)) {
        this._finished.emit(item);
      }
    }
    this._tell();
  }

  private _remove(id: string): void {
    this._items = this._items?.filter(one => one.id !== id) ?? null;
    this._tell();
  }

  private _sample(event: IEvent): void {
    const step = event.step!;
    const key = `${event.migration} ${step.name}`;
    if (step.state !== 'running' || typeof step.done !== 'number') {
      this._samples.delete(key);
      return;
    }
    const time = Date.parse(event.time);
    const samples = (this._samples.get(key) ?? []).filter(
      one => time - one.time < 1000 * RATE_SECONDS && one.done <= step.done!
    );
    this._samples.set(key, [...samples, { time, done: step.done }]);
  }

  private _tell(): void {
    if (this._telling) {
      return;
    }
    this._telling = true;
    // A timer and not a frame: a hidden tab draws none, and its notification must come too.
    window.setTimeout(() => {
      this._telling = false;
      if (this.isDisposed) {
        return;
      }
      this._remember();
      this._changed.emit();
    }, 30);
  }

  private _remember(): void {
    if (!this._items) {
      return;
    }
    const ids = this.busy.map(item => item.id).sort();
    if (ids.join() !== this._remembered) {
      this._remembered = ids.join();
      void this.state?.save(BUSY_KEY, ids);
    }
  }

  private readonly _stream: EventStream;
  private readonly _changed = new Signal<this, void>(this);
  private readonly _finished = new Signal<this, IMigration>(this);
  private readonly _logs = new Map<string, ILog>();
  private readonly _samples = new Map<
    string,
    { time: number; done: number }[]
  >();
  private readonly _reloading = new Map<string, IStep[]>();
  private readonly _again = new Set<string>();
  private _items: IMigration[] | null = null;
  private _held: IEvent[] | null = null;
  private _connection: Connection = { state: 'connecting' };
  private _telling = false;
  private _remembered: string | null = null;
}

const EMPTY_STEP: Omit<IStep, 'name' | 'state'> = {
  started: null,
  finished: null,
  percent: null,
  message: null,
  done: null,
  total: null,
  unit: null,
  files: null
};

function withSteps(item: IMigration, news: readonly IStep[]): IMigration {
  const latest = new Map(news.map(step => [step.name, step]));
  return {
    ...item,
    steps: item.steps.map(step => latest.get(step.name) ?? step)
  };
}

/** Join what was read with what came in meanwhile, whose beginning may be in both. */
export function joined(read: string[], came: string[]): string[] {
  for (let same = Math.min(read.length, came.length); same > 0; same--) {
    const start = read.length - same;
    if (came.slice(0, same).every((line, n) => line === read[start + n])) {
      return [...read, ...came.slice(same)];
    }
  }
  return [...read, ...came];
}
