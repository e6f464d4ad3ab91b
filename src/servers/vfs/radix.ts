/**
 * Page indexes: from a page number to one word, as a tree of nodes with 64 slots each.
 *
 *     root (level 2) ── slot i ──▶ node (level 1) ── slot j ──▶ node (level 0) ── slot k = word of the page
 *
 * A word is 0 for "nothing here", otherwise the owner says what it means; see PAGE. A tree is as high as its
 * greatest page needs, and 0 when it has none. Nodes appear with the first page below them and go with the
 * last one, except in block indexes, which are read without a lock and whose nodes therefore stay.
 */

import { assert } from "../../base/assert.ts";
import { redoFree } from "../../heap/allocator.ts";
import type { HeapView } from "../../heap/heap.ts";
import { none, type Ref } from "../../heap/record.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { RADIX_SLOTS, RadixNode } from "./records.ts";

const BITS = 6;
assert(1 << BITS === RADIX_SLOTS, "a node has 2^BITS slots");

/** Low bits of a page's word. */
export const PAGE = { PRESENT: 1, LOADING: 2, FAILED: 3, MASK: 3 } as const;

/** A page whose reading failed together with others': it is asked for again, alone. */
export const SUSPECT: number = (1 << 2) | PAGE.FAILED;

export const pageWord = (frame: number): number => (frame << 2) | PAGE.PRESENT;
export const frameOf = (word: number): number => word >>> 2;

/** The word of page `index`; 0 if there is none. */
export function lookUpPage(view: HeapView, root: RadixNode, index: number): number {
  let node = root;
  if (node === 0) return 0;
  let level = RadixNode.level.get(view, node);
  if (index >= 2 ** (BITS * (level + 1))) return 0;
  while (level > 0) {
    node = RadixNode.slots.get(
      view,
      node,
      Math.floor(index / 2 ** (BITS * level)) & (RADIX_SLOTS - 1),
    ) as RadixNode;
    if (node === 0) return 0;
    level--;
  }
  return Atomics.load(view.words, RadixNode.slots.at(node, index & (RADIX_SLOTS - 1)));
}

/** Where a tree's root is kept. */
export interface RootField {
  get(view: HeapView): RadixNode;
  set(tx: Transaction, node: RadixNode): void;
}

/** Sets the word of page `index` (not 0), adding nodes as needed; returns the word that it had. */
export function setPage(tx: Transaction, root: RootField, index: number, word: number): number {
  assert(word !== 0, "a page is taken away with removePage");
  let node = root.get(tx);
  if (node === 0) {
    // As high as this page needs: a node below the root that held nothing would never go.
    node = newNode(tx, levelFor(index));
    root.set(tx, node);
  }
  let level = RadixNode.level.get(tx, node);
  while (index >= 2 ** (BITS * (level + 1))) {
    const above = newNode(tx, level + 1);
    RadixNode.slots.init(tx, above, 0, node);
    RadixNode.used.init(tx, above, 1);
    root.set(tx, above);
    node = above;
    level++;
  }
  while (level > 0) {
    const slot = Math.floor(index / 2 ** (BITS * level)) & (RADIX_SLOTS - 1);
    let below = RadixNode.slots.get(tx, node, slot) as RadixNode;
    if (below === 0) {
      below = newNode(tx, level - 1);
      RadixNode.slots.set(tx, node, slot, below);
      RadixNode.used.set(tx, node, RadixNode.used.get(tx, node) + 1);
    }
    node = below;
    level--;
  }
  const slot = index & (RADIX_SLOTS - 1);
  const old = RadixNode.slots.get(tx, node, slot);
  RadixNode.slots.set(tx, node, slot, word);
  if (old === 0) RadixNode.used.set(tx, node, RadixNode.used.get(tx, node) + 1);
  return old;
}

/** The level of the lowest root under which page `index` can be. */
function levelFor(index: number): number {
  let level = 0;
  while (index >= 2 ** (BITS * (level + 1))) level++;
  return level;
}

function newNode(tx: Transaction, level: number): RadixNode {
  const node = RadixNode.allocate(tx);
  RadixNode.level.init(tx, node, level);
  return node;
}

/** Sets the word of a page whose nodes exist to 0, leaving the nodes; returns the word that it had. */
export function clearPage(tx: Transaction, root: RadixNode, index: number): number {
  let node = root;
  for (let level = RadixNode.level.get(tx, node); level > 0; level--) {
    node = RadixNode.slots.get(
      tx,
      node,
      Math.floor(index / 2 ** (BITS * level)) & (RADIX_SLOTS - 1),
    ) as RadixNode;
    assert(node !== 0, "no such page");
  }
  const slot = index & (RADIX_SLOTS - 1);
  const old = RadixNode.slots.get(tx, node, slot);
  RadixNode.slots.set(tx, node, slot, 0);
  RadixNode.used.set(tx, node, RadixNode.used.get(tx, node) - 1);
  return old;
}

/** What {@link removePages} needs to know of what it may free: in a system transaction, at once. */
export type FreeNode = (tx: Transaction, node: RadixNode) => void;
export const freeNodeNow: FreeNode = (tx, node) => redoFree(tx, node);
export const freeNodeLater: FreeNode = (tx, node) => RadixNode.free(tx, node);

/**
 * Takes up to `limit` pages with an index of at least `from` out of the tree, highest first, and hands each
 * word to `release`. Returns how many; fewer than `limit` means that none is left. Nodes that become empty
 * go with `freeNode`.
 */
export function removePages(
  tx: Transaction,
  root: RootField,
  from: number,
  limit: number,
  release: (word: number, index: number) => void,
  freeNode: FreeNode,
): number {
  let taken = 0;
  while (taken < limit) {
    const top = root.get(tx);
    if (top === 0) break;
    const path = lastPath(tx, top, from);
    if (path === undefined) break;
    const word = RadixNode.slots.get(tx, path.nodes.at(-1)!, path.slots.at(-1)!);
    release(word, path.index);
    taken++;
    for (let depth = path.nodes.length - 1; depth >= 0; depth--) {
      const node = path.nodes[depth]!;
      const used = RadixNode.used.get(tx, node) - 1;
      if (used > 0) {
        RadixNode.slots.set(tx, node, path.slots[depth]!, 0);
        RadixNode.used.set(tx, node, used);
        break;
      }
      freeNode(tx, node);
      if (depth === 0) root.set(tx, none());
    }
  }
  return taken;
}

interface PathToPage {
  readonly index: number;
  readonly nodes: RadixNode[];
  readonly slots: number[];
}

/** The way to the last page with an index of at least `from`. */
function lastPath(view: HeapView, root: RadixNode, from: number): PathToPage | undefined {
  const nodes: RadixNode[] = [];
  const slots: number[] = [];
  let node = root;
  let index = 0;
  for (let level = RadixNode.level.get(view, root); ; level--) {
    let slot = RADIX_SLOTS - 1;
    while (slot >= 0 && RadixNode.slots.get(view, node, slot) === 0) slot--;
    if (slot < 0) return undefined;
    nodes.push(node);
    slots.push(slot);
    index = index * RADIX_SLOTS + slot;
    if (level === 0) break;
    node = RadixNode.slots.get(view, node, slot) as RadixNode;
  }
  return index >= from ? { index, nodes, slots } : undefined;
}

/** The index of the last page; −1 if there is none. */
export function lastPage(view: HeapView, root: RadixNode): number {
  return root === 0 ? -1 : (lastPath(view, root, 0)?.index ?? -1);
}

/** The index of the first page from `from` on; −1 if there is none. */
export function nextPage(view: HeapView, root: RadixNode, from: number): number {
  return root === 0 ? -1 : nextBelow(view, root, 0, from);
}

function nextBelow(view: HeapView, node: RadixNode, base: number, from: number): number {
  const level = RadixNode.level.get(view, node);
  const span = 2 ** (BITS * level);
  const first = Math.max(0, Math.floor((from - base * span * RADIX_SLOTS) / span));
  for (let slot = first; slot < RADIX_SLOTS; slot++) {
    const value = RadixNode.slots.get(view, node, slot);
    if (value === 0) continue;
    const index = base * RADIX_SLOTS + slot;
    const found = level === 0 ? index : nextBelow(view, value as RadixNode, index, from);
    if (found >= 0) return found;
  }
  return -1;
}

/** Every page of a tree by rising index: for the checker, and for seeking data. */
export function* eachPage(
  view: HeapView,
  root: RadixNode,
  base: number = 0,
): Generator<[index: number, word: number]> {
  if (root === 0) return;
  const level = RadixNode.level.get(view, root);
  for (let slot = 0; slot < RADIX_SLOTS; slot++) {
    const value = RadixNode.slots.get(view, root, slot);
    if (value === 0) continue;
    const index = base * RADIX_SLOTS + slot;
    if (level === 0) yield [index, value];
    else yield* eachPage(view, value as RadixNode, index);
  }
}

/** How many nodes of a tree hold nothing, or not as much as they say: for the checker. */
export function wrongNodes(view: HeapView, node: RadixNode): number {
  if (node === 0) return 0;
  const level = RadixNode.level.get(view, node);
  let used = 0;
  let wrong = 0;
  for (let slot = 0; slot < RADIX_SLOTS; slot++) {
    const value = RadixNode.slots.get(view, node, slot);
    if (value === 0) continue;
    used++;
    if (level > 0) wrong += wrongNodes(view, value as RadixNode);
  }
  return used === 0 || used !== RadixNode.used.get(view, node) ? wrong + 1 : wrong;
}

/** Adapters for the two records that have a tree. */
export function rootField<N extends "inode" | "file-system">(
  field: {
    get(view: HeapView, record: Ref<N>): RadixNode;
    set(tx: Transaction, record: Ref<N>, value: RadixNode): void;
  },
  record: Ref<N>,
): RootField {
  return { get: (view) => field.get(view, record), set: (tx, node) => field.set(tx, record, node) };
}
