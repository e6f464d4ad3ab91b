/**
 * The auth server's contract: who a task is, and what that allows.
 *
 * Credentials are shared and never change; whoever wants others makes new ones. So everything that only reads
 * them needs no lock. Their reference counts are guarded by the one auth lock, which is taken last of the
 * servers' locks and only by `hold`; a reference is given up after the commit (servers/server.ts).
 *
 * Every operation that returns credentials gives the caller one reference. It replaces the old ones in its own
 * record and gives those up: `Task.credentials.set(tx, task, made); auth.drop(tx, old)`.
 *
 * Invariants
 *   C1  Credentials that are referred to have a positive count; their effective capabilities are permitted
 *       ones, their groups at most GROUPS_MAX.
 *   C2  The references of credentials are the records that refer to them.
 */

import { assert } from "../../base/assert.ts";
import { LOCK_RANK } from "../../base/lock-order.ts";
import { RECORD_NAMES } from "../../base/record-ids.ts";
import { redoFree } from "../../heap/allocator.ts";
import { liveRecords, registerInvariant } from "../../heap/check.ts";
import { type HeapView, placeRoot } from "../../heap/heap.ts";
import { schemaOf } from "../../heap/record.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { Credentials, GROUPS_MAX } from "../../kernel/credentials.ts";
import { defineServer } from "../../kernel/placement.ts";
import { bytesToSegments } from "../../kernel/request.ts";
import { dropAfterCommit, registerDrop } from "../server.ts";
import { hasCapability, isSubset, readSet } from "./capabilities.ts";
import * as identity from "./identity.ts";
import * as permission from "./permission.ts";

/** Places the auth lock. At boot. */
export function createAuth(view: HeapView): void {
  placeRoot(view, "auth", 1);
}

function lockAuth(tx: Transaction): void {
  tx.lock(tx.root("auth"), LOCK_RANK.auth);
}

registerDrop("credentials", (tx, credentials) => {
  lockAuth(tx);
  const left = Credentials.references.get(tx, credentials) - 1;
  assert(left >= 0, "credentials released twice");
  Credentials.references.set(tx, credentials, left);
  if (left === 0) redoFree(tx, credentials);
  return true;
});

const flag = (value: boolean): number => (value ? 1 : 0);

export const authServer = defineServer("auth", {
  /** Root's credentials, for the first process. */
  createInitial: identity.createInitial,
  copy: identity.copy,
  /** One more reference. */
  hold: (tx: Transaction, credentials: Credentials): void => {
    lockAuth(tx);
    Credentials.references.set(tx, credentials, Credentials.references.get(tx, credentials) + 1);
  },
  /** One reference less, once the transaction has committed. */
  drop: (tx: Transaction, credentials: Credentials): void => dropAfterCommit(tx, credentials),

  setuid: identity.setuid,
  setgid: identity.setgid,
  setreuid: identity.setreuid,
  setregid: identity.setregid,
  setresuid: identity.setresuid,
  setresgid: identity.setresgid,
  setfsuid: identity.setfsuid,
  setfsgid: identity.setfsgid,
  setgroups: identity.setgroups,
  /** getgroups(2): the ids into segments if `room` is enough (0: only count); returns their number. */
  getgroups: (tx: Transaction, credentials: Credentials, room: number): number => {
    const count = Credentials.groupCount.get(tx, credentials);
    if (room === 0) return count;
    assert(room >= count, "the caller checks the size (EINVAL)");
    const ids = new Uint32Array(count);
    for (let i = 0; i < count; i++) ids[i] = Credentials.groups.get(tx, credentials, i);
    bytesToSegments(tx, 0, new Uint8Array(ids.buffer));
    return count;
  },
  afterExec: identity.afterExec,
  setCapabilities: identity.setCapabilities,
  dropBounding: identity.dropBounding,
  setSecurebits: identity.setSecurebits,
  asReal: identity.asReal,

  /** 1 if the effective set holds the capability (CAP). */
  isCapable: (tx: Transaction, credentials: Credentials, capability: number): number =>
    flag(hasCapability(tx, credentials, capability)),
  /** 1 if a program run with these credentials must not trust its environment (AT_SECURE). */
  isSecure: (tx: Transaction, credentials: Credentials): number =>
    flag(
      Credentials.uid.get(tx, credentials) !== Credentials.effectiveUid.get(tx, credentials) ||
        Credentials.gid.get(tx, credentials) !== Credentials.effectiveGid.get(tx, credentials),
    ),
  /** 1 if a file of this owner, group and mode may be accessed; `wanted` of MAY. */
  mayAccess: (
    tx: Transaction,
    credentials: Credentials,
    uid: number,
    gid: number,
    mode: number,
    wanted: number,
  ): number => flag(permission.mayAccess(tx, credentials, uid, gid, mode, wanted)),
  mayRemove: (
    tx: Transaction,
    credentials: Credentials,
    mode: number,
    directoryUid: number,
    victimUid: number,
  ): number => flag(permission.mayRemove(tx, credentials, mode, directoryUid, victimUid)),
  isOwner: (tx: Transaction, credentials: Credentials, uid: number): number =>
    flag(permission.isOwner(tx, credentials, uid)),
  isInGroup: (tx: Transaction, credentials: Credentials, gid: number): number =>
    flag(permission.inGroup(tx, credentials, gid)),
  mayChown: (
    tx: Transaction,
    credentials: Credentials,
    uid: number,
    gid: number,
    newUid: number,
    newGid: number,
  ): number => flag(permission.mayChown(tx, credentials, uid, gid, newUid, newGid)),
  modeAfterChown: (_tx: Transaction, mode: number): number => permission.modeAfterChown(mode),
  modeAfterWrite: (tx: Transaction, credentials: Credentials, mode: number): number =>
    permission.modeAfterWrite(tx, credentials, mode),
  modeForChmod: (tx: Transaction, credentials: Credentials, gid: number, mode: number): number =>
    permission.modeForChmod(tx, credentials, gid, mode),
  mayKill: (tx: Transaction, sender: Credentials, target: Credentials): number =>
    flag(permission.mayKill(tx, sender, target)),
});

export const auth: typeof authServer.operations = authServer.operations;

registerInvariant({
  id: "C1",
  statement:
    "credentials have a positive count, effective capabilities within the permitted, groups in range",
  check(view, report) {
    for (const each of liveRecords(view, Credentials.schema)) {
      if (Credentials.references.get(view, each) <= 0) report(`credentials ${each} without a reference`);
      const effective = readSet(view, each, Credentials.effectiveCapabilities);
      if (!isSubset(effective, readSet(view, each, Credentials.permittedCapabilities))) {
        report(`credentials ${each}: effective capabilities that are not permitted`);
      }
      if (Credentials.groupCount.get(view, each) > GROUPS_MAX) report(`credentials ${each}: too many groups`);
    }
  },
});

registerInvariant({
  id: "C2",
  statement: "the references of credentials are the records that refer to them",
  check(view, report) {
    const counts = new Map<number, number>();
    for (let id = 1; id < RECORD_NAMES.length; id++) {
      const schema = schemaOf(id);
      const fields = schema?.fields.filter(([, field]) => field.target === "credentials") ?? [];
      if (schema === undefined || fields.length === 0) continue;
      for (const record of liveRecords(view, schema)) {
        for (const [, field] of fields) {
          const target = view.words[record + field.word]!;
          counts.set(target, (counts.get(target) ?? 0) + 1);
        }
      }
    }
    for (const each of liveRecords(view, Credentials.schema)) {
      const references = Credentials.references.get(view, each);
      const found = counts.get(each) ?? 0;
      if (references !== found) report(`credentials ${each} count ${references} references, have ${found}`);
    }
  },
});
