/** A program that was started, as the library shows it: streams over host calls, its end, signals, resize. */

import type { ExitStatus, GuestProcess, SignalName, TerminalSize } from "./api.ts";
import { CoppiceError } from "./errors.ts";
import { GuestOutput } from "./guest-output.ts";
import { HostCallError, type HostCalls } from "./host-calls.ts";
import { signalNameOf, signalNumberOf } from "./signal-names.ts";

/** Bytes that one host call moves. */
const CHUNK = 65536;

/** The open files of the guest that are the host's ends. */
export interface HostEnds {
  readonly pid: number;
  readonly input: number;
  readonly output: number;
  /** 0 for a terminal, whose one output carries both. */
  readonly error: number;
  readonly isTerminal: boolean;
}

/** What a process needs of its machine. */
export interface ProcessContext {
  readonly calls: HostCalls;
  /** Resolves when the machine has been closed. */
  readonly closed: Promise<void>;
}

const ENDED: unique symbol = Symbol("ended");

export class RunningProcess implements GuestProcess {
  readonly pid: number;
  readonly stdin: WritableStream<Uint8Array>;
  readonly stdout: ReadableStream<Uint8Array>;
  readonly stderr: ReadableStream<Uint8Array>;
  readonly #outputs: readonly GuestOutput[];
  readonly #ends: HostEnds;
  readonly #context: ProcessContext;
  readonly #status: Promise<ExitStatus>;
  #over = false;
  /** Of a terminal: the write under way; whether the master's output is over, and whether it has been closed. */
  #writing: Promise<unknown> = Promise.resolve();
  #outputOver = false;
  #masterClosed = false;

  constructor(context: ProcessContext, ends: HostEnds, stdin: "pipe" | "null") {
    this.pid = ends.pid;
    this.#ends = ends;
    this.#context = context;
    const output = this.#output(ends.output);
    this.stdout = output.stream;
    if (ends.error === 0) {
      this.#outputs = [output];
      this.stderr = emptyStream();
    } else {
      const error = this.#output(ends.error);
      this.#outputs = [output, error];
      this.stderr = error.stream;
    }
    this.stdin = this.#writer(ends.input);
    if (stdin === "null") void this.stdin.close().catch(() => undefined);
    this.#status = this.#wait();
    this.#status.catch(() => undefined);
  }

  wait(): Promise<ExitStatus> {
    return this.#status;
  }

  kill(signal: SignalName = "SIGTERM"): void {
    if (this.#over) return;
    void this.#context.calls.call("kill", [this.pid, signalNumberOf(signal)]).catch(() => undefined);
  }

  resize(size: TerminalSize): void {
    if (this.#over || !this.#ends.isTerminal) return;
    void this.#context.calls
      .call("resize", [this.#ends.input, size.columns, size.rows])
      .catch(() => undefined);
  }

  async #wait(): Promise<ExitStatus> {
    const status = await this.#orClosed(this.#context.calls.call("wait", [this.pid]));
    this.#over = true;
    this.#closeMaster();
    if (status === ENDED) {
      throw new CoppiceError({
        code: "CLOSED",
        part: "machine",
        reason: "it was closed while a program ran",
      });
    }
    const signal = status & 0x7f;
    return signal === 0
      ? { exitCode: (status >> 8) & 0xff, signal: null }
      : { exitCode: null, signal: signalNameOf(signal) };
  }

  #orClosed<T>(work: Promise<T>): Promise<T | typeof ENDED> {
    return Promise.race([work, this.#context.closed.then((): typeof ENDED => ENDED)]);
  }

  #output(file: number): GuestOutput {
    const { calls } = this.#context;
    return new GuestOutput({
      read: () =>
        calls
          .call("read", [file, CHUNK, -1], undefined, ({ result, buffer }) =>
            Uint8Array.from(buffer.subarray(0, result)),
          )
          .catch((error: unknown) => {
            // A terminal whose slave is gone reads as EIO: the end.
            if (this.#ends.isTerminal && error instanceof HostCallError) return new Uint8Array(0);
            throw error;
          }),
      close: () => {
        this.#outputOver = true;
        if (this.#ends.isTerminal) this.#closeMaster();
        else void calls.call("close", [file]).catch(() => undefined);
      },
    });
  }

  /**
   * The master of a terminal is input, output and what is resized: it goes when the program has ended and nobody
   * reads any more, once no write names it. What is written from then on goes where no program is.
   */
  #closeMaster(): void {
    if (!this.#ends.isTerminal || !this.#over || !this.#outputOver || this.#masterClosed) return;
    this.#masterClosed = true;
    const { calls } = this.#context;
    const close = (): void => void calls.call("close", [this.#ends.input]).catch(() => undefined);
    this.#writing.then(close, close);
  }

  /** Reads all that the program and its descendants, which have ended, have written. */
  async drain(): Promise<void> {
    await Promise.all(this.#outputs.map((output) => output.drain()));
  }

  /** Whether nothing more will come out of the program. */
  get isSilent(): boolean {
    return this.#outputs.every((output) => output.isOver);
  }

  /** Ends the streams as they are. */
  endStreams(): void {
    for (const output of this.#outputs) output.end();
  }

  #writer(file: number): WritableStream<Uint8Array> {
    const { calls } = this.#context;
    const isTerminal = this.#ends.isTerminal;
    return new WritableStream<Uint8Array>({
      write: async (chunk) => {
        for (let at = 0; at < chunk.length; ) {
          if (this.#masterClosed) return;
          const part = chunk.subarray(at, at + CHUNK);
          const writing = calls.call("write", [file, part.length, -1], part);
          this.#writing = writing;
          const wrote = await this.#orClosed(writing);
          if (wrote === ENDED) throw new Error("the machine was closed");
          at += wrote;
        }
      },
      close: async () => {
        if (!isTerminal) await this.#orClosed(calls.call("close", [file]));
      },
      abort: async () => {
        if (!isTerminal) await this.#orClosed(calls.call("close", [file]));
      },
    });
  }
}

function emptyStream(): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>({ start: (controller) => controller.close() });
}
