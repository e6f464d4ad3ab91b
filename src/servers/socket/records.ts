/**
 * The records of the socket server.
 *
 *      file ──object──▶ Socket ──inbox──▶ Mailbox ──▶ Message ──▶ Message …        what comes to it
 *                         │                  ▲            └──rights──▶ Rights      descriptors on their way
 *                         └──outbox──▶ Mailbox of the peer
 *
 * A socket is what one open file, or a place in a listener's backlog, has to itself: its type, its options, its
 * peer's identity. A mailbox is what others know of it: its name, its messages, its end. Sending touches the
 * sender's socket and the receiver's mailbox, receiving the own socket and the own mailbox: so nobody ever has
 * to lock two sockets, and a connection is two mailboxes, each the other's way back.
 *
 * Locks, in their order: `names` (the namespace: which mailbox has which name), a socket's, a mailbox's (two of
 * them by rising address), `flight` (the lists of rights).
 *
 * Invariants, checked by invariants.ts
 *   SO1  A mailbox has as many references as sockets that have it as inbox or outbox. An inbox has one owner.
 *   SO2  A mailbox's `bytes` are what its messages hold, `count` their number; only a stream keeps an empty one,
 *        and only as its last.
 *   SO3  A message has a page for each part of it that holds bytes between `begin` and `end`, and no other; each
 *        page belongs to one message, each message to one mailbox or to one task that is building it.
 *   SO4  A mailbox is on the list of its name's bucket if it is NAMED, once; else on none.
 *   SO5  A socket belongs to one open file or to one place in one backlog; `embryos` counts those places.
 *   SO6  Rights are on the list `flying` and belong to one message, or on `graves`, or are the state's `opened`;
 *        the state's `inFlight` is the number of files in all that fly.
 */

import {
  bytes,
  condition,
  defineRecord,
  i32,
  i64,
  link,
  list,
  lock,
  ref,
  type Ref,
  refs,
  u32,
} from "../../heap/record.ts";

// Families, types and what else Linux numbers (linux/socket.h, linux/net.h).

export const AF = { UNSPEC: 0, UNIX: 1, INET: 2, INET6: 10 } as const;
export const TYPE = { STREAM: 1, DGRAM: 2, RAW: 3, SEQPACKET: 5 } as const;
export const MSG = {
  OOB: 1,
  PEEK: 2,
  DONTROUTE: 4,
  CTRUNC: 8,
  TRUNC: 0x20,
  DONTWAIT: 0x40,
  EOR: 0x80,
  WAITALL: 0x100,
  CONFIRM: 0x800,
  ERRQUEUE: 0x2000,
  NOSIGNAL: 0x4000,
  MORE: 0x8000,
  WAITFORONE: 0x1_0000,
  CMSG_CLOEXEC: 0x4000_0000,
} as const;
export const SHUT = { RD: 0, WR: 1, RDWR: 2 } as const;

/** Longest socket address: sockaddr_un with a path of 108 bytes, and the zero that Linux may add. */
export const ADDRESS_MAX = 111;
/** Bytes that a message holds in its own record; longer ones continue in pages. */
export const INLINE_BYTES = 256;
export const PAGE_BYTES = 4096;
const PAGE_SHIFT = 12;
/** Pages of the longest message: what the largest SO_SNDBUF allows. */
export const MESSAGE_PAGES = 104;
/** SO_SNDBUF and SO_RCVBUF of a new socket, and the most that may be asked for (net.core.wmem_max, doubled). */
export const BUFFER_BYTES = 212_992;
export const BUFFER_MAX: number = 2 * 212_992;
/** Bytes that one transaction moves at most (rule R3). */
export const STEP_BYTES = 65_536;
/** Bytes that one message of a stream takes before the next is begun. */
export const STREAM_MESSAGE: number = INLINE_BYTES + 16 * PAGE_BYTES;
/** Datagrams that wait in a mailbox before their senders do (net.unix.max_dgram_qlen). */
export const DATAGRAMS_MAX = 10;
/** Descriptors in one message (SCM_MAX_FD). */
export const RIGHTS_MAX = 253;
/** Descriptors in flight in the whole machine; beyond that sendmsg is ETOOMANYREFS. */
export const IN_FLIGHT_MAX = 4096;
/** Largest backlog that listen(2) grants (net.core.somaxconn). */
export const BACKLOG_MAX = 4096;

export const SocketPage = defineRecord("socket-page", { bytes: bytes(PAGE_BYTES) });
export type SocketPage = Ref<"socket-page">;

/** Open files on their way from one process to another: each entry is a reference. */
export const Rights = defineRecord("socket-rights", {
  /** On the state's list `flying` or `graves`. */
  links: link(),
  count: u32(),
  files: refs("file", RIGHTS_MAX),
});
export type Rights = Ref<"socket-rights">;

/** Bytes that were sent together, or a run of a stream. Guarded by its mailbox's lock. */
export const Message = defineRecord("socket-message", {
  links: link(),
  /** Bytes taken from it, and bytes put into it: positions in the message. Bytes beyond `end` mean nothing. */
  begin: u32(),
  end: u32(),
  /** Who sent it, if either side wanted to know (SO_PASSCRED); else nobody: 0, 65534, 65534. */
  pid: u32(),
  uid: u32(),
  gid: u32(),
  rights: ref("socket-rights"),
  /** The task that is building it in several transactions, none once it is sent. */
  builder: ref("task"),
  fromLength: u32(),
  /** The sender's name. */
  from: bytes(ADDRESS_MAX + 1),
  inline: bytes(INLINE_BYTES),
  pages: refs("socket-page", MESSAGE_PAGES),
});
export type Message = Ref<"socket-message">;

export const BOX = {
  /** Nothing more comes: writers get EPIPE, the reader the end after the last byte. */
  SHUT: 1,
  /** Its socket is gone. */
  DEAD: 2,
  /** It has a name that others find it by. */
  NAMED: 4,
  /** Its socket listens: what comes is connections. */
  LISTENING: 8,
  /** Its socket wants to know who sent (SO_PASSCRED). */
  PASSCRED: 16,
  /** The other end of a connection of the internet families is gone: what is sent comes back as a reset. */
  UNREACHED: 32,
  /** SO_REUSEADDR, SO_REUSEPORT and IPV6_V6ONLY of its socket, for whoever else binds. */
  REUSEADDR: 64,
  REUSEPORT: 128,
  V6ONLY: 256,
} as const;

export const Mailbox = defineRecord("socket-mailbox", {
  lock: lock("socket-queue"),
  references: i32(),
  /** BOX. */
  flags: u32(),
  /** Constant: family and type of its socket. */
  family: u32(),
  type: u32(),
  /** An errno that its socket's next operation gives, 0 if none. */
  error: u32(),
  messages: list("socket-message"),
  bytes: u32(),
  count: u32(),
  /** Most bytes that a connected peer may leave here (the peer's SO_SNDBUF), or anybody (SO_RCVBUF). */
  limit: u32(),
  /** There is something to read, the end, an error, or a connection. */
  readable: condition(),
  /** There is room, or no reader any more. */
  writable: condition(),
  /** The inbox of the peer to which its socket is connected, none if it takes messages from anybody. */
  only: ref("socket-mailbox"),
  /** Port of the only peer from which a socket of internet datagrams takes any, 0: from all. */
  peerPort: u32(),
  /** Connections that wait to be accepted, oldest first. */
  backlog: list("socket"),
  embryos: u32(),
  backlogMax: u32(),
  /** Whoever bound, connected or listened: what peers see as SO_PEERCRED. */
  pid: u32(),
  uid: u32(),
  gid: u32(),
  // The name. Set once, under the names lock and its own; so either is enough to read it.
  nameLength: u32(),
  bucket: u32(),
  links: link(),
  /** The inode of a name in the file system, held. */
  inode: ref("inode"),
  name: bytes(ADDRESS_MAX + 1),
});
export type Mailbox = Ref<"socket-mailbox">;

export const STATE = {
  UNCONNECTED: 0,
  LISTENING: 1,
  CONNECTED: 2,
} as const;
/** Options of a socket that are on or off, in Socket.options. */
export const OPTION = {
  PASSCRED: 1,
  KEEPALIVE: 2,
  BROADCAST: 4,
  REUSEADDR: 8,
  REUSEPORT: 16,
  OOBINLINE: 32,
  DONTROUTE: 64,
  DEBUG: 128,
  TIMESTAMP: 256,
  NODELAY: 512,
  V6ONLY: 1024,
  CORK: 2048,
  QUICKACK: 4096,
  /** A connect(2) was told EINPROGRESS, and nobody has been told yet that it went well. */
  UNTOLD: 8192,
} as const;
/** Directions that shutdown(2) has ended, in Socket.shutdown. */
export const ENDED = { RECEIVE: 1, SEND: 2 } as const;

export const Socket = defineRecord("socket", {
  lock: lock("socket"),
  family: u32(),
  type: u32(),
  protocol: u32(),
  /** STATE. */
  state: u32(),
  /** ENDED, for sockets without a connection. */
  shutdown: u32(),
  inbox: ref("socket-mailbox"),
  /** Where it sends without an address; none if it is not connected. */
  outbox: ref("socket-mailbox"),
  options: u32(),
  sendBuffer: u32(),
  receiveBuffer: u32(),
  /** Nanoseconds that a send and a receive wait at most; 0: for ever. */
  sendTimeout: i64(),
  receiveTimeout: i64(),
  linger: i32(),
  priority: u32(),
  lowWater: u32(),
  /** Who the peer was when the connection was made. */
  peerPid: u32(),
  peerUid: i32(),
  peerGid: i32(),
  /** The peer's address as it was then. */
  peerLength: u32(),
  peer: bytes(ADDRESS_MAX + 1),
  /** On the backlog of a listener's mailbox. */
  links: link(),
});
export type Socket = Ref<"socket">;

/** Names are found by buckets; each is one word, the first mailbox. */
export const NAME_BUCKETS = 256;

export const SocketState = defineRecord("socket-state", {
  /** Guards the buckets. */
  names: lock("socket-names"),
  bucketsAt: u32(),
  /** Where the search for a free name or port begins. */
  nextName: u32(),
  nextPort: u32(),
  /** Guards what follows. */
  flight: lock("socket-flight"),
  flying: list("socket-rights"),
  inFlight: u32(),
  graves: list("socket-rights"),
  /** Taken from the graves by the collector, which closes its files one by one; only the collector changes it. */
  opened: ref("socket-rights"),
  /** The alarm that closes what nobody received, and whether it has been set. */
  collector: ref("task"),
  collectorSet: u32(),
  /** 1 if a socket has been closed since cycles were last looked for. */
  suspicious: u32(),
  /** 1 while the collector looks for cycles: nobody receives rights meanwhile. */
  collecting: u32(),
  collected: condition(),
  /** Messages that tasks are building. */
  building: list("socket-message"),
});
export type SocketState = Ref<"socket-state">;

/** The page of a message in which byte `position` lies; −1 for the record itself. */
export function pageOf(position: number): number {
  return position < INLINE_BYTES ? -1 : (position - INLINE_BYTES) >> PAGE_SHIFT;
}

/** Whether sockets of the type are connected to one peer and know its end. */
export function isConnectionType(type: number): boolean {
  return type !== TYPE.DGRAM;
}
