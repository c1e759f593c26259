/** The panel's place in the left area; what is in it is loaded when it is first shown. */

import { TranslationBundle } from '@jupyterlab/translation';
import { Message } from '@lumino/messaging';
import { Panel, Widget } from '@lumino/widgets';

import { shareIcon } from './icon';

/** What can be put into the panel. */
export interface IContent {
  widget: Widget;
}

export class LazyPanel<T extends IContent> extends Panel {
  constructor(
    private readonly trans: TranslationBundle,
    private readonly make: () => Promise<T>
  ) {
    super();
    this.id = 'jupyter-secxops-panel';
    this.addClass('jp-secxops-Panel');
    this.title.icon = shareIcon;
    this.title.caption = trans.__('Share environment');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', trans.__('Share environment'));
  }

  /** Load what is in the panel, once; null where it could not be loaded, which the panel says. */
  load(): Promise<T | null> {
    this._content ??= this.make().then(
      content => {
        this._note?.dispose();
        this.addWidget(content.widget);
        return content;
      },
      () => {
        this._content = null;
        this._say();
        return null;
      }
    );
    return this._content;
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    void this.load();
  }

  protected override onActivateRequest(message: Message): void {
    super.onActivateRequest(message);
    void this.load().then(() => {
      if (!this.node.contains(document.activeElement)) {
        this.node.querySelector('button')?.focus();
      }
    });
  }

  private _say(): void {
    this._note?.dispose();
    const note = new Widget();
    note.addClass('jp-secxops-Note');
    const sentence = document.createElement('p');
    sentence.textContent = this.trans.__(
      'The panel could not be loaded. Is the Jupyter server there?'
    );
    const button = document.createElement('button');
    button.type = 'button';
    button.className = 'jp-mod-styled';
    button.textContent = this.trans.__('Try again');
    button.onclick = () => void this.load();
    note.node.append(sentence, button);
    this._note = note;
    this.addWidget(note);
  }

  private _content: Promise<T | null> | null = null;
  private _note: Widget | null = null;
}
