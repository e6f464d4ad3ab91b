/**
 * How long a turn is: the taken control transfers after which a task must let others on its hart.
 *
 * A transfer may follow one instruction or a thousand, in code that is interpreted or translated: between one
 * nanosecond and several microseconds. So each task has a budget of its own, which follows what its turns have
 * taken. A turn that is too long is cut at once, one that is too short grows by steps; a simulation's clock stands
 * still, so there the budget stays what it is and every run has the same turns.
 */

/** A task's first turn: at a thousand instructions a transfer, interpreted, it takes about 10 ms. */
export const FIRST_BUDGET = 4096;
/** The most: a task in tight loops that comes into straight code must not keep the hart for long. */
export const BUDGET_MAX = 65_536;
const BUDGET_MIN = 64;
/**
 * What is left of a turn once its task has made another: between a shell's fork and its wait there is less, so that
 * it leaves its hart to the child; a maker that computes has an idle hart rung after 10 to 200 µs.
 */
export const CUT_BUDGET = 2048;
/** What a turn is to take, ns. */
const TURN_NS = 2e6;
const GROWTH_MAX = 4;

/** The budget of the turn after one that has used up `budget` in `elapsedNs`. */
export function nextBudget(budget: number, elapsedNs: number): number {
  if (elapsedNs <= 0) return budget;
  const fitting = budget * Math.min(GROWTH_MAX, TURN_NS / elapsedNs);
  return Math.round(Math.min(BUDGET_MAX, Math.max(BUDGET_MIN, fitting)));
}
