/**
 * The errors of the library. Each says which part failed, why, and what to do about it; `code` is for
 * programs, the text for people. What a guest program meets is never one of these: it sees an errno, a signal
 * or an exit status.
 */

/** What went wrong, for programs. The meaning of a code never changes; new ones may be added. */
export type CoppiceErrorCode =
  /** A value in the options is out of its range or of the wrong form. */
  | "INVALID_OPTION"
  /** There is no image of that name, or no image file at that path. */
  | "IMAGE_NOT_FOUND"
  /** The image is not in a format that this version reads, or a block does not match its hash. */
  | "IMAGE_DAMAGED"
  /** The host folder of a mount does not exist, is not a folder, or may not be read. */
  | "MOUNT_FAILED"
  /** The host cannot give what the machine needs: memory, threads, shared memory. */
  | "HOST_UNSUPPORTED"
  /** No such program in the guest (what a shell reports as status 127). */
  | "COMMAND_NOT_FOUND"
  /** The program is there and cannot be executed (what a shell reports as status 126). */
  | "COMMAND_NOT_EXECUTABLE"
  /** The guest's passwd or group has no such name. */
  | "USER_NOT_FOUND"
  /** An operation on the guest's files failed; `errno` has the name, as in `ENOENT`. */
  | "FILE_SYSTEM"
  /** The machine has been closed, or its process has ended. */
  | "CLOSED"
  /** The operation was ended by its AbortSignal or its time limit. */
  | "ABORTED"
  /** Output was longer than the limit that the caller set. */
  | "TOO_MUCH_OUTPUT"
  /** A bug in Coppice: an assertion failed outside any request. */
  | "INTERNAL";

export interface CoppiceErrorOptions {
  readonly code: CoppiceErrorCode;
  /** The part or thing concerned, as its user knows it: `image "debian"`, `mount /home/me/src`. */
  readonly part: string;
  /** Why, as a clause without a full stop: `no such image`. */
  readonly reason: string;
  /** What to do about it, as a sentence without a full stop: `build it with 'coppice image build debian'`. */
  readonly remedy?: string;
  /** The errno name of a `FILE_SYSTEM` error. */
  readonly errno?: string;
  /** The error below this one, if any. */
  readonly cause?: unknown;
}

/**
 * An operation of the library failed. `message` reads `part: reason`; `remedy`, where there is one, says what
 * to do.
 */
export class CoppiceError extends Error {
  override readonly name = "CoppiceError";
  readonly code: CoppiceErrorCode;
  readonly part: string;
  readonly reason: string;
  readonly remedy: string | undefined;
  readonly errno: string | undefined;

  constructor(options: CoppiceErrorOptions) {
    super(`${options.part}: ${options.reason}`, options.cause === undefined ? {} : { cause: options.cause });
    this.code = options.code;
    this.part = options.part;
    this.reason = options.reason;
    this.remedy = options.remedy;
    this.errno = options.errno;
  }
}
