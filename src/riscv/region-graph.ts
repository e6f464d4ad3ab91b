/**
 * The blocks of a region: found from its first instruction along direct branches, as far as the pages that
 * can be fetched from, and the limits, go.
 */
import { decode, decodeCompressed, immediate, isCompressed, rd, rs1, rs2, rs3 } from "./decode.ts";
import type { Instruction } from "./isa.ts";

/** Instructions and blocks of the largest region. */
export const STEPS_MAX = 1200;
const BLOCKS_MAX = 60;

/** A set of registers: x1 to x31, and f0 to f31. Bit n of each is register n. */
export interface RegisterSet {
  readonly x: number;
  readonly f: number;
}
export const NO_REGISTERS: RegisterSet = { x: 0, f: 0 };

/** One instruction of a block. */
export interface Step {
  readonly pc: number;
  readonly length: 2 | 4;
  /** The 32-bit instruction that it is or stands for. */
  readonly word: number;
  readonly row: Instruction;
  readonly uses: RegisterSet;
  readonly defines: RegisterSet;
}

/**
 * How a block ends.
 *   falls     into the block behind it
 *   branches  to `target`, or falls
 *   jumps     to `target` (jal x0)
 *   calls     `target`, or (indirect) what a register says; `next` is the return address
 *   leaves    for what a register says (jalr x0)
 *   enters    a function whose blocks are written here: a call that is none
 *   returns   from such a function, to `next` if the register says so
 *   traps     ecall; `next` is where it goes on
 *   stops     before an instruction that tier 0 has to execute, at `next`
 */
export type Ending =
  | "falls"
  | "branches"
  | "jumps"
  | "calls"
  | "leaves"
  | "enters"
  | "returns"
  | "traps"
  | "stops";

/** Names a block: its pc, or for a block of a function that is written where it is called, a number of its own. */
export type BlockId = number;

export interface Block {
  readonly id: BlockId;
  readonly pc: number;
  /** The blocks that `target` and `next` are, if the region has them. */
  readonly taken: BlockId;
  readonly after: BlockId;
  readonly steps: readonly Step[];
  readonly ending: Ending;
  /** pc of the taken transfer's target, −1 if there is none or a register says it. */
  readonly target: number;
  /** pc behind the block. */
  readonly next: number;
  /** Of `leaves`: targets within the region that it has been seen to go to. */
  readonly targets: number[];
  /** Registers that it defines, and those that it reads before it defines them. */
  readonly defines: RegisterSet;
  readonly reads: RegisterSet;
}

/** What an instruction does with its operands. */
interface Operands {
  readonly rd: boolean;
  readonly rs1: boolean;
  readonly rs2: boolean;
  readonly fd: boolean;
  readonly fs1: boolean;
  readonly fs2: boolean;
  readonly fs3: boolean;
}

const operandsOf = new Map<Instruction, Operands>();

function operands(row: Instruction): Operands {
  let found = operandsOf.get(row);
  if (found === undefined) {
    const has = (...names: string[]): boolean => row.format.operands.some((name) => names.includes(name));
    found = {
      rd: has("rd"),
      rs1: has("rs1", "mem", "base"),
      rs2: has("rs2"),
      fd: has("fd"),
      fs1: has("fs1"),
      fs2: has("fs2"),
      fs3: has("fs3"),
    };
    operandsOf.set(row, found);
  }
  return found;
}

function stepOf(pc: number, length: 2 | 4, word: number, row: Instruction): Step {
  const has = operands(row);
  const x = (has.rs1 ? 1 << rs1(word) : 0) | (has.rs2 ? 1 << rs2(word) : 0);
  const f = (has.fs1 ? 1 << rs1(word) : 0) | (has.fs2 ? 1 << rs2(word) : 0) | (has.fs3 ? 1 << rs3(word) : 0);
  const defines = { x: has.rd ? (1 << rd(word)) & ~1 : 0, f: has.fd ? 1 << rd(word) : 0 };
  return { pc, length, word, row, uses: { x: x & ~1, f }, defines };
}

/** Reads code: the halfword at va `pc`, or −1 if it may not be fetched. */
export type CodeReader = (pc: number) => number;

/** The instruction at `pc`, or undefined: illegal, or not to be fetched. */
export function stepAt(read: CodeReader, pc: number): Step | undefined {
  const low = read(pc);
  if (low < 0) return undefined;
  if (isCompressed(low)) {
    const found = decodeCompressed(low);
    if (found === undefined) return undefined;
    const row = decode(found.word);
    return row && stepOf(pc, 2, found.word, row);
  }
  const high = read(pc + 2);
  if (high < 0) return undefined;
  const word = low | (high << 16);
  const row = decode(word);
  return row && stepOf(pc, 4, word, row);
}

const CSR_FFLAGS = 1;

/** frflags or fsflags, which compilers put around comparisons. */
function isFlagAccess({ row, word }: Step): boolean {
  if (word >>> 20 !== CSR_FFLAGS) return false;
  return row.name === "csrrw" || (row.name === "csrrs" && rs1(word) === 0);
}

/** What becomes of a block at an instruction: it goes on behind it, or ends so. */
function endingOf(step: Step): Ending | "goes on" {
  const { row, word } = step;
  switch (row.name) {
    case "jal":
      return rd(word) === 0 ? "jumps" : "calls";
    case "jalr":
      return rd(word) === 0 ? "leaves" : "calls";
    case "ecall":
      return "traps";
    case "ebreak":
    case "fence.i":
      return "stops";
    default:
      if (row.format.immediate === "B") return "branches";
      return row.extension === "Zicsr" && !isFlagAccess(step) ? "stops" : "goes on";
  }
}

/** Targets of indirect jumps are blocks of the region if they lie so near to its start, in bytes. */
const REACH = 8192;

/**
 * The blocks of the region that begins at `start`; none if its first instruction is for tier 0. `jumps`: where
 * indirect jumps have been seen to go; `isSeen`: whether anything may have jumped to a pc; `isElsewhere`: whether
 * another region begins there, so that this one need not hold the same code.
 */
export function findBlocks(
  read: CodeReader,
  start: number,
  jumps: ReadonlyMap<number, ReadonlySet<number>> = new Map(),
  isSeen: (pc: number) => boolean = () => true,
  isElsewhere: (pc: number) => boolean = () => false,
): Map<BlockId, Block> {
  const blocks = exploreBlocks(read, start, { jumps, isSeen, isElsewhere, ...REGION });
  const calls = [...blocks.values()].filter(({ ending }) => ending === "calls");
  for (const call of calls) inline(read, blocks, call, isSeen);
  return blocks;
}

interface Exploration {
  readonly jumps: ReadonlyMap<number, ReadonlySet<number>>;
  readonly isSeen: (pc: number) => boolean;
  readonly isElsewhere: (pc: number) => boolean;
  readonly blocksMax: number;
  readonly stepsMax: number;
}

/** Most blocks and instructions of a region, and of a function that is written where it is called. */
const REGION = { blocksMax: BLOCKS_MAX, stepsMax: STEPS_MAX } as const;
const LEAF = { blocksMax: 8, stepsMax: 40 } as const;
/** Blocks of all such functions in a region. */
const INLINED_MAX = 40;
/** Between the ids of the blocks of one such function and those of the next; pcs are smaller. */
const INLINED_ID: number = 2 ** 40;

/**
 * Writes a short function without calls where it is called, so that registers stay where they are. Its return goes
 * on behind the call if the register says so, which the engine mostly finds out by itself.
 */
function inline(
  read: CodeReader,
  blocks: Map<BlockId, Block>,
  call: Block,
  isSeen: (pc: number) => boolean,
): void {
  if (call.target < 0 || !blocks.has(call.next) || rd(call.steps.at(-1)!.word) !== RA) return;
  let inlined = 0;
  let last = 0;
  for (const { id, pc } of blocks.values()) {
    if (id !== pc) inlined++;
    last = Math.max(last, Math.floor(id / INLINED_ID));
  }
  if (inlined === INLINED_MAX) return;
  const isElsewhere = (): boolean => false;
  const leaf = exploreBlocks(read, call.target, { jumps: new Map(), isSeen, isElsewhere, ...LEAF });
  if (leaf.size === 0 || inlined + leaf.size > INLINED_MAX || ![...leaf.values()].every(isOfLeaf)) return;
  const at = (last + 1) * INLINED_ID;
  for (const block of leaf.values()) {
    const isReturn = block.ending === "leaves";
    blocks.set(block.pc + at, {
      ...block,
      id: block.pc + at,
      taken: block.target + at,
      ending: isReturn ? "returns" : block.ending,
      next: isReturn ? call.next : block.next,
      after: isReturn ? call.next : block.next + at,
    });
  }
  blocks.set(call.id, { ...call, ending: "enters", taken: call.target + at });
}

const RA = 1;

/** Whether a block may be one of a function that is written where it is called. */
function isOfLeaf({ ending, steps }: Block): boolean {
  if (ending === "leaves") {
    const { word } = steps.at(-1)!;
    return rs1(word) === RA && immediate("I", word) === 0;
  }
  return ending === "falls" || ending === "branches" || ending === "jumps";
}

function exploreBlocks(
  read: CodeReader,
  start: number,
  { jumps, isSeen, isElsewhere, blocksMax, stepsMax }: Exploration,
): Map<BlockId, Block> {
  const steps = new Map<number, Step | undefined>();
  const leaders = new Set<number>();
  const queue = [start];
  leaders.add(start);
  const lead = (pc: number): void => {
    if (leaders.has(pc) || leaders.size >= blocksMax || isElsewhere(pc)) return;
    leaders.add(pc);
    queue.push(pc);
  };
  for (let pc = queue.shift(); pc !== undefined; pc = queue.shift()) {
    for (let at = pc; !steps.has(at) && steps.size < stepsMax; ) {
      const step = stepAt(read, at);
      steps.set(at, step);
      if (step === undefined) break;
      const ending = endingOf(step);
      if (ending === "goes on") {
        at += step.length;
        continue;
      }
      if (ending === "branches" || ending === "jumps") {
        const target = at + immediate(step.row.format.immediate, step.word);
        // What has never been jumped to is most likely the rare side of a branch.
        if (ending === "jumps" || target <= at || isSeen(target)) lead(target);
      }
      if (ending === "branches" || ending === "calls" || ending === "traps") lead(at + step.length);
      if (ending === "leaves") {
        for (const target of jumps.get(at) ?? []) if (Math.abs(target - start) < REACH) lead(target);
      }
      break;
    }
  }
  const blocks = new Map<BlockId, Block>();
  for (const pc of leaders) {
    const block = blockAt(steps, leaders, pc);
    if (block !== undefined) blocks.set(pc, block);
  }
  for (const block of blocks.values()) {
    const seen = block.ending === "leaves" ? jumps.get(block.steps.at(-1)!.pc) : undefined;
    if (seen !== undefined) block.targets.push(...[...seen].filter((pc) => blocks.has(pc)));
  }
  return blocks;
}

function blockAt(
  steps: ReadonlyMap<number, Step | undefined>,
  leaders: ReadonlySet<number>,
  pc: number,
): Block | undefined {
  const own: Step[] = [];
  for (let at = pc; ; ) {
    const step = steps.get(at);
    const ending = step === undefined ? "stops" : endingOf(step);
    if (step === undefined || ending === "stops") {
      return own.length === 0 ? undefined : blockOf(pc, own, "stops", -1, at);
    }
    own.push(step);
    at += step.length;
    if (ending !== "goes on") {
      const isDirect = ending === "branches" || step.row.name === "jal";
      const target = isDirect ? step.pc + immediate(step.row.format.immediate, step.word) : -1;
      return blockOf(pc, own, ending, target, at);
    }
    if (leaders.has(at)) return blockOf(pc, own, "falls", -1, at);
  }
}

function blockOf(pc: number, steps: readonly Step[], ending: Ending, target: number, next: number): Block {
  return { id: pc, pc, taken: target, after: next, steps, ending, target, next, ...usage(steps) };
}

function usage(steps: readonly Step[]): Pick<Block, "defines" | "reads" | "targets"> {
  let definesX = 0;
  let definesF = 0;
  let readsX = 0;
  let readsF = 0;
  for (const { uses, defines } of steps) {
    readsX |= uses.x & ~definesX;
    readsF |= uses.f & ~definesF;
    definesX |= defines.x;
    definesF |= defines.f;
  }
  return { defines: { x: definesX, f: definesF }, reads: { x: readsX, f: readsF }, targets: [] };
}
