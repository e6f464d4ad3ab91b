/** /proc/net/unix: the sockets that there are, read without locks (vfs/proc/source.ts says why). */

import { decodeUtf8 } from "../../base/text.ts";
import { liveRecords } from "../../heap/check.ts";
import type { HeapView } from "../../heap/heap.ts";
import { AF, Mailbox, Socket, STATE } from "./records.ts";
import { socketState } from "./state.ts";

/** __SO_ACCEPTCON of Linux, shown for listeners. */
const LISTENS = 0x10000;
/** What Linux calls SS_UNCONNECTED and SS_CONNECTED. */
const SHOWN_STATE = { UNCONNECTED: 1, CONNECTED: 3 } as const;

const hex = (value: number, width: number): string => value.toString(16).toUpperCase().padStart(width, "0");

/** The name as Linux shows it: zeros as "@", without the one at the end of a path. */
function nameOf(view: HeapView, box: Mailbox): string {
  const at = Mailbox.name.at(box) + 2;
  const bytes = view.bytes.slice(at, at + Math.max(0, Mailbox.nameLength.get(view, box) - 2));
  const isPath = bytes.length > 0 && bytes[0] !== 0;
  const shown = isPath ? bytes.subarray(0, bytes.length - 1) : bytes;
  return shown.length === 0 ? "" : ` ${decodeUtf8(shown).replaceAll("\0", "@")}`;
}

export function unixText(view: HeapView): string {
  let text = "Num       RefCount Protocol Flags    Type St Inode Path\n";
  if (socketState(view) === 0) return text;
  for (const socket of liveRecords(view, Socket.schema)) {
    const box = Socket.inbox.get(view, socket);
    if (Socket.family.get(view, socket) !== AF.UNIX || !Mailbox.isLive(view, box)) continue;
    const state = Socket.state.get(view, socket);
    const flags = state === STATE.LISTENING ? LISTENS : 0;
    const shown = state === STATE.CONNECTED ? SHOWN_STATE.CONNECTED : SHOWN_STATE.UNCONNECTED;
    const references = hex(Mailbox.references.get(view, box) + 1, 8);
    const type = hex(Socket.type.get(view, socket), 4);
    text += `0000000000000000: ${references} 00000000 ${hex(flags, 8)} ${type} ${hex(shown, 2)} ${socket}${nameOf(view, box)}\n`;
  }
  return text;
}
