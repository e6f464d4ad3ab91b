/**
 * Credentials: who a task is. The record is immutable once a task refers to it; a change of identity makes a
 * new one. Every reference counts in `references` (guarded by the task's lock for tasks, by the file's life
 * for files).
 */

import { defineRecord, i32, type Ref, u32, words } from "../heap/record.ts";

/** NGROUPS_MAX is 65536 on Linux; Coppice keeps up to this many supplementary groups. */
export const GROUPS_MAX = 64;

export const Credentials = defineRecord("credentials", {
  references: i32(),
  uid: u32(),
  gid: u32(),
  effectiveUid: u32(),
  effectiveGid: u32(),
  savedUid: u32(),
  savedGid: u32(),
  fsUid: u32(),
  fsGid: u32(),
  groupCount: u32(),
  groups: words(GROUPS_MAX),
  /** Bit n is CAP_n of capabilities(7), in two words: 0–31 and 32–63. */
  effectiveCapabilities: words(2),
  permittedCapabilities: words(2),
  inheritableCapabilities: words(2),
  boundingCapabilities: words(2),
  securebits: u32(),
});
export type Credentials = Ref<"credentials">;
