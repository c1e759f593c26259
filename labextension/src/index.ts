import {
  ILayoutRestorer,
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { createPanel } from './panel';

/** Puts the panel *Share environment* into the left area. */
const sidebar: JupyterFrontEndPlugin<void> = {
  id: '@jupyter-secxops/migrate:sidebar',
  description: 'Shares the running environment from the sidebar.',
  autoStart: true,
  optional: [ITranslator, ILayoutRestorer],
  activate: (
    app: JupyterFrontEnd,
    translator: ITranslator | null,
    restorer: ILayoutRestorer | null
  ) => {
    const trans = (translator ?? nullTranslator).load('jupyter_secxops_migrate');
    const panel = createPanel(trans);
    restorer?.add(panel, panel.id);
    app.shell.add(panel, 'left', { rank: 600 });
  }
};

export default sidebar;
