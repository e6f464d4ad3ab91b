/**
 * Assertions: what must hold if the program is right.
 *
 * A broken assertion is a bug in Coppice, never bad input. It rolls the request back, is recorded, and is
 * never swallowed; bad input is an errno (see errno.ts).
 */

/** A broken invariant. The kernel rolls the request back and counts it against the part that threw it. */
export class AssertionError extends Error {
  override readonly name = "AssertionError";
}

/** Throws {@link AssertionError} with `message` unless `condition` holds. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** For the branch that the types say cannot be reached. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable: ${String(value)}`);
}

/** `value`, which the caller knows is there; `what` names it when the caller is wrong. */
export function defined<T>(value: T | undefined | null, what: string): T {
  if (value === undefined || value === null) throw new AssertionError(`missing: ${what}`);
  return value;
}
