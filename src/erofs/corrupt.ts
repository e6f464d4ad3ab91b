/** The one error for bytes of an image that cannot be right. */

/**
 * An image holds bytes that no writer makes: damage, truncation, or an attack. `part` names the structure
 * (for example `inode 4711`), the message says what is wrong with it.
 */
export class CorruptImageError extends Error {
  override readonly name: string = "CorruptImageError";
  readonly part: string;
  constructor(part: string, problem: string) {
    super(`image is corrupt: ${part}: ${problem}`);
    this.part = part;
  }
}
