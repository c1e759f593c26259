/** Opening an environment: in a tab of this browser, or from another machine. */

import { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { ApiError } from '../core/api';
import { IMigration } from '../core/model';
import { Button, CopyButton } from '../core/parts';
import { ownFinding } from '../core/sentences';
import { isLoopback, tunnelTo } from './link';
import { Shares } from './store';

/** What is read aloud of a button must say which of many it is, and begin with what is seen. */
export function named(
  trans: TranslationBundle,
  action: string,
  item: IMigration
): string {
  return trans.__('%1: %2', action, item.name);
}

/** Open the environment in a tab of its own; its token is asked for now and kept nowhere. */
export async function openShare(
  shares: Shares,
  id: string,
  onError: (error: ApiError | null) => void
): Promise<void> {
  onError(null);
  // Browsers let a click open a tab, but not an answer that comes later.
  const tab = window.open('', '_blank');
  if (tab) {
    tab.opener = null;
  }
  try {
    const { result } = await shares.api.get(id);
    if (!result?.url || !/^https?:\/\//.test(result.url)) {
      throw new ApiError(ownFinding('no_address', { id }));
    }
    if (tab) {
      tab.location.replace(result.url);
    } else {
      throw new ApiError(ownFinding('popup_blocked'));
    }
  } catch (thrown) {
    tab?.close();
    onError(ApiError.of(thrown));
  }
}

/** Whether a click on *Open* can lead there from this browser. */
export function opensHere(item: IMigration): boolean {
  const url = item.result?.url;
  if (item.result?.connect) {
    return false;
  }
  return (
    !url ||
    !isLoopback(new URL(url).hostname) ||
    isLoopback(window.location.hostname)
  );
}

/** How to open a loopback address from another machine. */
export function Tunnel(props: {
  trans: TranslationBundle;
  shares: Shares;
  item: IMigration;
  onError: (error: ApiError | null) => void;
}): React.ReactElement | null {
  const { trans, item } = props;
  const url = item.result?.url;
  const here = window.location.hostname;
  const connect = item.result?.connect;
  const tunnel = connect
    ? { command: connect }
    : url
      ? tunnelTo(url, here)
      : null;
  if (!tunnel) {
    return null;
  }
  return (
    <div className="jp-secxops-Tunnel">
      <p>
        {connect
          ? trans.__(
              'This environment runs in the cluster. On the machine where your browser is, run this in a terminal and leave it open, then open the environment:'
            )
          : trans.__(
              'This environment opens only on the machine that it runs on. On another one, run this in a terminal first and leave it open, then open the environment:'
            )}
      </p>
      <pre
        tabIndex={0}
        aria-label={trans.__('Command for a tunnel')}
        className="jp-secxops-Command"
      >
        {tunnel.command}
      </pre>
      <div className="jp-secxops-Buttons">
        <CopyButton trans={trans} text={() => tunnel.command}>
          {trans.__('Copy command')}
        </CopyButton>
        <Button
          label={named(trans, trans.__('Open through the tunnel'), item)}
          onClick={() => void openShare(props.shares, item.id, props.onError)}
        >
          {trans.__('Open through the tunnel')}
        </Button>
      </div>
    </div>
  );
}
