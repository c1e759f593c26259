/**
 * Codes as sentences of the person's language.
 *
 * The service answers with a code, parameters and an English sentence. A code that is not known here
 * keeps the service's sentence. The service's sentences are in `catalogue.ts`, made of its own; their
 * hints name what can be clicked here, where the service's name what can be typed in a terminal.
 */

import { nullTranslator, TranslationBundle } from '@jupyterlab/translation';

import { NOT_COPIED, Sentences, SENTENCES } from './catalogue';
import { IFinding, INotCopiedItem, IProjectVersion } from './model';
import { count, duration, printable } from './units';

type Read = (name: string) => string;

const ENGLISH = nullTranslator.load('');

/** What happened, in the person's language. */
export function messageOf(trans: TranslationBundle, finding: IFinding): string {
  const [english] = sentence(ENGLISH, finding) ?? [];
  if (english === undefined || english.includes('<?>')) {
    // Sent by a service of another version, perhaps with other parameters.
    return printable(finding.message);
  }
  // A cause that only the service knows stands behind its sentence.
  const cause = finding.message.startsWith(english)
    ? finding.message.slice(english.length)
    : '';
  return sentence(trans, finding)![0] + printable(cause);
}

/** What to do now. */
export function hintOf(trans: TranslationBundle, finding: IFinding): string {
  const hint = sentence(trans, finding)?.[1];
  return hint === undefined || hint.includes('<?>')
    ? printable(finding.hint)
    : hint;
}

/** A finding of the panel's own, with the same English sentences that the service would send. */
export function ownFinding(
  code: string,
  params: IFinding['params'] = {}
): IFinding {
  const finding = { code, message: '', hint: '', params };
  const [message, hint] = sentence(ENGLISH, finding) ?? [code, ''];
  return { ...finding, message, hint };
}

/** What a table has for a code; a code may be any text, also `constructor`. */
function named<T>(table: Record<string, T>, code: string): T | undefined {
  return Object.hasOwn(table, code) ? table[code] : undefined;
}

function sentence(
  trans: TranslationBundle,
  finding: IFinding
): [string, string] | undefined {
  const { code, params } = finding;
  const words = named(SENTENCES, code) ?? named(OWN, code);
  return words?.(trans, reader(trans, finding), name => Number(params[name]));
}

/** `main @ 3f2c1a9 · 2 files changed`. */
export function versionLabel(
  trans: TranslationBundle,
  version: Pick<IProjectVersion, 'branch' | 'commit' | 'dirty_count'>
): string {
  if (version.commit === null) {
    return trans.__('no git');
  }
  const branch = version.branch
    ? printable(version.branch)
    : trans.__('detached');
  const where = `${branch} @ ${version.commit.slice(0, 7)}`;
  const changed = version.dirty_count;
  if (!changed) {
    return where;
  }
  const files = trans._n(
    '%2 file changed',
    '%2 files changed',
    changed,
    count(changed)
  );
  return `${where} · ${files}`;
}

/** What is not copied, and why. */
export function notCopied(
  trans: TranslationBundle,
  item: INotCopiedItem
): [name: string, reason: string] {
  const { code, name, reason } = item;
  const why = named(NOT_COPIED, code) ?? named(REASONS, code);
  return (
    named(ROWS, code)?.(trans, item) ?? [
      printable(name),
      why?.(trans) ?? printable(reason)
    ]
  );
}

function reader(trans: TranslationBundle, { code, params }: IFinding): Read {
  return name => {
    const value = params[name];
    if (/^estimate/.test(code) && typeof params.seconds === 'number') {
      return duration(trans, params.seconds);
    }
    if (code === 'version_as_is' && typeof params.changed === 'number') {
      return versionLabel(trans, {
        branch: typeof params.branch === 'string' ? params.branch : null,
        commit: typeof params.commit === 'string' ? params.commit : null,
        dirty_count: params.changed
      });
    }
    if (value === undefined || value === null) {
      return '<?>';
    }
    const text = (one: unknown) =>
      COUNTS.has(name) && typeof one === 'number'
        ? // The service's own sentence, to which the English one is compared, has commas.
          trans === ENGLISH
          ? one.toLocaleString('en')
          : count(one)
        : SPOKEN.has(name)
          ? word(trans, String(one))
          : printable(String(one));
    return Array.isArray(value) ? value.map(text).join(', ') : text(value);
  };
}

/** A parameter in the person's language, where it is one of the service's own words. */
function word(trans: TranslationBundle, value: string): string {
  return Object.hasOwn(WORDS, value) ? WORDS[value]!(trans) : printable(value);
}

/** Parameters that count something. */
const COUNTS = new Set(['count', 'files', 'total']);

/** Parameters that may be such words; a name or a path is what it is, even if it is `copy`. */
const SPOKEN = new Set([
  'action',
  'kind',
  'mounts',
  'problem',
  'reason',
  'state',
  'step',
  'wanted'
]);

type Words = (trans: TranslationBundle) => string;

const WORDS: Record<string, Words> = {
  queued: trans => trans.__('queued'),
  running: trans => trans.__('running'),
  cancelling: trans => trans.__('cancelling'),
  cancelled: trans => trans.__('cancelled'),
  failed: trans => trans.__('failed'),
  succeeded: trans => trans.__('succeeded'),
  stopped: trans => trans.__('stopped'),
  stopping: trans => trans.__('stopping'),
  gone: trans => trans.__('gone'),
  'queued or running': trans => trans.__('queued or running'),
  'failed or cancelled': trans => trans.__('failed or cancelled'),
  build: trans => trans.__('build'),
  copy: trans => trans.__('copy'),
  push: trans => trans.__('push'),
  launch: trans => trans.__('launch'),
  share: trans => trans.__('share'),
  none: trans => trans.__('none'),
  'it is the whole machine': trans => trans.__('it is the whole machine'),
  'it belongs to the system': trans => trans.__('it belongs to the system'),
  "the service's policy allows other folders only": trans =>
    trans.__("the service's policy allows other folders only"),
  'is not a folder that can be read here': trans =>
    trans.__('is not a folder that can be read here'),
  'is a file; a folder is needed': trans =>
    trans.__('is a file; a folder is needed'),
  'is not a folder': trans => trans.__('is not a folder'),
  'does not exist': trans => trans.__('does not exist'),
  "can't be read by this account": trans =>
    trans.__("can't be read by this account"),
  "can't be reached": trans => trans.__("can't be reached"),
  'has a name that is not UTF-8': trans =>
    trans.__('has a name that is not UTF-8'),
  "leads out of the server's folder": trans =>
    trans.__("leads out of the server's folder"),
  'cpu has to be a number of CPUs from 0.01 to 4096, such as 2 or 0.5': trans =>
    trans.__('CPU has to be a number from 0.01 to 4096, such as 2 or 0.5'),
  'memory has to be a size from 64M to 1024T, such as 512M or 2G': trans =>
    trans.__(
      'Memory has to be a number of GB such as 0.5 or 2, at least 0.0625 (64 MB)'
    ),
  'gpu has to be a whole number of GPUs from 0 to 64': trans =>
    trans.__('GPU has to be a whole number from 0 to 64'),
  'name has to be a name of at most 100 characters in one line': trans =>
    trans.__('Name has to be at most 100 characters in one line'),
  'version has to be a commit, tag or branch of the local repository': trans =>
    trans.__(
      'Version has to be a commit, tag or branch of the local repository'
    ),
  'it ended at once': trans => trans.__('it ended at once'),
  'it ran out of memory': trans => trans.__('it ran out of memory'),
  'it is not running': trans => trans.__('it is not running'),
  'it is not there': trans => trans.__('it is not there'),
  "the container's own layer": trans => trans.__("the container's own layer"),
  'a mount whose subPathExpr only the container knows': trans =>
    trans.__('a mount whose subPathExpr only the container knows')
};

/** Rows of *Not copied* that no path names. */
const ROWS: Record<
  string,
  (trans: TranslationBundle, item: INotCopiedItem) => [string, string]
> = {
  running_kernels: trans => [
    trans.__('running kernels'),
    trans.__('memory does not travel; notebooks do')
  ],
  packages_by_hand: trans => [
    trans.__('packages installed by hand'),
    trans.__('only what the Dockerfile installs is rebuilt')
  ],
  home_folder: trans => [
    trans.__('the rest of your home folder'),
    trans.__('credentials, settings and shell history stay yours')
  ],
  git_history: trans => [
    trans.__('git history'),
    trans.__("it lies outside the project's folder")
  ],
  never_copied: (trans, { files }) => [
    trans._n('%2 more', '%2 more', files ?? 0, count(files ?? 0)),
    trans.__('never copied')
  ],
  more_listed: (trans, { reason }) => [
    '…',
    trans.__(
      'and %1 more, which the metadata file lists',
      /\d+/.exec(reason)?.[0] ?? '?'
    )
  ]
};

/** Why what a path names is not copied, where the copier itself does not say it (`NOT_COPIED`). */
const REASONS: Record<string, Words> = {
  no_content: trans =>
    trans.__('devices, sockets and pipes have no content to copy'),
  other_mount: trans => trans.__('a mount of its own; take it along as data'),
  not_there: trans => trans.__('was there for the plan and not for the copy'),
  links_dangle: trans => trans.__('leads nowhere in the copy'),
  filters_not_applied: trans =>
    trans.__('is as git stores it, without its filter, encoding or line ends'),
  git_fails: trans => trans.__('git does not work there in the copy'),
  git_outside: trans =>
    trans.__("the git history lies outside the project's folder"),
  database_in_use: trans =>
    trans.__('may have been written to while it was copied'),
  unsaved_documents: trans =>
    trans.__('its unsaved changes are not in the copy'),
  unseen_inside: trans => trans.__('were not looked at from inside the copy'),
  unreadable_inside: trans => trans.__("can't be read in the copy"),
  unwritable_inside: trans => trans.__("can't be written in the copy"),
  attribute_lost: trans =>
    trans.__('an extended attribute of it does not travel')
};

/** What only the panel says. */
const OWN: Record<string, Sentences> = {
  not_saved: (trans, p) => [
    trans.__(
      'Open documents could not be saved (%1, such as %2).',
      p('count'),
      p('first')
    ),
    trans.__('Save or close them, or share them as they were last saved.')
  ],
  jupyter_unreachable: trans => [
    trans.__('The Jupyter server does not answer.'),
    trans.__(
      'Check that it runs and that your network reaches it; this panel tries again by itself.'
    )
  ],
  extension_missing: trans => [
    trans.__('The server part of this extension is not enabled.'),
    trans.__(
      'Run `jupyter server extension enable jupyter_secxops_migrate` and start Jupyter again.'
    )
  ],
  no_address: trans => [
    trans.__('This environment has no address.'),
    trans.__('Start it, then open it.')
  ],
  popup_blocked: trans => [
    trans.__('The browser did not open a new tab.'),
    trans.__('Allow pop-ups for this page, then open it again.')
  ],
  stream_ended: trans => [
    trans.__('The connection to the service was interrupted.'),
    ''
  ],
  unexpected_answer: (trans, p) => [
    trans.__('The server answered with status %1.', p('status')),
    trans.__('Reload the page; if that does not help, ask your admin.')
  ]
};
