/** What several parts of the panel are made of. */

import { Clipboard } from '@jupyterlab/apputils';
import { TranslationBundle } from '@jupyterlab/translation';
import { ISignal } from '@lumino/signaling';
import React from 'react';

import { IFinding } from './model';
import { hintOf, messageOf } from './sentences';
import { printable } from './units';

/** Draw again whenever the signal is emitted. */
export function useSignal<S, A>(signal: ISignal<S, A>): void {
  const [, again] = React.useReducer((n: number) => n + 1, 0);
  React.useEffect(() => {
    const slot = () => again();
    signal.connect(slot);
    return () => {
      signal.disconnect(slot);
    };
  }, [signal]);
}

/** Draw again every second while something runs. */
export function useSeconds(running: boolean): void {
  const [, again] = React.useReducer((n: number) => n + 1, 0);
  React.useEffect(() => {
    if (!running) {
      return;
    }
    const timer = window.setInterval(again, 1000);
    return () => window.clearInterval(timer);
  }, [running]);
}

/** A button as Lab draws them. */
export function Button(props: {
  children: React.ReactNode;
  onClick: () => void;
  label?: string;
  kind?: 'accept' | 'warn' | 'plain';
  disabled?: boolean;
  expanded?: boolean;
  controls?: string;
}): React.ReactElement {
  const kind =
    props.kind === 'accept'
      ? ' jp-mod-accept'
      : props.kind === 'warn'
        ? ' jp-mod-warn'
        : '';
  return (
    <button
      type="button"
      className={`jp-secxops-Button jp-mod-styled${kind}`}
      // A button that loses its focus while it works would throw a keyboard's user out of the panel.
      aria-disabled={props.disabled || undefined}
      aria-label={props.label}
      aria-expanded={props.expanded}
      aria-controls={props.controls}
      onClick={() => {
        if (!props.disabled) {
          props.onClick();
        }
      }}
    >
      {props.children}
    </button>
  );
}

/** A button that copies a text, and says that it did. */
export function CopyButton(props: {
  trans: TranslationBundle;
  text: () => string;
  children: React.ReactNode;
}): React.ReactElement {
  const [copied, setCopied] = React.useState(false);
  React.useEffect(() => {
    if (!copied) {
      return;
    }
    const timer = window.setTimeout(() => setCopied(false), 3000);
    return () => window.clearTimeout(timer);
  }, [copied]);
  return (
    <>
      <Button
        onClick={() => {
          Clipboard.copyToSystem(props.text());
          setCopied(true);
        }}
      >
        {props.children}
      </Button>
      <span role="status" className="jp-secxops-Quiet">
        {copied ? props.trans._p('clipboard', 'Copied') : ''}
      </span>
    </>
  );
}

/** A text without secrets that a person can send to whoever helps. */
export function details(
  finding: IFinding,
  about: Record<string, string> = {}
): string {
  return [
    `${finding.code}: ${finding.message}`,
    finding.hint,
    ...Object.entries(about).map(([name, value]) => `${name}: ${value}`),
    ...Object.entries(finding.params).map(
      ([name, value]) => `${name}: ${JSON.stringify(value)}`
    ),
    `time: ${new Date().toISOString()}`,
    `jupyterlab: ${document.title} · ${navigator.userAgent}`
  ]
    .filter(Boolean)
    .join('\n');
}

/** A path, which rather breaks between its folders than within one. */
export function Path({ path }: { path: string }): React.ReactElement {
  return (
    <span className="jp-secxops-Path">
      {printable(path)
        .split(/(?<=[^/]\/)/)
        .map((part, n) => (
          <React.Fragment key={n}>
            {part}
            <wbr />
          </React.Fragment>
        ))}
    </span>
  );
}

/** A sentence; what is to be typed stands in it between backquotes. */
export function Sentence({ text }: { text: string }): React.ReactElement {
  return (
    <>
      {text
        .split('`')
        .map((part, n) => (n % 2 ? <code key={n}>{part}</code> : part))}
    </>
  );
}

/** What happened, what to do now, and the details to copy. */
export function Problem(props: {
  trans: TranslationBundle;
  finding: IFinding;
  about?: Record<string, string>;
  alert?: boolean;
  children?: React.ReactNode;
}): React.ReactElement {
  const { trans, finding } = props;
  const hint = hintOf(trans, finding);
  return (
    <div
      className="jp-secxops-Problem"
      role={props.alert ? 'alert' : undefined}
    >
      <p className="jp-secxops-Signed">
        <span aria-hidden="true">✕</span>
        <span>
          <Sentence text={messageOf(trans, finding)} />
        </span>
      </p>
      {hint && (
        <p className="jp-secxops-Hint">
          <Sentence text={hint} />
        </p>
      )}
      <div className="jp-secxops-Buttons">
        {props.children}
        <CopyButton trans={trans} text={() => details(finding, props.about)}>
          {trans.__('Copy details')}
        </CopyButton>
      </div>
    </div>
  );
}
