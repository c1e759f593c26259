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
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { shareIcon } from './icon';
import { LazyPanel } from './panel';
import type { Sidebar } from './sidebar';

export namespace CommandIDs {
  export const share = 'secxops:share';
  export const shareFolder = 'secxops:share-folder';
  export const show = 'secxops:show';
}

/** As in `shares.ts`, which is not loaded here. */
const BUSY_KEY = 'jupyter-secxops:busy';

/** Puts *Share environment* into the left area, the palette, the menus and the status bar. */
const sidebar: JupyterFrontEndPlugin<void> = {
  id: '@jupyter-secxops/migrate:sidebar',
  description: 'Shares the running environment from the sidebar.',
  autoStart: true,
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
  ) => {
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

    const share = async (folder?: string) => {
      show();
      (await panel.load())?.share(folder);
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

    app.commands.addCommand(CommandIDs.share, {
      label: trans.__('Share Environment…'),
      caption: trans.__(
        'Make a second, independent environment of this project'
      ),
      icon: shareIcon,
      execute: () => share(),
      describedBy: { args: { type: 'object', properties: {} } }
    });
    app.commands.addCommand(CommandIDs.shareFolder, {
      label: trans.__('Share Environment of This Folder…'),
      icon: shareIcon,
      isVisible: () => selected() !== null,
      execute: () => share(selected() ?? undefined),
      describedBy: { args: { type: 'object', properties: {} } }
    });
    app.commands.addCommand(CommandIDs.show, {
      label: trans.__('Show Shares'),
      execute: show,
      describedBy: { args: { type: 'object', properties: {} } }
    });

    const category = trans.__('Share Environment');
    palette?.addItem({ command: CommandIDs.share, category });
    palette?.addItem({ command: CommandIDs.show, category });
    menu?.fileMenu.addGroup([{ command: CommandIDs.share }], 40);
    app.contextMenu.addItem({
      command: CommandIDs.shareFolder,
      selector: '.jp-DirListing-item[data-isdir="true"]',
      rank: 60
    });

    if (state) {
      // Something was under way when this page was last here: its end is to be told.
      void Promise.all([state.fetch(BUSY_KEY), app.restored]).then(([busy]) => {
        if (Array.isArray(busy) && busy.length) {
          return panel.load();
        }
      });
    }
  }
};

export default sidebar;
