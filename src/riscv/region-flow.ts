/**
 * What is known about a region's blocks before code is written: their structure (region-order.ts), which loops
 * they are in, and which registers are dirty and which are live at their beginnings.
 */
import type { Block, RegisterSet } from "./region-graph.ts";
import {
  classify,
  dominates,
  ELSEWHERE,
  elsewhereBlock,
  type Flow,
  hasAfter,
  type Node,
  NOT_UNROLLED,
  strayTargets,
  structure,
} from "./region-order.ts";
import { findUnrolling } from "./region-unroll.ts";

export const union = (a: RegisterSet, b: RegisterSet): RegisterSet => ({ x: a.x | b.x, f: a.f | b.f });

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
  const entriesOf = (): number[] => (blocks === found ? entryPcs : [...entryPcs, ELSEWHERE]);
  let flow = structure(blocks, entriesOf(), NOT_UNROLLED);
  for (let stray = strayTargets(flow); stray.length > 0; stray = strayTargets(flow)) {
    entryPcs.push(...stray);
    flow = structure(blocks, entriesOf(), NOT_UNROLLED);
  }
  classify(flow);
  const unrolling = findUnrolling(flow);
  if (unrolling.size > 0) {
    // A natural loop's copies have their only entry from the first one's header, so nothing new strays.
    flow = structure(blocks, entriesOf(), unrolling);
    classify(flow);
  }
  findLoops(flow);
  findDirty(flow);
  findLive(flow);
  return flow;
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
  }
  findRootLoop(flow);
}

/** Loops through the root's dispatch, by indirect jumps and behind calls, are one: the root's. */
function findRootLoop({ root }: Flow): void {
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
