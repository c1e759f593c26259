/** A small service that works: it keeps shares in memory, answers as the real one does, and can fail. */

import { ServerConnection } from '@jupyterlab/services';

import { Api } from '../src/core/api';
import { IEvent, IFinding, IMigration, IStep } from '../src/core/model';

const ROOT = '/secxops/api/v1/';
const STEPS = ['check', 'build', 'push', 'copy', 'launch', 'verify'] as const;

type Failure = { status: number; body: string } | 'network';

/** A step as the service sends it. */
export function step(name: IStep['name'], news: Partial<IStep> = {}): IStep {
  return {
    name,
    state: 'waiting',
    started: null,
    finished: null,
    percent: null,
    message: null,
    done: null,
    total: null,
    unit: null,
    files: null,
    ...news
  };
}

/** A share as the service sends it; the later the `second`, the newer. */
export function migration(
  id: string,
  news: Partial<IMigration> = {},
  second = 0
): IMigration {
  return {
    id,
    owner: 'ada',
    name: id,
    state: 'running',
    created: new Date(1_700_000_000_000 + 1000 * second).toISOString(),
    started: null,
    finished: null,
    attempt: 1,
    request: { project: '/home/ada/detector' },
    plan: null,
    plans: [],
    steps: STEPS.map(name => step(name)),
    environment: null,
    changes: null,
    result: null,
    error: null,
    adopted: false,
    ...news
  };
}

export class Service {
  readonly shares = new Map<string, IMigration>();
  readonly logs = new Map<string, string>();
  /** What was asked, such as `GET migrations`. */
  readonly asked: string[] = [];
  /** With which event each stream was asked to go on. */
  readonly resumed: (string | null)[] = [];
  readonly keys: (string | null)[] = [];

  readonly api = new Api(
    ServerConnection.makeSettings({
      baseUrl: 'http://jupyter.test/',
      fetch: (request: RequestInfo | URL) => this._fetch(request as Request)
    })
  );

  /** Fail the next request whose method and path begin so. */
  failNext(what: string, failure: Failure): void {
    this._failures.push([what, failure]);
  }

  /** Keep the answers to what begins so until the returned function is called. */
  hold(what: string): () => void {
    let release = () => {};
    const released = new Promise<void>(resolve => (release = resolve));
    this._held.push([what, released]);
    return () => {
      this._held = this._held.filter(([, one]) => one !== released);
      release();
    };
  }

  /** Change a share and tell of it, as the service does. */
  put(item: IMigration): void {
    this.shares.set(item.id, item);
    this.tell({ migration: item.id, kind: 'state', state: item.state });
  }

  /** Send an event to every open stream. */
  tell(event: Omit<IEvent, 'id' | 'time' | 'subject'> & Partial<IEvent>): void {
    this._last += 1;
    const whole: IEvent = {
      id: this._last,
      time: new Date().toISOString(),
      subject: { kind: 'share', id: event.migration },
      ...event
    };
    this.send(
      `id: ${this._last}\nevent: ${event.kind}\ndata: ${JSON.stringify(whole)}\n\n`
    );
  }

  /** Send this text to every open stream, as it is. */
  send(text: string): void {
    this._streams.forEach(one => one.enqueue(new TextEncoder().encode(text)));
  }

  /** End every open stream. */
  breakStreams(): void {
    this._streams.splice(0).forEach(one => one.close());
  }

  private async _fetch(request: Request): Promise<Response> {
    const url = new URL(request.url);
    const path = url.pathname.replace(ROOT, '');
    const what = `${request.method} ${path}`;
    this.asked.push(what);
    const at = this._failures.findIndex(([one]) => what.startsWith(one));
    if (at >= 0) {
      const [[, failure]] = this._failures.splice(at, 1) as [[string, Failure]];
      if (failure === 'network') {
        throw new TypeError('Failed to fetch');
      }
      return new Response(failure.body, { status: failure.status });
    }
    const answer = await this._answer(what, path, request, url.searchParams);
    await Promise.all(
      this._held.filter(([one]) => what.startsWith(one)).map(([, done]) => done)
    );
    return answer;
  }

  private async _answer(
    what: string,
    path: string,
    request: Request,
    query: URLSearchParams
  ): Promise<Response> {
    const [, id = '', action] = path.split('/').map(decodeURIComponent);
    if (path === 'events') {
      return this._open(request);
    }
    if (what === 'GET migrations') {
      return this._list(query);
    }
    if (what === 'POST migrations') {
      return this._share(request);
    }
    const item = this.shares.get(id);
    if (!item) {
      return json(finding('not_found', { id }), 404);
    }
    if (action === 'log') {
      return new Response(this.logs.get(id) ?? '');
    }
    if (request.method === 'DELETE') {
      this.shares.delete(id);
      this.tell({ migration: id, kind: 'deleted' });
      return new Response(null, { status: 204 });
    }
    if (action === 'cancel') {
      this.put({ ...item, state: 'cancelling' });
    }
    return json(this.shares.get(id));
  }

  private _list(query: URLSearchParams): Response {
    const before = query.get('before');
    const newest = [...this.shares.values()].sort((a, b) =>
      b.created.localeCompare(a.created)
    );
    const from = newest.findIndex(one => one.id === before) + 1;
    if (before !== null && from === 0) {
      return json(finding('not_found', { id: before }), 404);
    }
    const limit = Number(query.get('limit') ?? newest.length);
    return json(newest.slice(from, from + limit));
  }

  private async _share(request: Request): Promise<Response> {
    const key = request.headers.get('Idempotency-Key');
    const at = this.keys.indexOf(key);
    this.keys.push(key);
    const id = `made-${at < 0 ? this.keys.length : at + 1}`;
    if (at < 0) {
      const asked = (await request.json()) as IMigration['request'];
      this.put(migration(id, { state: 'queued', request: asked }, 1e6));
    }
    return json(this.shares.get(id), 202);
  }

  private _open(request: Request): Response {
    this.resumed.push(request.headers.get('Last-Event-ID'));
    const body = new ReadableStream<Uint8Array>({
      start: controller => {
        this._streams.push(controller);
        request.signal.addEventListener('abort', () => {
          if (this._streams.includes(controller)) {
            this._streams = this._streams.filter(one => one !== controller);
            controller.error(new DOMException('Aborted', 'AbortError'));
          }
        });
      }
    });
    return new Response(body);
  }

  private _failures: [string, Failure][] = [];
  private _held: [string, Promise<void>][] = [];
  private _streams: ReadableStreamDefaultController<Uint8Array>[] = [];
  private _last = 0;
}

export function finding(
  code: string,
  params: IFinding['params'] = {}
): IFinding {
  return { code, message: `English of ${code}.`, hint: '', params };
}

function json(body: unknown, status = 200): Response {
  return new Response(JSON.stringify(body), { status });
}
