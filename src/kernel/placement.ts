/**
 * Servers and where they run.
 *
 * A server is a name and a set of operations. An operation is a function over the caller's transaction whose
 * arguments and result are numbers: record references, sizes, flags. Whatever else it needs lies in the
 * request slot (segments, paths), so that the same call works when another thread carries it out.
 *
 *     export const pipeServer = defineServer("pipe", { create, read, write, … });
 *     export const pipe = pipeServer.operations;            // what other parts call
 *
 * `caller` placement: `operations.read` is the function itself. `worker` placement: it is a stub that posts
 * the call to the server's own thread and waits in place; the request (its log, its locks, its holder word)
 * passes to that thread and back. See docs/design/placement.md. No server's code knows which it is.
 */

import { assert } from "../base/assert.ts";
import type { Transaction } from "../heap/transaction.ts";

/** What a server does on behalf of a request. It throws Errno, WOULD_BLOCK, or by a bug anything. */
// eslint-disable-next-line -- arguments are numbers of any count
export type Operation = (tx: Transaction, ...args: never[]) => number | void;

/** Server names, in the order in which servers may call each other: a server calls only those behind it. */
export const SERVER_ORDER = ["tty", "pipe", "vfs", "auth"] as const;
export type ServerName = (typeof SERVER_ORDER)[number];

export interface Server<O> {
  readonly name: ServerName;
  /** What callers use. Placement replaces its entries. */
  readonly operations: O;
  /** The functions themselves, in the order that numbers them. */
  readonly implementations: readonly (readonly [string, Operation])[];
}

const servers = new Map<ServerName, Server<unknown>>();

/** Declares a server. Once for each name. */
export function defineServer<O extends { readonly [name: string]: (tx: Transaction, ...args: never[]) => number | void }>(
  name: ServerName,
  operations: O,
): Server<O> {
  assert(!servers.has(name), `server ${name} defined twice`);
  const server: Server<O> = { name, operations: { ...operations }, implementations: Object.entries(operations) };
  servers.set(name, server as Server<unknown>);
  return server;
}

/** A server by name, if a module that defines it has been loaded. */
export function serverOf(name: ServerName): Server<unknown> | undefined {
  return servers.get(name);
}
