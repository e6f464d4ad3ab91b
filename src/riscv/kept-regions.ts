/**
 * Regions that outlive their machine: as bytes, and by pc.
 *
 * A region is made of nothing but the code at its addresses and of what was known about its jumps; its code finds
 * everything else through the hart block and the register file, wherever they lie. So one that an earlier machine has
 * made can be published again (region-maker.ts) once the code that is mapped has been compared with the bytes that the
 * region is known by, as harts do before they run any.
 *
 *     record   +0 bytes of the record  +4 pc, two words  +12 number of the function
 *              +16 bytes of the module  +20 count of spans  +24 count of entries
 *              spans: va, two words; bytes.  entries: pc, two words
 *              the module's bytes, those of the spans; zeros up to a multiple of 4
 *
 * All little-endian. Who keeps records sees to it that they are whole (machine/translation-store.ts); a record that
 * contradicts itself is refused all the same.
 */
import type { Span } from "./code-area.ts";

/** What is kept of a region. */
export interface KeptRegion {
  /** Where it begins: the first of its entries. */
  readonly pc: number;
  readonly module: Uint8Array;
  readonly functionNumber: number;
  readonly spans: readonly Span[];
  /** pc of each entry, by number. */
  readonly entries: readonly number[];
}

const HEAD_BYTES = 28;
const SPAN_BYTES = 12;
const ENTRY_BYTES = 8;
/** Regions kept of one pc: different programs have different code there. */
const VERSIONS_MAX = 4;

const aligned = (bytes: number): number => (bytes + 3) & ~3;

function putAddress(view: DataView, at: number, address: number): void {
  view.setUint32(at, address % 2 ** 32, true);
  view.setUint32(at + 4, Math.floor(address / 2 ** 32), true);
}

const address = (view: DataView, at: number): number =>
  view.getUint32(at + 4, true) * 2 ** 32 + view.getUint32(at, true);

/** The record of a region. */
export function encodeRegion(region: KeptRegion): Uint8Array<ArrayBuffer> {
  const { module, spans, entries } = region;
  const fixed = HEAD_BYTES + spans.length * SPAN_BYTES + entries.length * ENTRY_BYTES;
  const code = spans.reduce((sum, { bytes }) => sum + bytes.length, 0);
  const record = new Uint8Array(aligned(fixed + module.length + code));
  const view = new DataView(record.buffer);
  view.setUint32(0, record.length, true);
  putAddress(view, 4, region.pc);
  view.setUint32(12, region.functionNumber, true);
  view.setUint32(16, module.length, true);
  view.setUint32(20, spans.length, true);
  view.setUint32(24, entries.length, true);
  let at = HEAD_BYTES;
  for (const { va, bytes } of spans) {
    putAddress(view, at, va);
    view.setUint32(at + 8, bytes.length, true);
    at += SPAN_BYTES;
  }
  for (const pc of entries) {
    putAddress(view, at, pc);
    at += ENTRY_BYTES;
  }
  for (const bytes of [module, ...spans.map((span) => span.bytes)]) {
    record.set(bytes, at);
    at += bytes.length;
  }
  return record;
}

/** The regions whose records follow each other in `bytes`, up to the first that contradicts itself. */
export function decodeRegions(bytes: Uint8Array): KeptRegion[] {
  const regions: KeptRegion[] = [];
  for (let at = 0; at + HEAD_BYTES <= bytes.length; ) {
    const size = new DataView(bytes.buffer, bytes.byteOffset + at).getUint32(0, true);
    if (size < HEAD_BYTES || at + size > bytes.length) break;
    const region = decodeRegion(bytes.subarray(at, at + size));
    if (region === undefined) break;
    regions.push(region);
    at += size;
  }
  return regions;
}

function decodeRegion(record: Uint8Array): KeptRegion | undefined {
  const view = new DataView(record.buffer, record.byteOffset, record.length);
  const [moduleBytes, spanCount, entryCount] = [16, 20, 24].map((at) => view.getUint32(at, true));
  const entriesAt = HEAD_BYTES + spanCount! * SPAN_BYTES;
  const moduleAt = entriesAt + entryCount! * ENTRY_BYTES;
  let codeAt = moduleAt + moduleBytes!;
  if (codeAt > record.length || spanCount === 0 || entryCount === 0) return undefined;
  const spans: Span[] = [];
  for (let i = 0; i < spanCount!; i++) {
    const at = HEAD_BYTES + i * SPAN_BYTES;
    const size = view.getUint32(at + 8, true);
    if (codeAt + size > record.length || size % 2 !== 0) return undefined;
    spans.push({ va: address(view, at), bytes: record.subarray(codeAt, codeAt + size) });
    codeAt += size;
  }
  if (aligned(codeAt) !== record.length) return undefined;
  const entries = Array.from({ length: entryCount! }, (_, i) => address(view, entriesAt + i * ENTRY_BYTES));
  const isCovered = (pc: number): boolean =>
    spans.some(({ va, bytes }) => pc >= va && pc < va + bytes.length);
  const pc = address(view, 4);
  if (entries[0] !== pc || !entries.every(isCovered)) return undefined;
  return {
    pc,
    module: record.subarray(moduleAt, moduleAt + moduleBytes!),
    functionNumber: view.getUint32(12, true),
    spans,
    entries,
  };
}

/** Kept regions by pc. */
export class KeptRegions {
  readonly #byPc = new Map<number, KeptRegion[]>();

  add(region: KeptRegion): void {
    const versions = this.#byPc.get(region.pc);
    const others = versions?.filter((other) => !isOfSameCode(other, region)) ?? [];
    this.#byPc.set(region.pc, [region, ...others.slice(0, VERSIONS_MAX - 1)]);
  }

  /** The region that begins at `pc`, made of the code that `read` gives by halfwords; the newest that fits. */
  find(pc: number, read: (va: number) => number): KeptRegion | undefined {
    return this.#byPc.get(pc)?.find(({ spans }) => spans.every((span) => isSame(span, read)));
  }
}

function isOfSameCode(one: KeptRegion, other: KeptRegion): boolean {
  return (
    one.spans.length === other.spans.length &&
    one.spans.every(({ va, bytes }, i) => {
      const span = other.spans[i]!;
      return (
        va === span.va &&
        bytes.length === span.bytes.length &&
        bytes.every((byte, at) => byte === span.bytes[at])
      );
    })
  );
}

function isSame({ va, bytes }: Span, read: (va: number) => number): boolean {
  for (let at = 0; at < bytes.length; at += 2) {
    if (read(va + at) !== (bytes[at]! | (bytes[at + 1]! << 8))) return false;
  }
  return true;
}
