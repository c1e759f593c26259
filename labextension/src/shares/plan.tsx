/** What will happen, before the click. */

import { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { ICopiedItem, IFinding, INotCopiedItem, IPlan } from '../core/model';
import { hintOf, messageOf, notCopied } from '../core/sentences';
import { files, size } from '../core/units';
import { Button, Path, Sentence } from '../core/parts';

function amount(
  trans: TranslationBundle,
  item: { bytes: number | null; files: number | null }
): string {
  const parts = [];
  if (item.bytes !== null) {
    parts.push(size(trans, item.bytes));
  }
  if (item.files !== null) {
    parts.push(files(trans, item.files));
  }
  return parts.join(' · ');
}

function copiedName(trans: TranslationBundle, item: ICopiedItem): string {
  return item.role === 'packages'
    ? trans.__('packages of the Dockerfile')
    : item.role === 'code'
      ? trans.__('code')
      : item.source;
}

export function NotCopied(props: {
  trans: TranslationBundle;
  item: INotCopiedItem;
  /** What the button on the row says, and does with the row's path. */
  choice?: string;
  onChoice?: (path: string) => void;
}): React.ReactElement {
  const { trans, item, choice, onChoice } = props;
  const much = amount(trans, item);
  const [name, reason] = notCopied(trans, item);
  return (
    <li>
      <Path path={name} />{' '}
      <span className="jp-secxops-Quiet">
        {much && `${much} · `}
        {reason}
      </span>
      {choice && onChoice && item.keep && (
        <>
          {' '}
          <Button
            label={trans.__('%1: %2', choice, name)}
            onClick={() => onChoice(item.keep!)}
          >
            {choice}
          </Button>
        </>
      )}
    </li>
  );
}

export function Warning(props: {
  trans: TranslationBundle;
  finding: IFinding;
  children?: React.ReactNode;
}): React.ReactElement {
  const hint = hintOf(props.trans, props.finding);
  return (
    <div className="jp-secxops-Warning">
      <p className="jp-secxops-Signed">
        <span aria-hidden="true">!</span>
        <span>{messageOf(props.trans, props.finding)}</span>
      </p>
      {hint && (
        <p className="jp-secxops-Hint">
          <Sentence text={hint} />
        </p>
      )}
      {props.children}
    </div>
  );
}

/** Codes of the reasons for the place. */
const PLACED = new Set([
  'fits_here',
  'here_unseen',
  'gpu_asked',
  'node_short',
  'node_gone',
  'stay_failed',
  'moves',
  'moves_unseen',
  'unseen'
]);

/** Where it will run, and why; with `only`, nothing else of the plan. */
export function Reasons(props: {
  trans: TranslationBundle;
  plan: IPlan;
  only?: boolean;
}): React.ReactElement {
  const { trans, plan, only } = props;
  const reasons = plan.reasons.filter(({ code }) => !only || PLACED.has(code));
  return (
    <>
      {plan.placement && (
        <p className="jp-secxops-Route">
          {plan.route === 'stay'
            ? trans.__('Stays on node %1', plan.node)
            : plan.node
              ? trans.__('Moves to node %1', plan.node)
              : trans.__('Moves to another node')}
        </p>
      )}
      <ul className="jp-secxops-Reasons">
        {reasons.map((reason, n) => (
          <li key={n}>{messageOf(trans, reason)}</li>
        ))}
      </ul>
    </>
  );
}

/** Keeps what has no row of its own: of many such files only the first are listed. */
function KeepPath(props: {
  trans: TranslationBundle;
  onKeep: (path: string) => void;
}): React.ReactElement {
  const { trans, onKeep } = props;
  const [path, setPath] = React.useState('');
  const keep = () => {
    if (path.trim()) {
      onKeep(path.trim());
      setPath('');
    }
  };
  return (
    <div className="jp-secxops-Keep">
      <input
        className="jp-mod-styled"
        type="text"
        aria-label={trans.__('Another file or folder to keep')}
        placeholder={trans.__('Another file or folder to keep')}
        value={path}
        onChange={event => setPath(event.target.value)}
        onKeyDown={event => {
          if (event.key === 'Enter' && !event.nativeEvent.isComposing) {
            event.preventDefault();
            keep();
          }
        }}
      />
      <Button disabled={!path.trim()} onClick={keep}>
        {trans.__('Keep')}
      </Button>
    </div>
  );
}

export function PlanView(props: {
  trans: TranslationBundle;
  plan: IPlan;
  /** What can be done about a warning. */
  below?: (warning: IFinding) => React.ReactNode;
  /** Take a file along that may hold credentials, or leave it out again. */
  onKeep?: (path: string, keep: boolean) => void;
}): React.ReactElement {
  const { trans, plan, onKeep } = props;
  return (
    <>
      <Reasons trans={trans} plan={plan} />
      {plan.warnings.map((warning, n) => (
        <Warning key={n} trans={trans} finding={warning}>
          {props.below?.(warning)}
        </Warning>
      ))}
      <h4>{trans.__('Copied')}</h4>
      <ul aria-label={trans.__('Copied')}>
        {plan.copied.map((item, n) => (
          <li key={n}>
            <Path path={copiedName(trans, item)} />{' '}
            <span className="jp-secxops-Quiet">
              {amount(trans, item)}
              {item.mount && (
                <>
                  {' → '}
                  <Path path={item.mount} />
                </>
              )}
            </span>
          </li>
        ))}
      </ul>
      <h4>{trans.__('Not copied')}</h4>
      <ul aria-label={trans.__('Not copied')}>
        {plan.not_copied.map((item, n) => (
          <NotCopied
            key={n}
            trans={trans}
            item={item}
            choice={trans.__('Keep')}
            onChoice={onKeep && (path => onKeep(path, true))}
          />
        ))}
      </ul>
      {onKeep && plan.not_copied.some(item => item.keep) && (
        <KeepPath trans={trans} onKeep={path => onKeep(path, true)} />
      )}
      {(plan.changed ?? []).length > 0 && (
        <>
          <h4>{trans.__('Copied, but changed')}</h4>
          <ul aria-label={trans.__('Copied, but changed')}>
            {plan.changed.map((item, n) => (
              <NotCopied key={n} trans={trans} item={item} />
            ))}
          </ul>
        </>
      )}
      {!!plan.kept?.length && (
        <>
          <h4>{trans.__('Copied, may hold credentials')}</h4>
          <ul aria-label={trans.__('Copied, may hold credentials')}>
            {plan.kept.map((item, n) => (
              <NotCopied
                key={n}
                trans={trans}
                item={item}
                choice={trans.__('Leave out')}
                onChoice={onKeep && (path => onKeep(path, false))}
              />
            ))}
          </ul>
        </>
      )}
    </>
  );
}
