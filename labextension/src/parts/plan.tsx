/** What will happen, before the click. */

import { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { ICopiedItem, IFinding, INotCopiedItem, IPlan } from '../model';
import { hintOf, messageOf, notCopied } from '../sentences';
import { files, size } from '../units';
import { Path, Sentence } from './common';

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
}): React.ReactElement {
  const { trans, item } = props;
  const much = amount(trans, item);
  const [name, reason] = notCopied(trans, item);
  return (
    <li>
      <Path path={name} />{' '}
      <span className="jp-secxops-Quiet">
        {much && `${much} · `}
        {reason}
      </span>
    </li>
  );
}

export function Warning(props: {
  trans: TranslationBundle;
  finding: IFinding;
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

export function PlanView(props: {
  trans: TranslationBundle;
  plan: IPlan;
}): React.ReactElement {
  const { trans, plan } = props;
  return (
    <>
      <Reasons trans={trans} plan={plan} />
      {plan.warnings.map((warning, n) => (
        <Warning key={n} trans={trans} finding={warning} />
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
          <NotCopied key={n} trans={trans} item={item} />
        ))}
      </ul>
    </>
  );
}
