/** How much of an address space is locked (mlock.ts). */

import type { HeapView } from "../../heap/heap.ts";
import { mappingFrom } from "./mapping-tree.ts";
import { type AddressSpace, Mapping, MAPPING, PAGE_LIMIT, type PageNumber } from "./records.ts";

/** Whether `pages` more may be locked; `limit` (RLIMIT_MEMLOCK in pages) is asked only then. Absent: no limit. */
export function mayLock(
  view: HeapView,
  space: AddressSpace,
  pages: number,
  limit: (() => number) | undefined,
): boolean {
  return limit === undefined || lockedPages(view, space) + pages <= limit();
}

/** Pages of the space that are locked; in the range from `first` to `end` only, if given. */
export function lockedPages(
  view: HeapView,
  space: AddressSpace,
  first: PageNumber = 0,
  end: PageNumber = PAGE_LIMIT,
): number {
  let pages = 0;
  for (let page = first; page < end; ) {
    const mapping = mappingFrom(view, space, page);
    if (mapping === 0) break;
    const [from, to] = [Mapping.first.get(view, mapping), Mapping.end.get(view, mapping)];
    if ((Mapping.flags.get(view, mapping) & MAPPING.LOCKED) !== 0)
      pages += Math.max(0, Math.min(to, end) - Math.max(from, first));
    page = to;
  }
  return pages;
}
