/**
 * The code area: the translations that all harts and processes of a machine share, in guest memory where no
 * page table entry leads. It also holds the harts' jump caches, which they do not share.
 *
 *     +0     for each hart its jump cache (jump-cache.ts), and its queue of requests
 *     then   header: bytes of the arena given away, a word; bell, a word; whether the machine ends, a word;
 *            13 words to spare
 *            buckets: HASH_SIZE words, each the offset of an entry in the arena, 0 if there is none
 *            arena
 *
 * A queue: +0 requests written, +4 requests taken, +64 QUEUE_SIZE requests: pc, two words; pa of the root
 * table; 0. The hart alone writes, the translator's thread alone takes. The bell changes with each request.
 *
 * In the arena, all words:
 *
 *     entry    +0 next entry of the bucket (0: last)  +4 region  +8 va of its pc, two words
 *              +16 number of the entry in the region  +20 frame on which the pc lay
 *     region   +0 offset of the module  +4 bytes of the module  +8 number of the function in it
 *              +12 count of spans, then for each: va, two words; bytes; offset of the copy of the code
 *     module, copies of code: bytes
 *
 * Invariants
 *   1. What a bucket leads to is complete, and never changes. An entry becomes reachable by one store, a
 *      compare-and-exchange of its bucket; whoever dies before that has lost some bytes of the arena.
 *   2. An entry says nothing about what is mapped. Before a hart runs a region it compares the copies with
 *      the code that is mapped in the address space (translator.ts).
 *
 * Rejected: a lock for the area (a hart that dies holding it would have to be recovered); offsets as
 * pointers into the whole memory (a snapshot could not move the area).
 */
import { JUMP_CACHE_BYTES } from "./jump-cache.ts";

const HEADER_BYTES = 64;
const HASH_SIZE = 16384;
/** Offset 0 of the arena is nobody's, so that 0 can say "none". */
const ARENA_START = 64;
const ENTRY_BYTES = 24;
const REGION_BYTES = 16;
const SPAN_BYTES = 16;

const QUEUE_SIZE = 32;
const REQUEST_WORDS = 4;
const QUEUE = { written: 0, taken: 1, requests: 16 } as const;
const HART_BYTES: number = JUMP_CACHE_BYTES + (QUEUE.requests + QUEUE_SIZE * REQUEST_WORDS) * 4;
const HEADER = { given: 0, bell: 1, ending: 2 } as const;

/** A target for which somebody is to make a region. */
export interface Request {
  readonly hart: number;
  readonly pc: number;
  /** pa of the root table under which the hart saw it. */
  readonly root: number;
}

/** A run of code that a region was made from. */
export interface Span {
  readonly va: number;
  readonly bytes: Uint8Array;
}

export interface NewRegion {
  readonly module: Uint8Array;
  readonly functionNumber: number;
  readonly spans: readonly Span[];
  readonly entries: readonly { readonly pc: number; readonly frame: number }[];
}

/** A region's offset in the arena. */
export type RegionOffset = number & { readonly brand: "RegionOffset" };

/** An entry that has been found. */
export interface FoundEntry {
  readonly region: RegionOffset;
  readonly number: number;
}

export class CodeArea {
  readonly #words: Int32Array;
  readonly #start: number;
  readonly #harts: number;
  readonly #bytes: Uint8Array;
  /** Word of the header, of the first bucket; byte where the arena begins. */
  readonly #header: number;
  readonly #buckets: number;
  readonly #arena: number;
  readonly #arenaBytes: number;

  /** The area of `size` bytes at pa `at`, a multiple of 64. */
  constructor(buffer: ArrayBuffer | SharedArrayBuffer, at: number, size: number, harts: number) {
    this.#words = new Int32Array(buffer);
    this.#bytes = new Uint8Array(buffer);
    this.#start = at;
    this.#harts = harts;
    const header = at + harts * HART_BYTES;
    this.#header = header >>> 2;
    this.#buckets = (header + HEADER_BYTES) >>> 2;
    this.#arena = (this.#buckets + HASH_SIZE) * 4;
    this.#arenaBytes = at + size - this.#arena;
  }

  /** pa of the jump cache of a hart. */
  jumpCache(hart: number): number {
    return this.#start + hart * HART_BYTES;
  }
  #queue(hart: number): number {
    return (this.jumpCache(hart) + JUMP_CACHE_BYTES) >>> 2;
  }

  /** Files a request and rings the bell; false if there is no room. By the thread of `hart` only. */
  submit({ hart, pc, root }: Request): boolean {
    const w = this.#words;
    const queue = this.#queue(hart);
    const written = w[queue + QUEUE.written]!;
    if (((written - Atomics.load(w, queue + QUEUE.taken)) | 0) >= QUEUE_SIZE) return false;
    const at = queue + QUEUE.requests + (written & (QUEUE_SIZE - 1)) * REQUEST_WORDS;
    w[at] = (pc % 2 ** 32) | 0;
    w[at + 1] = Math.floor(pc / 2 ** 32);
    w[at + 2] = root | 0;
    Atomics.store(w, queue + QUEUE.written, (written + 1) | 0);
    Atomics.add(w, this.#header + HEADER.bell, 1);
    Atomics.notify(w, this.#header + HEADER.bell);
    return true;
  }

  /** The next request; it is taken, whatever comes of it. By the translator's thread only. */
  takeRequest(): Request | undefined {
    const w = this.#words;
    for (let hart = 0; hart < this.#harts; hart++) {
      const queue = this.#queue(hart);
      const taken = w[queue + QUEUE.taken]!;
      if (taken === Atomics.load(w, queue + QUEUE.written)) continue;
      const at = queue + QUEUE.requests + (taken & (QUEUE_SIZE - 1)) * REQUEST_WORDS;
      const request = { hart, pc: w[at + 1]! * 2 ** 32 + (w[at]! >>> 0), root: w[at + 2]! >>> 0 };
      Atomics.store(w, queue + QUEUE.taken, (taken + 1) | 0);
      return request;
    }
    return undefined;
  }

  /** The word that changes with each request: its index, and its value now. */
  bell(): { readonly word: number; readonly value: number } {
    const word = this.#header + HEADER.bell;
    return { word, value: Atomics.load(this.#words, word) };
  }

  /** Tells the translator's thread that the machine ends. */
  end(): void {
    const { word } = this.bell();
    Atomics.store(this.#words, this.#header + HEADER.ending, 1);
    Atomics.add(this.#words, word, 1);
    Atomics.notify(this.#words, word);
  }
  get isEnding(): boolean {
    return Atomics.load(this.#words, this.#header + HEADER.ending) !== 0;
  }

  #bucket(pc: number, frame: number): number {
    const low = (pc % 2 ** 32) >>> 1;
    const mixed = Math.imul(low ^ Math.imul(frame, 0x9e3779b1), 0x85ebca6b);
    return this.#buckets + ((mixed >>> 12) & (HASH_SIZE - 1));
  }

  #word(offset: number): number {
    return this.#words[(this.#arena + offset) >>> 2]!;
  }

  /** Finds entries for `pc` on `frame` until `accept` takes one. */
  find(pc: number, frame: number, accept: (region: RegionOffset) => boolean): FoundEntry | undefined {
    const low = (pc % 2 ** 32) | 0;
    const high = Math.floor(pc / 2 ** 32);
    for (let at = Atomics.load(this.#words, this.#bucket(pc, frame)); at !== 0; at = this.#word(at)) {
      if (this.#word(at + 8) !== low || this.#word(at + 12) !== high || this.#word(at + 20) !== frame)
        continue;
      const region = this.#word(at + 4) as RegionOffset;
      if (accept(region)) return { region, number: this.#word(at + 16) };
    }
    return undefined;
  }

  /** Whether `matches` holds for every span of the region: va, pa of the copy, and bytes. */
  everySpan(region: RegionOffset, matches: (va: number, at: number, bytes: number) => boolean): boolean {
    const count = this.#word(region + 12);
    for (let i = 0; i < count; i++) {
      const at = region + REGION_BYTES + i * SPAN_BYTES;
      const va = this.#word(at + 4) * 2 ** 32 + (this.#word(at) >>> 0);
      if (!matches(va, this.#arena + this.#word(at + 12), this.#word(at + 8))) return false;
    }
    return true;
  }

  /** Identifies the region's module; its bytes; the number of the region's function. */
  moduleOf(region: RegionOffset): number {
    return this.#word(region);
  }
  moduleBytes(region: RegionOffset): Uint8Array<ArrayBuffer> {
    const at = this.#arena + this.#word(region);
    return new Uint8Array(this.#bytes.subarray(at, at + this.#word(region + 4)));
  }
  functionNumber(region: RegionOffset): number {
    return this.#word(region + 8);
  }

  /** Room for `bytes` in the arena, aligned to 8; 0 if it is full. */
  #allocate(bytes: number): number {
    const size = (bytes + 7) & ~7;
    const at = Atomics.add(this.#words, this.#header + HEADER.given, size);
    if (at + ARENA_START + size <= this.#arenaBytes) return at + ARENA_START;
    Atomics.sub(this.#words, this.#header + HEADER.given, size);
    return 0;
  }

  #copyIn(bytes: Uint8Array): number {
    const at = this.#allocate(bytes.length);
    if (at !== 0) this.#bytes.set(bytes, this.#arena + at);
    return at;
  }

  /** Publishes the regions of one module; undefined if the arena is full. */
  publish(regions: readonly NewRegion[]): readonly RegionOffset[] | undefined {
    const first = regions[0];
    if (first === undefined) return [];
    const module = this.#copyIn(first.module);
    if (module === 0) return undefined;
    const offsets: RegionOffset[] = [];
    for (const region of regions) {
      const at = this.#write(region, module);
      if (at === undefined) return undefined;
      offsets.push(at);
    }
    return offsets;
  }

  #write({ module, functionNumber, spans, entries }: NewRegion, moduleAt: number): RegionOffset | undefined {
    const w = this.#words;
    const region = this.#allocate(REGION_BYTES + spans.length * SPAN_BYTES);
    if (region === 0) return undefined;
    let to = (this.#arena + region) >>> 2;
    w[to++] = moduleAt;
    w[to++] = module.length;
    w[to++] = functionNumber;
    w[to++] = spans.length;
    for (const { va, bytes } of spans) {
      const copy = this.#copyIn(bytes);
      if (copy === 0) return undefined;
      w[to++] = (va % 2 ** 32) | 0;
      w[to++] = Math.floor(va / 2 ** 32);
      w[to++] = bytes.length;
      w[to++] = copy;
    }
    const nodes = this.#allocate(ENTRY_BYTES * entries.length);
    if (nodes === 0) return undefined;
    entries.forEach(({ pc, frame }, number) => {
      const offset = nodes + number * ENTRY_BYTES;
      const at = (this.#arena + offset) >>> 2;
      w[at + 1] = region;
      w[at + 2] = (pc % 2 ** 32) | 0;
      w[at + 3] = Math.floor(pc / 2 ** 32);
      w[at + 4] = number;
      w[at + 5] = frame;
      const bucket = this.#bucket(pc, frame);
      for (;;) {
        const head = Atomics.load(w, bucket);
        w[at] = head;
        if (Atomics.compareExchange(w, bucket, head, offset) === head) break;
      }
    });
    return region as RegionOffset;
  }
}
