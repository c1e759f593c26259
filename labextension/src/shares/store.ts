/**
 * The shares as the panel shows them: read from the service, kept up to date by its events.
 *
 * The service is the only memory: a reload, a second tab or a restarted server reads the same.
 */

import { IStateDB } from '@jupyterlab/statedb';
import { IDisposable } from '@lumino/disposable';
import { ISignal, Signal } from '@lumino/signaling';

import { Api, ApiError } from '../core/api';
import {
  IEvent,
  IMigration,
  IShareRequest,
  IStep,
  StepName
} from '../core/model';
import { EventStream } from '../core/stream';
import { Action, BUSY_KEY, Connection, IShares } from '../core/tokens';
import { printable } from '../core/units';
import { ILog, Logs } from './logs';
import { Rates, usual } from './rates';
import { isBusy } from './state';

/** After all could not be read, in milliseconds. */
const READ_AGAIN = 3000;

const NOTHING = Promise.resolve();

/** A share that is being read anew. */
interface IReload {
  /** Steps that events told of since. */
  meanwhile: IStep[];
  again: boolean;
  done: Promise<void>;
}

export class Shares implements IShares, IDisposable {
  constructor(
    readonly api: Api,
    private readonly state: IStateDB | null
  ) {
    this._logs = new Logs(api, () => this._tell());
    this._stream = new EventStream(api);
    this._stream.event.connect((_, event) => this._apply(event));
    this._stream.opened.connect(() => void this._read());
    this._stream.lost.connect((_, error) => this._lose(error));
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

  async act(id: string, action: Action): Promise<void> {
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
    return this._rates.of(id, step);
  }

  /** Seconds that a step took in the middle of earlier runs; null with fewer than three. */
  usual(step: StepName): number | null {
    return usual(this._items ?? [], step);
  }

  /** The log of a share that `watchLog` was called for. */
  log(id: string): ILog | null {
    return this._logs.of(id);
  }

  /** Keep a share's log up to date until the answer is called. */
  watchLog(id: string): () => void {
    return this._logs.watch(id);
  }

  /** Read all, once more if it is asked for meanwhile; events wait until it is there. */
  private async _read(): Promise<void> {
    if (this._held) {
      this._readAgain = true;
      return;
    }
    this._held = [];
    do {
      this._readAgain = false;
      await this._readOnce();
    } while (this._readAgain && !this.isDisposed);
    const held = this._held;
    this._held = null;
    held.forEach(event => this._apply(event));
    this._tell();
  }

  private async _readOnce(): Promise<void> {
    try {
      const read = (await this.api.list()).map(shown);
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
      this._logs.readAgain();
    } catch (thrown) {
      this._lose(ApiError.of(thrown));
      window.setTimeout(() => {
        if (!this.isDisposed && this._connection.state === 'lost') {
          void this._read();
        }
      }, READ_AGAIN);
    }
  }

  private _lose(error: ApiError): void {
    const before = this._connection;
    this._connection = {
      state: 'lost',
      error,
      since: before.state === 'lost' ? before.since : Date.now()
    };
    this._tell();
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
      this._logs.add(event.migration, event.line ?? '');
    } else if (event.kind === 'step' && event.step && item) {
      this._rates.add(event);
      const step = { ...EMPTY_STEP, ...event.step };
      this._reloads.get(item.id)?.meanwhile.push(step);
      this._items = this._items!.map(one =>
        one === item ? withSteps(item, [step]) : one
      );
      this._tell();
    } else {
      // A state says only that something changed; the record says what.
      void this._reload(event.migration);
    }
  }

  /** Read one anew, once more if it is asked for meanwhile. */
  private _reload(id: string): Promise<void> {
    const running = this._reloads.get(id);
    if (running) {
      running.again = true;
      return running.done;
    }
    const reload: IReload = { meanwhile: [], again: true, done: NOTHING };
    this._reloads.set(id, reload);
    reload.done = this._reloadNow(id, reload);
    return reload.done;
  }

  private async _reloadNow(id: string, reload: IReload): Promise<void> {
    while (reload.again) {
      reload.again = false;
      reload.meanwhile = [];
      try {
        const found = await this.api.get(id);
        // What events told while the answer was on its way is newer, or stands in the answer too.
        this._put(withSteps(found, reload.meanwhile));
      } catch (thrown) {
        if (ApiError.of(thrown).finding.code === 'not_found') {
          this._remove(id);
        }
        // Any other failure: the stream breaks too, and all is read again when it is back.
      }
    }
    this._reloads.delete(id);
  }

  private _put(made: IMigration): void {
    let item = shown(made);
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
      this._rates.forget(item);
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
  private readonly _rates = new Rates();
  private readonly _logs: Logs;
  private readonly _reloads = new Map<string, IReload>();
  private _items: IMigration[] | null = null;
  /** Events that came while all was being read. */
  private _held: IEvent[] | null = null;
  private _readAgain = false;
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

/** A share whose name is only read here, and never sent back. */
function shown(item: IMigration): IMigration {
  return { ...item, name: printable(item.name) };
}

function withSteps(item: IMigration, news: readonly IStep[]): IMigration {
  const latest = new Map(news.map(step => [step.name, step]));
  return {
    ...item,
    steps: item.steps.map(step => latest.get(step.name) ?? step)
  };
}
