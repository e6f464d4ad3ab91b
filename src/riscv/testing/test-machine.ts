/**
 * A machine for tests: one address space and one register file in a shared memory of its own, laid out as
 * base/hart-abi.ts says, with the interpreter over it. Frames are handed out in order and never freed.
 */
import { assert } from "../../base/assert.ts";
import {
  ENTRY_INVALID,
  HART_BLOCK_BYTES,
  HART_RUNS,
  LEAF_BYTES,
  LEAF_PAGE,
  LEAF_READ,
  LEAF_WRITE,
  PAGE_FETCH,
  PAGE_SIZE,
  REG_BUDGET,
  REG_F,
  REG_FFLAGS,
  REG_FRM,
  REG_PC,
  REG_RESERVATION,
  REG_ROOT,
  REG_TRAP_VALUE,
  REG_X,
  REGISTER_FILE_BYTES,
  ROOT_BYTES,
  RUNS_KEPT,
  RUNS_VOID,
} from "../../base/hart-abi.ts";
import { buildTier0, instantiateTier0, type Tier0, type Tier0Imports } from "../tier0.ts";
import type { Keeping } from "../region-maker.ts";
import { Translator } from "../translator.ts";
import { tier0TableBytes, writeTier0Tables } from "../tier0-tables.ts";
import { type WasmMemory, type WasmModule, WebAssembly } from "../../base/webassembly.ts";

const WASM_PAGE = 65536;
const REGS = 0x1000;
const HART: number = REGS + 1024;
const TABLES = 0x10000;

/** What may be done with a page. */
export interface Permissions {
  readonly read?: boolean;
  readonly write?: boolean;
  readonly fetch?: boolean;
}

/** Handlers of a test; the default ones leave. */
export type TestImports = Partial<Pick<Tier0Imports, "syscall" | "fault" | "csr">>;

/** Where a counting interpreter counts: the last word of the register file. */
const COUNT_AT = REGISTER_FILE_BYTES - 8;

const compiled: { plain?: WasmModule; counted?: WasmModule; regions?: WasmModule; eager?: WasmModule } = {};
/** Bytes of the code area of a machine with regions. */
const CODE_BYTES: number = 8 << 20;

function interpreter(counted: boolean): WasmModule {
  if (counted) {
    compiled.counted ??= new WebAssembly.Module(buildTier0({ countAt: COUNT_AT }));
    return compiled.counted;
  }
  compiled.plain ??= new WebAssembly.Module(buildTier0());
  return compiled.plain;
}

/**
 * How a machine runs: tier 0 alone, tier 0 that counts instructions, with regions, or with regions for
 * everything, from the first time on.
 */
export type Tiers = "tier 0" | "counted" | "regions" | "eager regions";

export class TestMachine {
  readonly memory: WasmMemory;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly regs: number = REGS;
  readonly hart: number = HART;
  readonly root: number;
  /** pa of the interpreter's tables. */
  readonly tables: number;
  readonly #tier0: Tier0;
  /** Of a machine with regions. */
  readonly translator: Translator | undefined;
  readonly #emptyLeaf: number;
  #next: number;
  #stamp = 0;

  /** Tables and frames are taken from `first` on, a multiple of the page size. */
  constructor(
    imports: TestImports = {},
    megabytes = 16,
    tiers: Tiers = "tier 0",
    first = TABLES,
    keeping: Keeping = {},
  ) {
    const pages = (megabytes * 1024 * 1024) / WASM_PAGE;
    this.tables = first;
    this.memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    this.bytes = new Uint8Array(this.memory.buffer);
    this.view = new DataView(this.memory.buffer);
    writeTier0Tables(this.bytes.subarray(first, first + tier0TableBytes()));
    this.#next = first + Math.ceil(tier0TableBytes() / PAGE_SIZE) * PAGE_SIZE;
    this.#emptyLeaf = this.#leaf();
    this.root = this.allocate(ROOT_BYTES);
    new Uint32Array(this.memory.buffer, this.root, ROOT_BYTES / 4).fill(this.#emptyLeaf);
    this.setWord(REG_ROOT, this.root);
    this.setLong(REG_RESERVATION, -1n);
    this.setWord(REG_BUDGET, 0x7fffffff);
    const parts = {
      memory: this.memory,
      tables: first | 0,
      syscall: this.#voiding(imports.syscall ?? (() => 1)),
      fault: this.#voiding(imports.fault ?? (() => 1)),
      csr: imports.csr ?? (() => 1),
    };
    const isEager = tiers === "eager regions";
    if (tiers === "regions" || isEager) {
      compiled.regions ??= new WebAssembly.Module(buildTier0({ regions: true }));
      compiled.eager ??= new WebAssembly.Module(buildTier0({ regions: true, firstCount: 0 }));
      this.translator = new Translator({
        module: isEager ? compiled.eager : compiled.regions,
        ...(isEager && { nextCount: 0 }),
        imports: parts,
        area: { at: this.allocate(CODE_BYTES), bytes: CODE_BYTES, harts: 1 },
        index: 0,
        block: HART,
        keeping,
      });
      this.#tier0 = this.translator;
    } else this.#tier0 = instantiateTier0(interpreter(tiers === "counted"), parts);
    assert(HART + HART_BLOCK_BYTES <= TABLES, "the parts do not overlap");
  }

  /** What the hart keeps of pages is void: its address space may be another one, or have changed. */
  voidRuns(): void {
    if (this.view.getUint32(HART + HART_RUNS, true) === RUNS_KEPT) {
      this.view.setUint32(HART + HART_RUNS, RUNS_VOID, true);
    }
  }

  #voiding<A extends unknown[]>(handler: (...args: A) => number): (...args: A) => number {
    return (...args) => {
      const answer = handler(...args);
      this.voidRuns();
      return answer;
    };
  }

  /** Fresh zeroed memory, page-aligned; its pa. */
  allocate(size: number): number {
    const pa = this.#next;
    this.#next += Math.ceil(size / PAGE_SIZE) * PAGE_SIZE;
    assert(this.#next <= this.bytes.length, "the machine has enough memory");
    return pa;
  }

  #leaf(): number {
    const leaf = this.allocate(LEAF_BYTES);
    const words = new Uint32Array(this.memory.buffer, leaf, LEAF_BYTES / 4);
    words.fill(ENTRY_INVALID, LEAF_READ / 4, LEAF_PAGE / 4);
    return leaf;
  }

  /** Maps the page at `va` to the frame at `pa`. */
  mapPage(
    va: number,
    pa: number,
    { read = false, write = false, fetch = false }: Permissions,
    root = this.root,
  ): void {
    const slot = root + Math.floor(va / 2 ** 24) * 4;
    let leaf = this.view.getUint32(slot, true);
    if (leaf === this.#emptyLeaf) {
      leaf = this.#leaf();
      this.view.setUint32(slot, leaf, true);
    }
    const at = leaf + (Math.floor(va / PAGE_SIZE) % 4096) * 4;
    const entry = (pa - (va % 2 ** 32)) >>> 0;
    this.view.setUint32(at + LEAF_READ, read ? entry : ENTRY_INVALID, true);
    this.view.setUint32(at + LEAF_WRITE, write ? entry : ENTRY_INVALID, true);
    this.view.setUint32(at + LEAF_PAGE, pa | (fetch ? PAGE_FETCH : 0), true);
  }

  /** Maps `size` bytes of fresh frames at page-aligned `va`; the pa of the first. */
  map(va: number, size: number, permissions: Permissions, root = this.root): number {
    const pa = this.allocate(size);
    for (let at = 0; at < size; at += PAGE_SIZE) this.mapPage(va + at, pa + at, permissions, root);
    return pa;
  }

  /** A copy of the leaf table that covers `va`; its pa. */
  copyLeaf(va: number): number {
    const leaf = this.#leaf();
    const from = this.view.getUint32(this.root + Math.floor(va / 2 ** 24) * 4, true);
    this.bytes.copyWithin(leaf, from, from + LEAF_BYTES);
    return leaf;
  }

  /** As {@link map}, with the frames in reverse order, so that no page's frame follows the one before. */
  mapReversed(va: number, size: number, permissions: Permissions): void {
    const pages = Math.ceil(size / PAGE_SIZE);
    const pa = this.allocate(pages * PAGE_SIZE);
    for (let page = 0; page < pages; page++) {
      this.mapPage(va + page * PAGE_SIZE, pa + (pages - 1 - page) * PAGE_SIZE, permissions);
    }
  }

  /** The bytes of a range of mapped pages, one part for each page. */
  *parts(va: number, size: number): Generator<Uint8Array> {
    for (let at = va; at < va + size; ) {
      const length = Math.min(PAGE_SIZE - (at % PAGE_SIZE), va + size - at);
      const pa = this.physical(at);
      yield this.bytes.subarray(pa, pa + length);
      at += length;
    }
  }

  writeBytes(va: number, bytes: Uint8Array): void {
    let from = 0;
    for (const part of this.parts(va, bytes.length)) {
      part.set(bytes.subarray(from, from + part.length));
      from += part.length;
    }
  }

  readBytes(va: number, size: number): Uint8Array {
    const bytes = new Uint8Array(size);
    let to = 0;
    for (const part of this.parts(va, size)) {
      bytes.set(part, to);
      to += part.length;
    }
    return bytes;
  }

  /** The pa behind a mapped `va`. */
  physical(va: number, root = this.root): number {
    const leaf = this.view.getUint32(root + Math.floor(va / 2 ** 24) * 4, true);
    const word = this.view.getUint32(leaf + LEAF_PAGE + (Math.floor(va / PAGE_SIZE) % 4096) * 4, true);
    return ((word & -PAGE_SIZE) >>> 0) + (va % PAGE_SIZE);
  }

  word(offset: number): number {
    return this.view.getUint32(REGS + offset, true);
  }
  setWord(offset: number, value: number): void {
    this.view.setUint32(REGS + offset, value, true);
  }
  long(offset: number): bigint {
    return this.view.getBigUint64(REGS + offset, true);
  }
  setLong(offset: number, value: bigint): void {
    this.view.setBigInt64(REGS + offset, BigInt.asIntN(64, value), true);
  }
  x(index: number): bigint {
    return index === 0 ? 0n : this.long(REG_X + index * 8);
  }
  setX(index: number, value: bigint): void {
    this.setLong(REG_X + index * 8, value);
  }
  f(index: number): bigint {
    return this.long(REG_F + index * 8);
  }
  setF(index: number, value: bigint): void {
    this.setLong(REG_F + index * 8, value);
  }
  get pc(): bigint {
    return this.long(REG_PC);
  }
  set pc(value: bigint) {
    this.setLong(REG_PC, value);
  }
  get trapValue(): bigint {
    return this.long(REG_TRAP_VALUE);
  }
  get flags(): number {
    return this.word(REG_FFLAGS);
  }
  set flags(value: number) {
    this.setWord(REG_FFLAGS, value);
  }
  set frm(value: number) {
    this.setWord(REG_FRM, value);
  }

  /** Instructions executed, by a machine that counts. */
  get instructions(): bigint {
    return this.long(COUNT_AT);
  }

  /** Writes 16-bit or 32-bit instructions at `va`, which is mapped; returns the va behind them. */
  writeCode(va: number, words: readonly number[], root = this.root): number {
    let at = va;
    for (const word of words) {
      const halves = (word & 3) === 3 ? [word & 0xffff, word >>> 16] : [word & 0xffff];
      for (const half of halves) {
        this.view.setUint16(this.physical(at, root), half, true);
        at += 2;
      }
    }
    return at;
  }

  /** What a kernel does when code was taken away or replaced, or a fence was executed. */
  renewCode(): void {
    this.translator?.setCode(++this.#stamp);
  }

  run(): number {
    this.voidRuns();
    return this.#tier0.run(REGS, HART);
  }
}
