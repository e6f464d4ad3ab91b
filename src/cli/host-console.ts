/** The host's side of a run: standard streams, their terminal, and signals. Tests put their own in its place. */

import type { Readable, Writable } from "node:stream";
import type { TerminalSize } from "../machine/api.ts";

export type ForwardedSignal = (typeof FORWARDED_SIGNALS)[number];

/** Signals of the host's process that go to the guest's. */
export const FORWARDED_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"] as const;

export interface HostConsole {
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
  readonly stdinIsTerminal: boolean;
  readonly stdoutIsTerminal: boolean;
  readonly stderrIsTerminal: boolean;
  /** The terminal's size; 80 × 24 when there is none. */
  size(): TerminalSize;
  /** Whether the terminal hands over each key as it is pressed, Ctrl-C included. */
  setRawMode(raw: boolean): void;
  /** Calls `listener` whenever the terminal's size changes. The result ends that. */
  onResize(listener: (size: TerminalSize) => void): () => void;
  /** Calls `listener` for each forwarded signal instead of ending the process. The result ends that. */
  onSignal(listener: (signal: ForwardedSignal) => void): () => void;
}

/** The console of this process. */
export function processConsole(): HostConsole {
  const { stdin, stdout, stderr } = process;
  // A reader that goes away (`| head`) shows in the callback of the write; without a listener it would be thrown.
  for (const stream of [stdout, stderr]) stream.on("error", () => {});
  const size = (): TerminalSize => {
    const [columns, rows] = stdout.isTTY ? stdout.getWindowSize() : [0, 0];
    return columns > 0 && rows > 0 ? { columns, rows } : { columns: 80, rows: 24 };
  };
  const restore = (): void => {
    stdin.setRawMode(false);
  };
  return {
    stdin,
    stdout,
    stderr,
    stdinIsTerminal: stdin.isTTY,
    stdoutIsTerminal: stdout.isTTY,
    stderrIsTerminal: stderr.isTTY,
    size,
    setRawMode(raw) {
      if (!stdin.isTTY || stdin.isRaw === raw) return;
      stdin.setRawMode(raw);
      // Whatever ends the process, the user's shell gets its terminal back as it was.
      if (raw) process.once("exit", restore);
      else process.off("exit", restore);
    },
    onResize(listener) {
      const call = (): void => listener(size());
      stdout.on("resize", call);
      return () => stdout.off("resize", call);
    },
    onSignal(listener) {
      const names = process.platform === "win32" ? (["SIGINT", "SIGHUP"] as const) : FORWARDED_SIGNALS;
      for (const name of names) process.on(name, listener);
      return () => {
        for (const name of names) process.off(name, listener);
      };
    },
  };
}
