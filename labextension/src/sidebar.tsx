/**
 * The panel's content and all that goes with it; loaded when the panel is first opened, or when a
 * share was under way the last time the page was here.
 */

import { ILabShell, JupyterFrontEnd } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import { IDocumentManager } from '@jupyterlab/docmanager';
import { IDefaultFileBrowser } from '@jupyterlab/filebrowser';
import { IStateDB } from '@jupyterlab/statedb';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator, TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import { ISignal, Signal } from '@lumino/signaling';
import { Widget } from '@lumino/widgets';
import React from 'react';

import { Api } from './core/api';
import { Documents } from './shares/documents';
import { IMigration } from './core/model';
import { EnvironmentSection } from './environment/section';
import { Button, Problem, useSeconds, useSignal } from './core/parts';
import { ShareForm } from './shares/form';
import { ShareItem } from './shares/item';
import { openShare, opensHere } from './shares/open';
import { isBusy, progressLabel, stateOf } from './shares/state';
import { Project } from './environment/project';
import { messageOf } from './core/sentences';
import { Shares } from './shares/store';
import { between, duration, writeIn } from './core/units';

import '../style/panel.css';

/** What of JupyterLab the sidebar works with; null where this application has no such part. */
export interface IHost {
  app: JupyterFrontEnd;
  translator: ITranslator;
  labShell: ILabShell | null;
  documents: IDocumentManager | null;
  browser: IDefaultFileBrowser | null;
  statusBar: IStatusBar | null;
  state: IStateDB | null;
  /** Bring the panel to the front. */
  show: () => void;
}

/** The sidebar once it is loaded. */
export class Sidebar {
  constructor(private readonly host: IHost) {
    const api = new Api(host.app.serviceManager.serverSettings);
    this.trans = host.translator.load('jupyter_secxops_migrate');
    writeIn(host.translator.languageCode);
    this.shares = new Shares(api, host.state);
    this.project = new Project(api);
    this.documents = new Documents(host.app, host.documents);
    this.widget = ReactWidget.create(<View sidebar={this} host={host} />);
    this.widget.addClass('jp-secxops-View');
    this._followFocus();
    this._showStatus();
    this.shares.finished.connect((_, item) => this._notify(item));
    this.shares.changed.connect(() => {
      const { state } = this.shares.connection;
      if (state === 'open' && this._lost && this.project.error) {
        void this.project.refresh();
      }
      this._lost = state === 'lost';
    });
  }

  readonly trans: TranslationBundle;
  readonly shares: Shares;
  readonly project: Project;
  readonly documents: Documents;
  readonly widget: Widget;

  /** The form is to be opened. */
  get asked(): ISignal<this, void> {
    return this._asked;
  }

  /** Whether the form was asked for before anybody could listen. */
  pending = false;

  /** Open the form, for a folder if one is given. */
  share(folder?: string): void {
    if (folder !== undefined) {
      this.project.choose(folder);
    }
    this.pending = true;
    this._asked.emit();
  }

  /** Look at the folder that the file browser shows. */
  useBrowserFolder(): void {
    const { app, browser } = this.host;
    const folder = browser?.model.path ?? '';
    this.project.choose(app.serviceManager.contents.localPath(folder) || '.');
  }

  private _followFocus(): void {
    const { labShell, documents, app } = this.host;
    const look = () => {
      const widget = labShell?.currentWidget ?? app.shell.currentWidget;
      const path = widget && documents?.contextForWidget(widget)?.path;
      if (typeof path === 'string') {
        const local = app.serviceManager.contents.localPath(path);
        this.project.follow(local.split('/').slice(0, -1).join('/') || '.');
      }
    };
    (labShell ?? app.shell).currentChanged?.connect(look);
    void app.restored.then(look);
  }

  private _showStatus(): void {
    const { statusBar } = this.host;
    if (!statusBar) {
      return;
    }
    const item = ReactWidget.create(<Status sidebar={this} host={this.host} />);
    statusBar.registerStatusItem('@jupyter-secxops/migrate:status', {
      item,
      align: 'left',
      rank: 100,
      isActive: () => this.shares.busy.length > 0,
      activeStateChanged: this.shares.changed
    });
  }

  private _notify(item: IMigration): void {
    const { trans } = this;
    if (item.state === 'succeeded') {
      const [, words, kind] = stateOf(trans, item);
      const text =
        kind === 'warn'
          ? trans.__('%1: %2', item.name, words)
          : trans.__('%1 is running.', item.name);
      Notification.emit(text, kind === 'warn' ? 'warning' : 'success', {
        autoClose: false,
        actions: [
          {
            label: trans.__('Open'),
            displayType: 'accent',
            callback: () => {
              if (opensHere(item)) {
                void openShare(this.shares, item.id, error => {
                  if (error) {
                    Notification.error(messageOf(trans, error.finding));
                  }
                });
              } else {
                this.host.show();
              }
            }
          }
        ]
      });
    } else if (item.state === 'failed') {
      const [, words] = stateOf(trans, item);
      Notification.error(trans.__('%1: %2', item.name, words), {
        autoClose: false,
        actions: [{ label: trans.__('Show'), callback: () => this.host.show() }]
      });
    }
  }

  private readonly _asked = new Signal<this, void>(this);
  private _lost = false;
}

/** What runs, in the status bar. */
function Status(props: {
  sidebar: Sidebar;
  host: IHost;
}): React.ReactElement | null {
  const { shares, trans } = props.sidebar;
  useSignal(shares.changed);
  const { busy } = shares;
  const [first] = busy;
  if (!first) {
    return null;
  }
  return (
    <button
      type="button"
      className="jp-secxops-Status"
      title={trans.__('Show shares')}
      onClick={() => props.host.show()}
    >
      {busy.length === 1
        ? trans.__('Sharing %1: %2', first.name, progressLabel(trans, first))
        : trans._n('%1 share under way', '%1 shares under way', busy.length)}
    </button>
  );
}

function ConnectionNote({
  sidebar
}: {
  sidebar: Sidebar;
}): React.ReactElement | null {
  const { shares, trans } = sidebar;
  const { connection } = shares;
  const lost = connection.state === 'lost';
  useSeconds(lost);
  // A stream that comes back at once is no news.
  if (
    connection.state !== 'lost' ||
    (shares.items && Date.now() - connection.since < 1500)
  ) {
    return null;
  }
  return (
    <div role="status" className="jp-secxops-Lost">
      <Problem trans={trans} finding={connection.error.finding}>
        <Button onClick={() => shares.reconnect()}>
          {trans.__('Try now')}
        </Button>
      </Problem>
      <p className="jp-secxops-Quiet">
        {shares.items
          ? trans.__(
              'What is shown is %1 old. Shares go on; the panel connects again by itself.',
              duration(
                trans,
                between(new Date(connection.since).toISOString(), null)
              )
            )
          : trans.__('The panel connects again by itself.')}
      </p>
    </div>
  );
}

function ShareList(props: {
  sidebar: Sidebar;
  focused: string | null;
}): React.ReactElement {
  const { shares, trans } = props.sidebar;
  const tick = React.useRef(0);
  useSignal(shares.changed);
  tick.current += 1;
  const { items } = shares;
  return (
    <section
      aria-labelledby="jp-secxops-shares"
      aria-busy={items === null}
      className="jp-secxops-Section"
    >
      <div className="jp-secxops-Head">
        <h2 id="jp-secxops-shares">{trans.__('Shares')}</h2>
      </div>
      <ConnectionNote sidebar={props.sidebar} />
      {items === null ? (
        shares.connection.state !== 'lost' && (
          <p role="status" className="jp-secxops-Quiet">
            {trans.__('Reading your shares…')}
          </p>
        )
      ) : items.length === 0 ? (
        <p>
          {trans.__(
            'A share is a second, independent environment of this project, proven equal: its packages, its code and the data you choose.'
          )}
        </p>
      ) : (
        <ul
          className="jp-secxops-Shares"
          aria-label={trans.__('Shares')}
          onKeyDown={walk}
        >
          {items.map((item, n) => (
            <ShareItem
              key={item.id}
              trans={trans}
              shares={shares}
              documents={props.sidebar.documents}
              item={item}
              tick={isBusy(item) || shares.log(item.id) ? tick.current : 0}
              focused={item.id === props.focused}
              openedByDefault={n === 0 && item.state === 'failed'}
            />
          ))}
        </ul>
      )}
    </section>
  );
}

/** Arrows go from share to share, past the buttons in each: there may be a thousand. */
function walk(event: React.KeyboardEvent<HTMLUListElement>): void {
  const heads = [
    ...event.currentTarget.querySelectorAll<HTMLElement>(
      '.jp-secxops-Disclosure'
    )
  ];
  const here = heads.indexOf(event.target as HTMLElement);
  const there = {
    ArrowDown: here + 1,
    ArrowUp: here - 1,
    Home: 0,
    End: heads.length - 1
  }[event.key];
  if (here >= 0 && there !== undefined) {
    event.preventDefault();
    heads[there]?.focus();
  }
}

function View(props: { sidebar: Sidebar; host: IHost }): React.ReactElement {
  const { sidebar, host } = props;
  const { project, shares, trans } = sidebar;
  const [sharing, setSharing] = React.useState(false);
  const [focused, setFocused] = React.useState<string | null>(null);
  const button = React.useRef<HTMLDivElement>(null);
  const [back, setBack] = React.useState(false);
  useSignal(project.changed);

  React.useEffect(() => {
    if (back) {
      button.current?.querySelector('button')?.focus();
      setBack(false);
    }
  }, [back]);

  // The form stays with the project that it was opened for, wherever the focus goes meanwhile.
  const asked = React.useRef(project.environment);

  React.useEffect(() => {
    const { project } = sidebar;
    const ask = () => {
      sidebar.pending = false;
      asked.current = project.loading ? null : project.environment;
      setSharing(true);
    };
    sidebar.asked.connect(ask);
    if (sidebar.pending) {
      ask();
    }
    return () => {
      sidebar.asked.disconnect(ask);
    };
  }, [sidebar]);
  React.useEffect(() => {
    if (sharing && project.error && !asked.current) {
      setSharing(false);
    }
  }, [sharing, project.error]);

  if (!sharing || asked.current === null) {
    asked.current = project.loading ? null : project.environment;
  }
  const share = () => setSharing(true);
  return (
    <div className="jp-secxops-Content">
      {sharing && asked.current ? (
        <ShareForm
          key={asked.current.project.path}
          trans={trans}
          translator={host.translator}
          shares={shares}
          environment={asked.current}
          state={host.state}
          documents={sidebar.documents}
          onDone={made => {
            setSharing(false);
            setFocused(made?.id ?? null);
            setBack(made === null);
          }}
        />
      ) : (
        <EnvironmentSection
          trans={trans}
          project={project}
          shares={shares}
          onBrowserFolder={
            host.browser ? () => sidebar.useBrowserFolder() : null
          }
          shareButton={button}
          onShare={share}
        />
      )}
      <ShareList sidebar={sidebar} focused={focused} />
    </div>
  );
}
