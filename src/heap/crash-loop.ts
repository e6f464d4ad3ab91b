/**
 * The crash loop: an operation is run again and again from the same state, and each time a crash strikes one
 * step later, until it ends without one. After each crash the transaction is rolled back (or, if the crash
 * came behind the commit point, carried out), the heap is checked, and the operation, if it was undone, is run
 * again: it must give what it gives without a crash.
 *
 *     for n = 1, 2, 3 …:  restore the state · run, crash before step n · recover · check · run again · compare
 *
 * With `pairs`, recovery itself is interrupted too, at each of its own steps, and done again.
 */

import { checkHeap } from "./check.ts";
import type { CrashPoint, HookedTransaction } from "./transaction.ts";

/** What the fault throws. */
export class Crash extends Error {}

export interface CrashLoopOptions<T> {
  readonly tx: HookedTransaction;
  /** The operation; the loop commits. It may throw what operations throw: that is an outcome, too. */
  operation(tx: HookedTransaction): T;
  /** What is to be equal afterwards, beside the operation's result: anything that JSON can hold. */
  observe?(tx: HookedTransaction): unknown;
  /** Also crash in the recovery from each crash. */
  readonly pairs?: boolean;
}

export interface CrashLoopReport<T> {
  /** What the operation gave without a crash: a value, or the name of what it threw. */
  readonly outcome: Outcome<T>;
  /** Crashes in the operation, and crashes in recoveries. */
  readonly points: number;
  readonly pairs: number;
  /** How many of the points were of each kind. */
  readonly kinds: ReadonlyMap<CrashPoint, number>;
}

export type Outcome<T> = { readonly value: T } | { readonly threw: string };

/** Runs the loop. Throws at the first crash that is not survived, with the number of its step. */
export function crashLoop<T>(options: CrashLoopOptions<T>): CrashLoopReport<T> {
  const { tx } = options;
  const observe = (): string => JSON.stringify(options.observe?.(tx));
  const initial = { heap: tx.words.slice(), memory: tx.memory.slice() };
  const restore = (): void => {
    tx.words.set(initial.heap);
    tx.memory.set(initial.memory);
  };
  const kinds = new Map<CrashPoint, number>();
  let points = 0;
  let pairs = 0;

  const attempt = (): Outcome<T> => {
    try {
      const value = options.operation(tx);
      tx.commit();
      return { value };
    } catch (error) {
      if (error instanceof Crash) throw error;
      tx.rollback();
      return { threw: nameOf(error) };
    }
  };
  /** Runs `work` with a crash before step `step`; the kind of the step, or none if it ended before. */
  const crashing = (step: number, work: () => void): CrashPoint | undefined => {
    let count = 0;
    let kind: CrashPoint | undefined;
    tx.hook = (point) => {
      if (++count !== step) return;
      kind = point;
      throw new Crash(`${point}, step ${step}`);
    };
    try {
      work();
    } catch (error) {
      if (!(error instanceof Crash)) throw error;
    } finally {
      tx.hook = () => {};
    }
    return kind;
  };
  const recovered = (where: string, sequence: number): void => {
    const violations = checkHeap(tx);
    if (violations.length > 0) throw new Error(`${where}: ${JSON.stringify(violations.slice(0, 5))}`);
    if (tx.sequence === sequence) {
      const again = JSON.stringify(attempt());
      if (again !== expected) throw new Error(`${where}: ${again} instead of ${expected}`);
    }
    const seen = observe();
    if (seen !== expectedSeen) throw new Error(`${where}: sees ${seen} instead of ${expectedSeen}`);
  };

  tx.hook = () => {};
  const outcome = attempt();
  const expected = JSON.stringify(outcome);
  const expectedSeen = observe();
  for (let step = 1; ; step++) {
    let recoverySteps = 1;
    for (let second = 0; second < recoverySteps; second++) {
      restore();
      const sequence = tx.sequence;
      const kind = crashing(step, attempt);
      if (kind === undefined) {
        const violations = checkHeap(tx);
        if (violations.length > 0)
          throw new Error(`without a crash: ${JSON.stringify(violations.slice(0, 5))}`);
        restore();
        attempt();
        return { outcome, points, pairs, kinds };
      }
      const where = `crash before ${kind}, step ${step}`;
      if (second === 0) {
        points++;
        kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
        tx.rollback();
        recovered(where, sequence);
        if (options.pairs) recoverySteps = Number.POSITIVE_INFINITY;
      } else {
        const inner = crashing(second, () => tx.rollback());
        if (inner === undefined) break;
        pairs++;
        tx.rollback();
        recovered(`${where}, then before ${inner}, step ${second} of the recovery`, sequence);
      }
    }
  }
}

function nameOf(error: unknown): string {
  if (error instanceof Error) throw error;
  return (error as { name?: string }).name ?? JSON.stringify(error);
}
