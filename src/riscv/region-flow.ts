/**
 * What is known about a region's blocks before code is written: their order, their dominators, and which
 * registers are dirty and which are live at their beginnings.
 *
 * Node 0 is the root, whose successors are the entries. Blocks that are reached from outside (the first one,
 * and where calls return to) are entries, and so is the target of every retreating edge that does not
 * dominate its source: code is structured by dominators, and such edges go through the root's dispatch.
 */
import { immediate, rd, rs1 } from "./decode.ts";
import { type Block, NO_REGISTERS, type RegisterSet, type Step } from "./region-graph.ts";

export interface Node {
  /** Place in reverse postorder; the root is 0. */
  readonly index: number;
  /** Undefined for the root. */
  readonly block: Block | undefined;
  /** Nodes that control goes on to within the region. A call's return address is not among them. */
  readonly successors: Node[];
  /** Where an indirect jump may go by the root's dispatch: `elsewhere` is where it leaves. */
  readonly indirect: Node[];
  /** Where a call returns to, or a trap goes on, after a reload. */
  after: Node | undefined;
  dominator: Node | undefined;
  /** Nodes whose immediate dominator this is, in order. */
  readonly children: Node[];
  /** Number among the entries, −1 if it is none. */
  entry: number;
  /** Edges that lead here and are not from a node that it dominates. */
  forwardEdges: number;
  isLoop: boolean;
  /** The header of the outermost loop that it is in; the root's if it goes by the root's dispatch. */
  loop: Node | undefined;
  /** Of such a header: the integer registers that nothing in the loop changes but short steps. */
  steady: number;
  /** And those through which the loop stores. */
  written: number;
  /** A taken transfer may lead here, so that budget and interrupt have to be looked at. */
  isTarget: boolean;
  /** Registers that may differ from the register file, at the beginning. */
  dirty: RegisterSet;
  /** Registers that must be in their locals at the beginning. */
  live: RegisterSet;
}

export interface Flow {
  readonly root: Node;
  /** In reverse postorder, with the root. */
  readonly nodes: readonly Node[];
  readonly entries: readonly Node[];
  /** The entry for targets of indirect jumps that are not in the region, if there are such jumps. */
  readonly elsewhere: Node | undefined;
  /**
   * Lowest and highest target of indirect jumps within the region. Any of them may go to any entry between
   * these: they share one table.
   */
  readonly lowest: number;
  readonly highest: number;
}

/** Key and stand-in for a block that leaves for the target of an indirect jump. */
const ELSEWHERE = -1;
const elsewhereBlock: Block = {
  pc: ELSEWHERE,
  steps: [],
  ending: "leaves",
  target: -1,
  next: -1,
  defines: NO_REGISTERS,
  reads: NO_REGISTERS,
  targets: [],
};

export const union = (a: RegisterSet, b: RegisterSet): RegisterSet => ({ x: a.x | b.x, f: a.f | b.f });

/** pcs that control goes on to within the region after `block`. */
function targetsOf(block: Block): number[] {
  switch (block.ending) {
    case "falls":
      return [block.next];
    case "branches":
      return [block.target, block.next];
    case "jumps":
      return [block.target];
    default:
      return [];
  }
}

const hasAfter = (block: Block): boolean => block.ending === "calls" || block.ending === "traps";

/** Analyses the blocks of the region that begins at `start`. */
export function analyse(found: ReadonlyMap<number, Block>, start: number): Flow {
  const entryPcs = [start];
  let blocks = found;
  for (const block of found.values()) {
    for (const pc of block.targets) {
      if (!entryPcs.includes(pc)) entryPcs.push(pc);
      if (!blocks.has(ELSEWHERE)) blocks = new Map([...found, [ELSEWHERE, elsewhereBlock]]);
    }
    if (hasAfter(block) && blocks.has(block.next) && !entryPcs.includes(block.next))
      entryPcs.push(block.next);
  }
  for (;;) {
    const flow = orderNodes(blocks, blocks === found ? entryPcs : [...entryPcs, ELSEWHERE]);
    findDominators(flow);
    const stray = strayTargets(flow).filter((pc) => !entryPcs.includes(pc));
    if (stray.length === 0) {
      classify(flow);
      findLoops(flow);
      findDirty(flow);
      findLive(flow);
      return flow;
    }
    entryPcs.push(...stray);
  }
}

function orderNodes(blocks: ReadonlyMap<number, Block>, entryPcs: readonly number[]): Flow {
  const postorder: (Block | undefined)[] = [];
  const seen = new Set<number>();
  // Depth first, without recursion: a frame is a block and the targets not yet visited.
  const visit = (pc: number): void => {
    const stack: { block: Block; rest: number[] }[] = [];
    const push = (at: number): void => {
      const block = blocks.get(at);
      if (block === undefined || seen.has(at)) return;
      seen.add(at);
      stack.push({ block, rest: targetsOf(block) });
    };
    push(pc);
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const target = top.rest.shift();
      if (target === undefined) {
        postorder.push(top.block);
        stack.pop();
      } else push(target);
    }
  };
  // The last one visited comes first in the order.
  for (const pc of [...entryPcs].reverse()) visit(pc);
  postorder.push(undefined);
  const nodes = postorder.reverse().map(
    (block, index): Node => ({
      index,
      block,
      successors: [],
      indirect: [],
      after: undefined,
      dominator: undefined,
      children: [],
      entry: -1,
      forwardEdges: 0,
      isLoop: false,
      loop: undefined,
      steady: 0,
      written: 0,
      isTarget: false,
      dirty: NO_REGISTERS,
      live: NO_REGISTERS,
    }),
  );
  const byPc = new Map(nodes.map((node) => [node.block?.pc ?? Number.NaN, node]));
  const elsewhere = byPc.get(ELSEWHERE);
  const root = nodes[0]!;
  const entries: Node[] = [];
  for (const pc of entryPcs) {
    const node = byPc.get(pc)!;
    node.entry = entries.push(node) - 1;
    root.successors.push(node);
  }
  for (const node of nodes) {
    if (node.block === undefined) continue;
    for (const pc of targetsOf(node.block)) {
      const target = byPc.get(pc);
      if (target !== undefined) node.successors.push(target);
    }
    if (hasAfter(node.block)) node.after = byPc.get(node.block.next);
  }
  const targets = [...blocks.values()].flatMap((block) => block.targets);
  const [lowest, highest] = [Math.min(...targets), Math.max(...targets)];
  for (const node of nodes) {
    if (node.block === undefined || node.block.targets.length === 0) continue;
    for (const entry of entries) {
      const { pc } = entry.block!;
      if (entry === elsewhere || (pc >= lowest && pc <= highest)) node.indirect.push(entry);
    }
  }
  return { root, nodes, entries, elsewhere, lowest, highest };
}

/** Cooper, Harvey and Kennedy, "A simple, fast dominance algorithm". */
function findDominators({ root, nodes }: Flow): void {
  const predecessors: Node[][] = nodes.map(() => []);
  for (const node of nodes) for (const to of node.successors) predecessors[to.index]!.push(node);
  root.dominator = root;
  for (let changed = true; changed; ) {
    changed = false;
    for (const node of nodes) {
      if (node === root) continue;
      let found: Node | undefined;
      for (const from of predecessors[node.index]!) {
        if (from.dominator === undefined) continue;
        found = found === undefined ? from : intersect(found, from);
      }
      if (node.dominator === found) continue;
      node.dominator = found;
      changed = true;
    }
  }
  root.dominator = undefined;
}

function intersect(left: Node, right: Node): Node {
  let a = left;
  let b = right;
  while (a !== b) {
    while (a.index > b.index) a = a.dominator!;
    while (b.index > a.index) b = b.dominator!;
  }
  return a;
}

export function dominates(a: Node, b: Node): boolean {
  let at: Node | undefined = b;
  while (at !== undefined && at.index > a.index) at = at.dominator;
  return at === a;
}

/** Targets of retreating edges that do not dominate the source. */
function strayTargets({ nodes }: Flow): number[] {
  const found = new Set<number>();
  for (const node of nodes) {
    for (const to of node.successors) {
      if (to.index <= node.index && to.entry < 0 && !dominates(to, node)) found.add(to.block!.pc);
    }
  }
  return [...found];
}

function classify({ root, nodes }: Flow): void {
  for (const node of nodes) {
    if (node !== root) node.dominator!.children.push(node);
    for (const to of node.successors) {
      if (to.index <= node.index && dominates(to, node)) to.isLoop = true;
      else if (to.index > node.index) to.forwardEdges++;
      // A retreating edge to an entry goes through the root.
    }
    if (node.after !== undefined && dominates(node.after, node)) node.after.isLoop = true;
    const { block } = node;
    if (block?.ending === "branches" || block?.ending === "jumps") {
      for (const to of node.successors) if (to.block!.pc === block.target) to.isTarget = true;
    }
  }
  for (const node of root.successors) node.isTarget = true;
}

/** Natural loops: what reaches a back edge without passing the header; the outermost ones come first. */
function findLoops(flow: Flow): void {
  const { root, nodes } = flow;
  const predecessors: Node[][] = nodes.map(() => []);
  for (const node of nodes) {
    if (node === root) continue;
    for (const to of node.successors) predecessors[to.index]!.push(node);
  }
  for (const header of nodes) {
    if (!header.isLoop || header.loop !== undefined) continue;
    const body = predecessors[header.index]!.filter((from) => dominates(header, from));
    if (body.length === 0) continue;
    header.loop = header;
    for (let node = body.pop(); node !== undefined; node = body.pop()) {
      if (node.loop !== undefined) continue;
      node.loop = header;
      body.push(...predecessors[node.index]!);
    }
    header.steady = ~1;
    findSteady(header, nodes);
  }
  findRootLoop(flow);
}

function findSteady(header: Node, nodes: readonly Node[]): void {
  header.steady = ~1;
  for (const { loop, block } of nodes) {
    if (loop !== header) continue;
    for (const step of block!.steps) {
      if (!isStep(step)) header.steady &= ~step.defines.x;
      if (step.row.format.immediate === "S") header.written |= 1 << rs1(step.word);
    }
  }
}

/** Loops through the root's dispatch, by indirect jumps and behind calls, are one: the root's. */
function findRootLoop({ root, nodes }: Flow): void {
  const onwards = (node: Node): Node[] => [
    ...(node.indirect.length === 0 ? node.successors : node.indirect),
    ...(node.after === undefined ? [] : [node.after]),
  ];
  for (const start of root.successors) {
    // What can be reached from an entry and reaches it again.
    const reached = new Set<Node>();
    const queue = onwards(start);
    for (let node = queue.pop(); node !== undefined; node = queue.pop()) {
      if (reached.has(node)) continue;
      reached.add(node);
      queue.push(...onwards(node));
    }
    if (!reached.has(start)) continue;
    const returns = new Set([start]);
    for (let changed = true; changed; ) {
      changed = false;
      for (const node of reached) {
        if (returns.has(node) || !onwards(node).some((to) => returns.has(to))) continue;
        returns.add(node);
        changed = true;
      }
    }
    for (const node of returns) node.loop ??= root;
  }
  findSteady(root, nodes);
}

/** Longest step of a pointer that mostly stays on its page. */
const STRIDE_MAX = 256;

/** Whether it defines no register, or goes on by a short step with one. */
function isStep({ row, word, defines }: Step): boolean {
  if (defines.x === 0) return true;
  if (row.name !== "addi" || rs1(word) !== rd(word)) return false;
  return Math.abs(immediate(row.format.immediate, word)) <= STRIDE_MAX;
}

function findDirty({ nodes }: Flow): void {
  for (let changed = true; changed; ) {
    changed = false;
    for (const { block, dirty, successors, indirect } of nodes) {
      if (block === undefined) continue;
      const x = dirty.x | block.defines.x;
      const f = dirty.f | block.defines.f;
      for (const to of indirect.length === 0 ? successors : indirect) {
        if ((x & ~to.dirty.x) === 0 && (f & ~to.dirty.f) === 0) continue;
        to.dirty = { x: to.dirty.x | x, f: to.dirty.f | f };
        changed = true;
      }
    }
  }
}

/** A dirty register is live: some exit will spill it. */
function findLive({ nodes }: Flow): void {
  for (let changed = true; changed; ) {
    changed = false;
    for (let i = nodes.length - 1; i > 0; i--) {
      const node = nodes[i]!;
      const { reads, defines } = node.block!;
      let x = 0;
      let f = 0;
      for (const to of node.indirect.length === 0 ? node.successors : node.indirect) {
        x |= to.live.x;
        f |= to.live.f;
      }
      x = (x & ~defines.x) | reads.x | node.dirty.x;
      f = (f & ~defines.f) | reads.f | node.dirty.f;
      if (x === node.live.x && f === node.live.f) continue;
      node.live = { x, f };
      changed = true;
    }
  }
}
