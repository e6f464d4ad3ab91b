/**
 * The mappings of an address space, in order of address: a treap, that is, a binary search tree by first page
 * that is also a heap by priority. The priority of a mapping follows from its record's address, so it needs
 * no random numbers and no balance words, and an insertion or removal logs few stores (about two on average,
 * whatever the number of mappings).
 *
 * Rejected: a sorted list (a lookup is linear); a red-black tree (three times the code, and rotations on the
 * way up that log more); an array in order (an insertion logs every mapping behind it).
 *
 * The caller holds the space's lock.
 */

import type { HeapAddr, HeapView } from "../../heap/heap.ts";
import { none } from "../../heap/record.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { AddressSpace, Mapping, type PageNumber } from "./records.ts";

/** The tree's order from top to bottom: blocks are 16 words apart, so different mappings differ. */
export function priority(mapping: Mapping): number {
  return Math.imul(mapping >>> 4, 0x9e37_79b1) >>> 0;
}

/** The mapping that contains `page`, or else the first one after it, or none. */
export function mappingFrom(view: HeapView, space: AddressSpace, page: PageNumber): Mapping {
  const w = view.words;
  let best = none<"mapping">();
  let node = AddressSpace.mappings.get(view, space);
  while (node !== 0) {
    if (w[node + Mapping.end.word]! > page) {
      best = node;
      node = w[node + Mapping.left.word]! as Mapping;
    } else {
      node = w[node + Mapping.right.word]! as Mapping;
    }
  }
  return best;
}

/** The mapping that contains `page`, or none. */
export function mappingAt(view: HeapView, space: AddressSpace, page: PageNumber): Mapping {
  const mapping = mappingFrom(view, space, page);
  return mapping !== 0 && Mapping.first.get(view, mapping) <= page ? mapping : none();
}

/** The last mapping that begins before `page`, or none. */
export function mappingBefore(view: HeapView, space: AddressSpace, page: PageNumber): Mapping {
  const w = view.words;
  let best = none<"mapping">();
  let node = AddressSpace.mappings.get(view, space);
  while (node !== 0) {
    if (w[node + Mapping.first.word]! < page) {
      best = node;
      node = w[node + Mapping.right.word]! as Mapping;
    } else {
      node = w[node + Mapping.left.word]! as Mapping;
    }
  }
  return best;
}

/** The mappings by rising address. They must not change meanwhile. */
export function* eachMapping(view: HeapView, space: AddressSpace): Generator<Mapping> {
  let page = 0;
  for (;;) {
    const mapping = mappingFrom(view, space, page);
    if (mapping === 0) return;
    yield mapping;
    page = Mapping.end.get(view, mapping);
  }
}

/** Enters `mapping`, which overlaps none of those there, and counts it and its pages. */
export function insertMapping(tx: Transaction, space: AddressSpace, mapping: Mapping): void {
  const w = tx.words;
  const first = Mapping.first.get(tx, mapping);
  const mine = priority(mapping);
  let at: HeapAddr = space + AddressSpace.mappings.word;
  let node = w[at]! as Mapping;
  while (node !== 0 && priority(node) > mine) {
    at = node + (Mapping.first.get(tx, node) < first ? Mapping.right.word : Mapping.left.word);
    node = w[at]! as Mapping;
  }
  // What hung here is split by address into the new node's two subtrees.
  let lower: HeapAddr = mapping + Mapping.left.word;
  let upper: HeapAddr = mapping + Mapping.right.word;
  tx.store(at, mapping);
  while (node !== 0) {
    if (Mapping.first.get(tx, node) < first) {
      put(tx, lower, node);
      lower = node + Mapping.right.word;
      node = w[lower]! as Mapping;
    } else {
      put(tx, upper, node);
      upper = node + Mapping.left.word;
      node = w[upper]! as Mapping;
    }
  }
  put(tx, lower, 0);
  put(tx, upper, 0);
  AddressSpace.mappingCount.add(tx, space, 1);
  AddressSpace.virtualPages.add(tx, space, Mapping.end.get(tx, mapping) - first);
}

/** Takes `mapping` out, with its pages' count. The record stays. */
export function removeMapping(tx: Transaction, space: AddressSpace, mapping: Mapping): void {
  const w = tx.words;
  const first = Mapping.first.get(tx, mapping);
  let at: HeapAddr = space + AddressSpace.mappings.word;
  while (w[at] !== mapping) {
    const node = w[at]! as Mapping;
    at = node + (Mapping.first.get(tx, node) < first ? Mapping.right.word : Mapping.left.word);
  }
  let lower = Mapping.left.get(tx, mapping);
  let upper = Mapping.right.get(tx, mapping);
  while (lower !== 0 && upper !== 0) {
    if (priority(lower) > priority(upper)) {
      put(tx, at, lower);
      at = lower + Mapping.right.word;
      lower = w[at]! as Mapping;
    } else {
      put(tx, at, upper);
      at = upper + Mapping.left.word;
      upper = w[at]! as Mapping;
    }
  }
  put(tx, at, lower !== 0 ? lower : upper);
  AddressSpace.mappingCount.add(tx, space, -1);
  AddressSpace.virtualPages.add(tx, space, first - Mapping.end.get(tx, mapping));
}

/** Gives `mapping` new bounds that keep its place in the order. */
export function resizeMapping(
  tx: Transaction,
  space: AddressSpace,
  mapping: Mapping,
  first: PageNumber,
  end: PageNumber,
): void {
  const oldFirst = Mapping.first.get(tx, mapping);
  const oldEnd = Mapping.end.get(tx, mapping);
  if (first !== oldFirst) {
    Mapping.first.set(tx, mapping, first);
    Mapping.filePage.set(tx, mapping, (Mapping.filePage.get(tx, mapping) + first - oldFirst) >>> 0);
  }
  if (end !== oldEnd) Mapping.end.set(tx, mapping, end);
  AddressSpace.virtualPages.add(tx, space, end - first - (oldEnd - oldFirst));
}

function put(tx: Transaction, at: HeapAddr, value: HeapAddr): void {
  if (tx.words[at] !== value) tx.store(at, value);
}
