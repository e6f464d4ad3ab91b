/**
 * Capabilities (capabilities(7)): their numbers, and sets of them as two words in a credentials record.
 */

import type { HeapView } from "../../heap/heap.ts";
import type { WordsField } from "../../heap/record.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { Credentials } from "../../kernel/credentials.ts";

export const CAP = {
  CHOWN: 0,
  DAC_OVERRIDE: 1,
  DAC_READ_SEARCH: 2,
  FOWNER: 3,
  FSETID: 4,
  KILL: 5,
  SETGID: 6,
  SETUID: 7,
  SETPCAP: 8,
  LINUX_IMMUTABLE: 9,
  NET_BIND_SERVICE: 10,
  NET_ADMIN: 12,
  NET_RAW: 13,
  IPC_LOCK: 14,
  SYS_CHROOT: 18,
  SYS_PTRACE: 19,
  SYS_ADMIN: 21,
  SYS_BOOT: 22,
  SYS_NICE: 23,
  SYS_RESOURCE: 24,
  SYS_TIME: 25,
  SYS_TTY_CONFIG: 26,
  MKNOD: 27,
  LEASE: 28,
  SETFCAP: 31,
  MAC_OVERRIDE: 32,
} as const;

/** The greatest capability that Linux 6 knows (CAP_CHECKPOINT_RESTORE). */
export const CAP_LAST = 40;

/** A set of capabilities: bits 0–31, bits 32–63. */
export interface CapabilitySet {
  readonly low: number;
  readonly high: number;
}

export const NO_CAPABILITIES: CapabilitySet = { low: 0, high: 0 };
export const ALL_CAPABILITIES: CapabilitySet = { low: -1, high: (1 << (CAP_LAST - 31)) - 1 };

const bit = (capability: number): number => 1 << capability;
/** The capabilities that concern files: those that follow fsuid (capabilities(7), "Effect of user ID changes"). */
export const FILE_CAPABILITIES: CapabilitySet = {
  low:
    bit(CAP.CHOWN) |
    bit(CAP.DAC_OVERRIDE) |
    bit(CAP.DAC_READ_SEARCH) |
    bit(CAP.FOWNER) |
    bit(CAP.FSETID) |
    bit(CAP.LINUX_IMMUTABLE) |
    bit(CAP.MKNOD),
  high: 1 << (CAP.MAC_OVERRIDE - 32),
};

type SetField = WordsField<"credentials">;

export function readSet(view: HeapView, credentials: Credentials, field: SetField): CapabilitySet {
  return { low: field.get(view, credentials, 0), high: field.get(view, credentials, 1) };
}

/** Writes a set into credentials that this transaction has made. */
export function initSet(
  tx: Transaction,
  credentials: Credentials,
  field: SetField,
  set: CapabilitySet,
): void {
  field.init(tx, credentials, 0, set.low);
  field.init(tx, credentials, 1, set.high);
}

export function isSubset(inner: CapabilitySet, outer: CapabilitySet): boolean {
  return (inner.low & ~outer.low) === 0 && (inner.high & ~outer.high) === 0;
}

export function union(a: CapabilitySet, b: CapabilitySet): CapabilitySet {
  return { low: a.low | b.low, high: a.high | b.high };
}

export function intersection(a: CapabilitySet, b: CapabilitySet): CapabilitySet {
  return { low: a.low & b.low, high: a.high & b.high };
}

export function without(a: CapabilitySet, b: CapabilitySet): CapabilitySet {
  return { low: a.low & ~b.low, high: a.high & ~b.high };
}

/** Whether `capability` is in the effective set. */
export function hasCapability(view: HeapView, credentials: Credentials, capability: number): boolean {
  return (
    (Credentials.effectiveCapabilities.get(view, credentials, capability >> 5) & (1 << (capability & 31))) !==
    0
  );
}
