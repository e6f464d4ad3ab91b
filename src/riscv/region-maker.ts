/**
 * Makes regions: from a pc and the code that is mapped there to what every hart can find in the code area. A
 * hart may do this itself; in a machine a thread of its own does it (src/machine/translator-thread.ts), which
 * holds no translations and takes no part in safepoints: what it reads may be gone, or be another page, while
 * it reads. A region that was made of such bytes is never used, because harts compare.
 */
import { LEAF_PAGE, PAGE_FETCH, PAGE_SIZE, VA_LIMIT } from "../base/hart-abi.ts";
import type { CodeArea, FoundEntry, RegionOffset, Span } from "./code-area.ts";
import { hasSeen, notedJumps } from "./jump-cache.ts";
import type { KeptRegion, KeptRegions } from "./kept-regions.ts";
import { emitRegion } from "./region-function.ts";
import { type Block, findBlocks } from "./region-graph.ts";
import { RegionModule } from "./region-module.ts";

/** What has been made, for measurements and tests. */
export interface MakerCounts {
  regions: number;
  instructions: number;
  moduleBytes: number;
  /** Published as an earlier machine has made them, beside those. */
  kept: number;
}

/** What outlives a machine (kept-regions.ts). */
export interface Keeping {
  /** Regions of earlier machines. */
  readonly kept?: KeptRegions;
  /** Hears of each region that is made. */
  readonly made?: (region: KeptRegion) => void;
}

/** Guest memory, with the code that is mapped in it. */
export class MappedCode {
  readonly words: Int32Array;
  readonly #halves: Uint16Array;

  constructor(buffer: ArrayBuffer | SharedArrayBuffer) {
    this.words = new Int32Array(buffer);
    this.#halves = new Uint16Array(buffer);
  }

  /** The page word of the page of `va`, 0 if nothing may be fetched from it. */
  pageWord(root: number, va: number): number {
    if (!(va >= 0 && va < VA_LIMIT)) return 0;
    const leaf = this.words[(root >>> 2) + Math.floor(va / 2 ** 24)]! >>> 0;
    const word = this.words[((leaf + LEAF_PAGE) >>> 2) + (Math.floor(va / PAGE_SIZE) & 0xfff)] ?? 0;
    return (word & PAGE_FETCH) === 0 ? 0 : word;
  }

  /** The halfword at `va` of a page with this page word. */
  half(word: number, va: number): number {
    return this.#halves[(((word & -PAGE_SIZE) >>> 0) + (va % PAGE_SIZE)) / 2] ?? -1;
  }

  /** Whether the code that `region` was made from is what is mapped now. */
  isCurrent(area: CodeArea, root: number, region: RegionOffset): boolean {
    const halves = this.#halves;
    return area.everySpan(region, (va, copyAt, size) => {
      let from = copyAt / 2;
      for (let at = va; at < va + size; ) {
        const word = this.pageWord(root, at);
        if (word === 0) return false;
        const start = at % PAGE_SIZE;
        const count = Math.min(PAGE_SIZE - start, va + size - at);
        const pa = (((word & -PAGE_SIZE) >>> 0) + start) / 2;
        for (let i = 0; i < count >>> 1; i++) if (halves[pa + i] !== halves[from + i]) return false;
        from += count >>> 1;
        at += count;
      }
      return true;
    });
  }
}

export class RegionMaker {
  readonly #code: MappedCode;
  readonly #area: CodeArea;
  readonly #module = new RegionModule();
  readonly #kept: KeptRegions | undefined;
  readonly #made: ((region: KeptRegion) => void) | undefined;
  readonly counts: MakerCounts = { regions: 0, instructions: 0, moduleBytes: 0, kept: 0 };

  constructor(code: MappedCode, area: CodeArea, { kept, made }: Keeping = {}) {
    this.#code = code;
    this.#area = area;
    this.#kept = kept;
    this.#made = made;
  }

  /** Makes the region that begins at `pc`, if there is none and one can be made. */
  make(root: number, pc: number, hart: number): RegionOffset | undefined {
    const code = this.#code;
    const find = (at: number): FoundEntry | undefined =>
      this.#area.find(at, code.pageWord(root, at) >>> 12, (region) =>
        code.isCurrent(this.#area, root, region),
      );
    const known = find(pc);
    if (known !== undefined && known.number === 0) return known.region;
    const pages = new Map<number, number>();
    const halves = new Map<number, number>();
    // Each halfword is read once: the bytes that are translated are those that the region is known by.
    const read = (va: number): number => {
      let half = halves.get(va);
      if (half !== undefined) return half;
      const page = Math.floor(va / PAGE_SIZE);
      let word = pages.get(page);
      if (word === undefined) {
        word = code.pageWord(root, va);
        pages.set(page, word);
      }
      half = word === 0 ? -1 : code.half(word, va);
      halves.set(va, half);
      return half;
    };
    const publish = (region: KeptRegion): RegionOffset | undefined => {
      const frameOf = (entry: number): number => pages.get(Math.floor(entry / PAGE_SIZE))! >>> 12;
      const entries = region.entries.map((entry) => ({ pc: entry, frame: frameOf(entry) }));
      return this.#area.publish([{ ...region, entries }])?.[0];
    };
    const kept = this.#kept?.find(pc, read);
    if (kept !== undefined) {
      this.counts.kept++;
      return publish(kept);
    }
    const cache = this.#area.jumpCache(hart);
    const blocks = findBlocks(
      read,
      pc,
      notedJumps(code.words, cache),
      (target) => hasSeen(code.words, cache, target),
      (target) => find(target) !== undefined,
    );
    if (!blocks.has(pc)) return undefined;
    const module = this.#module;
    module.clear();
    let entries: readonly number[] = [];
    const functionNumber = module.add((f) => {
      entries = emitRegion(f, module, blocks, pc);
    });
    const region = { pc, module: module.finish(), functionNumber, spans: spansOf(blocks, read), entries };
    this.counts.regions++;
    this.counts.moduleBytes += region.module.length;
    for (const block of blocks.values()) this.counts.instructions += block.steps.length;
    const offset = publish(region);
    // One that there is no room for would be made again and again.
    if (offset !== undefined) {
      this.#kept?.add(region);
      this.#made?.(region);
    }
    return offset;
  }
}

/** The runs of code that `blocks` were made from. */
function spansOf(blocks: ReadonlyMap<number, Block>, read: (va: number) => number): Span[] {
  const sorted = [...blocks.values()].sort((a, b) => a.pc - b.pc);
  const runs: { start: number; end: number }[] = [];
  for (const { pc, steps } of sorted) {
    const last = steps.at(-1)!;
    const end = last.pc + last.length;
    const run = runs.at(-1);
    if (run !== undefined && pc <= run.end) run.end = Math.max(run.end, end);
    else runs.push({ start: pc, end });
  }
  return runs.map(({ start, end }) => {
    const bytes = new Uint8Array(end - start);
    const view = new DataView(bytes.buffer);
    for (let at = start; at < end; at += 2) view.setUint16(at - start, read(at), true);
    return { va: start, bytes };
  });
}
