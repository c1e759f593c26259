/**
 * What the service says and takes, as far as the sidebar shows it.
 *
 * The same nouns as `model.py`; the contract is the service's `openapi.yaml`. Sizes are bytes,
 * times are UTC in RFC 3339, CPUs are cores.
 */

export interface IFinding {
  code: string;
  message: string;
  hint: string;
  params: Record<string, unknown>;
}

export interface IFolder {
  path: string;
  name: string;
  mount: string | null;
  files: number;
  bytes: number;
}

export interface IProjectVersion {
  commit: string | null;
  branch: string | null;
  dirty_files: string[];
  dirty_count: number;
}

export interface INodeCapacity {
  node: string;
  cpu: number;
  cpu_requested: number;
  memory: number;
  memory_requested: number;
  memory_available: number | null;
  disk_available: number | null;
  gpu: number;
  gpu_requested: number;
  /** What of it can't be seen; its numbers are 0. */
  unseen?: '' | 'pods' | 'node';
}

export interface IEnvironment {
  project: IFolder;
  version: IProjectVersion;
  dockerfile: string | null;
  data: IFolder[];
  cpu: number | null;
  memory: number | null;
  gpu: number;
  node: INodeCapacity | null;
  problems: IFinding[];
}

export interface IShareRequest {
  project: string;
  data: string[];
  name?: string;
  version?: string;
  cpu?: number;
  memory?: number;
  gpu?: number;
}

export interface ICopiedItem {
  role: 'code' | 'data' | 'packages';
  name: string;
  source: string;
  mount: string | null;
  files: number | null;
  bytes: number | null;
}

export interface INotCopiedItem {
  name: string;
  reason: string;
  code?: string;
  files: number | null;
  bytes: number | null;
}

export interface IPlan {
  name: string;
  route: 'stay' | 'move';
  node: string;
  reasons: IFinding[];
  copied: ICopiedItem[];
  not_copied: INotCopiedItem[];
  warnings: IFinding[];
  refusals: IFinding[];
  version: IProjectVersion;
  cpu: number | null;
  memory: number | null;
  gpu: number;
  estimate_seconds: number | null;
  /** The numbers of a cluster's nodes; null where there is one place only. */
  placement?: object | null;
}

export type StepName =
  'check' | 'build' | 'push' | 'copy' | 'launch' | 'verify';

export interface IStep {
  name: StepName;
  state: 'waiting' | 'running' | 'done' | 'failed' | 'skipped';
  started: string | null;
  finished: string | null;
  percent: number | null;
  message: string | null;
  done: number | null;
  total: number | null;
  unit: string | null;
  files: number | null;
}

export type MigrationState =
  'queued' | 'running' | 'cancelling' | 'cancelled' | 'failed' | 'succeeded';

export type EnvironmentStatus = 'starting' | 'running' | 'stopped' | 'gone';

export interface IResult {
  url: string | null;
  /** The command that makes the address reachable, run where the browser is. */
  connect?: string | null;
  place: { engine: string; node: string; name: string } | null;
  image: { reference: string; digest: string; size: number } | null;
  volumes: {
    role: 'code' | 'data';
    name: string;
    mount: string;
    files: number;
    bytes: number;
    skipped: INotCopiedItem[];
  }[];
  evidence: {
    files_equal: number;
    bytes_equal: number;
    differences: number;
    image_built: string | null;
    image_running: string | null;
  };
}

export interface IMigration {
  id: string;
  name: string;
  state: MigrationState;
  created: string;
  started: string | null;
  finished: string | null;
  attempt: number;
  request: IShareRequest;
  plan: IPlan | null;
  plans?: IPlan[];
  steps: IStep[];
  environment: { status: EnvironmentStatus } | null;
  result: IResult | null;
  error: IFinding | null;
}

export interface IEvent {
  id: number;
  time: string;
  migration: string;
  kind: 'state' | 'step' | 'log' | 'environment' | 'deleted';
  state?: MigrationState;
  step?: Partial<IStep> & Pick<IStep, 'name' | 'state'>;
  line?: string;
  status?: EnvironmentStatus;
}

/** Whether something still happens to a share by itself. */
export function isBusy(migration: IMigration): boolean {
  return ['queued', 'running', 'cancelling'].includes(migration.state);
}
