import { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget, SidePanel } from '@jupyterlab/ui-components';
import React from 'react';

import { shareIcon } from './icon';

/** What the panel says while there is nothing to list. */
function Sentence({ trans }: { trans: TranslationBundle }): React.ReactElement {
  return (
    <p className="jp-secxops-Sentence">
      {trans.__(
        'A share is a second, independent environment of this project, proven equal: ' +
          'its packages, its code and the data you choose.'
      )}
    </p>
  );
}

/** The panel in the left area. */
export function createPanel(trans: TranslationBundle): SidePanel {
  const panel = new SidePanel();
  panel.id = 'jupyter-secxops-panel';
  panel.title.icon = shareIcon;
  panel.title.caption = trans.__('Share environment');
  panel.node.setAttribute('role', 'region');
  panel.node.setAttribute('aria-label', trans.__('Share environment'));
  panel.addWidget(ReactWidget.create(<Sentence trans={trans} />));
  return panel;
}
