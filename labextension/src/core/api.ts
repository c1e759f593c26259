/**
 * The service's routes, asked through the Jupyter server so that its token and XSRF rules hold.
 *
 * Nothing here decides or keeps anything.
 */

import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

import {
  ISourceChanges,
  IEnvironment,
  IFinding,
  IMigration,
  IPlan,
  IShareRequest
} from './model';

import { ownFinding } from './sentences';
import type { Action } from './tokens';

const ROOT = 'secxops/api/v1';
const PAGE = 50;

/** What went wrong, as the service says it: a code, its parameters, and an English sentence. */
export class ApiError extends Error {
  constructor(readonly finding: IFinding) {
    super(finding.message);
  }

  /** Take anything that was thrown as one. */
  static of(thrown: unknown): ApiError {
    if (thrown instanceof ApiError) {
      return thrown;
    }
    if (thrown instanceof ServerConnection.NetworkError) {
      return new ApiError(ownFinding('jupyter_unreachable'));
    }
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    return new ApiError({ code: 'internal', message, hint: '', params: {} });
  }
}

const JSON_BODY = { 'Content-Type': 'application/json' };

type Query = [string, string][];

export class Api {
  constructor(private readonly settings = ServerConnection.makeSettings()) {}

  environment(
    project: string,
    data: readonly string[],
    signal?: AbortSignal
  ): Promise<IEnvironment> {
    const query: Query = [['project', project]];
    data.forEach(path => query.push(['data', path]));
    return this.json('environment', { signal }, query);
  }

  plan(request: IShareRequest, signal?: AbortSignal): Promise<IPlan> {
    return this.json('plans', {
      method: 'POST',
      body: JSON.stringify(request),
      headers: JSON_BODY,
      signal
    });
  }

  share(request: IShareRequest, key: string): Promise<IMigration> {
    return this.json('migrations', {
      method: 'POST',
      body: JSON.stringify(request),
      headers: { ...JSON_BODY, 'Idempotency-Key': key }
    });
  }

  /**
   * All of them, newest first; in pages, so that no single answer takes long.
   */
  async list(): Promise<IMigration[]> {
    const found: IMigration[] = [];
    for (;;) {
      const last = found[found.length - 1];
      const query: Query = [['limit', `${PAGE}`]];
      if (last) {
        query.push(['before', last.id]);
      }
      try {
        const page: IMigration[] = await this.json('migrations', {}, query);
        found.push(...page);
        if (page.length < PAGE) {
          return found;
        }
      } catch (thrown) {
        if (!last || ApiError.of(thrown).finding.code !== 'not_found') {
          throw thrown;
        }
        // It was deleted meanwhile; the one before it will do.
        found.pop();
      }
    }
  }

  get(id: string): Promise<IMigration> {
    return this.json(one(id));
  }

  /** What changed at a share's source since it was copied; null where that can't be said. */
  async changes(id: string): Promise<ISourceChanges | null> {
    const query: Query = [['changes', 'true']];
    const found: IMigration = await this.json(one(id), {}, query);
    return found.changes ?? null;
  }

  async log(id: string): Promise<string> {
    return (await this.request(`${one(id)}/log`)).text();
  }

  act(id: string, action: Action): Promise<IMigration> {
    return this.json(`${one(id)}/${action}`, { method: 'POST' });
  }

  async delete(id: string): Promise<void> {
    await this.request(one(id), { method: 'DELETE' });
  }

  /** Open the one stream of events, after the event `last` if there was one. */
  events(last: string | null, signal: AbortSignal): Promise<Response> {
    const headers: Record<string, string> = { Accept: 'text/event-stream' };
    if (last !== null) {
      headers['Last-Event-ID'] = last;
    }
    return this.request('events', { headers, signal });
  }

  private async json<T>(
    path: string,
    init: RequestInit = {},
    query: Query = []
  ): Promise<T> {
    const response = await this.request(path, init, query);
    return (await response.json()) as T;
  }

  private async request(
    path: string,
    init: RequestInit = {},
    query: Query = []
  ): Promise<Response> {
    const url =
      URLExt.join(this.settings.baseUrl, ROOT, path) +
      (query.length ? `?${new URLSearchParams(query).toString()}` : '');
    const response = await ServerConnection.makeRequest(
      url,
      init,
      this.settings
    );
    if (!response.ok) {
      throw new ApiError(await findingOf(response));
    }
    return response;
  }
}

function one(id: string): string {
  return `migrations/${encodeURIComponent(id)}`;
}

async function findingOf(response: Response): Promise<IFinding> {
  let body: Partial<IFinding> = {};
  try {
    body = (await response.json()) as Partial<IFinding>;
  } catch {
    // A proxy's page, say.
  }
  if (typeof body?.code === 'string') {
    return {
      code: body.code,
      message: body.message ?? '',
      hint: body.hint ?? '',
      params: body.params ?? {}
    };
  }
  if (response.status === 404) {
    return ownFinding('extension_missing');
  }
  return ownFinding('unexpected_answer', { status: response.status });
}
