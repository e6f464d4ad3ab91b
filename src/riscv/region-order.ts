/**
 * The order of a region's blocks, and which dominates which.
 *
 * Node 0 is the root, whose successors are the entries. Blocks that are reached from outside (the first one,
 * and where calls return to) are entries, and so is the target of every retreating edge that does not
 * dominate its source: code is structured by dominators, and such edges go through the root's dispatch.
 */
import { type Block, type BlockId, NO_REGISTERS, type RegisterSet } from "./region-graph.ts";

/** The loop that a block is in. */
export interface Unrolled {
  readonly header: BlockId;
  readonly copies: number;
}
export type Unrolling = ReadonlyMap<BlockId, Unrolled>;

export const NOT_UNROLLED: Unrolling = new Map();

export interface Node {
  /** Place in reverse postorder; the root is 0. */
  readonly index: number;
  /** Which copy of the block it is, if the block's loop is unrolled (region-unroll.ts). */
  readonly copy: number;
  /** Undefined for the root. */
  readonly block: Block | undefined;
  /** Nodes that control goes on to within the region. A call's return address is not among them. */
  readonly successors: Node[];
  /** Where the transfer at its end goes when it is taken, and when not, if that lies within the region. */
  taken: Node | undefined;
  next: Node | undefined;
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
export const ELSEWHERE = -1;
export const elsewhereBlock: Block = {
  id: ELSEWHERE,
  pc: ELSEWHERE,
  taken: -1,
  after: -1,
  steps: [],
  ending: "leaves",
  target: -1,
  next: -1,
  defines: NO_REGISTERS,
  reads: NO_REGISTERS,
  targets: [],
};

/** Blocks that control goes on to after `block`: if the transfer at its end is taken, and if not; −1 if it does not. */
const takenOf = ({ ending, taken }: Block): BlockId =>
  ending === "branches" || ending === "jumps" || ending === "enters" ? taken : -1;
const nextOf = ({ ending, after }: Block): BlockId =>
  ending === "branches" || ending === "falls" || ending === "returns" ? after : -1;

export const hasAfter = (block: Block): boolean => block.ending === "calls" || block.ending === "traps";

/** Nodes in order, with their dominators. */
export function structure(
  blocks: ReadonlyMap<BlockId, Block>,
  entryPcs: readonly number[],
  unrolling: Unrolling,
): Flow {
  const flow = orderNodes(blocks, entryPcs, unrolling);
  findDominators(flow);
  return flow;
}

/** Between the keys of the copies of a block; ids are even. */
const COPY_KEY = 1 / 16;

/** Key of the node to which copy `copy` of `block` goes for the block `id`. */
function keyAfter(block: Block, copy: number, id: BlockId, unrolling: Unrolling): number {
  const to = unrolling.get(id);
  if (to === undefined || unrolling.get(block.id)?.header !== to.header) return id;
  return id + (id === to.header ? (copy + 1) % to.copies : copy) * COPY_KEY;
}

function orderNodes(
  blocks: ReadonlyMap<number, Block>,
  entryPcs: readonly number[],
  unrolling: Unrolling,
): Flow {
  interface Place {
    readonly key: number;
    readonly block: Block | undefined;
  }
  const postorder: Place[] = [];
  const seen = new Set<number>();
  const copyOf = ({ key, block }: Place): number => (block === undefined ? 0 : (key - block.id) / COPY_KEY);
  const onwards = (place: Place, id: BlockId): number =>
    id < 0 ? -1 : keyAfter(place.block!, copyOf(place), id, unrolling);
  // Depth first, without recursion: a frame is a block and the targets not yet visited.
  const visit = (pc: number): void => {
    const stack: { place: Place; rest: number[] }[] = [];
    const push = (key: number): void => {
      const block = blocks.get(key === ELSEWHERE ? key : Math.floor(key));
      if (block === undefined || seen.has(key)) return;
      seen.add(key);
      const place = { key, block };
      stack.push({ place, rest: [onwards(place, takenOf(block)), onwards(place, nextOf(block))] });
    };
    push(pc);
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const target = top.rest.shift();
      if (target === undefined) {
        postorder.push(top.place);
        stack.pop();
      } else if (target >= 0) push(target);
    }
  };
  // The last one visited comes first in the order.
  for (const pc of [...entryPcs].reverse()) visit(pc);
  postorder.push({ key: Number.NaN, block: undefined });
  const places = postorder.reverse();
  const nodes = places.map(
    (place, index): Node => ({
      index,
      copy: copyOf(place),
      block: place.block,
      successors: [],
      taken: undefined,
      next: undefined,
      indirect: [],
      after: undefined,
      dominator: undefined,
      children: [],
      entry: -1,
      forwardEdges: 0,
      isLoop: false,
      loop: undefined,
      dirty: NO_REGISTERS,
      live: NO_REGISTERS,
    }),
  );
  const byPc = new Map(nodes.map((node) => [places[node.index]!.key, node]));
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
    const place = places[node.index]!;
    node.taken = byPc.get(onwards(place, takenOf(node.block)));
    node.next = byPc.get(onwards(place, nextOf(node.block)));
    for (const to of [node.taken, node.next]) if (to !== undefined) node.successors.push(to);
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
export function strayTargets({ nodes }: Flow): BlockId[] {
  const found = new Set<number>();
  for (const node of nodes) {
    for (const to of node.successors) {
      if (to.index <= node.index && to.entry < 0 && !dominates(to, node)) found.add(to.block!.id);
    }
  }
  return [...found];
}

/** What follows from order and dominators: loops, edges, children. */
export function classify({ root, nodes }: Flow): void {
  for (const node of nodes) {
    if (node !== root) node.dominator!.children.push(node);
    for (const to of node.successors) {
      if (to.index <= node.index && dominates(to, node)) to.isLoop = true;
      else if (to.index > node.index) to.forwardEdges++;
      // A retreating edge to an entry goes through the root.
    }
    if (node.after !== undefined && dominates(node.after, node)) node.after.isLoop = true;
  }
}
