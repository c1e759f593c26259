/**
 * The service's codes as sentences of the person's language.
 *
 * The service answers with a code, parameters and an English sentence. A code that is not here
 * keeps the service's sentence. Hints name what can be clicked here, where the service's own name
 * what can be typed in a terminal. A test compares the codes with those of `errors.py` and
 * `migration/plan.py`.
 */

import { nullTranslator, TranslationBundle } from '@jupyterlab/translation';

import { IFinding, INotCopiedItem, IProjectVersion } from './model';
import { count, duration } from './units';

type Read = (name: string) => string;
type Sentences = (trans: TranslationBundle, p: Read) => [string, string];

const ENGLISH = nullTranslator.load('');

/** What happened, in the person's language. */
export function messageOf(trans: TranslationBundle, finding: IFinding): string {
  const make = SENTENCES[finding.code];
  if (!make) {
    return finding.message;
  }
  const [english] = make(ENGLISH, reader(ENGLISH, finding));
  if (english.includes('<?>')) {
    // Sent by a service of another version, with other parameters.
    return finding.message;
  }
  // A cause that only the service knows stands behind its sentence.
  const cause = finding.message.startsWith(english)
    ? finding.message.slice(english.length)
    : '';
  return make(trans, reader(trans, finding))[0] + cause;
}

/** What to do now. */
export function hintOf(trans: TranslationBundle, finding: IFinding): string {
  const hint = SENTENCES[finding.code]?.(trans, reader(trans, finding))[1];
  return hint === undefined || hint.includes('<?>') ? finding.hint : hint;
}

/** `main @ 3f2c1a9 · 2 files changed`. */
export function versionLabel(
  trans: TranslationBundle,
  version: Pick<IProjectVersion, 'branch' | 'commit' | 'dirty_count'>
): string {
  if (version.commit === null) {
    return trans.__('no git');
  }
  const branch = version.branch ?? trans.__('detached');
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
  const row = item.code ? ROWS[item.code]?.(trans, item) : undefined;
  return row ?? [item.name, REASONS[item.code ?? '']?.(trans) ?? item.reason];
}

function reader(trans: TranslationBundle, { code, params }: IFinding): Read {
  return name => {
    const value = params[name];
    if (code === 'estimate' && typeof params.seconds === 'number') {
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
      SPOKEN.has(name) ? word(trans, String(one)) : String(one);
    return Array.isArray(value) ? value.map(text).join(', ') : text(value);
  };
}

/** A parameter in the person's language, where it is one of the service's own words. */
function word(trans: TranslationBundle, value: string): string {
  return Object.hasOwn(WORDS, value) ? WORDS[value]!(trans) : value;
}

/** Parameters that may be such words; a name or a path is what it is, even if it is `copy`. */
const SPOKEN = new Set([
  'action',
  'kind',
  'mounts',
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

/** Why what a path names is not copied. */
const REASONS: Record<string, Words> = {
  no_content: trans =>
    trans.__('devices, sockets and pipes have no content to copy'),
  other_mount: trans => trans.__('a mount of its own; take it along as data'),
  owner_keys: trans => trans.__('keys of its owner'),
  cloud_credentials: trans => trans.__('cloud credentials'),
  registry_credentials: trans => trans.__('registry credentials'),
  stored_passwords: trans => trans.__('stored passwords'),
  access_tokens: trans => trans.__('access tokens'),
  runs_by_itself: trans => trans.__('would run by itself when Jupyter starts'),
  jupyter_secret: trans => trans.__("a secret of its owner's Jupyter"),
  command_history: trans => trans.__('history of commands'),
  running_jupyter: trans => trans.__('belongs to a running Jupyter'),
  interrupted_copy: trans => trans.__('left by an interrupted copy'),
  vanished: trans => trans.__('vanished while it was copied'),
  replaced: trans =>
    trans.__('was replaced by something else while it was copied'),
  setuid: trans => trans.__('set-user-id or set-group-id file'),
  named_pipe: trans => trans.__('named pipe'),
  socket: trans => trans.__('socket'),
  device: trans => trans.__('device'),
  special_file: trans => trans.__('special file'),
  copy_itself: trans => trans.__('is where the copy is made'),
  in_backup: trans => trans.__('is in the backup of its SQLite database'),
  no_file_name: trans => trans.__('is not a name of a file'),
  submodule: trans => trans.__('git submodule, which a commit only names'),
  too_large_to_search: trans =>
    trans.__('too large to be searched for credentials'),
  attribute_lost: trans =>
    trans.__('an extended attribute of it does not travel')
};

const SENTENCES: Record<string, Sentences> = {
  internal: trans => [
    trans.__('Something went wrong inside the migration service.'),
    trans.__(
      "Run `jupyter secxops doctor`; the service's log file (its path is shown there) has details."
    )
  ],
  invalid_request: (trans, p) => [
    trans.__('The request is not valid: %1.', p('reason')),
    trans.__('Correct it and try again.')
  ],
  request_too_large: (trans, p) => [
    trans.__('The request is larger than %1 bytes.', p('limit')),
    trans.__('Send only the documented fields.')
  ],
  unauthenticated: trans => [
    trans.__('You are not signed in.'),
    trans.__('Sign in to Jupyter, or send its token.')
  ],
  forbidden: (trans, p) => [
    trans.__('You may not do this.'),
    trans.__(
      'Ask the admin of this Jupyter for the right to %1 environments.',
      p('action')
    )
  ],
  not_found: (trans, p) => [
    trans.__('There is no share %1 of yours.', p('id')),
    trans.__('It may have been deleted elsewhere; the list shows yours.')
  ],
  no_such_route: trans => [
    trans.__('There is nothing at this address.'),
    trans.__(
      'The reference in the documentation lists the routes; `openapi.yaml` is beside them.'
    )
  ],
  method_not_allowed: (trans, p) => [
    trans.__('This address does not take %1.', p('method')),
    trans.__("The answer's Allow header lists what it takes.")
  ],
  no_such_path: (trans, p) => [
    trans.__('%1 is not a folder that can be read here.', p('path')),
    trans.__(
      'Check the path; relative paths start at the folder in which Jupyter was started.'
    )
  ],
  no_such_version: (trans, p) => [
    trans.__('The project has no version named %1.', p('version')),
    trans.__(
      'Use a commit, tag or branch that `git log` shows here; nothing is fetched.'
    )
  ],
  wrong_state: (trans, p) => [
    trans.__("This can't be done while the share is %1.", p('state')),
    trans.__('Wait until it is %1, or cancel it first.', p('wanted'))
  ],
  idempotency_conflict: trans => [
    trans.__('This Idempotency-Key was used before for a different request.'),
    trans.__('Use a new key for a new request.')
  ],
  no_dockerfile: (trans, p) => [
    trans.__(
      '%1 has no Dockerfile in this version, so there is no recipe for its environment.',
      p('project')
    ),
    trans.__(
      'Write a file named Dockerfile in %1, for example: FROM python:3.12-slim, then RUN pip install jupyterlab and your packages. Then check again.',
      p('project')
    )
  ],
  bad_dockerfile: (trans, p) => [
    trans.__(
      "The Dockerfile can't be used: %1 (line %2).",
      p('reason'),
      p('line')
    ),
    trans.__('Correct line %1 of the Dockerfile and check again.', p('line'))
  ],
  dockerfile_needs_buildkit: (trans, p) => [
    trans.__(
      'Line %1 of the Dockerfile (%2) needs BuildKit, or a newer one than this engine has.',
      p('line'),
      p('instruction')
    ),
    trans.__(
      'Rewrite line %1 without %2, or ask your admin for a newer Docker Engine.',
      p('line'),
      p('feature')
    )
  ],
  image_holds_project: (trans, p) => [
    trans.__(
      'Line %1 of the Dockerfile copies %2 files of the project (%3) into the image; the image is to hold the environment only.',
      p('line'),
      p('files'),
      p('size')
    ),
    trans.__(
      'Code and data are copied into volumes anyway: remove the COPY, or list the files in .dockerignore.'
    )
  ],
  on_container_layer: (trans, p) => [
    trans.__(
      '%1 lies inside the container itself, not on a volume, so nothing else can reach it.',
      p('path')
    ),
    trans.__(
      'Move it to a mounted folder (%1), or start the container with a volume there.',
      p('mounts')
    )
  ],
  memory_short: (trans, p) => [
    trans.__(
      '%1 has %2 of memory free and %3 are asked for.',
      p('node'),
      p('free'),
      p('asked')
    ),
    trans.__(
      'Ask for less memory, stop something there, or ask your admin for a larger node.'
    )
  ],
  disk_short: (trans, p) => [
    trans.__(
      '%1 has %2 of disk free; the copy needs about %3.',
      p('node'),
      p('free'),
      p('needed')
    ),
    trans.__('Leave out data, delete old shares, or free disk there.')
  ],
  cpu_overcommitted: (trans, p) => [
    trans.__(
      '%1 has %2 of CPU free and %3 are asked for: the environments will share it and be slower.',
      p('node'),
      p('free'),
      p('asked')
    ),
    trans.__('Ask for less CPU or stop something there.')
  ],
  cpu_short: (trans, p) => [
    trans.__(
      '%1 has %2 CPUs and %3 are asked for.',
      p('node'),
      p('total'),
      p('asked')
    ),
    trans.__('Ask for at most %1.', p('total'))
  ],
  gpu_missing: (trans, p) => [
    trans.__(
      '%1 has %2 GPUs free and %3 are asked for.',
      p('node'),
      p('free'),
      p('asked')
    ),
    trans.__('Share without a GPU, or ask your admin for a node with GPUs.')
  ],
  registry_missing: (trans, p) => [
    trans.__(
      'It has to run on another node than %1, and no registry is set by which that could have its image.',
      p('node')
    ),
    trans.__(
      'Ask for what %1 has (--cpu, --memory, --gpu), or ask your admin to set a registry (%2).',
      p('node'),
      'KubernetesEngine.registry_address'
    )
  ],
  no_node_fits: (trans, p) => [
    trans.__(
      "It fits on none of the cluster's %1 nodes; the closest, %2, lacks: %3.",
      p('total'),
      p('node'),
      p('lacks')
    ),
    trans.__(
      'Ask for less, stop something there, or ask your admin for a larger node.'
    )
  ],
  path_not_allowed: (trans, p) => [
    trans.__('%1 may not be copied: %2.', p('path'), p('reason')),
    trans.__('Choose a folder that belongs to the project or its data.')
  ],
  already_sharing: (trans, p) => [
    trans.__('%1 is being shared already (%2).', p('name'), p('id')),
    trans.__('Wait for it, cancel it, or give this share another name.')
  ],
  build_failed: (trans, p) => [
    trans.__(
      'The image build failed at line %1 of the Dockerfile: %2',
      p('line'),
      p('instruction')
    ),
    trans.__(
      'Read the last lines of the log, correct line %1, and retry.',
      p('line')
    )
  ],
  image_without_jupyter: trans => [
    trans.__('The image was built, but JupyterLab is not in it.'),
    trans.__('Add `RUN pip install jupyterlab` to the Dockerfile and retry.')
  ],
  image_user_unknown: (trans, p) => [
    trans.__(
      'The image does not say by a number which user runs it: %1.',
      p('reason')
    ),
    trans.__(
      'Write `USER 1000` at the end of the Dockerfile, or another number than 0, and retry.'
    )
  ],
  copy_failed: (trans, p) => [
    trans.__('Copying %1 failed: %2.', p('path'), p('reason')),
    trans.__('Correct the cause and retry; the source was not changed.')
  ],
  file_unreadable: (trans, p) => [
    trans.__(
      "%1 files under %2 can't be read, the first is %3.",
      p('count'),
      p('path'),
      p('first')
    ),
    trans.__(
      'Make them readable for yourself, or move them out of the project, and retry.'
    )
  ],
  file_changing: (trans, p) => [
    trans.__(
      '%1 files under %2 kept changing while they were copied, the first is %3.',
      p('count'),
      p('path'),
      p('first')
    ),
    trans.__('Stop what writes to them (a running notebook?) and retry.')
  ],
  disk_full: (trans, p) => [
    trans.__('The disk became full during the %1.', p('step')),
    trans.__('Delete old shares or free disk there, and retry.')
  ],
  verify_failed: (trans, p) => [
    trans.__(
      '%1 files of the copy differ from what left %2, the first is %3.',
      p('count'),
      p('path'),
      p('first')
    ),
    trans.__(
      'Retry; if it happens again, the disk or memory of %1 is suspect: tell your admin.',
      p('node')
    )
  ],
  image_mismatch: (trans, p) => [
    trans.__(
      'The container runs image %1, not the one that was built (%2).',
      p('running'),
      p('built')
    ),
    trans.__(
      'Retry; if it happens again, tell your admin: something changes tags on %1.',
      p('node')
    )
  ],
  image_and_code_differ: (trans, p) => [
    trans.__(
      '%1 files changed between building the image and copying the code, the first is %2.',
      p('count'),
      p('first')
    ),
    trans.__('Stop what writes to them and retry.')
  ],
  launch_failed: (trans, p) => [
    trans.__('The environment did not start: %1.', p('reason')),
    trans.__(
      'Read the last lines of the log, correct the Dockerfile, and retry.'
    )
  ],
  cancelled: trans => [
    trans.__('The share was cancelled.'),
    trans.__('Nothing is left behind; share again when you like.')
  ],
  base_image_missing: (trans, p) => [
    trans.__(
      "The image %1, which the Dockerfile starts FROM, can't be found or pulled.",
      p('image')
    ),
    trans.__(
      'Check its name and that this machine reaches its registry, or load it with `docker load`.'
    )
  ],
  engine_forbidden: (trans, p) => [
    trans.__(
      'Your account may not use the container engine at %1.',
      p('endpoint')
    ),
    trans.__(
      'Ask your admin to add you to the group that owns it (`sudo usermod -aG docker $USER`, then sign in again). Whoever may use it is root on this machine.'
    )
  ],
  certificates_unreadable: (trans, p) => [
    trans.__("The CA bundle %1 can't be read: %2.", p('path'), p('reason')),
    trans.__(
      'Correct the setting DockerEngine.ca_bundle, or make the file readable.'
    )
  ],
  tools_image_missing: (trans, p) => [
    trans.__("The tools image can't be made: %1.", p('reason')),
    trans.__(
      'Name a base image with Python 3.10 or newer that this engine has or can pull (setting DockerEngine.tools_base), or a ready tools image (DockerEngine.tools_image).'
    )
  ],
  strategy_unknown: (trans, p) => [
    trans.__('%1.', p('reason')),
    trans.__(
      'Correct ResourcePolicy.strategy, or install what brings that strategy.'
    )
  ],
  engine_unknown: (trans, p) => [
    trans.__(
      'There is no engine %1; installed are %2.',
      p('engine'),
      p('known')
    ),
    trans.__(
      'Correct SecxopsService.engine (or SECXOPS_ENGINE), or install what brings that engine.'
    )
  ],
  cluster_unavailable: (trans, p) => [
    trans.__(
      "The cluster's API server does not answer at %1: %2.",
      p('endpoint'),
      p('reason')
    ),
    trans.__(
      'Check the kubeconfig (`kubectl get pods`) and the network, then retry.'
    )
  ],
  node_unreachable: (trans, p) => [
    trans.__('The node %1 does not answer: %2.', p('node'), p('reason')),
    trans.__(
      'Wait until it is ready again (`kubectl get nodes`) and retry, or tell your admin.'
    )
  ],
  cluster_forbidden: (trans, p) => [
    trans.__(
      'The cluster does not let this account %1: %2.',
      p('action'),
      p('reason')
    ),
    trans.__(
      "Ask your admin for the Role of the operators' guide; `jupyter secxops doctor` names what is missing."
    )
  ],
  namespace_gone: (trans, p) => [
    trans.__("The cluster can't %1: %2.", p('action'), p('reason')),
    trans.__(
      'All that shares had in that namespace goes with it. Share again in a namespace that stays.'
    )
  ],
  cluster_refused: (trans, p) => [
    trans.__('The cluster refused to %1: %2.', p('action'), p('reason')),
    trans.__('Tell your admin what it said; nothing was changed.')
  ],
  quota_exceeded: (trans, p) => [
    trans.__(
      "The namespace's quota does not allow to %1: %2.",
      p('action'),
      p('reason')
    ),
    trans.__('Delete old shares, or ask your admin for a larger quota.')
  ],
  pod_security: (trans, p) => [
    trans.__(
      "The namespace's Pod Security does not allow to %1: %2.",
      p('action'),
      p('reason')
    ),
    trans.__(
      "Ask your admin to set the level that the operators' guide names for this namespace."
    )
  ],
  source_unusable: (trans, p) => [
    trans.__("The pod %1 can't be shared: %2.", p('pod'), p('reason')),
    trans.__(
      'Name a running notebook pod: --pod POD or POD/CONTAINER, or KubernetesEngine.source_pod and source_container.'
    )
  ],
  claim_unusable: (trans, p) => [
    trans.__(
      "The volume claim %1 can't be copied: %2.",
      p('claim'),
      p('reason')
    ),
    trans.__(
      'Move the files to a folder on another claim, or ask your admin (KubernetesEngine.storage_classes chooses the class of copies).'
    )
  ],
  not_on_claim: (trans, p) => [
    trans.__(
      '%1 lies on %2, which no other pod can mount.',
      p('path'),
      p('kind')
    ),
    trans.__(
      'Move it to a folder on a persistent volume claim (%1).',
      p('mounts')
    )
  ],
  unschedulable: (trans, p) => [
    trans.__('The scheduler finds no node for %1: %2', p('pod'), p('reason')),
    trans.__('Ask for less, stop something there, or tell your admin.')
  ],
  image_unpullable: (trans, p) => [
    trans.__(
      "The node %1 can't pull %2: %3.",
      p('node'),
      p('image'),
      p('reason')
    ),
    trans.__(
      'Ask your admin to check the pull secret and that the nodes trust the registry.'
    )
  ],
  registry_failed: (trans, p) => [
    trans.__(
      'The registry %1 could not %2: %3.',
      p('registry'),
      p('action'),
      p('reason')
    ),
    trans.__(
      'Retry; if it happens again, ask your admin about the registry and its quota.'
    )
  ],
  builder_missing: (trans, p) => [
    trans.__('No image builder is ready on node %1.', p('node')),
    trans.__(
      "Ask your admin to apply the builder of the operators' guide (namespace %1).",
      p('namespace')
    )
  ],
  engine_unavailable: (trans, p) => [
    trans.__('No container engine answers at %1.', p('endpoint')),
    trans.__(
      'Start Docker (`sudo systemctl start docker`), or set DOCKER_HOST to where it listens.'
    )
  ],
  engine_failed: (trans, p) => [
    trans.__(
      'The container engine could not %1: %2.',
      p('action'),
      p('reason')
    ),
    trans.__('Run `jupyter secxops doctor`, then retry.')
  ],
  service_unavailable: (trans, p) => [
    trans.__('The migration service does not answer.'),
    trans.__(
      'Read its log file %1, or run `jupyter secxops serve` to see why it does not start.',
      p('log')
    )
  ],
  store_locked: (trans, p) => [
    trans.__(
      'Another migration service (process %1) works on this store.',
      p('pid')
    ),
    trans.__('Use that one, or stop it first.')
  ],
  stays_here: (trans, p) => [
    trans.__(
      'Here, on node %1: %2 CPU and %3 of memory are free.',
      p('node'),
      p('cpu'),
      p('memory')
    ),
    ''
  ],
  fits_here: (trans, p) => [
    trans.__(
      'Here, on node %1: %2 CPU and %3 of memory are free.',
      p('node'),
      p('cpu'),
      p('memory')
    ),
    ''
  ],
  here_unseen: (trans, p) => [
    trans.__(
      "Here, on node %1, if the scheduler agrees: its room can't be seen.",
      p('node')
    ),
    ''
  ],
  from_outside: (trans, p) => [
    trans.__('The source is %1, seen from outside.', p('source')),
    ''
  ],
  gpu_asked: trans => [
    trans.__('It asks for a GPU, so the scheduler chooses the node.'),
    ''
  ],
  node_short: (trans, p) => [
    trans.__('It does not fit on node %1: %2.', p('node'), p('lacks')),
    ''
  ],
  node_gone: (trans, p) => [
    trans.__('The node %1 of the source is not there any more.', p('node')),
    ''
  ],
  storage_unseen: (trans, p) => [
    trans.__(
      'This account may not see %1: whether the copies get their storage shows when they are made.',
      p('what')
    ),
    trans.__(
      "An admin can allow it (Role secxops and ClusterRole secxops-placement of the operators' guide)."
    )
  ],
  stay_failed: (trans, p) => [
    trans.__(
      'The scheduler found no room for it on node %1 any more.',
      p('node')
    ),
    ''
  ],
  moves: (trans, p) => [
    trans.__(
      'It moves: it fits on %1 of %2 nodes, and by %3 will be on %4.',
      p('fitting'),
      p('total'),
      p('strategy'),
      p('forecast')
    ),
    ''
  ],
  moves_unseen: (trans, p) => [
    trans.__(
      'It moves to a node that the scheduler chooses by %1.',
      p('strategy')
    ),
    ''
  ],
  unseen: (trans, p) => [
    trans.__(
      'This account may not see %1 of the cluster: the scheduler decides.',
      p('what')
    ),
    trans.__(
      "An admin can allow it (ClusterRole secxops-placement of the operators' guide)."
    )
  ],
  version_asked: (trans, p) => [
    trans.__(
      'The files of version %1 (%2) are shared.',
      p('version'),
      p('commit')
    ),
    ''
  ],
  version_as_is: (trans, p) => [
    trans.__('The files are shared as they are now (%1).', p('label')),
    ''
  ],
  defaults_used: (trans, p) => [
    trans.__(
      '%1 CPU and %2 of memory, as no others were asked for.',
      p('cpu'),
      p('memory')
    ),
    ''
  ],
  shares_no_data: trans => [
    trans.__('Shares no data.'),
    trans.__('Tick the data that is to come along.')
  ],
  estimate: (trans, p) => [
    trans.__(
      'It will take about %1, most of it the first build.',
      p('duration')
    ),
    ''
  ],
  remote_add: (trans, p) => [
    trans.__(
      "Line %1 of the Dockerfile downloads %2 at build time; the copy's proof does not cover it.",
      p('line'),
      p('url')
    ),
    trans.__(
      'Put the file into the project, or fetch it in RUN with its checksum.'
    )
  ],
  data_moves: (trans, p) => [
    trans.__(
      '%1 lies inside the project and will be at %2.',
      p('source'),
      p('mount')
    ),
    trans.__('Give its path to the notebooks as a setting.')
  ],
  base_not_here: (trans, p) => [
    trans.__(
      'The image %1, which the Dockerfile starts FROM, is not on %2 yet and will be pulled.',
      p('image'),
      p('node')
    ),
    ''
  ],
  mount_inside: (trans, p) => [
    trans.__(
      '%1 is a mount of its own inside %2: what lies there is not copied.',
      p('path'),
      p('folder')
    ),
    trans.__('Add it as data to take it along.')
  ],
  whole_home: (trans, p) => [
    trans.__(
      '%1 is a whole home folder; everything in it but credentials would be copied.',
      p('path')
    ),
    trans.__("Share the project's own folder instead.")
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
