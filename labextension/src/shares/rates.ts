/** How fast running steps go, of what their events said; and how long they usually take. */

import { IEvent, IMigration, StepName } from '../core/model';

/** Of so many seconds. */
const WINDOW = 5;
/** With less between the first and the last, a rate would be a guess; in milliseconds. */
const LEAST = 500;

interface ISample {
  /** Milliseconds since 1970. */
  time: number;
  done: number;
}

export class Rates {
  /** Take note of a step's event. */
  add(event: IEvent): void {
    const { step } = event;
    if (!step) {
      return;
    }
    const key = keyOf(event.migration, step.name);
    const { done } = step;
    if (step.state !== 'running' || typeof done !== 'number') {
      this._samples.delete(key);
      return;
    }
    const time = Date.parse(event.time);
    // What is done gets less where a step begins anew.
    const samples = (this._samples.get(key) ?? []).filter(
      one => time - one.time < 1000 * WINDOW && one.done <= done
    );
    this._samples.set(key, [...samples, { time, done }]);
  }

  /** Forget a share that has ended. */
  forget(item: IMigration): void {
    item.steps.forEach(step => this._samples.delete(keyOf(item.id, step.name)));
  }

  /** Units per second, of the last seconds; null where nothing is known yet. */
  of(id: string, step: StepName): number | null {
    const samples = this._samples.get(keyOf(id, step));
    const first = samples?.[0];
    const last = samples?.[samples.length - 1];
    if (!first || !last || last.time - first.time < LEAST) {
      return null;
    }
    return (1000 * (last.done - first.done)) / (last.time - first.time);
  }

  private readonly _samples = new Map<string, ISample[]>();
}

/** Seconds that a step took in the middle of earlier shares; null with fewer than three. */
export function usual(
  items: readonly IMigration[],
  step: StepName
): number | null {
  const times = items
    .filter(item => item.state === 'succeeded')
    .flatMap(item => item.steps.filter(one => one.name === step))
    .filter(one => one.started && one.finished)
    .map(one => (Date.parse(one.finished!) - Date.parse(one.started!)) / 1000)
    .sort((a, b) => a - b);
  return times.length < 3
    ? null
    : (times[Math.floor(times.length / 2)] ?? null);
}

function keyOf(id: string, step: StepName): string {
  return `${id} ${step}`;
}
