/** The socket server's one record of state, and the buckets of names. */

import { placeRoot } from "../../heap/heap.ts";
import type { HeapView, HeapAddr } from "../../heap/heap.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { redoFree } from "../../heap/allocator.ts";
import { NAME_BUCKETS, SocketState } from "./records.ts";

/** Places the state: a word for the record, then the buckets. Once, at boot. */
export function placeSockets(tx: Transaction): void {
  const at = placeRoot(tx, "sockets", 1 + NAME_BUCKETS);
  const state = SocketState.allocate(tx);
  SocketState.bucketsAt.init(tx, state, at + 1);
  tx.words[at] = state;
}

/** The state; none in a machine without sockets. */
export function socketState(view: HeapView): SocketState {
  const at = view.root("sockets");
  return (at === 0 ? 0 : view.words[at]!) as SocketState;
}

/** Frees a record at the commit of a request, or at once in a redo step. */
export function free(
  tx: Transaction,
  schema: { free(tx: Transaction, record: never): void },
  record: HeapAddr,
): void {
  if (tx.inSystem) redoFree(tx, record);
  else schema.free(tx, record as never);
}
