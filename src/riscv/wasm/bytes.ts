/**
 * A growing byte array, the only thing emission writes to. WebAssembly is emitted into one preallocated
 * Uint8Array: `number[]` buffers cost 4–9 µs for each guest instruction (design, section 7).
 */
import { assert } from "../../base/assert.ts";

/** A place in recorded code: before byte `at` comes what `kind` and `value` say. */
export interface Hole {
  readonly at: number;
  readonly kind: number;
  readonly value: number;
}

/** Writes bytes and LEB128 numbers at the end of one array, which doubles when it is full. */
export class ByteWriter {
  #bytes: Uint8Array<ArrayBuffer>;
  #length = 0;
  #holes: Hole[] | undefined;
  #later: number[] = [];

  constructor(capacity: number) {
    this.#bytes = new Uint8Array(capacity);
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#length;
  }

  /** From now on holes may be written; they go to `holes`. */
  recordHoles(holes: Hole[]): void {
    this.#holes = holes;
  }

  /** Leaves a place, without bytes, that is filled in whenever what is written here is used. */
  hole(kind: number, value: number): void {
    assert(this.#holes !== undefined, "holes are recorded");
    this.#holes.push({ at: this.#length, kind, value });
  }

  /** Leaves one byte for a number below 128, which {@link setLater} sets. */
  later(): void {
    this.#later.push(this.#length);
    this.byte(0);
  }

  /** Sets the bytes that were left, from `start` on, to `value`. */
  setLater(start: number, value: number): void {
    assert(value < 0x80, "the number fits a byte");
    for (const at of this.#later) if (at >= start) this.#bytes[at] = value;
  }

  /** Appends `bytes` from `start` to `end`; for a few of them. */
  part(bytes: Uint8Array, start: number, end: number): void {
    this.#reserve(end - start);
    const to = this.#bytes;
    let at = this.#length;
    for (let from = start; from < end; from++) to[at++] = bytes[from]!;
    this.#length = at;
  }

  /** Forgets everything written, and keeps the array. */
  clear(): void {
    this.#length = 0;
    this.#later = [];
  }

  /** A copy of what was written. */
  copy(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length);
  }

  #reserve(count: number): void {
    const needed = this.#length + count;
    if (needed <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }

  byte(value: number): void {
    if (this.#length === this.#bytes.length) this.#reserve(1);
    this.#bytes[this.#length++] = value;
  }

  /** An unsigned LEB128 number from 0 to 2^32 − 1. */
  unsigned(value: number): void {
    this.#reserve(5);
    const bytes = this.#bytes;
    let at = this.#length;
    let rest = value >>> 0;
    while (rest > 0x7f) {
      bytes[at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    bytes[at++] = rest;
    this.#length = at;
  }

  /** A signed LEB128 number of 32 bits. */
  signed32(value: number): void {
    this.#reserve(5);
    const bytes = this.#bytes;
    let at = this.#length;
    let rest = value | 0;
    while (rest < -64 || rest > 63) {
      bytes[at++] = (rest & 0x7f) | 0x80;
      rest >>= 7;
    }
    bytes[at++] = rest & 0x7f;
    this.#length = at;
  }

  /**
   * A signed LEB128 number of 64 bits; a `number` must be a safe integer. The digits come from two halves of
   * 32 bits, because BigInt arithmetic costs a microsecond for each number.
   */
  signed64(value: number | bigint): void {
    if (typeof value === "number") {
      if (value === (value | 0)) this.signed32(value);
      else this.#signedHalves(value | 0, Math.floor(value / 0x1_0000_0000));
    } else {
      this.#signedHalves(Number(BigInt.asIntN(32, value)), Number(BigInt.asIntN(32, value >> 32n)));
    }
  }

  #signedHalves(lowHalf: number, highHalf: number): void {
    this.#reserve(10);
    const bytes = this.#bytes;
    let at = this.#length;
    let low = lowHalf;
    let high = highHalf;
    while (!((high === 0 && low >= 0 && low < 64) || (high === -1 && low < 0 && low >= -64))) {
      bytes[at++] = (low & 0x7f) | 0x80;
      low = (low >>> 7) | (high << 25);
      high >>= 7;
    }
    bytes[at++] = low & 0x7f;
    this.#length = at;
  }

  /** A double, little-endian. */
  float64(value: number): void {
    this.#reserve(8);
    new DataView(this.#bytes.buffer).setFloat64(this.#length, value, true);
    this.#length += 8;
  }

  /** A UTF-8 name with its length before it. ASCII only. */
  name(text: string): void {
    this.unsigned(text.length);
    for (let i = 0; i < text.length; i++) this.byte(text.charCodeAt(i));
  }

  /** Appends what `other` holds. */
  append(other: ByteWriter): void {
    this.#reserve(other.#length);
    this.#bytes.set(other.#bytes.subarray(0, other.#length), this.#length);
    this.#length += other.#length;
  }

  /** Moves the bytes from `start` on up, and puts `header` into the gap. */
  insert(start: number, header: ByteWriter): void {
    const count = header.#length;
    this.#reserve(count);
    this.#bytes.copyWithin(start + count, start, this.#length);
    this.#bytes.set(header.#bytes.subarray(0, count), start);
    this.#length += count;
    this.#later = this.#later.map((at) => (at < start ? at : at + count));
  }
}
