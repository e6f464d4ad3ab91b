/**
 * Special files found by name: the vfs server finds the inode, another server stands behind it. Here the two
 * are joined: fifos with the pipe server, terminals with the terminal server.
 *
 * Opening a fifo waits for its other end, and the opener counts as an end meanwhile.
 */

import { errno } from "../base/errno.ts";
import type { Transaction } from "../heap/transaction.ts";
import { Credentials } from "../kernel/credentials.ts";
import { type SystemCall } from "../kernel/call.ts";
import { createFile, File, FILE_KINDS, type FileKindName } from "../kernel/file.ts";
import { jobControl } from "../kernel/job-control.ts";
import { Task } from "../kernel/task.ts";
import { auth } from "../servers/auth/auth.ts";
import { CAP } from "../servers/auth/capabilities.ts";
import { END, type Pipe } from "../servers/pipe/pipe.ts";
import { pipeServer, reopenPipe } from "../servers/pipe/pipe-server.ts";
import { openPeer as openNamelessPeer, terminalIndex, ttyServer } from "../servers/tty/tty-server.ts";
import { SIDE, Tty } from "../servers/tty/tty.ts";
import { registerOpener, registerReopener } from "../servers/vfs/open.ts";
import { Inode } from "../servers/vfs/records.ts";
import { vfs } from "../servers/vfs/vfs.ts";
import { O, O_ACCMODE } from "./abi-file.ts";

const FIFO = FILE_KINDS.indexOf("fifo");
const pipes = pipeServer.operations;
const ttys = ttyServer.operations;
const END_BITS = 2;
const ENDS: number = END.READ | END.WRITE;

/** What {@link attachFile} answers when there is nothing to wait for. */
export const OPENED = -1;

registerOpener("fifo", (tx, file, inode, flags) => {
  const mode = flags & O_ACCMODE;
  const ends = mode === 0 ? END.READ : mode === O.WRONLY ? END.WRITE : ENDS;
  const nonblock = (flags & O.NONBLOCK) !== 0;
  const pipe = pipes.openFifo(tx, inode, ends, nonblock) as Pipe;
  // A reader that did not wait for a writer sees POLLHUP only if there has been one since.
  const ticket = pipes.fifoTicket(tx, pipe, ends);
  const since = ends === END.READ && nonblock && ticket >= 0 ? ticket : 0;
  File.object.init(tx, file, pipe);
  File.detail.init(tx, file, ends | (since << END_BITS));
});

// A pipe or a terminal without a name, found through /proc/PID/fd.
registerReopener("pipe", (tx, file, flags) => reopenPipe(tx, file, flags));
registerReopener("tty", (tx, file, flags) => {
  if (File.detail.get(tx, file) !== SIDE.SLAVE) throw errno.EIO;
  const tty = ttys.openAgain(tx, File.object.get(tx, file) as Tty, isPrivileged(tx, file));
  const again = createFile(tx, "tty", tty, flags);
  File.detail.init(tx, again, SIDE.SLAVE);
  return again;
});

/** Major numbers of devices.txt: the terminals that stand for others, and the slaves. */
const TTY_MAJOR = 5;
const PTS_MAJOR = 136;
const MINOR = { TTY: 0, CONSOLE: 1, PTMX: 2 } as const;

function minorOf(tx: Transaction, inode: Inode): number {
  const device = Inode.rdev.get(tx, inode);
  return (device & 0xff) | ((device >>> 12) & 0xf_ff00);
}

function become(tx: Transaction, file: File, kind: FileKindName, object: number, detail: number): void {
  File.kind.init(tx, file, FILE_KINDS.indexOf(kind));
  File.object.init(tx, file, object);
  File.detail.init(tx, file, detail);
}

function isPrivileged(tx: Transaction, file: File): number {
  // A file that the kernel has made for the host belongs to nobody.
  if (File.credentials.get(tx, file) === 0) return 1;
  return auth.isCapable(tx, File.credentials.get(tx, file), CAP.SYS_ADMIN);
}

registerOpener(`char ${TTY_MAJOR}`, (tx, file, inode) => {
  const minor = minorOf(tx, inode);
  if (minor === MINOR.PTMX) {
    const credentials = File.credentials.get(tx, file);
    const owner = credentials === 0 ? 0 : Credentials.fsUid.get(tx, credentials);
    become(tx, file, "tty", ttys.openMaster(tx, owner), SIDE.MASTER);
    return;
  }
  if (minor !== MINOR.TTY && minor !== MINOR.CONSOLE) throw errno.ENXIO;
  const tty = jobControl().callerTerminal(tx) as Tty;
  if (tty === 0 || !Tty.isLive(tx, tty)) throw errno.ENXIO;
  become(tx, file, "tty", ttys.openAgain(tx, tty, isPrivileged(tx, file)), SIDE.SLAVE);
});

registerOpener(`char ${PTS_MAJOR}`, (tx, file, inode, flags) => {
  const tty = ttys.openSlave(tx, minorOf(tx, inode), (flags & O.NOCTTY) !== 0, isPrivileged(tx, file));
  become(tx, file, "tty", tty, SIDE.SLAVE);
});

/**
 * TIOCGPTPEER: the slave of the master `file`, as if opened by its name in /dev/pts, which need not be within
 * reach of the caller. Without any devpts it is a file without a name. EIO if `file` is no master.
 */
export function openPeer(call: SystemCall, file: File, flags: number): File {
  const { tx, task } = call;
  const { index, isMaster } = terminalIndex(tx, file);
  if (!isMaster) throw errno.EIO;
  const named = vfs.openTerminal(tx, Task.credentials.get(tx, task), index, flags);
  return named !== 0 ? named : openNamelessPeer(tx, file, flags);
}

/**
 * Before an open with `flags` takes any lock: the lock of the process tree, if the caller may come by a
 * controlling terminal, since a terminal's opener is called with locks that rank behind it.
 */
export function prepareOpen(tx: Transaction, flags: number): void {
  if ((flags & (O.NOCTTY | O.PATH)) !== 0) return;
  const job = jobControl();
  if (job.callerLeadsSession(tx) && job.callerTerminal(tx) === 0) job.lock(tx);
}

/**
 * What is left to wait for after `vfs.open` has opened `file` with `flags`: OPENED, or a ticket; then the
 * transaction commits, and the file is open when {@link finishOpening} has returned.
 */
export function attachFile(call: SystemCall, file: File, flags: number): number {
  const { tx } = call;
  if (File.kind.get(tx, file) !== FIFO || (flags & O.NONBLOCK) !== 0) return OPENED;
  return pipes.fifoTicket(tx, File.object.get(tx, file) as Pipe, File.detail.get(tx, file) & ENDS);
}

/** Waits (WOULD_BLOCK) for the other end of a fifo. */
export function finishOpening(tx: Transaction, file: File, ticket: number): void {
  pipes.awaitFifo(tx, File.object.get(tx, file) as Pipe, File.detail.get(tx, file) & ENDS, ticket);
}
