/** Failures of the image builder, as people read them: what part, why, and what to do about it. */

/** The part of the work that failed. */
export type ImagePart =
  | "options"
  | "mirror"
  | "signature"
  | "release"
  | "index"
  | "packages"
  | "download"
  | "package"
  | "lock file"
  | "file system"
  | "cache"
  | "image";

export interface ImageErrorDetails {
  part: ImagePart;
  /** What is wrong, naming the file, address or package; one sentence without a full stop. */
  problem: string;
  /** What the reader can do about it; one sentence without a full stop. */
  remedy: string;
  /** The underlying failure, if another one caused this. */
  cause?: unknown;
}

/** Anything that keeps an image from being built, found or removed. */
export class ImageError extends Error {
  override readonly name: string = "ImageError";
  readonly part: ImagePart;
  readonly problem: string;
  readonly remedy: string;
  constructor(details: ImageErrorDetails) {
    super(`${details.part}: ${details.problem}; ${details.remedy}`, { cause: details.cause });
    this.part = details.part;
    this.problem = details.problem;
    this.remedy = details.remedy;
  }
}

/** The message of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The `code` of a system error (`ENOENT` and so on), its own or that of its cause. */
export function codeOf(error: unknown): string | undefined {
  for (let e = error, depth = 0; e instanceof Error && depth < 8; e = e.cause, depth++) {
    const code = (e as NodeJS.ErrnoException).code;
    if (typeof code === "string") return code;
  }
  return undefined;
}
