/**
 * The region translator of one hart: makes regions of code that is often jumped to, takes those that other
 * harts have made, and fills the jump cache with both (docs/design/translator.md).
 *
 * What this object holds is a cache: functions in the hart's table, by region. Everything else is in the code
 * area and can be used by any other hart.
 */
import { HART_CODE_TAG, HART_JUMP_CACHE, REG_PC, REG_ROOT } from "../base/hart-abi.ts";
import { CodeArea, type FoundEntry, type RegionOffset } from "./code-area.ts";
import {
  CODE_TAG_MAX,
  COUNT_MAX,
  fillEntry,
  JUMP_CACHE_BYTES,
  setCount,
  TAG_SHIFT_HIGH,
} from "./jump-cache.ts";
import { type Keeping, MappedCode, RegionMaker } from "./region-maker.ts";
import { instantiateTier0, type Tier0, type Tier0Imports } from "./tier0.ts";
import { type WasmMemory, type WasmModule, type WasmTable, WebAssembly } from "../base/webassembly.ts";

/**
 * Transfers to a target, after the first ones, before a region is made for it. To make a region, and to compile
 * it twice, takes some milliseconds of processors, which tier 0 spends in about so many transfers. With 2000 the
 * first start of Python took half as long again as without regions, with 10000 and 30000 as long; what computes
 * for a second or more is not slower for it.
 */
const NEXT_COUNT = 10_000;
/**
 * Transfers before it is looked whether a region that was asked for is there, and such looks before it is asked
 * for again, which may be in vain: of some code none can be made.
 */
const WAIT_COUNT = 100;
const LOOKS = 64;
/** Targets whose calls of `hot` are remembered. */
const CALLS_MAX = 1 << 16;
const TABLE_START = 64;

export interface TranslatorParts {
  /** Tier 0 with regions, compiled. */
  readonly module: WasmModule;
  readonly imports: Omit<Tier0Imports, "table" | "hot">;
  /** The code area: pa, bytes, and of how many harts. */
  readonly area: { readonly at: number; readonly bytes: number; readonly harts: number };
  /** The hart: its number, and the pa of its block. */
  readonly index: number;
  readonly block: number;
  /** Transfers to a target, after the first ones, before a region is made for it. */
  readonly nextCount?: number;
  /** Regions that there are before, and who hears of new ones. */
  readonly keeping?: Keeping;
  /** Regions are made by a thread of their own, which takes requests from the code area. */
  readonly asks?: boolean;
}

export class Translator {
  readonly #memory: WasmMemory;
  readonly #code: MappedCode;
  readonly #words: Int32Array;
  readonly #area: CodeArea;
  readonly #index: number;
  readonly #table: WasmTable;
  readonly #tier0: Tier0;
  readonly #cache: number;
  readonly #block: number;
  readonly #elements = new Map<RegionOffset, number>();
  /** Calls of `hot` in vain, by target. */
  readonly #calls = new Map<number, number>();
  /** Makes regions here and at once; undefined: they are asked for. */
  readonly maker: RegionMaker | undefined;
  readonly #nextCount: number;
  #nextElement = 1;
  #tagHigh = 0;
  #tagGeneration = 0;

  constructor({ module, imports, area, index, block, nextCount, keeping, asks }: TranslatorParts) {
    const { buffer } = imports.memory;
    this.#memory = imports.memory;
    this.#code = new MappedCode(buffer);
    this.#words = this.#code.words;
    this.#area = new CodeArea(buffer, area.at, area.bytes, area.harts);
    this.#index = index;
    this.#nextCount = nextCount ?? NEXT_COUNT;
    this.maker = asks === true ? undefined : new RegionMaker(this.#code, this.#area, keeping);
    this.#table = new WebAssembly.Table({ initial: TABLE_START, element: "anyfunc" });
    this.#cache = this.#area.jumpCache(index);
    this.#block = block;
    this.#words[(block + HART_JUMP_CACHE) >>> 2] = this.#cache;
    this.#tier0 = instantiateTier0(module, {
      ...imports,
      table: this.#table,
      hot: (regs) => this.#hot(regs),
    });
    // A hart that was here before may have left entries; its functions are gone with it.
    this.#clearCache();
    this.setCode(0);
  }

  run(registers: number, hart: number): number {
    return this.#tier0.run(registers, hart);
  }

  /** From now on the code is that of the address space with this stamp. */
  setCode(stamp: number): void {
    const unsigned = stamp >>> 0;
    const generation = Math.floor(unsigned / CODE_TAG_MAX);
    if (generation !== this.#tagGeneration) {
      this.#tagGeneration = generation;
      this.#clearCache();
    }
    this.#tagHigh = ((unsigned % CODE_TAG_MAX) + 1) << TAG_SHIFT_HIGH;
    this.#words[(this.#block + HART_CODE_TAG) >>> 2] = 0;
    this.#words[(this.#block + HART_CODE_TAG + 4) >>> 2] = this.#tagHigh;
  }

  #clearCache(): void {
    this.#words.fill(0, this.#cache >>> 2, (this.#cache + JUMP_CACHE_BYTES) >>> 2);
  }

  /** A target has been jumped to often: REG_PC of `regs`. */
  #hot(regs: number): number {
    const w = this.#words;
    const at = (regs + REG_PC) >>> 2;
    const pc = w[at + 1]! * 2 ** 32 + (w[at]! >>> 0);
    const root = w[(regs + REG_ROOT) >>> 2]! >>> 0;
    const code = this.#code;
    const found = this.#area.find(pc, code.pageWord(root, pc) >>> 12, (region) =>
      code.isCurrent(this.#area, root, region),
    );
    if (found !== undefined) this.#fill(pc, found);
    else setCount(w, this.#cache, pc, this.#countAfterMiss(root, pc));
    return 0;
  }

  /** Asks for a region, if it is time for that, or makes it; transfers until `pc` is looked for again. */
  #countAfterMiss(root: number, pc: number): number {
    const calls = this.#calls.get(pc) ?? 0;
    if (this.#calls.size >= CALLS_MAX) this.#calls.clear();
    this.#calls.set(pc, calls + 1);
    if (calls === 0 && this.#nextCount > 0) return this.#nextCount;
    if (this.maker !== undefined) {
      const region = this.maker.make(root, pc, this.#index);
      if (region === undefined) return COUNT_MAX;
      this.#fill(pc, { region, number: 0 });
      return 0;
    }
    const isFirst = calls <= 1;
    if (isFirst || calls >= LOOKS) {
      const isFiled = this.#area.submit({ hart: this.#index, pc, root });
      if (!isFiled) this.#calls.set(pc, calls);
    }
    return calls < LOOKS ? WAIT_COUNT : COUNT_MAX;
  }

  #fill(pc: number, { region, number }: FoundEntry): void {
    const element = this.#elementOf(region);
    fillEntry(this.#words, this.#cache, pc, this.#tagHigh, { element, entry: number });
    // Another program at the same address begins to count anew.
    this.#calls.delete(pc);
    // Others that share the count may have regions too, and in another address space this one.
    setCount(this.#words, this.#cache, pc, 0);
  }

  /** Regions that this hart has in its table. */
  get regions(): number {
    return this.#elements.size;
  }

  /** The region's element of the table, which is filled if it is not yet. */
  #elementOf(region: RegionOffset): number {
    let element = this.#elements.get(region);
    if (element !== undefined) return element;
    const module = new WebAssembly.Module(this.#area.moduleBytes(region));
    const instance = new WebAssembly.Instance(module, {
      env: { memory: this.#memory, table: this.#table },
      tier0: this.#tier0 as unknown as Record<string, unknown>,
    });
    element = this.#nextElement++;
    if (element >= this.#table.length) this.#table.grow(this.#table.length);
    const name = String(this.#area.functionNumber(region));
    this.#table.set(element, (instance.exports as Record<string, unknown>)[name]);
    this.#elements.set(region, element);
    return element;
  }
}
