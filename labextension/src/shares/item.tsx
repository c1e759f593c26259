/** One share in the list: its state at a glance, the rest one click away. */

import { Dialog, showDialog } from '@jupyterlab/apputils';
import { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { ApiError } from '../core/api';
import { IMigration } from '../core/model';
import { Button, Problem } from '../core/parts';
import { when } from '../core/units';
import { Documents } from './documents';
import { Log } from './log';
import { named, openShare, opensHere, Tunnel } from './open';
import { Reasons } from './plan';
import { Steps } from './progress';
import { Facts, Proof, SourceChanged } from './proof';
import { causes, isBusy, stateOf } from './state';
import { Shares } from './store';

const LAST_LINES = 20;

/** Failures whose cause is in the last lines of the log. */
const LOGGED = new Set([
  'build_failed',
  'base_trigger_failed',
  'launch_failed'
]);

interface IProps {
  trans: TranslationBundle;
  shares: Shares;
  documents: Documents;
  item: IMigration;
  /** Changes with every change of the shares while this one is busy or its log is open. */
  tick: number;
  focused: boolean;
  openedByDefault: boolean;
}

/** What is shown of a share, and what can be done with it. */
interface IShown extends IProps {
  head: React.RefObject<HTMLButtonElement>;
  open: boolean;
  setOpen: (open: boolean) => void;
  log: boolean;
  setLog: (log: boolean) => void;
  tunnel: boolean;
  setTunnel: (tunnel: boolean) => void;
  error: ApiError | null;
  setError: (error: ApiError | null) => void;
  /** Whether something is being done. */
  acting: boolean;
  /** Do one thing after the other. */
  act: (work: () => Promise<void>) => Promise<void>;
  /** What the environment does; null where there is none. */
  status: string | null | undefined;
}

function useShown(props: IProps): IShown {
  const { item, focused } = props;
  const [chosen, setOpen] = React.useState<boolean | null>(null);
  const open = chosen ?? (isBusy(item) || props.openedByDefault);
  const [log, setLog] = React.useState(false);
  const [tunnel, setTunnel] = React.useState(false);
  const [error, setError] = React.useState<ApiError | null>(null);
  const [acting, setActing] = React.useState(false);
  const head = React.useRef<HTMLButtonElement>(null);
  React.useEffect(() => {
    if (focused) {
      head.current?.focus();
      head.current?.scrollIntoView({ block: 'nearest' });
    }
  }, [focused]);
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
  const status = item.state === 'succeeded' ? item.environment?.status : null;
  const shown = { head, open, setOpen, log, setLog, tunnel, setTunnel };
  return { ...props, ...shown, error, setError, acting, act, status };
}

export const ShareItem = React.memo(function ShareItem(
  props: IProps
): React.ReactElement {
  const shown = useShown(props);
  const { trans, item, open, error } = shown;
  const body = `jp-secxops-share-${item.id}`;
  const [glyph, words, kind] = stateOf(trans, item);
  return (
    <li className="jp-secxops-Share" aria-label={item.name}>
      <div className="jp-secxops-ShareHead">
        <button
          ref={shown.head}
          type="button"
          className="jp-secxops-Disclosure"
          aria-expanded={open}
          aria-controls={body}
          onClick={() => shown.setOpen(!open)}
        >
          <span aria-hidden="true" className="jp-secxops-Arrow" />
          <span className="jp-secxops-ShareName">{item.name}</span>
        </button>
        <div className="jp-secxops-Summary">
          <span className={`jp-secxops-State jp-mod-${kind}`} role="status">
            <span aria-hidden="true">{glyph} </span>
            {words}
          </span>
          <NextAction {...shown} />
        </div>
      </div>
      {item.state === 'succeeded' && <Proof trans={trans} item={item} />}
      {error && <Problem alert trans={trans} finding={error.finding} />}
      <div id={body} hidden={!open}>
        {open && <Details {...shown} />}
      </div>
    </li>
  );
});

/** The one thing that a person most probably wants next. */
function NextAction(shown: IShown): React.ReactElement {
  const { trans, shares, documents, item, acting, act, status } = shown;
  const button = (
    words: string,
    onClick: () => void,
    more: { kind?: 'accept'; disabled?: boolean }
  ) => (
    <Button label={named(trans, words, item)} onClick={onClick} {...more}>
      {words}
    </Button>
  );
  const openIt = () => {
    if (opensHere(item)) {
      void openShare(shares, item.id, shown.setError);
    } else {
      shown.setOpen(true);
      shown.setTunnel(true);
    }
  };
  const retry = async () => {
    await documents.saveFor(shares.api, item.request);
    await shares.act(item.id, 'retry');
  };
  return (
    <span className="jp-secxops-Buttons">
      {status === 'running' &&
        button(trans.__('Open'), openIt, { kind: 'accept' })}
      {status === 'stopped' &&
        button(
          trans.__('Start'),
          () => void act(() => shares.act(item.id, 'start')),
          { disabled: acting }
        )}
      {['failed', 'cancelled'].includes(item.state) &&
        button(trans.__('Retry'), () => void act(retry), { disabled: acting })}
      {isBusy(item) &&
        button(
          trans.__('Cancel'),
          () => void act(() => shares.act(item.id, 'cancel')),
          { disabled: acting || item.state === 'cancelling' }
        )}
    </span>
  );
}

/** Everything else about it, and what else can be done. */
function Details(shown: IShown): React.ReactElement {
  const { trans, shares, item, log } = shown;
  const failed = item.state === 'failed';
  const refused = item.error?.code === 'refused';
  return (
    <>
      <p className="jp-secxops-Quiet">{when(item.created)}</p>
      {failed && <Causes trans={trans} item={item} />}
      {!refused && (isBusy(item) || failed) && (
        <Steps trans={trans} shares={shares} item={item} />
      )}
      {failed && LOGGED.has(item.error?.code ?? '') && !log && (
        <Log trans={trans} shares={shares} item={item} last={LAST_LINES} />
      )}
      {item.plan?.placement && (
        <>
          {item.plans && item.plans.length > 1 && (
            <p>{trans.__('Planned again, as it could not stay as planned.')}</p>
          )}
          <Reasons trans={trans} plan={item.plan} only />
        </>
      )}
      {item.state === 'succeeded' && (
        <SourceChanged trans={trans} shares={shares} item={item} />
      )}
      <Facts trans={trans} item={item} />
      {shown.tunnel && (
        <Tunnel
          trans={trans}
          shares={shares}
          item={item}
          onError={shown.setError}
        />
      )}
      <FurtherActions {...shown} />
      {log && <Log trans={trans} shares={shares} item={item} />}
    </>
  );
}

/** Why it failed, and that nothing is left of it. */
function Causes(props: {
  trans: TranslationBundle;
  item: IMigration;
}): React.ReactElement | null {
  const { trans, item } = props;
  if (!item.error) {
    return null;
  }
  return (
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
        {trans.__('Nothing is left behind; the project was not changed.')}
      </p>
    </>
  );
}

function FurtherActions(shown: IShown): React.ReactElement {
  const { trans, shares, item, log, tunnel, acting, act, status } = shown;
  const logWords = log ? trans.__('Hide log') : trans.__('Log');
  return (
    <div className="jp-secxops-Buttons">
      <Button
        label={named(trans, logWords, item)}
        expanded={log}
        onClick={() => shown.setLog(!log)}
      >
        {logWords}
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
        onClick={() => void remove(shown)}
      >
        {trans.__('Delete')}
      </Button>
      {status === 'running' && (
        <Button
          label={named(trans, trans.__('From another machine'), item)}
          expanded={tunnel}
          onClick={() => shown.setTunnel(!tunnel)}
        >
          {trans.__('From another machine')}
        </Button>
      )}
    </div>
  );
}

/** Delete it, if that is really meant. */
async function remove(shown: IShown): Promise<void> {
  const { trans, shares, item, head, act } = shown;
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
}
