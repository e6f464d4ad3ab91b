/**
 * Fork: a copy of an address space that shares every frame until one side writes.
 *
 *     beginFork ──▶ forkStep … ──▶ done: the child may run
 *                      └─ cancelFork: the child is released and destroyed, the claim given up
 *
 * The parent is claimed for the forking task (rule R4), so that its mappings stand still; its pages may still
 * fault meanwhile, as on Linux. The child's record says which space it copies and from which page on
 * (`forkOf`, `cursor`): whoever goes on with the fork, after a commit or after a crash, finds it there.
 *
 * A private page's frame gets one more reference, and both page words get COW; the parent's write entry
 * becomes invalid. Other threads of the parent may have looked that entry up (rule R7): the child must not
 * run before they have noticed. Until then a late store of theirs goes to the frame that parent and child
 * share, which is as if it had come before the fork.
 *
 * Bounds of one step: STEP_PAGES pages (at most four stores each), FILES_MAX different files or objects,
 * whose locks are taken first, by rising address.
 */

import { assert } from "../../base/assert.ts";
import { LEAF_INDEX_BITS } from "../../base/hart-abi.ts";
import type { Ref } from "../../heap/record.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { File } from "../file.ts";
import { createSpace, releaseSpace } from "./address-space.ts";
import {
  backingOf,
  claimSpace,
  copyMapping,
  dropClaim,
  lockForChange,
  MAPPING_STEPS,
  MORE,
} from "./change.ts";
import { holdFrames } from "./frames.ts";
import { memoryLayout } from "./layout.ts";
import { insertMapping, mappingFrom } from "./mapping-tree.ts";
import {
  forbidWriting,
  frameOf,
  isSingle,
  nextLeaf,
  ownPageWord,
  PAGE_COW,
  PAGE_MOVING,
  PAGE_PRESENT,
  PAGE_WRITE,
  pageWordAt,
  setPage,
  TAKEN,
} from "./page-table.ts";
import { AddressSpace, Mapping, MAPPING, PAGE_LIMIT, type PageNumber, STEP_PAGES } from "./records.ts";
import { beginTaking, isTakingDone, noteTaken } from "./safepoint.ts";
import { SharedObject } from "./shared-object.ts";

/** Different files and shared objects whose references one step raises. */
const FILES_MAX = 12;

/**
 * Begins to fork `parent` for task `owner`: an empty child with one reference, which is the caller's and must
 * be kept in a record before the commit. Throws ENOMEM; WOULD_BLOCK while another change is under way.
 */
export function beginFork(tx: Transaction, parent: AddressSpace, owner: number): AddressSpace {
  lockForChange(tx, parent, owner);
  claimSpace(tx, parent, owner);
  const child = createSpace(tx);
  AddressSpace.forkOf.init(tx, child, parent);
  AddressSpace.mmapBase.init(tx, child, AddressSpace.mmapBase.get(tx, parent));
  AddressSpace.breakStart.init(tx, child, AddressSpace.breakStart.get(tx, parent));
  AddressSpace.break.init(tx, child, AddressSpace.break.get(tx, parent));
  AddressSpace.argumentStart.init(tx, child, AddressSpace.argumentStart.get(tx, parent));
  AddressSpace.argumentEnd.init(tx, child, AddressSpace.argumentEnd.get(tx, parent));
  AddressSpace.environmentEnd.init(tx, child, AddressSpace.environmentEnd.get(tx, parent));
  return child;
}

/**
 * Copies the next part: MORE, or 0 when all is copied, all harts have noticed, and the claim is given up. Then
 * the child may run. While only the harts have not noticed yet, MORE comes without work; a short wait may be
 * put between the steps (pendingTaking). Throws ENOMEM: then cancelFork.
 */
export function forkStep(tx: Transaction, child: AddressSpace, owner: number): number {
  const parent = AddressSpace.forkOf.get(tx, child);
  assert(parent !== 0, "no fork is under way");
  // Nobody knows the child but the fork, so its lock is not needed.
  AddressSpace.lock.acquire(tx, parent);
  assert(AddressSpace.claim.get(tx, parent) === owner, "the fork has lost its claim");
  const copied = new ForkCopy(parent, child).run(tx);
  if (copied !== AddressSpace.cursor.get(tx, child)) AddressSpace.cursor.set(tx, child, copied);
  if (copied < PAGE_LIMIT || !isTakingDone(tx, parent)) return MORE;
  AddressSpace.cursor.set(tx, child, 0);
  AddressSpace.forkOf.set(tx, child, 0 as AddressSpace);
  dropClaim(tx, parent, owner);
  return 0;
}

/** Gives up a fork under way; the caller then runs destroyStep on the child to its end. */
export function cancelFork(tx: Transaction, child: AddressSpace, owner: number): void {
  const parent = AddressSpace.forkOf.get(tx, child);
  const locks = parent === 0 || parent > child ? [child, parent] : [parent, child];
  for (const space of locks) if (space !== 0) AddressSpace.lock.acquire(tx, space);
  if (parent !== 0) {
    AddressSpace.forkOf.set(tx, child, 0 as AddressSpace);
    dropClaim(tx, parent, owner);
  }
  releaseSpace(tx, child);
}

/** One step of copying. */
class ForkCopy {
  readonly #parent: AddressSpace;
  readonly #child: AddressSpace;
  #pages = STEP_PAGES;
  #taken = false;
  #resident = 0;
  /** Frames that get a reference: all of a step together, in one go (pool.ts). */
  readonly #frames: number[] = [];

  constructor(parent: AddressSpace, child: AddressSpace) {
    this.#parent = parent;
    this.#child = child;
  }

  /** Copies from the child's cursor on; returns how far that went, PAGE_LIMIT when all is copied. */
  run(tx: Transaction): PageNumber {
    const from = AddressSpace.cursor.get(tx, this.#child);
    const end = this.#lockBackings(tx, from);
    let page = from;
    while (page < end && this.#pages > 0) {
      const mapping = mappingFrom(tx, this.#parent, page);
      if (mapping === 0) {
        page = PAGE_LIMIT;
        break;
      }
      const first = Mapping.first.get(tx, mapping);
      if (first >= end) {
        page = end;
        break;
      }
      if (first >= page) this.#copyMapping(tx, mapping);
      page = this.#copyPages(tx, mapping, Math.max(page, first), Mapping.end.get(tx, mapping));
    }
    holdFrames(tx, this.#frames, this.#frames.length);
    if (this.#resident !== 0) AddressSpace.residentPages.add(tx, this.#child, this.#resident);
    if (this.#taken) noteTaken(tx, this.#parent, TAKEN.DATA);
    if (this.#taken && !isSingle(tx, this.#parent)) beginTaking(tx, this.#parent);
    return page;
  }

  /**
   * Takes the locks of the files and objects of the next mappings, by rising address; returns the page up to
   * which they suffice.
   */
  #lockBackings(tx: Transaction, from: PageNumber): PageNumber {
    const objects = new Set<number>();
    const files = new Set<number>();
    let end: PageNumber = from;
    for (let count = 0; ; count++) {
      const mapping = mappingFrom(tx, this.#parent, end);
      if (mapping === 0) {
        end = PAGE_LIMIT;
        break;
      }
      const backing = backingOf(tx, mapping);
      const set = Mapping.file.get(tx, mapping) !== 0 ? files : objects;
      const isNew = backing !== 0 && !set.has(backing);
      if (count === MAPPING_STEPS || (isNew && objects.size + files.size === FILES_MAX)) break;
      if (isNew) set.add(backing);
      end = Mapping.end.get(tx, mapping);
    }
    for (const object of [...objects].sort(rising))
      SharedObject.lock.acquire(tx, object as Ref<"shared-object">);
    for (const file of [...files].sort(rising)) File.lock.acquire(tx, file as File);
    return end;
  }

  #copyMapping(tx: Transaction, mapping: Mapping): void {
    const copy = copyMapping(tx, this.#child, mapping);
    // Locks are not inherited (mlock(2)).
    Mapping.flags.init(tx, copy, Mapping.flags.get(tx, mapping) & ~MAPPING.LOCKED);
    insertMapping(tx, this.#child, copy);
  }

  /** Shares the present pages from `first` to `end`, as far as the step goes; returns how far that was. */
  #copyPages(tx: Transaction, mapping: Mapping, first: PageNumber, end: PageNumber): PageNumber {
    const shared = (Mapping.flags.get(tx, mapping) & MAPPING.SHARED) !== 0;
    const root = AddressSpace.root.get(tx, this.#parent);
    const { framesFrom } = memoryLayout(tx);
    const m = tx.memory;
    for (let page = nextLeaf(tx, root, first, end); page < end; page = nextLeaf(tx, root, page, end)) {
      const last = Math.min(end, ((page >>> LEAF_INDEX_BITS) + 1) << LEAF_INDEX_BITS);
      let at = pageWordAt(tx, root, page);
      // From a page word of the parent to the child's, once its leaf is there.
      let toChild = 0;
      for (; page < last; page++, at++) {
        const word = m[at]!;
        if ((word & PAGE_PRESENT) === 0) continue;
        if (this.#pages === 0) return page;
        this.#pages--;
        if (toChild === 0) toChild = ownPageWord(tx, this.#child, page) - at;
        let copy = word & ~PAGE_MOVING;
        if (!shared) {
          copy = (copy & ~PAGE_WRITE) | PAGE_COW;
          // The parent reads on, so its read entry stays. A page that it may not write just now gets COW
          // too: mprotect may allow writing later.
          if ((word & PAGE_COW) === 0 && forbidWriting(tx, at, (word & ~PAGE_WRITE) | PAGE_COW)) {
            this.#taken = true;
          }
        }
        setPage(tx, at + toChild, page, copy, true);
        const frame = frameOf(word);
        if (frame < framesFrom) continue;
        this.#frames.push(frame);
        this.#resident++;
      }
    }
    return end;
  }
}

const rising = (a: number, b: number): number => a - b;
