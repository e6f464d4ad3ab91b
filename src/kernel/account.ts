/**
 * What users are charged for across their processes: queued signals and POSIX timers, which together RLIMIT_SIGPENDING
 * bounds, and what a server bounds by itself ({@link chargeFor}). A user has a record from the first charge to the last credit, on the list of a bucket.
 *
 *     root "accounts": lock (rank "account"), then BUCKETS words: the first user of each bucket
 *
 * Invariants
 *   U1  A user's record is on the list of its bucket, and one of its charges is not 0.
 *   U2  A user's charge is the number of queued signals and timers that say so.
 */

import { assert } from "../base/assert.ts";
import { LOCK_RANK } from "../base/lock-order.ts";
import { liveRecords, registerInvariant } from "../heap/check.ts";
import { type HeapAddr, type HeapView, placeRoot } from "../heap/heap.ts";
import { defineRecord, type Ref, u32 } from "../heap/record.ts";
import type { Transaction } from "../heap/transaction.ts";
import { Limits, Process, QueuedSignal, Timer } from "./task.ts";

const BUCKETS = 32;
const RLIMIT_SIGPENDING = 11;

export const User = defineRecord("user", {
  uid: u32(),
  charge: u32(),
  after: u32(),
  /** Of inotify: instances and watches. */
  instances: u32(),
  watches: u32(),
});
export type User = Ref<"user">;

/** Places the buckets. At boot. */
export function placeAccounts(view: HeapView): void {
  placeRoot(view, "accounts", 1 + BUCKETS);
}

/** Where the first user of the bucket of `uid` stands. */
function bucketOf(view: HeapView, uid: number): HeapAddr {
  const root = view.root("accounts");
  assert(root !== 0, "accounts are placed at boot");
  return root + 1 + (uid % BUCKETS);
}

function findUser(view: HeapView, uid: number): User {
  let user = view.words[bucketOf(view, uid)]! as User;
  while (user !== 0 && User.uid.get(view, user) !== uid) user = User.after.get(view, user) as User;
  return user;
}

/** RLIMIT_SIGPENDING of a process. */
function signalLimit(view: HeapView, process: Process): number {
  const limits = Process.limits.get(view, process);
  if (limits === 0) return Number.POSITIVE_INFINITY;
  const high = Limits.values.get(view, limits, RLIMIT_SIGPENDING * 4 + 1) >>> 0;
  if (high >= 0x20_0000) return Number.POSITIVE_INFINITY;
  return high * 0x1_0000_0000 + (Limits.values.get(view, limits, RLIMIT_SIGPENDING * 4) >>> 0);
}

/**
 * Charges the user of `process` for one signal or timer; what to note for {@link creditUser}, or 0 if the limit
 * of the process does not allow it. `always`: the limit does not matter.
 */
export function chargeUser(tx: Transaction, process: Process, always: boolean): number {
  const limit = always ? Number.POSITIVE_INFINITY : signalLimit(tx, process);
  return chargeFor(tx, Process.uid.get(tx, process), "charge", limit);
}

/** What users are charged for. */
type Charge = "charge" | "instances" | "watches";

/** Charges user `uid` for one more of something; what to note for {@link creditFor}, or 0 if it has `limit` of them. */
export function chargeFor(tx: Transaction, uid: number, what: Charge, limit: number): number {
  const bucket = bucketOf(tx, uid);
  tx.lock(tx.root("accounts"), LOCK_RANK.account);
  let user = findUser(tx, uid);
  const charge = user === 0 ? 0 : User[what].get(tx, user);
  if (charge >= limit) return 0;
  if (user === 0) {
    user = User.allocate(tx);
    User.uid.init(tx, user, uid);
    User.after.init(tx, user, tx.words[bucket]!);
    tx.store(bucket, user);
  }
  User[what].set(tx, user, charge + 1);
  return user;
}

/** Takes back a charge: `account` is what {@link chargeUser} gave, 0 for nothing. */
export function creditUser(tx: Transaction, account: number): void {
  creditFor(tx, account, "charge");
}

/** Takes back a charge of {@link chargeFor}. */
export function creditFor(tx: Transaction, account: number, what: Charge): void {
  if (account === 0) return;
  const user = account as User;
  tx.lock(tx.root("accounts"), LOCK_RANK.account);
  User[what].add(tx, user, -1);
  if (isCharged(tx, user)) return;
  let at = bucketOf(tx, User.uid.get(tx, user));
  while (tx.words[at] !== user) at = tx.words[at]! + User.after.word;
  tx.store(at, User.after.get(tx, user));
  User.free(tx, user);
}

function isCharged(view: HeapView, user: User): boolean {
  return (
    User.charge.get(view, user) !== 0 ||
    User.instances.get(view, user) !== 0 ||
    User.watches.get(view, user) !== 0
  );
}

/** Signals and timers that the user of `process` is charged for: SigQ in /proc/PID/status. */
export function userCharge(view: HeapView, process: Process): number {
  const user = findUser(view, Process.uid.get(view, process));
  return user === 0 ? 0 : User.charge.get(view, user);
}

registerInvariant({
  id: "U1",
  statement: "a user who is charged for something is on the list of its bucket, once",
  check(view, report) {
    const listed = new Set<number>();
    const root = view.root("accounts");
    for (let i = 0; root !== 0 && i < BUCKETS; i++) {
      let user = view.words[root + 1 + i]! as User;
      for (
        ;
        user !== 0 && User.isLive(view, user) && !listed.has(user);
        user = User.after.get(view, user) as User
      ) {
        listed.add(user);
        if (User.uid.get(view, user) % BUCKETS !== i) report(`user ${user} is in bucket ${i}`);
        if (!isCharged(view, user)) report(`user ${user} is charged for nothing`);
      }
      if (user !== 0) report(`the list of bucket ${i} leads to ${user}, seen before or not live`);
    }
    for (const user of liveRecords(view, User.schema))
      if (!listed.has(user)) report(`user ${user} is on no list`);
  },
});

registerInvariant({
  id: "U2",
  statement: "a user's charge is the number of its queued signals and timers",
  check(view, report) {
    const counts = new Map<number, number>();
    const count = (account: number): void => {
      if (account !== 0) counts.set(account, (counts.get(account) ?? 0) + 1);
    };
    for (const signal of liveRecords(view, QueuedSignal.schema))
      count(QueuedSignal.account.get(view, signal));
    for (const timer of liveRecords(view, Timer.schema)) count(Timer.account.get(view, timer));
    for (const user of liveRecords(view, User.schema)) {
      const charge = User.charge.get(view, user);
      if (charge !== (counts.get(user) ?? 0))
        report(`user ${user}: ${charge}, found ${counts.get(user) ?? 0}`);
      counts.delete(user);
    }
    for (const account of counts.keys()) report(`a charge to ${account}, which is no user`);
  },
});
