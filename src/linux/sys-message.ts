/**
 * Sending and receiving: sendto, recvfrom, sendmsg, recvmsg, sendmmsg, recvmmsg.
 *
 * A stream is moved in steps, as read and write do it, with the bytes so far in Task.progress. A message that
 * must go as a whole and is more than one transaction may touch (its bytes lie in too many pieces, or it brings
 * more than a few descriptors) is staged first, step by step, in the socket server (`stage`); Task.progressDetail
 * says how far that has come.
 *
 * For the calls with many messages Task.progress counts messages and Task.progressDetail bytes of the present one,
 * so such a message has to fit into one transaction.
 */

import { Errno, errno } from "../base/errno.ts";
import type { Transaction } from "../heap/transaction.ts";
import type { SystemCall } from "../kernel/call.ts";
import {
  findFree,
  getAnyFile,
  holdFiles,
  installFile,
  lockFiles,
  lockSharedFiles,
  STEP_FILES,
} from "../kernel/descriptors.ts";
import type { File } from "../kernel/file.ts";
import { clearSegments } from "../kernel/request.ts";
import { registerTaskResource } from "../kernel/process.ts";
import { sendToTask, SI, SIG, signalInfo } from "../kernel/signal.ts";
import { Process, Task } from "../kernel/task.ts";
import { auth } from "../servers/auth/auth.ts";
import { CAP } from "../servers/auth/capabilities.ts";
import { Credentials } from "../kernel/credentials.ts";
import {
  addLetterFile,
  addressOf,
  letterField,
  letterFile,
  setLetterField,
} from "../servers/socket/letter.ts";
import { MSG, RIGHTS_MAX, TYPE } from "../servers/socket/records.ts";
import { socketOf, sockets } from "../servers/socket/socket-server.ts";
import { SOL } from "../servers/socket/options.ts";
import { IOV_MAX, IOVEC_BYTES, RW_MAX } from "./abi-file.ts";
import {
  CMSG_ALIGN,
  CMSG_HEADER,
  MESSAGES_MAX,
  MMSG_LENGTH,
  MMSGHDR_BYTES,
  MSGHDR,
  SCM,
  UCRED_BYTES,
} from "./abi-socket.ts";
import { type CallRow, flagSet, partial, type RestartKind } from "./row.ts";
import { putAddress, readAddress, writeAddress } from "./socket-address.ts";
import { descriptorLimit } from "./sys-descriptor.ts";
import { gather, isEnding, isNonblocking, registerWholeTransfer, type Vector } from "./sys-read-write.ts";
import { restartUnlessTimed, socketFile } from "./sys-socket.ts";
import { readPointer, readStruct, readUser, writeUser } from "./user.ts";

/** A message to be sent, as the caller describes it. */
interface Outgoing {
  readonly vectors: readonly Vector[];
  readonly length: number;
  readonly address: Uint8Array<ArrayBuffer>;
  readonly descriptors: readonly number[];
  readonly identity: readonly [pid: number, uid: number, gid: number] | undefined;
}

/** How far a message has come, in the task's progress fields. */
interface Progress {
  get(): number;
  set(done: number): void;
  /** Whether the message may be built in several steps. */
  readonly mayStage: boolean;
}

function wholeCall(call: SystemCall): Progress {
  const { tx, task } = call;
  return {
    get: () => Task.progress.get(tx, task),
    set: (done) => {
      if (Task.progress.get(tx, task) !== done) Task.progress.set(tx, task, done);
    },
    mayStage: true,
  };
}

function oneOfMany(call: SystemCall): Progress {
  const { tx, task } = call;
  return {
    get: () => Task.progressDetail.get(tx, task),
    set: (done) => {
      if (Task.progressDetail.get(tx, task) !== done) Task.progressDetail.set(tx, task, done);
    },
    mayStage: false,
  };
}

// What a caller's structures say.

function readVectors(call: SystemCall, address: number, count: number): Vector[] {
  if (count > IOV_MAX) throw errno.EMSGSIZE;
  const vectors: Vector[] = [];
  if (count === 0) return vectors;
  const view = readStruct(call, address, count * IOVEC_BYTES);
  let total = 0;
  for (let i = 0; i < count; i++) {
    const at = i * IOVEC_BYTES;
    const high = view.getInt32(at + 12, true);
    if (high < 0) throw errno.EINVAL;
    const size = high * 0x1_0000_0000 + view.getUint32(at + 8, true);
    const length = Math.min(size, RW_MAX - total);
    const start = view.getUint32(at + 4, true) * 0x1_0000_0000 + view.getUint32(at, true);
    if (length > 0) vectors.push({ address: start, length });
    total += length;
  }
  return vectors;
}

function totalOf(vectors: readonly Vector[]): number {
  return vectors.reduce((sum, { length }) => sum + length, 0);
}

/** Most bytes of control data that a sender may bring (net.core.optmem_max). */
const CONTROL_MAX = 131_072;

/** The message that the struct msghdr at `at` describes. */
function readOutgoing(call: SystemCall, at: number): Outgoing {
  const header = readStruct(call, at, MSGHDR.bytes);
  const name = readPointer(call, at + MSGHDR.name);
  const nameLength = header.getInt32(MSGHDR.nameLength, true);
  const address = name === 0 ? new Uint8Array(0) : readAddress(call, name, Math.min(nameLength, 128));
  const count = readPointer(call, at + MSGHDR.vectorCount);
  const vectors = readVectors(call, readPointer(call, at + MSGHDR.vectors), count);
  const controlLength = readPointer(call, at + MSGHDR.controlLength);
  const control = readPointer(call, at + MSGHDR.control);
  if (control !== 0 && controlLength > CONTROL_MAX) throw errno.ENOBUFS;
  const data = control === 0 || controlLength === 0 ? undefined : readUser(call, control, controlLength);
  return { vectors, length: totalOf(vectors), address, ...readControl(call, data) };
}

/** What control data (cmsg(3)) brings along. */
function readControl(
  call: SystemCall,
  data: Uint8Array<ArrayBuffer> | undefined,
): Pick<Outgoing, "descriptors" | "identity"> {
  const descriptors: number[] = [];
  let identity: Outgoing["identity"];
  const view = data === undefined ? undefined : new DataView(data.buffer);
  for (let at = 0; view !== undefined && view.byteLength - at >= CMSG_HEADER; ) {
    const length = view.getUint32(at, true);
    if (view.getUint32(at + 4, true) !== 0 || length < CMSG_HEADER || at + length > view.byteLength) {
      throw errno.EINVAL;
    }
    const [level, type] = [view.getInt32(at + 8, true), view.getInt32(at + 12, true)];
    const body = at + CMSG_HEADER;
    if (level === SOL.SOCKET && type === SCM.RIGHTS) {
      for (let i = body; i + 4 <= at + length; i += 4) descriptors.push(view.getInt32(i, true));
      if (descriptors.length > RIGHTS_MAX) throw errno.EINVAL;
    } else if (level === SOL.SOCKET && type === SCM.CREDENTIALS) {
      if (length !== CMSG_HEADER + UCRED_BYTES) throw errno.EINVAL;
      identity = [view.getInt32(body, true), view.getUint32(body + 4, true), view.getUint32(body + 8, true)];
      checkIdentity(call, identity);
    } else if (level === SOL.SOCKET) throw errno.EINVAL;
    at += Math.ceil(length / CMSG_ALIGN) * CMSG_ALIGN;
  }
  return { descriptors, identity };
}

/** EPERM unless the caller may say that it is these (unix(7)). */
function checkIdentity(call: SystemCall, [pid, uid, gid]: readonly [number, number, number]): void {
  const { tx, task } = call;
  const who = Task.credentials.get(tx, task);
  const isOneOf = (id: number, ...fields: (typeof Credentials.uid)[]): boolean =>
    fields.some((field) => field.get(tx, who) === id);
  const may = (capability: number): boolean => auth.isCapable(tx, who, capability) !== 0;
  const ownPid = Process.pid.get(tx, Task.process.get(tx, task));
  if (pid !== ownPid && !may(CAP.SYS_ADMIN)) throw errno.EPERM;
  const { uid: realUid, effectiveUid, savedUid, gid: realGid, effectiveGid, savedGid } = Credentials;
  if (!isOneOf(uid, realUid, effectiveUid, savedUid) && !may(CAP.SETUID)) throw errno.EPERM;
  if (!isOneOf(gid, realGid, effectiveGid, savedGid) && !may(CAP.SETGID)) throw errno.EPERM;
}

/** At the beginning of a call: what an earlier one that was given up has left in the socket server goes. */
function beginAnew(call: SystemCall, progress: Progress): void {
  const { tx, task } = call;
  if (!progress.mayStage || progress.get() !== 0 || Task.progressDetail.get(tx, task) !== 0) return;
  if (sockets.dropStaged(tx, task) !== 0) call.step();
}

// Sending.

/** Writes what goes along with the message into the letter. Descriptors from `first` on, at most a step's. */
function writeLetter(call: SystemCall, file: File, out: Outgoing, first: number): void {
  const { tx, task } = call;
  putAddress(call, sockets.family(tx, socketOf(tx, file)), out.address);
  if (out.identity !== undefined) {
    const [pid, uid, gid] = out.identity;
    setLetterField(tx, "pid", pid);
    setLetterField(tx, "uid", uid);
    setLetterField(tx, "gid", gid);
    setLetterField(tx, "hasCredentials", 1);
  }
  const files = out.descriptors.slice(first, first + STEP_FILES).map((each) => getAnyFile(tx, task, each));
  holdFiles(tx, files);
  for (const each of files) addLetterFile(tx, each);
}

/** Bytes staged and descriptors staged, in Task.progressDetail. */
const DESCRIPTOR_UNIT = 2 ** 32;

/**
 * Stages all of a message but what fits into one transaction; the bytes that are left for that. `offset` is how
 * much has been staged.
 */
function stageRest(call: SystemCall, descriptor: number, out: Outgoing): { bytes: number; files: number } {
  const { tx, task } = call;
  for (;;) {
    const detail = Task.progressDetail.get(tx, task);
    const files = Math.floor(detail / DESCRIPTOR_UNIT);
    const bytes = detail % DESCRIPTOR_UNIT;
    const file = socketFile(call, descriptor);
    if (out.descriptors.length - files > STEP_FILES) {
      clearSegments(tx);
      writeLetter(call, file, { ...out, address: new Uint8Array(0), identity: undefined }, files);
      sockets.stage(tx, 0, 1);
      Task.progressDetail.set(tx, task, detail + STEP_FILES * DESCRIPTOR_UNIT);
    } else {
      const isWhole = sockets.type(tx, socketOf(tx, file)) !== TYPE.STREAM;
      if (!isWhole) return { bytes, files };
      // More than any send buffer holds is refused before it is copied.
      if (out.length > sockets.sendBuffer(tx, socketOf(tx, file))) throw errno.EMSGSIZE;
      const got = gather(call, out.vectors, bytes, false);
      if (bytes + got >= out.length || got === 0) return { bytes, files };
      sockets.stage(tx, got, 0);
      Task.progressDetail.set(tx, task, detail + got);
    }
    call.step();
  }
}

function sendOne(
  call: SystemCall,
  descriptor: number,
  out: Outgoing,
  flags: number,
  progress: Progress,
): number {
  const { tx } = call;
  beginAnew(call, progress);
  let done = progress.get();
  for (;;) {
    let isStream = true;
    try {
      const stagedSoFar =
        done === 0 && progress.mayStage ? stageRest(call, descriptor, out) : { bytes: 0, files: 0 };
      const file = socketFile(call, descriptor);
      isStream = sockets.type(tx, socketOf(tx, file)) === TYPE.STREAM;
      const skip = isStream ? done : stagedSoFar.bytes;
      const wanted = gather(call, out.vectors, skip, false);
      if (!isStream && skip + wanted < out.length) throw errno.EMSGSIZE;
      const isPlain =
        done > 0 ||
        (out.address.length === 0 &&
          out.identity === undefined &&
          out.descriptors.length === stagedSoFar.files);
      if (!isPlain && !(isStream && out.length === 0)) writeLetter(call, file, out, stagedSoFar.files);
      const nonblock = (flags & MSG.DONTWAIT) !== 0 || isNonblocking(call, file) ? 1 : 0;
      const put = sockets.send(tx, socketOf(tx, file), wanted, nonblock, isPlain ? 0 : 1);
      done += put;
      if (progress.mayStage && Task.progressDetail.get(tx, call.task) !== 0) {
        Task.progressDetail.set(tx, call.task, 0);
      }
      if (!isStream || done >= out.length || put <= 0) return end(progress, done);
    } catch (error) {
      if (!(error instanceof Errno)) throw error;
      return failSend(call, error, done, isStream && (flags & MSG.NOSIGNAL) === 0, progress);
    }
    progress.set(done);
    call.step();
    if (isEnding(call)) return end(progress, done);
  }
}

function end(progress: Progress, done: number): number {
  progress.set(0);
  return done;
}

function failSend(
  call: SystemCall,
  error: Errno,
  done: number,
  signals: boolean,
  progress: Progress,
): number {
  const { tx, task } = call;
  tx.rollback();
  if (progress.mayStage && Task.progressDetail.get(tx, task) !== 0) {
    sockets.dropStaged(tx, task);
    Task.progressDetail.set(tx, task, 0);
  }
  if (done > 0) return end(progress, done);
  if (error === errno.EPIPE && signals) {
    // The signal is to outlive the failed step, so the error is a result instead of a throw.
    const pid = Process.pid.get(tx, call.process);
    sendToTask(tx, task, signalInfo(SIG.PIPE, SI.USER, { pid }));
  }
  return -error.code;
}

/** Gives up a message that is being built. */
function abandonSend(tx: Transaction, task: Task): boolean {
  sockets.dropStaged(tx, task);
  if (Task.progress.get(tx, task) !== 0) Task.progress.set(tx, task, 0);
  if (Task.progressDetail.get(tx, task) !== 0) Task.progressDetail.set(tx, task, 0);
  return true;
}

registerTaskResource({
  name: "message under way",
  release(tx, task) {
    sockets.dropStaged(tx, task);
    return true;
  },
});

const SEND_FLAGS: number =
  MSG.OOB | MSG.DONTROUTE | MSG.DONTWAIT | MSG.EOR | MSG.CONFIRM | MSG.NOSIGNAL | MSG.MORE | MSG.CMSG_CLOEXEC;

/** Urgent data is not carried; flags that Linux does not know either are passed over, as it does. */
function checkSendFlags(flags: number): void {
  if ((flags & SEND_FLAGS & MSG.OOB) !== 0) throw errno.EOPNOTSUPP;
}

function sendto(call: SystemCall): number {
  lockSharedFiles(call.tx, call.task);
  const flags = call.uint(3);
  checkSendFlags(flags);
  const length = Math.min(call.address(2), RW_MAX);
  socketFile(call, call.int(0));
  const address = call.address(4) === 0 ? new Uint8Array(0) : readAddress(call, call.address(4), call.int(5));
  const vectors = length === 0 ? [] : [{ address: call.address(1), length }];
  const out = { vectors, length, address, descriptors: [], identity: undefined };
  return sendOne(call, call.int(0), out, flags, wholeCall(call));
}

function sendmsg(call: SystemCall): number {
  lockSharedFiles(call.tx, call.task);
  const flags = call.uint(2);
  checkSendFlags(flags);
  socketFile(call, call.int(0));
  return sendOne(call, call.int(0), readOutgoing(call, call.address(1)), flags, wholeCall(call));
}

/** Counts a message of a call with many; −errno goes on as the count so far. */
function nextOfMany(call: SystemCall, count: number): void {
  Task.progress.set(call.tx, call.task, count);
  call.step();
}

function endOfMany(call: SystemCall, count: number): number {
  const { tx, task } = call;
  if (Task.progress.get(tx, task) !== 0) Task.progress.set(tx, task, 0);
  if (Task.progressDetail.get(tx, task) !== 0) Task.progressDetail.set(tx, task, 0);
  return count;
}

function writeLength(call: SystemCall, at: number, length: number): void {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, length, true);
  writeUser(call, at + MMSG_LENGTH, view);
}

function sendmmsg(call: SystemCall): number {
  const { tx, task } = call;
  const count = Math.min(call.uint(2), MESSAGES_MAX);
  const flags = call.uint(3);
  checkSendFlags(flags);
  for (let i = Task.progress.get(tx, task); ; i++) {
    lockSharedFiles(tx, task);
    socketFile(call, call.int(0));
    if (i >= count) return endOfMany(call, i);
    const at = call.address(1) + i * MMSGHDR_BYTES;
    let sent: number;
    try {
      sent = sendOne(call, call.int(0), readOutgoing(call, at), flags, oneOfMany(call));
      if (sent >= 0) writeLength(call, at, sent);
    } catch (error) {
      if (!(error instanceof Errno) || i === 0) throw error;
      tx.rollback();
      return endOfMany(call, i);
    }
    if (sent < 0) return i === 0 ? sent : endOfMany(call, i);
    nextOfMany(call, i + 1);
    if (isEnding(call)) return endOfMany(call, i + 1);
  }
}

// Receiving.

/** Where a message is to go. */
interface Incoming {
  readonly vectors: readonly Vector[];
  readonly length: number;
  /** Bytes of room for control data, −1 if the caller does not ask for any. */
  readonly room: number;
  /** Writes what is known besides: called once, last of all, with the letter filled. */
  tell(): void;
}

function receiveOne(
  call: SystemCall,
  descriptor: number,
  into: Incoming,
  flags: number,
  progress: Progress,
): number {
  const { tx } = call;
  if ((flags & MSG.OOB) !== 0) throw errno.EINVAL;
  if ((flags & MSG.ERRQUEUE) !== 0) throw errno.EAGAIN;
  beginAnew(call, progress);
  let done = progress.get();
  for (;;) {
    let isLong = false;
    try {
      // Descriptors that come have to be installed, and the table's lock ranks first.
      if (into.room > 0) lockFiles(tx, call.task);
      const file = socketFile(call, descriptor);
      const wanted = gather(call, into.vectors, done, true);
      const isStream = sockets.type(tx, socketOf(tx, file)) === TYPE.STREAM;
      if (!isStream && done > 0) return receiveRest(call, into, done, progress);
      const waitsForAll = isStream && (flags & MSG.WAITALL) !== 0 && (flags & MSG.PEEK) === 0;
      const nonblock =
        (flags & MSG.DONTWAIT) !== 0 || isNonblocking(call, file) || (done > 0 && !waitsForAll) ? 1 : 0;
      const room = Math.max(into.room, 0);
      const total = progress.mayStage ? into.length : wanted;
      const got = sockets.receive(tx, socketOf(tx, file), wanted, total, flags, nonblock, room);
      // An error that has been waiting is told once, so it is a result.
      if (got < 0) return end(progress, done > 0 ? done : got);
      done += got;
      const carried = letterField(tx, "rights") > 0 || letterField(tx, "flags") !== 0;
      // What is known of a long message is told with its first bytes; the rest follows.
      isLong = !isStream && got === wanted && wanted < total && (flags & MSG.PEEK) === 0;
      if (isLong) into.tell();
      const isOver =
        (!isStream && !isLong) || got === 0 || done >= into.length || carried || (flags & MSG.PEEK) !== 0;
      if (!isLong && (isOver || (got < wanted && !waitsForAll))) {
        into.tell();
        return end(progress, done);
      }
    } catch (error) {
      if (!(error instanceof Errno) || done === 0) throw error;
      tx.rollback();
      return end(progress, done);
    }
    progress.set(done);
    call.step();
    if (isEnding(call)) return end(progress, done);
  }
}

/** Receives what is left of a message that is longer than one transaction may move. */
function receiveRest(call: SystemCall, into: Incoming, from: number, progress: Progress): number {
  const { tx } = call;
  let done = from;
  for (;;) {
    const wanted = done < into.length ? gather(call, into.vectors, done, true) : 0;
    const got = sockets.receiveRest(tx, wanted);
    done += got;
    if (got === 0) return end(progress, done);
    progress.set(done);
    call.step();
  }
}

function recvfrom(call: SystemCall): number {
  lockSharedFiles(call.tx, call.task);
  const length = Math.min(call.address(2), RW_MAX);
  const vectors = length === 0 ? [] : [{ address: call.address(1), length }];
  const tell = (): void => {
    if (call.address(4) !== 0) writeAddress(call, call.address(4), call.address(5), addressOf(call.tx));
  };
  return receiveOne(call, call.int(0), { vectors, length, room: -1, tell }, call.uint(3), wholeCall(call));
}

/** Where the struct msghdr at `at` wants a message to go. */
function readIncoming(call: SystemCall, at: number, flags: number): Incoming {
  const header = readStruct(call, at, MSGHDR.bytes);
  const name = readPointer(call, at + MSGHDR.name);
  const count = readPointer(call, at + MSGHDR.vectorCount);
  const vectors = readVectors(call, readPointer(call, at + MSGHDR.vectors), count);
  const control = readPointer(call, at + MSGHDR.control);
  const room = control === 0 ? 0 : Math.min(readPointer(call, at + MSGHDR.controlLength), CONTROL_MAX);
  const nameLength = header.getInt32(MSGHDR.nameLength, true);
  if (name !== 0 && nameLength < 0) throw errno.EINVAL;
  return {
    vectors,
    length: totalOf(vectors),
    room,
    tell: () => tellHeader(call, at, { name, nameLength, control, room, flags }),
  };
}

interface HeaderPlaces {
  readonly name: number;
  readonly nameLength: number;
  readonly control: number;
  readonly room: number;
  readonly flags: number;
}

function tellHeader(call: SystemCall, at: number, places: HeaderPlaces): void {
  const { tx } = call;
  const { name, nameLength, control, room, flags } = places;
  const data = controlData(call, room, (flags & MSG.CMSG_CLOEXEC) !== 0);
  const told = new DataView(new ArrayBuffer(8));
  if (name !== 0) {
    const from = addressOf(tx);
    if (from.length > 0) writeUser(call, name, from.slice(0, Math.min(from.length, nameLength)));
    told.setInt32(0, from.length, true);
    writeUser(call, at + MSGHDR.nameLength, told);
  }
  if (data.length > 0) writeUser(call, control, data);
  told.setUint32(0, data.length, true);
  writeUser(call, at + MSGHDR.controlLength, told);
  const answer = new DataView(new ArrayBuffer(4));
  answer.setUint32(0, (letterField(tx, "flags") | (flags & MSG.CMSG_CLOEXEC)) >>> 0, true);
  writeUser(call, at + MSGHDR.flags, answer);
}

/** The control data of a message that has come, its descriptors installed; flags for what did not fit. */
function controlData(call: SystemCall, room: number, closeOnExec: boolean): Uint8Array<ArrayBuffer> {
  const { tx } = call;
  const parts: Uint8Array[] = [];
  let left = room;
  const truncated = (): void => setLetterField(tx, "flags", letterField(tx, "flags") | MSG.CTRUNC);
  const add = (type: number, body: Uint8Array): void => {
    if (left < CMSG_HEADER) return truncated();
    const length = Math.min(CMSG_HEADER + body.length, left);
    if (length < CMSG_HEADER + body.length) truncated();
    const space = Math.min(Math.ceil((CMSG_HEADER + body.length) / CMSG_ALIGN) * CMSG_ALIGN, left);
    const part = new Uint8Array(space);
    const view = new DataView(part.buffer);
    view.setUint32(0, length, true);
    view.setInt32(8, SOL.SOCKET, true);
    view.setInt32(12, type, true);
    part.set(body.subarray(0, length - CMSG_HEADER), CMSG_HEADER);
    parts.push(part);
    left -= space;
  };
  if (letterField(tx, "hasCredentials") !== 0) {
    const who = new Int32Array([letterField(tx, "pid"), letterField(tx, "uid"), letterField(tx, "gid")]);
    add(SCM.CREDENTIALS, new Uint8Array(who.buffer));
  }
  const descriptors = installReceived(call, closeOnExec, truncated);
  if (descriptors.length > 0) add(SCM.RIGHTS, new Uint8Array(Int32Array.from(descriptors).buffer));
  const whole = new Uint8Array(room - left);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Gives the letter's files descriptors; those for which there is none are closed. */
function installReceived(call: SystemCall, closeOnExec: boolean, lost: () => void): number[] {
  const { tx, task } = call;
  const descriptors: number[] = [];
  const count = letterField(tx, "rights");
  const table = Task.files.get(tx, task);
  for (let i = 0; i < count; i++) {
    const file = letterFile(tx, i);
    try {
      const descriptor = findFree(tx, table, 0, descriptorLimit(call));
      installFile(tx, table, descriptor, file, closeOnExec);
      descriptors.push(descriptor);
    } catch (error) {
      if (error !== errno.EMFILE) throw error;
      lost();
      sockets.giveBack(tx, file);
    }
  }
  return descriptors;
}

function recvmsg(call: SystemCall): number {
  lockSharedFiles(call.tx, call.task);
  socketFile(call, call.int(0));
  const flags = call.uint(2);
  return receiveOne(call, call.int(0), readIncoming(call, call.address(1), flags), flags, wholeCall(call));
}

function recvmmsg(call: SystemCall): number {
  const { tx, task } = call;
  const count = Math.min(call.uint(2), MESSAGES_MAX);
  const flags = call.uint(3) & ~MSG.WAITFORONE;
  const forOne = (call.uint(3) & MSG.WAITFORONE) !== 0;
  const deadline = readTimeLimit(call, call.address(4));
  for (let i = Task.progress.get(tx, task); ; i++) {
    lockSharedFiles(tx, task);
    socketFile(call, call.int(0));
    // The time is looked at between messages only, as on Linux.
    if (i >= count || (i > 0 && call.now() >= deadline)) return endOfMany(call, i);
    const at = call.address(1) + i * MMSGHDR_BYTES;
    let got: number;
    try {
      const own = forOne && i > 0 ? flags | MSG.DONTWAIT : flags;
      got = receiveOne(call, call.int(0), readIncoming(call, at, own), own, oneOfMany(call));
      if (got >= 0) writeLength(call, at, got);
    } catch (error) {
      if (!(error instanceof Errno) || i === 0) throw error;
      tx.rollback();
      return endOfMany(call, i);
    }
    if (got < 0) return i === 0 ? got : endOfMany(call, i);
    nextOfMany(call, i + 1);
    if (isEnding(call)) return endOfMany(call, i + 1);
  }
}

/** A struct timespec as the moment when it is over; for ever for a null pointer. */
function readTimeLimit(call: SystemCall, address: number): number {
  if (address === 0) return Number.POSITIVE_INFINITY;
  const view = readStruct(call, address, 16);
  const seconds = view.getInt32(4, true) * 0x1_0000_0000 + view.getUint32(0, true);
  const nanos = view.getInt32(12, true) * 0x1_0000_0000 + view.getUint32(8, true);
  if (seconds < 0 || nanos < 0 || nanos >= 1e9) throw errno.EINVAL;
  return call.deadlineIn(seconds * 1e9 + nanos);
}

/** A message that is being built is not kept over a handler, which may send others. */
function restartSend(call: SystemCall): RestartKind {
  return Task.progressDetail.get(call.tx, call.task) !== 0 ? "interrupt" : restartUnlessTimed(call);
}

// read and write of more than one step: a message is not cut, and two are not joined.
registerWholeTransfer("socket", {
  read: (call, descriptor, vectors, length) =>
    receiveOne(call, descriptor, { vectors, length, room: -1, tell: () => {} }, 0, wholeCall(call)),
  write: (call, descriptor, vectors, length) => {
    const out = { vectors, length, address: new Uint8Array(0), descriptors: [], identity: undefined };
    return sendOne(call, descriptor, out, 0, wholeCall(call));
  },
});

const flagNames = flagSet(
  Object.fromEntries(Object.entries(MSG).map(([name, value]) => [`MSG_${name}`, value])),
);
const sends = { wait: "retry", restartOf: restartSend, countsProgress: true, abandon: abandonSend } as const;
const receives = { wait: "retry", restartOf: restartUnlessTimed, countsProgress: true } as const;
const URGENT = "no urgent data (MSG_OOB)";
const MANY = "no urgent data; each message at most 64 KiB in one piece, with at most 12 descriptors";

export const messageRows: readonly CallRow[] = [
  partial(
    206,
    "sendto",
    ["fd", "bytes-in", "unsigned", flagNames, "address", "unsigned"],
    URGENT,
    sendto,
    sends,
  ),
  partial(
    207,
    "recvfrom",
    ["fd", "bytes-out", "unsigned", flagNames, "address", "address"],
    URGENT,
    recvfrom,
    receives,
  ),
  partial(211, "sendmsg", ["fd", "address", flagNames], URGENT, sendmsg, sends),
  partial(212, "recvmsg", ["fd", "address", flagNames], URGENT, recvmsg, receives),
  partial(243, "recvmmsg", ["fd", "address", "unsigned", flagNames, "timespec"], MANY, recvmmsg, receives),
  partial(269, "sendmmsg", ["fd", "address", "unsigned", flagNames], MANY, sendmmsg, {
    ...sends,
    restartOf: restartUnlessTimed,
  }),
];
