/** The log of a share, or its last lines. */

import { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { IMigration } from '../core/model';
import { CopyButton, Problem } from '../core/parts';
import { Shares } from './store';

export function Log(props: {
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
