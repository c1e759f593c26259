/** One share in the list: its state at a glance, the rest one click away. */

import { Dialog, showDialog } from '@jupyterlab/apputils';
import { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { ApiError } from '../api';
import { isLoopback, tunnelTo } from '../link';
import { IFinding, IMigration, IPlan, isBusy } from '../model';
import { Shares } from '../shares';
import { count, files, size, when } from '../units';
import { Button, CopyButton, Path, Problem } from './common';
import { NotCopied, Reasons } from './plan';
import { progressLabel, Steps } from './progress';

const LAST_LINES = 20;

/** The state of a share in a few words, and its sign. */
export function stateOf(
  trans: TranslationBundle,
  item: IMigration
): [glyph: string, words: string, kind: 'busy' | 'good' | 'bad' | 'quiet'] {
  switch (item.state) {
    case 'queued':
    case 'running':
    case 'cancelling':
      return ['●', progressLabel(trans, item), 'busy'];
    case 'cancelled':
      return ['–', trans.__('Cancelled'), 'quiet'];
    case 'failed':
      return ['✕', failure(trans, item), 'bad'];
    case 'succeeded':
      switch (item.environment?.status) {
        case 'starting':
          return ['●', trans.__('Starting'), 'busy'];
        case 'stopped':
          return ['■', trans.__('Stopped'), 'quiet'];
        case 'gone':
          return ['–', trans.__('Gone'), 'quiet'];
        default:
          return ['✓', trans.__('Running'), 'good'];
      }
  }
}

/** A refusal is made of others, which stand in the plan. */
function causes(error: IFinding, plan: IPlan | null): IFinding[] {
  return error.code === 'refused' && plan?.refusals.length
    ? plan.refusals
    : [error];
}

function failure(trans: TranslationBundle, item: IMigration): string {
  const { error } = item;
  if (error?.code === 'build_failed' && error.params.line) {
    return trans.__('Build failed at line %1', String(error.params.line));
  }
  if (error?.code === 'refused') {
    return trans.__('Refused by the plan');
  }
  const step = item.steps.find(one => one.state === 'failed');
  return step
    ? {
        check: trans.__('Check failed'),
        build: trans.__('Build failed'),
        push: trans.__('Push failed'),
        copy: trans.__('Copy failed'),
        launch: trans.__('Launch failed'),
        verify: trans.__('Verification failed')
      }[step.name]
    : trans.__('Failed');
}

/** What is read aloud of a button must say which of many it is, and begin with what is seen. */
function named(
  trans: TranslationBundle,
  action: string,
  item: IMigration
): string {
  return trans.__('%1: %2', action, item.name);
}

function Log(props: {
  trans: TranslationBundle;
  shares: Shares;
  item: IMigration;
  last?: number;
}): React.ReactElement {
  const { trans, shares, item } = props;
  const box = React.useRef<HTMLPreElement>(null);
  React.useEffect(() => shares.watchLog(item.id), [shares, item.id]);
  const log = shares.log(item.id);
  const lines = log?.lines.slice(-(props.last ?? Infinity)) ?? [];
  const text = lines.join('\n');
  const follow = React.useRef(true);
  React.useLayoutEffect(() => {
    if (box.current && follow.current) {
      box.current.scrollTop = box.current.scrollHeight;
    }
  }, [text]);
  if (log?.error) {
    return <Problem trans={trans} finding={log.error.finding} />;
  }
  return (
    <>
      <pre
        ref={box}
        tabIndex={0}
        role="log"
        aria-live="off"
        aria-label={
          props.last
            ? trans.__('Last lines of the log of %1', item.name)
            : trans.__('Log of %1', item.name)
        }
        className="jp-secxops-Log"
        onScroll={event => {
          const { scrollTop, scrollHeight, clientHeight } = event.currentTarget;
          follow.current = scrollHeight - scrollTop - clientHeight < 24;
        }}
      >
        {text || trans.__('Nothing was logged yet.')}
      </pre>
      <div className="jp-secxops-Buttons">
        <CopyButton trans={trans} text={() => text}>
          {trans.__('Copy log')}
        </CopyButton>
      </div>
    </>
  );
}

function Proof(props: {
  trans: TranslationBundle;
  item: IMigration;
}): React.ReactElement | null {
  const { trans, item } = props;
  const { result } = item;
  if (!result) {
    return null;
  }
  const digest = (
    result.evidence.image_running ??
    result.image?.digest ??
    ''
  ).replace(/^sha256:/, '');
  return (
    <p className="jp-secxops-Proof">
      <span aria-hidden="true" className="jp-secxops-Good">
        ✓{' '}
      </span>
      {trans._n(
        '%2 file equal',
        '%2 files equal',
        result.evidence.files_equal,
        count(result.evidence.files_equal)
      )}
      {digest && (
        <span title={digest}>
          {' · '}
          {trans.__('image sha256:%1…%2', digest.slice(0, 4), digest.slice(-4))}
        </span>
      )}
      {' · '}
      {trans._n(
        '%2 difference',
        '%2 differences',
        result.evidence.differences,
        count(result.evidence.differences)
      )}
    </p>
  );
}

function Result(props: {
  trans: TranslationBundle;
  item: IMigration;
}): React.ReactElement | null {
  const { trans, item } = props;
  const { result } = item;
  if (!result) {
    return null;
  }
  const skipped = result.volumes.flatMap(volume => volume.skipped ?? []);
  return (
    <dl className="jp-secxops-Facts">
      {result.place && (
        <div className="jp-secxops-Row">
          <dt>{trans.__('Where')}</dt>
          <dd>
            {trans.__('node %1', result.place.node)}
            <span className="jp-secxops-Path jp-secxops-Quiet">
              {result.place.name}
            </span>
          </dd>
        </div>
      )}
      {result.volumes.map(volume => (
        <div key={volume.name} className="jp-secxops-Row">
          <dt>
            {volume.role === 'code' ? trans.__('Code') : trans.__('Data')}
          </dt>
          <dd>
            <Path path={volume.mount} />
            <span className="jp-secxops-Quiet">
              {size(trans, volume.bytes)} · {files(trans, volume.files)}
            </span>
          </dd>
        </div>
      ))}
      {skipped.length > 0 && (
        <div className="jp-secxops-Row jp-mod-wide">
          <dt>{trans._p('result', 'Not copied')}</dt>
          <dd>
            <ul>
              {skipped.slice(0, 20).map((one, n) => (
                <NotCopied key={n} trans={trans} item={one} />
              ))}
              {skipped.length > 20 && (
                <li>{trans.__('and %1 more', count(skipped.length - 20))}</li>
              )}
            </ul>
          </dd>
        </div>
      )}
    </dl>
  );
}

/** How to open a loopback address from another machine. */
function Tunnel(props: {
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
      throw new ApiError({
        code: 'no_address',
        message: 'This environment has no address.',
        hint: 'Start it, then open it.',
        params: { id }
      });
    }
    if (tab) {
      tab.location.replace(result.url);
    } else {
      throw new ApiError({
        code: 'popup_blocked',
        message: 'The browser did not open a new tab.',
        hint: 'Allow pop-ups for this page, then open it again.',
        params: {}
      });
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

export const ShareItem = React.memo(function ShareItem(props: {
  trans: TranslationBundle;
  shares: Shares;
  item: IMigration;
  /** Changes with every change of the shares while this one is busy or its log is open. */
  tick: number;
  focused: boolean;
  openedByDefault: boolean;
}): React.ReactElement {
  const { trans, shares, item } = props;
  const busy = isBusy(item);
  const [chosen, setOpen] = React.useState<boolean | null>(null);
  const open = chosen ?? (busy || props.openedByDefault);
  const [log, setLog] = React.useState(false);
  const [tunnel, setTunnel] = React.useState(false);
  const [error, setError] = React.useState<ApiError | null>(null);
  const [acting, setActing] = React.useState(false);
  const head = React.useRef<HTMLButtonElement>(null);
  React.useEffect(() => {
    if (props.focused) {
      head.current?.focus();
      head.current?.scrollIntoView({ block: 'nearest' });
    }
  }, [props.focused]);

  const act = async (work: () => Promise<void>) => {
    if (acting) {
      return;
    }
    setActing(true);
    setError(null);
    try {
      await work();
      // The button that was clicked may be gone now; the share's name is what stays.
      head.current?.focus();
    } catch (thrown) {
      setError(ApiError.of(thrown));
    }
    setActing(false);
  };

  const remove = async () => {
    const answer = await showDialog({
      title: trans.__('Delete %1?', item.name),
      body: trans.__(
        'The environment %1, its copy of the code and data, and its image if nothing else uses it will be removed. What was shared from stays as it is. This cannot be undone.',
        item.name
      ),
      buttons: [
        Dialog.cancelButton({ label: trans.__('Keep') }),
        Dialog.warnButton({ label: trans.__('Delete') })
      ],
      defaultButton: 0
    });
    if (answer.button.accept) {
      const row = head.current?.closest('li');
      const next = row?.nextElementSibling ?? row?.previousElementSibling;
      const panel = row?.closest('.jp-secxops-Content');
      await act(() => shares.delete(item.id));
      // The share goes, and the focus with it, unless it is taken elsewhere.
      (next ?? panel)?.querySelector('button')?.focus();
    }
  };

  const [glyph, words, kind] = stateOf(trans, item);
  const status = item.state === 'succeeded' ? item.environment?.status : null;
  const failed = item.state === 'failed';
  const retryable = failed || item.state === 'cancelled';
  const body = `jp-secxops-share-${item.id}`;

  return (
    <li className="jp-secxops-Share" aria-label={item.name}>
      <div className="jp-secxops-ShareHead">
        <button
          ref={head}
          type="button"
          className="jp-secxops-Disclosure"
          aria-expanded={open}
          aria-controls={body}
          onClick={() => setOpen(!open)}
        >
          <span aria-hidden="true" className="jp-secxops-Arrow" />
          <span className="jp-secxops-ShareName">{item.name}</span>
        </button>
        <div className="jp-secxops-Summary">
          <span className={`jp-secxops-State jp-mod-${kind}`} role="status">
            <span aria-hidden="true">{glyph} </span>
            {words}
          </span>
          <span className="jp-secxops-Buttons">
            {status === 'running' && (
              <Button
                kind="accept"
                label={named(trans, trans.__('Open'), item)}
                onClick={() => {
                  if (opensHere(item)) {
                    void openShare(shares, item.id, setError);
                  } else {
                    setOpen(true);
                    setTunnel(true);
                  }
                }}
              >
                {trans.__('Open')}
              </Button>
            )}
            {status === 'stopped' && (
              <Button
                label={named(trans, trans.__('Start'), item)}
                disabled={acting}
                onClick={() => void act(() => shares.act(item.id, 'start'))}
              >
                {trans.__('Start')}
              </Button>
            )}
            {retryable && (
              <Button
                label={named(trans, trans.__('Retry'), item)}
                disabled={acting}
                onClick={() => void act(() => shares.act(item.id, 'retry'))}
              >
                {trans.__('Retry')}
              </Button>
            )}
            {busy && (
              <Button
                label={named(trans, trans.__('Cancel'), item)}
                disabled={acting || item.state === 'cancelling'}
                onClick={() => void act(() => shares.act(item.id, 'cancel'))}
              >
                {trans.__('Cancel')}
              </Button>
            )}
          </span>
        </div>
      </div>
      {item.state === 'succeeded' && <Proof trans={trans} item={item} />}
      {error && <Problem alert trans={trans} finding={error.finding} />}
      <div id={body} hidden={!open}>
        {open && (
          <>
            <p className="jp-secxops-Quiet">{when(item.created)}</p>
            {failed && item.error && (
              <>
                {causes(item.error, item.plan).map((cause, n) => (
                  <Problem
                    key={n}
                    trans={trans}
                    finding={cause}
                    about={{ id: item.id, name: item.name }}
                  />
                ))}
                <p className="jp-secxops-Quiet">
                  {trans.__(
                    'Nothing is left behind; the project was not changed.'
                  )}
                </p>
              </>
            )}
            {item.error?.code !== 'refused' && (busy || failed) && (
              <Steps trans={trans} shares={shares} item={item} />
            )}
            {failed && item.error?.code === 'build_failed' && !log && (
              <Log
                trans={trans}
                shares={shares}
                item={item}
                last={LAST_LINES}
              />
            )}
            {item.plan?.placement && (
              <>
                {item.plans && item.plans.length > 1 && (
                  <p>
                    {trans.__('Planned again, as it could not stay as planned.')}
                  </p>
                )}
                <Reasons trans={trans} plan={item.plan} only />
              </>
            )}
            <Result trans={trans} item={item} />
            {tunnel && (
              <Tunnel
                trans={trans}
                shares={shares}
                item={item}
                onError={setError}
              />
            )}
            <div className="jp-secxops-Buttons">
              <Button
                label={named(
                  trans,
                  log ? trans.__('Hide log') : trans.__('Log'),
                  item
                )}
                expanded={log}
                onClick={() => setLog(!log)}
              >
                {log ? trans.__('Hide log') : trans.__('Log')}
              </Button>
              {status === 'running' && (
                <Button
                  label={named(trans, trans.__('Stop'), item)}
                  disabled={acting}
                  onClick={() => void act(() => shares.act(item.id, 'stop'))}
                >
                  {trans.__('Stop')}
                </Button>
              )}
              <Button
                label={named(trans, trans.__('Delete'), item)}
                disabled={acting}
                onClick={() => void remove()}
              >
                {trans.__('Delete')}
              </Button>
              {status === 'running' && (
                <Button
                  label={named(trans, trans.__('From another machine'), item)}
                  expanded={tunnel}
                  onClick={() => setTunnel(!tunnel)}
                >
                  {trans.__('From another machine')}
                </Button>
              )}
            </div>
            {log && <Log trans={trans} shares={shares} item={item} />}
          </>
        )}
      </div>
    </li>
  );
});
