/**
 * Doubly linked lists of records, with the links inside the records. A record is on at most one list for each
 * of its link fields; both ends are zero while it is on none, or alone on one.
 */

import type { RecordName } from "../base/record-ids.ts";
import type { HeapView } from "./heap.ts";
import type { LinkField, ListField, Ref } from "./record.ts";
import type { Transaction } from "./transaction.ts";

/** The record after `record`, or none. */
export function next<T extends RecordName>(view: HeapView, links: LinkField<T>, record: Ref<T>): Ref<T> {
  return view.words[record + links.word]! as Ref<T>;
}

/** The record before `record`, or none. */
export function previous<T extends RecordName>(view: HeapView, links: LinkField<T>, record: Ref<T>): Ref<T> {
  return view.words[record + links.word + 1]! as Ref<T>;
}

/** Puts `record` behind the last of the list. */
export function append<N extends RecordName, T extends RecordName>(
  tx: Transaction,
  head: ListField<N, T>,
  owner: Ref<N>,
  links: LinkField<T>,
  record: Ref<T>,
): void {
  const at = head.at(owner);
  const last = tx.words[at + 1]! as Ref<T>;
  tx.store(record + links.word, 0);
  tx.store(record + links.word + 1, last);
  if (last === 0) tx.store(at, record);
  else tx.store(last + links.word, record);
  tx.store(at + 1, record);
}

/** Puts `record` before the first of the list. */
export function prepend<N extends RecordName, T extends RecordName>(
  tx: Transaction,
  head: ListField<N, T>,
  owner: Ref<N>,
  links: LinkField<T>,
  record: Ref<T>,
): void {
  const at = head.at(owner);
  const first = tx.words[at]! as Ref<T>;
  tx.store(record + links.word, first);
  tx.store(record + links.word + 1, 0);
  if (first === 0) tx.store(at + 1, record);
  else tx.store(first + links.word + 1, record);
  tx.store(at, record);
}

/** Takes `record` off the list that it is on. */
export function remove<N extends RecordName, T extends RecordName>(
  tx: Transaction,
  head: ListField<N, T>,
  owner: Ref<N>,
  links: LinkField<T>,
  record: Ref<T>,
): void {
  const at = head.at(owner);
  const after = tx.words[record + links.word]! as Ref<T>;
  const before = tx.words[record + links.word + 1]! as Ref<T>;
  if (before === 0) tx.store(at, after);
  else tx.store(before + links.word, after);
  if (after === 0) tx.store(at + 1, before);
  else tx.store(after + links.word + 1, before);
  tx.store(record + links.word, 0);
  tx.store(record + links.word + 1, 0);
}

/** The records of a list, first to last. The list must not change meanwhile, except for the record given. */
export function* each<N extends RecordName, T extends RecordName>(
  view: HeapView,
  head: ListField<N, T>,
  owner: Ref<N>,
  links: LinkField<T>,
): Generator<Ref<T>> {
  let record = head.first(view, owner);
  while (record !== 0) {
    const after = next(view, links, record);
    yield record;
    record = after;
  }
}
