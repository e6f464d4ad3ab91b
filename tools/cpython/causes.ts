/** Why tests that pass in the oracle do not pass here, as far as it has been found out. */

interface Cause {
  /** Names of tests, or of the class or module in which all of them have this cause. */
  readonly tests: readonly string[];
  readonly cause: string;
}

export const CAUSES: readonly Cause[] = [];
