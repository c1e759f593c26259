/** What other extensions can work with: `requires: [ISharing]`. */

import { Token } from '@lumino/coreutils';
import { ISignal } from '@lumino/signaling';

import type { ApiError } from './api';
import type { IMigration, IShareRequest } from './model';

/** The panel and its shares, at hand from the start; what they need is loaded when it is asked for. */
export interface ISharing {
  /** Bring the panel to the front with the form, for a folder if one is given. */
  open(folder?: string): Promise<void>;

  /** The person's shares; null where the panel could not be loaded, which it says itself. */
  shares(): Promise<IShares | null>;
}

export const ISharing = new Token<ISharing>(
  '@jupyter-secxops/migrate:ISharing',
  'Opens the form that shares an environment, and follows the shares.'
);

/** Where JupyterLab's state says that something was under way, for the next load of the page. */
export const BUSY_KEY = 'jupyter-secxops:busy';

/** What is known of the connection to the service. */
export type Connection =
  | { state: 'connecting' }
  | { state: 'open' }
  | {
      state: 'lost';
      error: ApiError;
      /** Milliseconds since 1970. */
      since: number;
    };

/** What can be asked of a share. */
export type Action = 'cancel' | 'retry' | 'start' | 'stop';

/** The person's shares, as the service tells of them, kept up to date. */
export interface IShares {
  /** Anything below changed. */
  readonly changed: ISignal<IShares, void>;

  /** A share came to its end while this page, or the one before a reload, watched it. */
  readonly finished: ISignal<IShares, IMigration>;

  /** Newest first; null until they were read once. */
  readonly items: readonly IMigration[] | null;

  /** Those that are under way. */
  readonly busy: readonly IMigration[];

  readonly connection: Connection;

  /** Share an environment; the same `key` with the same request shares once. Rejects with an `ApiError`. */
  share(request: IShareRequest, key: string): Promise<IMigration>;

  /** Rejects with an `ApiError`. */
  act(id: string, action: Action): Promise<void>;

  /** Remove a share and all that it made. Rejects with an `ApiError`. */
  delete(id: string): Promise<void>;
}
