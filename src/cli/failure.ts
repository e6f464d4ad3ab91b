/** How the command line tells of a failure: `coppice: PART: CAUSE`, the remedy below it, an exit status. */

import { ImageError } from "../image/errors.ts";
import { CoppiceError } from "../machine/errors.ts";

/** Exit statuses, as Docker uses them. A guest's own status is passed on, 128 + signal when it was killed. */
export const STATUS = {
  OK: 0,
  /** An image command failed. */
  FAILED: 1,
  /** Coppice itself failed, or its command line was wrong. */
  COPPICE: 125,
  /** The command cannot be executed. */
  NOT_EXECUTABLE: 126,
  /** The command was not found. */
  NOT_FOUND: 127,
  /** Ended by Ctrl-C before the guest had started. */
  INTERRUPTED: 130,
} as const;

/** The command line was wrong. */
export class UsageError extends Error {
  override readonly name = "UsageError";
  /** What to do instead, as a clause without a full stop. */
  readonly remedy: string;

  constructor(message: string, remedy: string) {
    super(message);
    this.remedy = remedy;
  }
}

/** What a failure comes to: what to print on stderr and how to exit. */
export interface Failure {
  readonly text: string;
  readonly status: number;
}

const withRemedy = (text: string, remedy: string | undefined): string =>
  remedy === undefined ? `coppice: ${text}\n` : `coppice: ${text}\n  ${remedy}\n`;

function statusOf(error: CoppiceError): number {
  switch (error.code) {
    case "COMMAND_NOT_FOUND":
      return STATUS.NOT_FOUND;
    case "COMMAND_NOT_EXECUTABLE":
      return STATUS.NOT_EXECUTABLE;
    case "ABORTED":
      return STATUS.INTERRUPTED;
    default:
      return STATUS.COPPICE;
  }
}

/** Describes whatever was thrown; `imageStatus` is for a failure of an image. A stack is shown only for what must be a bug of Coppice. */
export function describeFailure(error: unknown, imageStatus: number): Failure {
  if (error instanceof UsageError) {
    return { text: withRemedy(error.message, error.remedy), status: STATUS.COPPICE };
  }
  if (error instanceof CoppiceError) {
    return { text: withRemedy(error.message, error.remedy), status: statusOf(error) };
  }
  if (error instanceof ImageError) {
    // The problem of an option or an image names it; the other parts say where the problem lies.
    const named = error.part === "image" || error.part === "options";
    const text = named ? error.problem : `${error.part}: ${error.problem}`;
    return { text: withRemedy(text, error.remedy), status: imageStatus };
  }
  if (error instanceof Error && error.name === "AbortError") {
    return { text: "coppice: interrupted\n", status: STATUS.INTERRUPTED };
  }
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return {
    text: withRemedy(
      `internal error: ${stack}`,
      "this is a bug of Coppice: please report it with the text above",
    ),
    status: STATUS.COPPICE,
  };
}
