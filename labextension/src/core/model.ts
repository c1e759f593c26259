/**
 * What the service says and takes: made of its contract, `openapi.yaml`, by scripts/catalogues.py.
 *
 * Sizes are bytes, times are UTC in RFC 3339, CPUs are cores. An answer has every field; requests and events
 * have those that they need.
 */

/**
 * A row of *Copied*: `role` is `code`, `data` or `packages`. `transient` of its files are such as
 * programs make and remove by themselves, in `.git` for one; null where nobody knows.
 */
export interface ICopiedItem {
  role: 'code' | 'data' | 'packages';
  name: string;
  source: string;
  mount: string | null;
  files: number | null;
  bytes: number | null;
  transient: number | null;
}

/** The running source environment of a project, as far as it can be seen from here. */
export interface IEnvironment {
  project: IFolder;
  version: IProjectVersion;
  dockerfile: string | null;
  data: IFolder[];
  engine: string | null;
  kind: 'host' | 'container' | 'pod';
  container: string | null;
  image: string | null;
  cpu: number | null;
  memory: number | null;
  gpu: number;
  node: INodeCapacity | null;
  problems: IFinding[];
}

/** The launched environment, observed. */
export type EnvironmentStatus =
  'starting' | 'running' | 'stopping' | 'stopped' | 'gone';

/**
 * One entry of the global sequence `id`; `kind` says which of the other fields are set. `state`
 * carries the share's new state, `step` a step as it is now, `log` one line of its log,
 * `environment` a change of the launched environment.
 */
export interface IEvent {
  id: number;
  time: string;
  migration: string;
  subject: ISubject;
  kind: 'state' | 'step' | 'log' | 'environment' | 'deleted';
  state?: MigrationState | null;
  step?: IStep | null;
  line?: string | null;
  status?: EnvironmentStatus | null;
}

/**
 * The proof: what was built and runs, what left and arrived, what was seen of the nodes.
 *
 * `files_left` and `bytes_left` are all files that were seen in the folders taken; 0 where an
 * earlier version made the share. `left_out` and `changed` sum up, a row for each reason, which of
 * them did not arrive and which arrived otherwise than they were.
 *
 * Each decision has its `observations` of the source's node, and on a cluster its `placements`, as
 * `Plan.placement` has them: that of the plan first, then that before the launch.
 */
export interface IEvidence {
  files_left: number;
  bytes_left: number;
  files_equal: number;
  bytes_equal: number;
  left_out: INotCopiedItem[];
  changed: INotCopiedItem[];
  /** Copied files, folders and links that the environment's own user sees where they should be. */
  seen_inside: number;
  differences: number;
  image_built: string | null;
  image_running: string | null;
  manifests: Record<string, string>;
  observations: INodeCapacity[];
  placements: Record<string, unknown>[];
  owner_map: Record<string, string>;
  /** Files that may hold credentials, copied because the request names them. */
  kept: INotCopiedItem[];
  rebuilt_from_copy: boolean;
}

/** A warning, refusal or reason: a stable code, its sentence, and what to do. */
export interface IFinding {
  code: string;
  message: string;
  hint: string;
  params: Record<string, unknown>;
}

/**
 * A tree of files at the source: the project's code, or one data folder. `mount` is where the
 * source has it mounted (None on a host, which has no mount). `disk` is how many of its bytes take
 * room on a disk (a sparse file has fewer than it is large); None if nobody knows. `transient` is
 * how many of its files programs make and remove by themselves; None if nobody knows.
 */
export interface IFolder {
  path: string;
  name: string;
  mount: string | null;
  files: number;
  bytes: number;
  disk: number | null;
  transient: number | null;
}

/**
 * The image that was built. `digest` is its id, `sha256:…`; `size` is in bytes. `entrypoint` says
 * what becomes of its own entrypoint; it `runs`, with JupyterLab as its argument, is `jupyter`
 * itself, is `bypassed`, or there is `none`; empty where that is not known. `command` is
 * `replaced` where the image's own command starts JupyterLab by way of another program that did
 * not answer.
 */
export interface IImageResult {
  reference: string;
  digest: string;
  size: number;
  entrypoint: string;
  command: string;
}

/** What became of the environment that a share launched. */
export interface ILaunchedEnvironment {
  status: EnvironmentStatus;
}

/**
 * The durable record of one share. `adopted` says that the record was lost and made anew of what
 * the engine has. `changes` is only there where it was asked for and can be said.
 */
export interface IMigration {
  id: string;
  owner: string;
  name: string;
  state: MigrationState;
  created: string;
  started: string | null;
  finished: string | null;
  attempt: number;
  request: IShareRequest;
  plan: IPlan | null;
  plans: IPlan[];
  steps: IStep[];
  environment: ILaunchedEnvironment | null;
  changes: ISourceChanges | null;
  result: IMigrationResult | null;
  error: IFinding | null;
  adopted: boolean;
}

/**
 * What a succeeded share made. `url` has a token only where the owner asks for it. Where `connect`
 * is set, that command, run where the browser is, makes it reachable. `front` is the document that
 * `url` opens, relative to the code.
 */
export interface IMigrationResult {
  url: string | null;
  connect: string | null;
  front: string | null;
  place: IPlace | null;
  image: IImageResult | null;
  volumes: IVolumeResult[];
  evidence: IEvidence;
}

/** The state of a share; the last three are final. */
export type MigrationState =
  'queued' | 'running' | 'cancelling' | 'cancelled' | 'failed' | 'succeeded';

/**
 * What a node has and what is left, as the resource policy counts it. `requested` sums the limits
 * of what runs there; `memory_available` and `disk_available` are measured, None where they can't
 * be. `unseen` says what of it this account can't see: of `pods` nothing is summed, of a `node` no
 * number is known; such numbers are 0.
 */
export interface INodeCapacity {
  node: string;
  cpu: number;
  cpu_requested: number;
  memory: number;
  memory_requested: number;
  memory_available: number | null;
  disk: number | null;
  disk_available: number | null;
  gpu: number;
  gpu_requested: number;
  unseen: '' | 'pods' | 'node';
  observed: string;
}

/**
 * A row of what does not arrive, or arrives changed, with the reason in words.
 *
 * `code` is empty where only words are known. `files` and `bytes` are what the row stands for: the
 * files below a folder, or those of a row that sums many up; one file where `files` is null.
 * `keep` is the path by which a request's `keep` has it copied all the same; null where it can't
 * be.
 */
export interface INotCopiedItem {
  name: string;
  reason: string;
  code: string;
  files: number | null;
  bytes: number | null;
  keep: string | null;
}

/** Where the launched environment runs: engine, node, and its container's or pod's name. */
export interface IPlace {
  engine: string;
  node: string;
  name: string;
}

/**
 * What will happen, decided before anything is touched. `not_copied` has what will not arrive,
 * `changed` what will arrive otherwise than it is. `node` is where the environment will be; for a
 * move where it is expected, empty where nobody can say. `placement` has the numbers of a
 * cluster's nodes by which that was decided, `terms` what the scheduler is told.
 */
export interface IPlan {
  name: string;
  route: Route;
  node: string;
  reasons: IFinding[];
  copied: ICopiedItem[];
  not_copied: INotCopiedItem[];
  changed: INotCopiedItem[];
  /** Files that may hold credentials, copied because the request names them. */
  kept: INotCopiedItem[];
  warnings: IFinding[];
  refusals: IFinding[];
  version: IProjectVersion;
  cpu: number | null;
  memory: number | null;
  gpu: number;
  observation: INodeCapacity | null;
  terms: Record<string, unknown>;
  placement: Record<string, unknown> | null;
  estimate_seconds: number | null;
  created: string;
}

/** A pod whose environment is meant, by those who are not in it; its default container, or another. */
export interface IPodSource {
  pod: string;
  container?: string | null;
}

/**
 * Which version of the project is there: its git commit, or nothing but the files.
 *
 * `changes_known` is False where git's index can't be read here, so that nothing is said of
 * changes.
 */
export interface IProjectVersion {
  commit: string | null;
  branch: string | null;
  dirty_files: string[];
  dirty_count: number;
  changes_known: boolean;
}

/** Whether the environment stays on the source's node or moves to another. */
export type Route =
  'stay' | 'move';

/**
 * What a person asks for. Paths are absolute, or relative to the server's root folder. `source`
 * names the pod in which they are, where that is not the service's own place; they are absolute
 * then. `mounts` says where a project or data path is to be mounted instead of the planned place
 * (keys are the paths as given in `project` and `data`). `labels`, `recipient` and `expiry` are
 * reserved.
 */
export interface IShareRequest {
  project: string;
  data?: string[];
  name?: string | null;
  version?: string | null;
  cpu?: number | null;
  /** Bytes, or a text such as 512M or 2G (1G = 1024³ bytes); at least 64M. */
  memory?: number | string | null;
  gpu?: number;
  mounts?: Record<string, string>;
  /** Files that are copied although they may hold credentials; relative paths are the project's. */
  keep?: string[];
  /** Leave the files of others than the folder's owner to them; else the copy's user gets everything. */
  keep_owners?: boolean;
  /** Where in the project its Dockerfile is, such as binder/Dockerfile; at its top by default. */
  dockerfile?: string | null;
  /**
   * Documents with changes that are only in an editor. The plan's warning `unsaved_documents` says
   * which of them the copy has as they were last saved; its `which` counts in this list, from 0.
   */
  unsaved?: string[];
  /** The document that the copy opens with, if it arrives. */
  front?: string | null;
  source?: IPodSource | null;
  labels?: Record<string, string> | null;
  recipient?: string | null;
  expiry?: string | null;
}

/**
 * What was found changed at a share's source since it was copied, by names, sizes and times.
 * `files` are those that changed, came or went, `first` at most five of them. Without `complete`
 * not all was looked at, and there may be more.
 */
export interface ISourceChanges {
  files: number;
  first: string[];
  complete: boolean;
}

/**
 * One step of a share and how far it is. `done` and `total` are in `unit` (`bytes`, `instructions`
 * …); `message` is one line such as `step 4/9 RUN pip install …`.
 */
export interface IStep {
  name: StepName;
  state: StepState;
  started: string | null;
  finished: string | null;
  percent: number | null;
  message: string | null;
  done: number | null;
  total: number | null;
  unit: string | null;
  files: number | null;
}

/** The steps, in the order a person sees them. */
export type StepName =
  'check' | 'build' | 'push' | 'copy' | 'launch' | 'verify';

/** The state of one step; `skipped` is a step that this route does not need. */
export type StepState =
  'waiting' | 'running' | 'done' | 'failed' | 'skipped';

/** What an event is about; an operation of a kind, `share` or another, and its id. */
export interface ISubject {
  kind: string;
  id: string;
}

/**
 * A volume that was copied. `manifest` is the BLAKE3 digest of its manifest, in hex.
 *
 * `skipped` has what of its source is not in it, `changed` what is in it otherwise than there.
 * `route` is `clone` where the storage made it and it was then compared, as every copy is;
 * `route_reason` says why a cluster's volume was not cloned.
 */
export interface IVolumeResult {
  role: 'code' | 'data';
  name: string;
  mount: string;
  files: number;
  bytes: number;
  manifest: string;
  source: string | null;
  skipped: INotCopiedItem[];
  changed: INotCopiedItem[];
  route: 'copy' | 'clone';
  route_reason: string;
}
