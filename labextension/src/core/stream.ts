/**
 * One stream of server-sent events, however many shares there are: browsers allow six connections.
 *
 * `EventSource` can send no token, so the stream is read from a fetch. It comes back by itself
 * after a closed laptop, a restarted Jupyter or a restarted service, and asks for what it missed.
 */

import { IDisposable } from '@lumino/disposable';
import { ISignal, Signal } from '@lumino/signaling';

import { Api, ApiError } from './api';
import { IEvent, IFinding } from './model';
import { ownFinding } from './sentences';

/** Three keep-alives of the service; after that much silence the connection counts as dead. */
const SILENCE = 45_000;
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 15_000;

/** One event as it stands in the stream. */
interface IFrame {
  id: string | null;
  kind: string;
  data: string;
}

/** Read the frames of a stream; what ends within a frame is dropped (HTML, section 9.2). */
export async function* frames(
  body: ReadableStream<Uint8Array>,
  alive: () => void
): AsyncGenerator<IFrame> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = '';
  let frame: IFrame = { id: null, kind: 'message', data: '' };
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) {
        return;
      }
      alive();
      const lines = (rest + decoder.decode(value, { stream: true })).split(
        /\r?\n/
      );
      rest = lines.pop() ?? '';
      for (const line of lines) {
        if (line === '') {
          if (frame.data) {
            yield frame;
          }
          frame = { id: null, kind: 'message', data: '' };
          continue;
        }
        const [, name, text] = /^([^:]*):? ?(.*)$/.exec(line) ?? [];
        if (name === 'id') {
          frame.id = text ?? '';
        } else if (name === 'event') {
          frame.kind = text ?? '';
        } else if (name === 'data') {
          frame.data += (frame.data ? '\n' : '') + (text ?? '');
        }
      }
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

export class EventStream implements IDisposable {
  constructor(private readonly api: Api) {}

  /** Each event, once. */
  get event(): ISignal<this, IEvent> {
    return this._event;
  }

  /** The stream is open (again): whoever keeps a state reads it anew. */
  get opened(): ISignal<this, void> {
    return this._opened;
  }

  /** The stream broke, or could not be opened. */
  get lost(): ISignal<this, ApiError> {
    return this._lost;
  }

  get isDisposed(): boolean {
    return this._disposed;
  }

  dispose(): void {
    this._disposed = true;
    this._abort?.abort();
    this.retry();
    Signal.clearData(this);
  }

  /** Do not wait any longer for the next attempt. */
  retry(): void {
    this._wake?.();
  }

  /** Keep the stream open until this is disposed. */
  async run(): Promise<void> {
    const retry = () => this.retry();
    window.addEventListener('online', retry);
    document.addEventListener('visibilitychange', retry);
    let pause = FIRST_PAUSE;
    while (!this._disposed) {
      let failure: ApiError | null = null;
      const began = Date.now();
      try {
        await this._read();
      } catch (thrown) {
        failure = ApiError.of(thrown);
      }
      if (this._disposed) {
        break;
      }
      if (Date.now() - began > LONGEST_PAUSE) {
        pause = FIRST_PAUSE;
      }
      this._lost.emit(failure ?? new ApiError(ownFinding('stream_ended')));
      await this._sleep(pause * (0.75 + Math.random() / 2));
      pause = Math.min(LONGEST_PAUSE, 2 * pause);
    }
    window.removeEventListener('online', retry);
    document.removeEventListener('visibilitychange', retry);
  }

  private async _read(): Promise<void> {
    const abort = new AbortController();
    this._abort = abort;
    let watchdog = 0;
    const alive = () => {
      window.clearTimeout(watchdog);
      watchdog = window.setTimeout(() => abort.abort(), SILENCE);
    };
    alive();
    try {
      const response = await this.api.events(this._last, abort.signal);
      if (!response.body) {
        return;
      }
      this._opened.emit();
      for await (const frame of frames(response.body, alive)) {
        if (frame.kind === 'failure') {
          throw new ApiError(JSON.parse(frame.data) as IFinding);
        }
        if (frame.id !== null) {
          this._last = frame.id;
        }
        if (frame.kind !== 'end') {
          this._event.emit(JSON.parse(frame.data) as IEvent);
        }
      }
    } finally {
      window.clearTimeout(watchdog);
      abort.abort();
    }
  }

  private async _sleep(milliseconds: number): Promise<void> {
    await new Promise<void>(resolve => {
      const timer = window.setTimeout(resolve, milliseconds);
      this._wake = () => {
        window.clearTimeout(timer);
        resolve();
      };
    });
    this._wake = null;
  }

  private _disposed = false;
  private _last: string | null = null;
  private _abort: AbortController | null = null;
  private _wake: (() => void) | null = null;
  private readonly _event = new Signal<this, IEvent>(this);
  private readonly _opened = new Signal<this, void>(this);
  private readonly _lost = new Signal<this, ApiError>(this);
}
