/**
 * Shared objects: the pages of shared anonymous memory, which all mappings of it show. A page comes into
 * being, all zero, when it is first touched. The object lives as long as a mapping refers to it.
 */

import { defineRecord, i32, lock, type Ref, words } from "../../heap/record.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { FRAME_MAP_WORDS, frameMapDrain, frameMapGet, frameMapSet } from "./frame-map.ts";
import { allocateZeroFrame, type Batches, holdFrame } from "./frames.ts";
import type { FrameNumber } from "./layout.ts";

export const SharedObject = defineRecord("shared-object", {
  /** Guards all fields. Taken after the lock of an address space. */
  lock: lock("shared-object"),
  /** Mappings of it. */
  references: i32(),
  /** The pages: head of a frame map. */
  frames: words(FRAME_MAP_WORDS),
});
export type SharedObject = Ref<"shared-object">;

/** An object without pages, with one reference, which is the caller's. */
export function createSharedObject(tx: Transaction): SharedObject {
  const object = SharedObject.allocate(tx);
  SharedObject.references.init(tx, object, 1);
  return object;
}

export function holdSharedObject(tx: Transaction, object: SharedObject): void {
  SharedObject.lock.acquire(tx, object);
  SharedObject.references.set(tx, object, SharedObject.references.get(tx, object) + 1);
}

/** The frame of page `index`, with one more reference, which is the caller's. Throws ENOMEM. */
export function sharedPage(tx: Transaction, object: SharedObject, index: number): FrameNumber {
  SharedObject.lock.acquire(tx, object);
  const head = SharedObject.frames.at(object, 0);
  let frame = frameMapGet(tx, head, index);
  if (frame === 0) {
    frame = allocateZeroFrame(tx);
    frameMapSet(tx, head, index, frame);
  }
  holdFrame(tx, frame);
  return frame;
}

/**
 * One reference less. The last one gives the pages up, up to `budget` of them in one transaction: false when
 * there are more, and the reference is kept until the next call.
 */
export function dropSharedObject(
  tx: Transaction,
  object: SharedObject,
  budget: number,
  batches: Batches,
): boolean {
  SharedObject.lock.acquire(tx, object);
  const references = SharedObject.references.get(tx, object);
  if (references > 1) {
    SharedObject.references.set(tx, object, references - 1);
    return true;
  }
  const empty = frameMapDrain(tx, SharedObject.frames.at(object, 0), budget, (frame) =>
    batches.add(tx, frame),
  );
  if (!empty) return false;
  SharedObject.references.set(tx, object, 0);
  SharedObject.free(tx, object);
  return true;
}
