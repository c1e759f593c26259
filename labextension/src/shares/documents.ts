/** The documents that are open here: which is in front, and which have changes that no file has. */

import { JupyterFrontEnd } from '@jupyterlab/application';
import { IDocumentManager } from '@jupyterlab/docmanager';

import { Api, ApiError } from '../core/api';
import { IPlan, IShareRequest } from '../core/model';
import { ownFinding } from '../core/sentences';

type Context = NonNullable<ReturnType<IDocumentManager['contextForWidget']>>;

/** As many as a request may name. */
const MOST = 200;
const AREAS = ['main', 'down', 'left', 'right'];
/** Collaborative documents are saved by the server, a moment after the last change. */
const SERVER_SAVES = 5000;

export class Documents {
  constructor(
    private readonly app: JupyterFrontEnd,
    /** Null where this application has none. */
    readonly manager: IDocumentManager | null
  ) {}

  /** The path of the document in front, as the Contents API names it; null without one. */
  front(): string | null {
    const widget = this.app.shell.currentWidget;
    const context = widget && this.manager?.contextForWidget(widget);
    return context ? this._local(context) : null;
  }

  /** The paths of those with unsaved changes. */
  unsaved(): string[] {
    return [...this._dirty().keys()].slice(0, MOST);
  }

  /**
   * Save those with unsaved changes that a share would take; returns how many these were.
   *
   * `known` is a plan of this request for these documents, if there is one. Fails, by name, where one
   * can't be saved.
   */
  async saveFor(
    api: Api,
    request: IShareRequest,
    known: IPlan | null = null
  ): Promise<number> {
    const dirty = this._dirty();
    const unsaved = this.unsaved();
    if (!unsaved.length) {
      return 0;
    }
    const plan = known ?? (await api.plan({ ...request, unsaved }));
    const wanted = sharedUnsaved(plan).flatMap(n => unsaved[n] ?? []);
    const failed: string[] = [];
    for (const path of wanted) {
      if (!(await saved(dirty.get(path)!))) {
        failed.push(path);
      }
    }
    const [first] = failed;
    if (first !== undefined) {
      const params = { count: failed.length, first, paths: failed };
      throw new ApiError(ownFinding('not_saved', params));
    }
    return wanted.length;
  }

  private _dirty(): Map<string, Context> {
    const found = new Map<string, Context>();
    for (const area of this.manager ? AREAS : []) {
      for (const widget of widgets(this.app, area)) {
        const context = this.manager?.contextForWidget(widget);
        if (context?.model.dirty) {
          found.set(this._local(context), context);
        }
      }
    }
    return found;
  }

  private _local(context: Context): string {
    return this.app.serviceManager.contents.localPath(context.path);
  }
}

/** Which of a request's unsaved documents are among what is shared. */
function sharedUnsaved(plan: IPlan): number[] {
  const which: unknown = plan.warnings.find(
    one => one.code === 'unsaved_documents'
  )?.params.which;
  return Array.isArray(which) ? which.filter(n => typeof n === 'number') : [];
}

function widgets(app: JupyterFrontEnd, area: string) {
  try {
    return [...app.shell.widgets(area)];
  } catch {
    return []; // this application has no such area
  }
}

async function saved(context: Context): Promise<boolean> {
  if (context.contentsModel?.writable === false) {
    return false;
  }
  try {
    if (context.model.collaborative) {
      const until = Date.now() + SERVER_SAVES;
      while (context.model.dirty && Date.now() < until) {
        await new Promise(resolve => window.setTimeout(resolve, 100));
      }
    }
    if (context.model.dirty) {
      // Asks what to do where the file was changed on the disk meanwhile.
      await context.save();
    }
  } catch {
    return false;
  }
  return !context.model.dirty;
}
