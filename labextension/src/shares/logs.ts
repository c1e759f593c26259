/** The logs of those shares at which somebody looks: read once, then followed by events. */

import { Api, ApiError } from '../core/api';

const MOST_LINES = 2000;

/** The log of one share, while somebody looks at it. */
export interface ILog {
  lines: string[];
  /** Lines that came in while the log was being read. */
  waiting: string[] | null;
  error: ApiError | null;
  readers: number;
}

export class Logs {
  constructor(
    private readonly api: Api,
    private readonly changed: () => void
  ) {}

  /** The log of a share that `watch` was called for. */
  of(id: string): ILog | null {
    return this._logs.get(id) ?? null;
  }

  /** Keep a share's log up to date until the answer is called. */
  watch(id: string): () => void {
    let log = this._logs.get(id);
    if (!log) {
      log = { lines: [], waiting: null, error: null, readers: 0 };
      this._logs.set(id, log);
    }
    log.readers += 1;
    void this._read(id, log);
    const watched = log;
    return () => {
      watched.readers -= 1;
      if (watched.readers === 0) {
        this._logs.delete(id);
      }
    };
  }

  /** Take a line that an event brought. */
  add(id: string, line: string): void {
    const log = this._logs.get(id);
    if (log) {
      (log.waiting ?? log.lines).push(line);
      if (log.lines.length > 1.2 * MOST_LINES) {
        log.lines = log.lines.slice(-MOST_LINES);
      }
      this.changed();
    }
  }

  /** Read all of them anew, after events may have been missed. */
  readAgain(): void {
    for (const [id, log] of this._logs) {
      void this._read(id, log);
    }
  }

  private async _read(id: string, log: ILog): Promise<void> {
    if (log.waiting) {
      return;
    }
    log.waiting = [];
    try {
      const text = await this.api.log(id);
      const lines = text.split('\n');
      if (lines[lines.length - 1] === '') {
        lines.pop();
      }
      log.lines = joined(lines, log.waiting).slice(-MOST_LINES);
      log.error = null;
    } catch (thrown) {
      log.error = ApiError.of(thrown);
    }
    log.waiting = null;
    this.changed();
  }

  private readonly _logs = new Map<string, ILog>();
}

/** Join what was read with what came in meanwhile, whose beginning may be in both. */
export function joined(read: string[], came: string[]): string[] {
  for (let same = Math.min(read.length, came.length); same > 0; same--) {
    const start = read.length - same;
    if (came.slice(0, same).every((line, n) => line === read[start + n])) {
      return [...read, ...came.slice(same)];
    }
  }
  return [...read, ...came];
}
