/** The frames behind the words of page indexes. */

import type { Transaction } from "../../heap/transaction.ts";
import { dropFrameNow } from "../../kernel/memory/frames.ts";
import { frameOf, PAGE } from "./radix.ts";

export {
  allocateFrame,
  copyFrame,
  dropFrame,
  frameReferences,
  holdFrame,
} from "../../kernel/memory/frames.ts";
export { memoryLayout } from "../../kernel/memory/layout.ts";

/** Gives up the frame of a page's word, in a system transaction. */
export function releasePageNow(tx: Transaction, word: number): void {
  if ((word & PAGE.MASK) === PAGE.PRESENT) dropFrameNow(tx, frameOf(word));
}
