/** ENVIRONMENT: what the project at hand runs in, at a glance. */

import { TranslationBundle } from '@jupyterlab/translation';
import { refreshIcon } from '@jupyterlab/ui-components';
import React from 'react';

import { IEnvironment, INodeCapacity } from '../core/model';
import { Project } from './project';
import { hintOf, messageOf, versionLabel } from '../core/sentences';
import { Shares } from '../shares/store';
import { count, decimal, files, printable, size } from '../core/units';
import { Button, Path, Problem, Sentence, useSignal } from '../core/parts';

function nodeFacts(trans: TranslationBundle, node: INodeCapacity): string[] {
  if (node.unseen === 'node') {
    return [trans.__("its room can't be seen")];
  }
  if (node.unseen === 'pods') {
    return [
      trans.__('%1 CPU', count(node.cpu)),
      trans.__('%1 memory', size(trans, node.memory)),
      node.gpu ? trans.__('%1 GPU', node.gpu) : trans.__('no GPU'),
      trans.__("what is free can't be seen")
    ];
  }
  const cpu = Math.max(0, node.cpu - node.cpu_requested);
  const memory = Math.min(
    Math.max(0, node.memory - node.memory_requested),
    node.memory_available ?? Infinity
  );
  const gpu = node.gpu - node.gpu_requested;
  return [
    trans.__('%1 of %2 CPU free', decimal(cpu, 1), count(node.cpu)),
    trans.__(
      '%1 of %2 memory free',
      size(trans, memory),
      size(trans, node.memory)
    ),
    node.gpu ? trans.__('%1 of %2 GPU free', gpu, node.gpu) : trans.__('no GPU')
  ];
}

function Row(props: {
  name: string;
  children: React.ReactNode;
}): React.ReactElement {
  return (
    <div className="jp-secxops-Row">
      <dt>{props.name}</dt>
      <dd>{props.children}</dd>
    </div>
  );
}

function Facts(props: {
  trans: TranslationBundle;
  environment: IEnvironment;
}): React.ReactElement {
  const { trans, environment } = props;
  const { project } = environment;
  return (
    <>
      <p className="jp-secxops-Name">
        <strong>{printable(project.name)}</strong>{' '}
        <span className="jp-secxops-Quiet">
          {versionLabel(trans, environment.version)}
        </span>
      </p>
      <dl className="jp-secxops-Facts">
        <Row name={trans.__('Dockerfile')}>
          {environment.dockerfile !== null ? (
            <>
              <span aria-hidden="true" className="jp-secxops-Good">
                ✓{' '}
              </span>
              {trans.__('found')}
            </>
          ) : (
            <>
              <span aria-hidden="true" className="jp-secxops-Bad">
                ✕{' '}
              </span>
              {trans.__('missing')}
            </>
          )}
        </Row>
        <Row name={trans.__('Code')}>
          <Path path={project.path} />
          <span className="jp-secxops-Quiet">
            {size(trans, project.bytes)} · {files(trans, project.files)}
          </span>
        </Row>
        {environment.data.map(folder => (
          <Row key={folder.path} name={trans.__('Data')}>
            <Path path={folder.path} />
            <span className="jp-secxops-Quiet">
              {size(trans, folder.bytes)} · {files(trans, folder.files)}
            </span>
          </Row>
        ))}
        {environment.node && (
          <Row name={trans.__('This node')}>
            {nodeFacts(trans, environment.node).map(fact => (
              <div key={fact}>{fact}</div>
            ))}
          </Row>
        )}
      </dl>
      {environment.problems.map((problem, n) => (
        <p key={n} className="jp-secxops-Warning">
          <span aria-hidden="true">! </span>
          {messageOf(trans, problem)} <Sentence text={hintOf(trans, problem)} />
        </p>
      ))}
    </>
  );
}

export function EnvironmentSection(props: {
  trans: TranslationBundle;
  project: Project;
  shares: Shares;
  onShare: () => void;
  /** Null where there is no file browser. */
  onBrowserFolder: (() => void) | null;
  shareButton: React.RefObject<HTMLDivElement | null>;
}): React.ReactElement {
  const { trans, project, shares } = props;
  useSignal(project.changed);
  useSignal(shares.changed);
  const { connection } = shares;
  const { environment, error, loading } = project;
  return (
    <section
      aria-labelledby="jp-secxops-environment"
      aria-busy={loading}
      className="jp-secxops-Section"
    >
      <div className="jp-secxops-Head">
        <h2 id="jp-secxops-environment">{trans.__('Environment')}</h2>
        <button
          type="button"
          className="jp-secxops-IconButton"
          aria-label={trans.__('Refresh environment')}
          title={trans.__('Refresh environment')}
          onClick={() => void project.refresh()}
        >
          <refreshIcon.react tag="span" width="16px" height="16px" />
        </button>
      </div>
      {environment ? (
        <>
          <Facts trans={trans} environment={environment} />
          <div ref={props.shareButton as React.RefObject<HTMLDivElement>}>
            <Button kind="accept" onClick={props.onShare}>
              {trans.__('Share environment…')}
            </Button>
          </div>
        </>
      ) : error &&
        connection.state === 'lost' &&
        connection.error.finding.code === error.finding.code ? (
        // The same is said below, with what to do.
        <p className="jp-secxops-Quiet">
          {trans.__('It is shown as soon as there is an answer.')}
        </p>
      ) : error ? (
        <Problem
          trans={trans}
          finding={error.finding}
          about={{ folder: project.folder ?? '' }}
        >
          <Button onClick={() => void project.refresh()}>
            {trans.__('Try again')}
          </Button>
        </Problem>
      ) : project.folder === null ? (
        <>
          <p>
            {trans.__(
              'Open a notebook of the project that you want to share. The panel follows it.'
            )}
          </p>
          {props.onBrowserFolder && (
            <div className="jp-secxops-Buttons">
              <Button onClick={props.onBrowserFolder}>
                {trans.__('Use the folder of the file browser')}
              </Button>
            </div>
          )}
        </>
      ) : (
        <p role="status" className="jp-secxops-Quiet">
          {trans.__('Looking at the environment…')}
        </p>
      )}
    </section>
  );
}
