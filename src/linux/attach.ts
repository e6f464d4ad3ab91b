/**
 * Fifos found by name: the vfs server finds the inode, the pipe server keeps the bytes. Opening one waits for
 * its other end, and the opener counts as an end meanwhile.
 */

import type { Transaction } from "../heap/transaction.ts";
import type { SystemCall } from "../kernel/call.ts";
import { File, FILE_KINDS } from "../kernel/file.ts";
import { END } from "../servers/pipe/pipe.ts";
import { pipeServer } from "../servers/pipe/pipe-server.ts";
import type { Pipe } from "../servers/pipe/pipe.ts";
import { registerOpener } from "../servers/vfs/open.ts";
import { O, O_ACCMODE } from "./abi-file.ts";

const FIFO = FILE_KINDS.indexOf("fifo");
const pipes = pipeServer.operations;
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
