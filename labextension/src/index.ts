/**
 * The entry points: the panel's tab, the command palette, the File menu, the file browser.
 *
 * A stub: what it opens is loaded when it is first wanted, so that JupyterLab's start does not feel
 * this extension.
 */

import {
  ILabShell,
  ILayoutRestorer,
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { IDocumentManager } from '@jupyterlab/docmanager';
import {
  IDefaultFileBrowser,
  IFileBrowserFactory
} from '@jupyterlab/filebrowser';
import { IMainMenu } from '@jupyterlab/mainmenu';
import { IStateDB } from '@jupyterlab/statedb';
import { IStatusBar } from '@jupyterlab/statusbar';
import {
  ITranslator,
  nullTranslator,
  TranslationBundle
} from '@jupyterlab/translation';

import { shareIcon } from './core/icon';
import { LazyPanel } from './core/panel';
import { BUSY_KEY, ISharing } from './core/tokens';
import type { Sidebar } from './sidebar';

export * from './core/tokens';
export type * from './core/model';

export namespace CommandIDs {
  export const share = 'secxops:share';
  export const shareFolder = 'secxops:share-folder';
  export const show = 'secxops:show';
}

/** Puts *Share environment* into the left area, the palette, the menus and the status bar. */
const sidebar: JupyterFrontEndPlugin<ISharing> = {
  id: '@jupyter-secxops/migrate:sidebar',
  description: 'Shares the running environment from the sidebar.',
  autoStart: true,
  provides: ISharing,
  optional: [
    ITranslator,
    ILayoutRestorer,
    ILabShell,
    ICommandPalette,
    IMainMenu,
    IDocumentManager,
    IDefaultFileBrowser,
    IFileBrowserFactory,
    IStatusBar,
    IStateDB
  ],
  activate: (
    app: JupyterFrontEnd,
    givenTranslator: ITranslator | null,
    restorer: ILayoutRestorer | null,
    labShell: ILabShell | null,
    palette: ICommandPalette | null,
    menu: IMainMenu | null,
    documents: IDocumentManager | null,
    browser: IDefaultFileBrowser | null,
    browsers: IFileBrowserFactory | null,
    statusBar: IStatusBar | null,
    state: IStateDB | null
  ): ISharing => {
    const translator = givenTranslator ?? nullTranslator;
    const trans = translator.load('jupyter_secxops_migrate');
    const show = () => app.shell.activateById(panel.id);

    const panel: LazyPanel<Sidebar> = new LazyPanel(trans, async () => {
      const { Sidebar } = await import('./sidebar');
      return new Sidebar({
        app,
        translator,
        labShell,
        documents,
        browser,
        statusBar,
        state,
        show
      });
    });
    restorer?.add(panel, panel.id);
    app.shell.add(panel, 'left', { rank: 600 });

    const sharing: ISharing = {
      open: async folder => {
        show();
        (await panel.load())?.share(folder);
      },
      shares: async () => (await panel.load())?.shares ?? null
    };
    /** The one folder that is selected in the file browser. */
    const selected = () => {
      const widget = browsers?.tracker.currentWidget ?? browser;
      const items = widget ? [...widget.selectedItems()] : [];
      const [first] = items;
      return items.length === 1 && first?.type === 'directory'
        ? app.serviceManager.contents.localPath(first.path) || '.'
        : null;
    };
    addCommands(app, trans, sharing, selected, show);
    addEntries(app, trans, palette, menu);

    if (state) {
      // Something was under way when this page was last here: its end is to be told.
      void Promise.all([state.fetch(BUSY_KEY), app.restored]).then(([busy]) => {
        if (Array.isArray(busy) && busy.length) {
          return panel.load();
        }
      });
    }
    return sharing;
  }
};

function addCommands(
  app: JupyterFrontEnd,
  trans: TranslationBundle,
  sharing: ISharing,
  selected: () => string | null,
  show: () => void
): void {
  const describedBy = { args: { type: 'object', properties: {} } };
  app.commands.addCommand(CommandIDs.share, {
    label: trans.__('Share Environment…'),
    caption: trans.__('Make a second, independent environment of this project'),
    icon: shareIcon,
    execute: () => sharing.open(),
    describedBy
  });
  app.commands.addCommand(CommandIDs.shareFolder, {
    label: trans.__('Share Environment of This Folder…'),
    icon: shareIcon,
    isVisible: () => selected() !== null,
    execute: () => sharing.open(selected() ?? undefined),
    describedBy
  });
  app.commands.addCommand(CommandIDs.show, {
    label: trans.__('Show Shares'),
    execute: show,
    describedBy
  });
}

/** Where a person finds the commands. */
function addEntries(
  app: JupyterFrontEnd,
  trans: TranslationBundle,
  palette: ICommandPalette | null,
  menu: IMainMenu | null
): void {
  const category = trans.__('Share Environment');
  palette?.addItem({ command: CommandIDs.share, category });
  palette?.addItem({ command: CommandIDs.show, category });
  menu?.fileMenu.addGroup([{ command: CommandIDs.share }], 40);
  app.contextMenu.addItem({
    command: CommandIDs.shareFolder,
    selector: '.jp-DirListing-item[data-isdir="true"]',
    rank: 60
  });
}

export default sidebar;
