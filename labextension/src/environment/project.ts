/**
 * The environment of the project at hand: that of the focused notebook, or a folder chosen by hand.
 */

import { IDisposable } from '@lumino/disposable';
import { ISignal, Signal } from '@lumino/signaling';

import { Api, ApiError } from '../core/api';
import { IEnvironment } from '../core/model';

/** Focus moves fast through tabs; only where it stays is looked at. */
const SETTLE = 250;

export class Project implements IDisposable {
  constructor(private readonly api: Api) {}

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** The folder asked about, as the Contents API names it or absolute; null before the first. */
  get folder(): string | null {
    return this._folder;
  }

  get environment(): IEnvironment | null {
    return this._environment;
  }

  get error(): ApiError | null {
    return this._error;
  }

  get loading(): boolean {
    return this._abort !== null;
  }

  get isDisposed(): boolean {
    return this._disposed;
  }

  dispose(): void {
    this._disposed = true;
    window.clearTimeout(this._timer);
    this._abort?.abort();
    Signal.clearData(this);
  }

  /** Follow the focus to a folder. */
  follow(folder: string): void {
    window.clearTimeout(this._timer);
    if (folder === this._folder) {
      return;
    }
    this._timer = window.setTimeout(() => {
      this.choose(folder);
    }, SETTLE);
  }

  /** Go to a folder now. */
  choose(folder: string): void {
    window.clearTimeout(this._timer);
    if (folder !== this._folder) {
      this._folder = folder;
      void this.refresh();
    }
  }

  /** Look again. */
  async refresh(): Promise<void> {
    if (this._folder === null) {
      return;
    }
    this._abort?.abort();
    const abort = new AbortController();
    this._abort = abort;
    this._changed.emit();
    try {
      const found = await this.api.environment(this._folder, [], abort.signal);
      if (abort.signal.aborted) {
        return;
      }
      this._environment = found;
      this._error = null;
    } catch (thrown) {
      if (abort.signal.aborted) {
        return;
      }
      this._environment = null;
      this._error = ApiError.of(thrown);
    }
    this._abort = null;
    this._changed.emit();
  }

  private readonly _changed = new Signal<this, void>(this);
  private _folder: string | null = null;
  private _environment: IEnvironment | null = null;
  private _error: ApiError | null = null;
  private _abort: AbortController | null = null;
  private _timer = 0;
  private _disposed = false;
}
