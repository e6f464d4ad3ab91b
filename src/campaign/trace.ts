/**
 * The trace of a simulation: what happened, in order, as a hash, and the last entries as text. Two runs are
 * the same if their traces are.
 */

/** What a trace knows of. */
export type TraceKind = "turn" | "call" | "time" | "output" | "death" | "baton";

const KEPT = 200;
const FNV_PRIME = 0x0100_0193;
const FNV_OFFSET = 0x811c_9dc5;

export class Trace {
  #hash: number = FNV_OFFSET;
  #count = 0;
  readonly #last: string[] = [];
  readonly #all: string[] | undefined;

  /** `keep`: all entries, to find where two traces part. */
  constructor(keep = false) {
    this.#all = keep ? [] : undefined;
  }

  add(kind: TraceKind, ...values: readonly (number | string)[]): void {
    const entry = `${kind} ${values.join(" ")}`;
    for (let i = 0; i < entry.length; i++)
      this.#hash = Math.imul(this.#hash ^ entry.charCodeAt(i), FNV_PRIME);
    this.#count++;
    this.#all?.push(entry);
    this.#last.push(entry);
    if (this.#last.length > KEPT) this.#last.shift();
  }

  get hash(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, "0");
  }
  get count(): number {
    return this.#count;
  }
  /** The last entries, or all of them if they were to be kept. */
  get entries(): readonly string[] {
    return this.#all ?? this.#last;
  }
}
