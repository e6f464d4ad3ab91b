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
 *
 * Which server runs where stands in the heap (control blocks, placement/frame.ts), written at boot. Each
 * thread enters the placement once, when its modules are loaded: `enterPlacement` puts the stubs in place.
 */

import { assert } from "../base/assert.ts";
import type { HeapView } from "../heap/heap.ts";
import type { Transaction } from "../heap/transaction.ts";
import { callServer, type Parking } from "./placement/call.ts";
import { CONTROL, controlOf, placeFrames } from "./placement/frame.ts";
import { type Operation, serve } from "./placement/serve.ts";

/**
 * Server names, in the order in which servers may call each other: a server calls only those behind it. The
 * ranks of their locks (base/lock-order.ts) follow the same order.
 */
export const SERVER_ORDER = ["vfs", "event", "socket", "tty", "pipe", "auth"] as const;
export type ServerName = (typeof SERVER_ORDER)[number];

/** Where a server may run so far. */
export type PlacementName = "caller" | "worker";
export type Placements = { readonly [N in ServerName]?: PlacementName };

export interface Server<O> {
  readonly name: ServerName;
  /** What callers use. Placement replaces its entries. */
  readonly operations: O;
  /** The functions themselves, in the order that numbers them. */
  readonly implementations: readonly (readonly [string, Operation])[];
}

const servers = new Map<ServerName, Server<unknown>>();

/** Declares a server. Once for each name. */
export function defineServer<
  O extends { readonly [name: string]: (tx: Transaction, ...args: never[]) => number | void },
>(name: ServerName, operations: O): Server<O> {
  assert(!servers.has(name), `server ${name} defined twice`);
  const server: Server<O> = {
    name,
    operations: { ...operations },
    implementations: Object.entries(operations),
  };
  servers.set(name, server);
  return server;
}

/** A server by name, if a module that defines it has been loaded. */
export function serverOf(name: ServerName): Server<unknown> | undefined {
  return servers.get(name);
}

/** The number of a server in control blocks and call frames. */
export function serverIndex(name: ServerName): number {
  return SERVER_ORDER.indexOf(name);
}

/** Places the call frames and says where each server runs; those not named run in their callers. At boot. */
export function placeServers(view: HeapView, placements: Placements): void {
  placeFrames(view);
  for (const name of SERVER_ORDER) {
    view.words[controlOf(view, serverIndex(name)) + CONTROL.worker] = placements[name] === "worker" ? 1 : 0;
  }
}

/** The servers that have a thread of their own: for whoever starts threads. */
export function workerServers(view: HeapView): ServerName[] {
  return SERVER_ORDER.filter((name) => view.words[controlOf(view, serverIndex(name)) + CONTROL.worker] === 1);
}

export interface PlacementOptions {
  readonly parking: Parking;
  /** Times that a caller looks for its result before it sleeps. 0 unless threads have cores of their own. */
  readonly spins: number;
  /** The server whose own thread this is: it calls its operations itself. */
  readonly self?: ServerName;
}

/**
 * Puts the stubs of the servers that run elsewhere in place of their operations, in this thread. Again after
 * more servers have been loaded. A thread serves one machine, or several whose placements are the same.
 */
export function enterPlacement(view: HeapView, options: PlacementOptions): void {
  for (const [name, server] of servers) {
    const index = serverIndex(name);
    const remote = name !== options.self && view.words[controlOf(view, index) + CONTROL.worker] === 1;
    const operations = server.operations as { [name: string]: Operation };
    if (remote && options.self !== undefined && index < serverIndex(options.self)) {
      refuseCalls(options.self, name, operations);
      continue;
    }
    for (const [number, [operation, implementation]] of server.implementations.entries()) {
      operations[operation] = remote
        ? (tx, ...args) => callServer(tx, options.parking, options.spins, index, number, args)
        : implementation;
    }
  }
}

/** In the thread of server `self`: a call against the order could wait in a circle (rule R10). */
function refuseCalls(self: ServerName, name: ServerName, operations: { [name: string]: Operation }): void {
  for (const operation of Object.keys(operations)) {
    operations[operation] = () => assert(false, `${self} may not call ${name}`);
  }
}

/** Runs the loop of the server `name` in this thread, number `thread`, until it is told to stop. */
export function serveHere(
  name: ServerName,
  view: HeapView,
  thread: number,
  options: PlacementOptions,
  attach: (slotIndex: number) => Transaction,
): void {
  const server = servers.get(name);
  assert(server !== undefined, `server ${name} is not loaded`);
  enterPlacement(view, { ...options, self: name });
  const operations = server.implementations.map(([, implementation]) => implementation);
  serve({
    server: serverIndex(name),
    operations,
    thread,
    view,
    attach,
    parking: options.parking,
    spins: options.spins,
  });
}

/** Asks the thread of server `name` to return when it has answered what it has taken. */
export function stopServer(view: HeapView, name: ServerName): void {
  const control = controlOf(view, serverIndex(name));
  Atomics.store(view.words, control + CONTROL.stop, 1);
  Atomics.add(view.words, control + CONTROL.wake, 1);
  Atomics.notify(view.words, control + CONTROL.wake);
}

/** Calls that the thread of server `name` has taken so far. */
export function callsServed(view: HeapView, name: ServerName): number {
  return view.words[controlOf(view, serverIndex(name)) + CONTROL.beats]!;
}
