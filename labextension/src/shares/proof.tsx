/** The proof of a share, and what it made: what arrived, what did not, and why. */

import { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { ISourceChanges, IMigration, INotCopiedItem } from '../core/model';
import { versionLabel } from '../core/sentences';
import { lacking } from './state';
import { Shares } from './store';
import { count, decimal, files, printable, size } from '../core/units';
import { Path } from '../core/parts';
import { NotCopied } from './plan';

/** The proof in one line. */
export function Proof(props: {
  trans: TranslationBundle;
  item: IMigration;
}): React.ReactElement | null {
  const { trans, item } = props;
  const { result } = item;
  if (!result) {
    return null;
  }
  if (item.adopted) {
    return (
      <p className="jp-secxops-Proof">
        <span aria-hidden="true" className="jp-secxops-Warn">
          {'●'}{' '}
        </span>
        {trans.__(
          'Its record was lost and made anew from the cluster, so what was proven is no longer known.'
        )}
      </p>
    );
  }
  const digest = (
    result.evidence.image_running ??
    result.image?.digest ??
    ''
  ).replace(/^sha256:/, '');
  const less = lacking(trans, item);
  const equal = result.evidence.files_equal;
  const left = result.evidence.files_left || equal;
  return (
    <p className="jp-secxops-Proof">
      <span
        aria-hidden="true"
        className={less.length ? 'jp-secxops-Warn' : 'jp-secxops-Good'}
      >
        {less.length ? '●' : '✓'}{' '}
      </span>
      {less.length
        ? trans._n(
            '%2 of %3 file equal',
            '%2 of %3 files equal',
            left,
            count(equal),
            count(left)
          )
        : trans._n('%2 file equal', '%2 files equal', equal, count(equal))}
      {less.map(([words, why]) => (
        <React.Fragment key={words}>
          {' · '}
          {trans.__('%1 (%2)', words, why)}
        </React.Fragment>
      ))}
      {digest && (
        <span title={digest}>
          {' · '}
          {trans.__('image sha256:%1…%2', digest.slice(0, 4), digest.slice(-4))}
        </span>
      )}
      {less.length === 0 && (
        <>
          {' · '}
          {trans._n(
            '%2 difference',
            '%2 differences',
            result.evidence.differences,
            count(result.evidence.differences)
          )}
        </>
      )}
    </p>
  );
}

/** Whether the source has changed since, asked for when it is first shown. */
export function SourceChanged(props: {
  trans: TranslationBundle;
  shares: Shares;
  item: IMigration;
}): React.ReactElement | null {
  const { trans, shares, item } = props;
  const [changes, setChanges] = React.useState<ISourceChanges | null>(null);
  const { api } = shares;
  React.useEffect(() => {
    let gone = false;
    api.changes(item.id).then(
      found => !gone && setChanges(found),
      () => undefined // a word more or less
    );
    return () => {
      gone = true;
    };
  }, [api, item.id]);
  const [first] = changes?.first ?? [];
  if (!changes?.files || first === undefined) {
    return null;
  }
  const number = count(changes.files);
  const shown = printable(first);
  return (
    <p className="jp-secxops-Proof">
      <span aria-hidden="true" className="jp-secxops-Warn">
        ●{' '}
      </span>
      {changes.complete
        ? trans._n(
            'The source has changed since: %2 file, %3',
            'The source has changed since: %2 files, such as %3',
            changes.files,
            number,
            shown
          )
        : trans.__(
            'The source has changed since: at least %1 files, such as %2',
            number,
            shown
          )}
    </p>
  );
}

/** The first rows of what did not arrive, or not as it was. */
function Listed(props: {
  trans: TranslationBundle;
  title: string;
  rows: INotCopiedItem[];
}): React.ReactElement | null {
  const { trans, rows } = props;
  if (rows.length === 0) {
    return null;
  }
  return (
    <div className="jp-secxops-Row jp-mod-wide">
      <dt>{props.title}</dt>
      <dd>
        <ul>
          {rows.slice(0, 20).map((one, n) => (
            <NotCopied key={n} trans={trans} item={one} />
          ))}
          {rows.length > 20 && (
            <li>{trans.__('and %1 more', count(rows.length - 20))}</li>
          )}
        </ul>
      </dd>
    </div>
  );
}

/** Of what it is made and with what, where it is, and what of code and data: as far as known. */
export function Facts(props: {
  trans: TranslationBundle;
  item: IMigration;
}): React.ReactElement {
  const { trans, item } = props;
  const { plan, result } = item;
  const asked = plan ?? item.request;
  const room = [
    ...(asked.cpu ? [trans.__('%1 CPU', decimal(asked.cpu, 2))] : []),
    ...(typeof asked.memory === 'number'
      ? [trans.__('%1 memory', size(trans, asked.memory))]
      : []),
    ...(asked.gpu ? [trans.__('%1 GPU', asked.gpu)] : [])
  ];
  const volumes = result?.volumes ?? [];
  const skipped = volumes.flatMap(volume => volume.skipped ?? []);
  const changed = volumes.flatMap(volume => volume.changed ?? []);
  return (
    <dl className="jp-secxops-Facts">
      {/* Where one came from whose record was lost is not known any more. */}
      {!item.adopted && (
        <div className="jp-secxops-Row">
          <dt>{trans.__('Source')}</dt>
          <dd>
            <Path path={item.request.project} />
            {plan && plan.version.commit !== null && (
              <span className="jp-secxops-Quiet">
                {versionLabel(trans, plan.version)}
              </span>
            )}
          </dd>
        </div>
      )}
      {room.length > 0 && (
        <div className="jp-secxops-Row">
          <dt>{trans.__('Resources')}</dt>
          <dd>{room.join(' · ')}</dd>
        </div>
      )}
      {result?.place && (
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
      {volumes.map(volume => (
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
      <Listed
        trans={trans}
        title={trans._p('result', 'Not copied')}
        rows={skipped}
      />
      <Listed
        trans={trans}
        title={trans._p('result', 'Changed')}
        rows={changed}
      />
    </dl>
  );
}
