/**
 * Changes of identity: each makes new credentials from old ones, as credentials(7) and capabilities(7) say.
 * The old ones stay as they are; the new ones carry one reference, the caller's.
 */

import { assert } from "../../base/assert.ts";
import { errno } from "../../base/errno.ts";
import type { Transaction } from "../../heap/transaction.ts";
import { Credentials, GROUPS_MAX } from "../../kernel/credentials.ts";
import { bytesFromSegments } from "../../kernel/request.ts";
import {
  ALL_CAPABILITIES,
  CAP,
  FILE_CAPABILITIES,
  hasCapability,
  initSet,
  intersection,
  isSubset,
  NO_CAPABILITIES,
  readSet,
  union,
  without,
} from "./capabilities.ts";
import { KEEP } from "./permission.ts";

/** Bits of securebits (prctl(2), PR_SET_SECUREBITS). */
export const SECURE = { NOROOT: 1, NO_SETUID_FIXUP: 4, KEEP_CAPS: 16 } as const;

/** Ids of one kind: real, effective, saved, file system. */
interface Ids {
  real: number;
  effective: number;
  saved: number;
  fs: number;
}

/** Root with all capabilities and no supplementary groups. */
export function createInitial(tx: Transaction): Credentials {
  const made = Credentials.allocate(tx);
  Credentials.references.init(tx, made, 1);
  initSet(tx, made, Credentials.effectiveCapabilities, ALL_CAPABILITIES);
  initSet(tx, made, Credentials.permittedCapabilities, ALL_CAPABILITIES);
  initSet(tx, made, Credentials.boundingCapabilities, ALL_CAPABILITIES);
  return made;
}

/** A copy with one reference. */
export function copy(tx: Transaction, credentials: Credentials): Credentials {
  const made = Credentials.allocate(tx);
  for (let i = 0; i < Credentials.schema.words; i++) tx.storeFresh(made + i, tx.words[credentials + i]!);
  Credentials.references.init(tx, made, 1);
  return made;
}

function uids(tx: Transaction, credentials: Credentials): Ids {
  return {
    real: Credentials.uid.get(tx, credentials),
    effective: Credentials.effectiveUid.get(tx, credentials),
    saved: Credentials.savedUid.get(tx, credentials),
    fs: Credentials.fsUid.get(tx, credentials),
  };
}

function gids(tx: Transaction, credentials: Credentials): Ids {
  return {
    real: Credentials.gid.get(tx, credentials),
    effective: Credentials.effectiveGid.get(tx, credentials),
    saved: Credentials.savedGid.get(tx, credentials),
    fs: Credentials.fsGid.get(tx, credentials),
  };
}

function withUids(tx: Transaction, credentials: Credentials, ids: Ids): Credentials {
  const old = uids(tx, credentials);
  const made = copy(tx, credentials);
  Credentials.uid.init(tx, made, ids.real);
  Credentials.effectiveUid.init(tx, made, ids.effective);
  Credentials.savedUid.init(tx, made, ids.saved);
  Credentials.fsUid.init(tx, made, ids.fs);
  adjustCapabilities(tx, made, old, ids);
  return made;
}

function withGids(tx: Transaction, credentials: Credentials, ids: Ids): Credentials {
  const made = copy(tx, credentials);
  Credentials.gid.init(tx, made, ids.real);
  Credentials.effectiveGid.init(tx, made, ids.effective);
  Credentials.savedGid.init(tx, made, ids.saved);
  Credentials.fsGid.init(tx, made, ids.fs);
  return made;
}

/** capabilities(7), "Effect of user ID changes on capabilities". */
function adjustCapabilities(tx: Transaction, made: Credentials, old: Ids, ids: Ids): void {
  const secure = Credentials.securebits.get(tx, made);
  if ((secure & SECURE.NO_SETUID_FIXUP) !== 0) return;
  const hadRoot = old.real === 0 || old.effective === 0 || old.saved === 0;
  const hasRoot = ids.real === 0 || ids.effective === 0 || ids.saved === 0;
  if (hadRoot && !hasRoot && (secure & SECURE.KEEP_CAPS) === 0) {
    initSet(tx, made, Credentials.permittedCapabilities, NO_CAPABILITIES);
    initSet(tx, made, Credentials.effectiveCapabilities, NO_CAPABILITIES);
  }
  const permitted = readSet(tx, made, Credentials.permittedCapabilities);
  if (old.effective === 0 && ids.effective !== 0) {
    initSet(tx, made, Credentials.effectiveCapabilities, NO_CAPABILITIES);
  } else if (old.effective !== 0 && ids.effective === 0) {
    initSet(tx, made, Credentials.effectiveCapabilities, permitted);
  }
}

/** setuid(2) or setgid(2). */
function setOne(old: Ids, id: number, privileged: boolean): Ids {
  if (id === KEEP) throw errno.EINVAL;
  if (privileged) return { real: id, effective: id, saved: id, fs: id };
  if (id !== old.real && id !== old.saved) throw errno.EPERM;
  return { ...old, effective: id, fs: id };
}

/** setreuid(2) or setregid(2). */
function setTwo(old: Ids, real: number, effective: number, privileged: boolean): Ids {
  const ids = { ...old };
  if (real !== KEEP) {
    if (!privileged && real !== old.real && real !== old.effective) throw errno.EPERM;
    ids.real = real;
  }
  if (effective !== KEEP) {
    const known = effective === old.real || effective === old.effective || effective === old.saved;
    if (!privileged && !known) throw errno.EPERM;
    ids.effective = effective;
  }
  if (real !== KEEP || (effective !== KEEP && effective !== old.real)) ids.saved = ids.effective;
  ids.fs = ids.effective;
  return ids;
}

/** setresuid(2) or setresgid(2). */
function setThree(old: Ids, real: number, effective: number, saved: number, privileged: boolean): Ids {
  for (const id of [real, effective, saved]) {
    const known = id === KEEP || id === old.real || id === old.effective || id === old.saved;
    if (!privileged && !known) throw errno.EPERM;
  }
  const chosen = effective === KEEP ? old.effective : effective;
  return {
    real: real === KEEP ? old.real : real,
    effective: chosen,
    saved: saved === KEEP ? old.saved : saved,
    fs: chosen,
  };
}

export function setuid(tx: Transaction, credentials: Credentials, uid: number): Credentials {
  return withUids(
    tx,
    credentials,
    setOne(uids(tx, credentials), uid, hasCapability(tx, credentials, CAP.SETUID)),
  );
}

export function setgid(tx: Transaction, credentials: Credentials, gid: number): Credentials {
  return withGids(
    tx,
    credentials,
    setOne(gids(tx, credentials), gid, hasCapability(tx, credentials, CAP.SETGID)),
  );
}

export function setreuid(
  tx: Transaction,
  credentials: Credentials,
  real: number,
  effective: number,
): Credentials {
  const privileged = hasCapability(tx, credentials, CAP.SETUID);
  return withUids(tx, credentials, setTwo(uids(tx, credentials), real, effective, privileged));
}

export function setregid(
  tx: Transaction,
  credentials: Credentials,
  real: number,
  effective: number,
): Credentials {
  const privileged = hasCapability(tx, credentials, CAP.SETGID);
  return withGids(tx, credentials, setTwo(gids(tx, credentials), real, effective, privileged));
}

export function setresuid(
  tx: Transaction,
  credentials: Credentials,
  real: number,
  effective: number,
  saved: number,
): Credentials {
  const privileged = hasCapability(tx, credentials, CAP.SETUID);
  return withUids(tx, credentials, setThree(uids(tx, credentials), real, effective, saved, privileged));
}

export function setresgid(
  tx: Transaction,
  credentials: Credentials,
  real: number,
  effective: number,
  saved: number,
): Credentials {
  const privileged = hasCapability(tx, credentials, CAP.SETGID);
  return withGids(tx, credentials, setThree(gids(tx, credentials), real, effective, saved, privileged));
}

/** setfsuid(2): a uid that may not be taken changes nothing. The caller knows the old one. */
export function setfsuid(tx: Transaction, credentials: Credentials, uid: number): Credentials {
  const old = uids(tx, credentials);
  const known = uid === old.real || uid === old.effective || uid === old.saved || uid === old.fs;
  const allowed = uid !== KEEP && (known || hasCapability(tx, credentials, CAP.SETUID));
  const made = copy(tx, credentials);
  if (!allowed) return made;
  Credentials.fsUid.init(tx, made, uid);
  if ((Credentials.securebits.get(tx, made) & SECURE.NO_SETUID_FIXUP) !== 0) return made;
  const effective = readSet(tx, made, Credentials.effectiveCapabilities);
  const permitted = readSet(tx, made, Credentials.permittedCapabilities);
  if (old.fs === 0 && uid !== 0) {
    initSet(tx, made, Credentials.effectiveCapabilities, without(effective, FILE_CAPABILITIES));
  } else if (old.fs !== 0 && uid === 0) {
    const raised = union(effective, intersection(permitted, FILE_CAPABILITIES));
    initSet(tx, made, Credentials.effectiveCapabilities, raised);
  }
  return made;
}

export function setfsgid(tx: Transaction, credentials: Credentials, gid: number): Credentials {
  const old = gids(tx, credentials);
  const known = gid === old.real || gid === old.effective || gid === old.saved || gid === old.fs;
  const made = copy(tx, credentials);
  if (gid !== KEEP && (known || hasCapability(tx, credentials, CAP.SETGID)))
    Credentials.fsGid.init(tx, made, gid);
  return made;
}

/** setgroups(2): `count` group ids of 4 bytes each from the request's segments. */
export function setgroups(tx: Transaction, credentials: Credentials, count: number): Credentials {
  if (!hasCapability(tx, credentials, CAP.SETGID)) throw errno.EPERM;
  if (count < 0 || count > GROUPS_MAX) throw errno.EINVAL;
  const raw = new Uint8Array(count * 4);
  bytesFromSegments(tx, 0, raw);
  const ids = new Uint32Array(raw.buffer);
  if (ids.includes(KEEP)) throw errno.EINVAL;
  const made = copy(tx, credentials);
  Credentials.groupCount.init(tx, made, count);
  ids.forEach((id, index) => Credentials.groups.init(tx, made, index, id));
  return made;
}

/**
 * The credentials after execve(2) of a file with this owner, group and mode. `mayRaise` is 0 if the mount is
 * nosuid or the process has no_new_privs: then set-uid and set-gid bits count for nothing.
 */
export function afterExec(
  tx: Transaction,
  credentials: Credentials,
  fileUid: number,
  fileGid: number,
  mode: number,
  mayRaise: number,
): Credentials {
  const made = copy(tx, credentials);
  const real = Credentials.uid.get(tx, made);
  let effective = Credentials.effectiveUid.get(tx, made);
  let group = Credentials.effectiveGid.get(tx, made);
  if (mayRaise !== 0 && (mode & 0o4000) !== 0) effective = fileUid;
  if (mayRaise !== 0 && (mode & 0o2010) === 0o2010) group = fileGid;
  Credentials.effectiveUid.init(tx, made, effective);
  Credentials.savedUid.init(tx, made, effective);
  Credentials.fsUid.init(tx, made, effective);
  Credentials.effectiveGid.init(tx, made, group);
  Credentials.savedGid.init(tx, made, group);
  Credentials.fsGid.init(tx, made, group);
  const secure = Credentials.securebits.get(tx, made);
  Credentials.securebits.init(tx, made, secure & ~SECURE.KEEP_CAPS);
  let permitted = NO_CAPABILITIES;
  if ((secure & SECURE.NOROOT) === 0 && (effective === 0 || real === 0)) {
    permitted = union(
      readSet(tx, made, Credentials.inheritableCapabilities),
      readSet(tx, made, Credentials.boundingCapabilities),
    );
  }
  initSet(tx, made, Credentials.permittedCapabilities, permitted);
  initSet(tx, made, Credentials.effectiveCapabilities, effective === 0 ? permitted : NO_CAPABILITIES);
  return made;
}

/**
 * capset(2): the three sets in the request's segments, effective, permitted, inheritable, each as two words
 * (24 bytes).
 */
export function setCapabilities(tx: Transaction, credentials: Credentials): Credentials {
  const raw = new Uint8Array(24);
  bytesFromSegments(tx, 0, raw);
  const sets = new Int32Array(raw.buffer);
  const take = (at: number) => intersection({ low: sets[at]!, high: sets[at + 1]! }, ALL_CAPABILITIES);
  const effective = take(0);
  const permitted = take(2);
  const inheritable = take(4);
  const oldPermitted = readSet(tx, credentials, Credentials.permittedCapabilities);
  const oldInheritable = readSet(tx, credentials, Credentials.inheritableCapabilities);
  const bounding = readSet(tx, credentials, Credentials.boundingCapabilities);
  const free = hasCapability(tx, credentials, CAP.SETPCAP);
  if (!isSubset(permitted, oldPermitted) || !isSubset(effective, permitted)) throw errno.EPERM;
  if (!free && !isSubset(inheritable, union(oldInheritable, oldPermitted))) throw errno.EPERM;
  if (!isSubset(inheritable, union(oldInheritable, bounding))) throw errno.EPERM;
  const made = copy(tx, credentials);
  initSet(tx, made, Credentials.effectiveCapabilities, effective);
  initSet(tx, made, Credentials.permittedCapabilities, permitted);
  initSet(tx, made, Credentials.inheritableCapabilities, inheritable);
  return made;
}

/** prctl(PR_CAPBSET_DROP). */
export function dropBounding(tx: Transaction, credentials: Credentials, capability: number): Credentials {
  if (capability < 0 || capability > 40) throw errno.EINVAL;
  if (!hasCapability(tx, credentials, CAP.SETPCAP)) throw errno.EPERM;
  const made = copy(tx, credentials);
  const word = capability >> 5;
  assert(word < 2, "capability out of range");
  const left = Credentials.boundingCapabilities.get(tx, made, word) & ~(1 << (capability & 31));
  Credentials.boundingCapabilities.init(tx, made, word, left);
  return made;
}

/** prctl(PR_SET_SECUREBITS, PR_SET_KEEPCAPS): replaces the bits of `mask` by those of `bits`. */
export function setSecurebits(
  tx: Transaction,
  credentials: Credentials,
  mask: number,
  bits: number,
): Credentials {
  if ((mask & ~SECURE.KEEP_CAPS) !== 0 && !hasCapability(tx, credentials, CAP.SETPCAP)) throw errno.EPERM;
  const made = copy(tx, credentials);
  Credentials.securebits.init(tx, made, (Credentials.securebits.get(tx, made) & ~mask) | (bits & mask));
  return made;
}

/** The credentials with which access(2) looks: the real ids, and capabilities only for real root. */
export function asReal(tx: Transaction, credentials: Credentials): Credentials {
  const made = copy(tx, credentials);
  const real = Credentials.uid.get(tx, made);
  Credentials.fsUid.init(tx, made, real);
  Credentials.fsGid.init(tx, made, Credentials.gid.get(tx, made));
  const permitted = readSet(tx, made, Credentials.permittedCapabilities);
  initSet(tx, made, Credentials.effectiveCapabilities, real === 0 ? permitted : NO_CAPABILITIES);
  return made;
}
