/**
 * Host calls as the main thread makes them: a promise for each call (kernel/host-call.ts says what happens in
 * between). The main thread never waits on a lock; it is told of finished calls through one counter.
 */

import { errnoOf } from "../base/errno.ts";
import type { HeapView } from "../heap/heap.ts";
import {
  CALL_STATE,
  finishedAt,
  freeHostCall,
  HostCall,
  hostBuffer,
  hostCallResult,
  type HostOperation,
  postHostCall,
  takeHostCall,
} from "../kernel/host-call.ts";
import { CoppiceError } from "./errors.ts";
import { waitForChange } from "./wait-async.ts";

/** A call that failed with an errno. */
export class HostCallError extends Error {
  override readonly name = "HostCallError";
  readonly errno: string;
  constructor(operation: HostOperation, errno: string) {
    super(`${operation}: ${errno}`);
    this.errno = errno;
  }
}

/** What a finished call hands over. Valid only inside the function that takes it. */
export interface FinishedCall {
  readonly result: number;
  readonly results: readonly number[];
  readonly buffer: Uint8Array;
}

interface Pending {
  readonly record: HostCall;
  readonly settle: () => void;
  readonly fail: (error: Error) => void;
}

const closedError = (): CoppiceError =>
  new CoppiceError({ code: "CLOSED", part: "machine", reason: "it has been closed" });

export class HostCalls {
  readonly #view: HeapView;
  readonly #pending = new Map<HostCall, Pending>();
  readonly #queue: (() => void)[] = [];
  #listening = false;
  #closed = false;

  constructor(view: HeapView) {
    this.#view = view;
  }

  /**
   * Makes a call. `payload` goes into the buffer; `take` reads the results before the record is used again.
   * Fails with HostCallError, and with code CLOSED once the machine is closed.
   */
  async call<T = number>(
    operation: HostOperation,
    args: readonly number[],
    payload?: Uint8Array,
    take: (finished: FinishedCall) => T = (finished) => finished.result as T,
  ): Promise<T> {
    const record = await this.#take();
    const view = this.#view;
    if (payload !== undefined) hostBuffer(view, record).set(payload);
    const finished = new Promise<void>((settle, fail) => this.#pending.set(record, { record, settle, fail }));
    postHostCall(view, record, operation, args, payload?.length ?? 0);
    this.#listen();
    await finished;
    const result = hostCallResult(view, record);
    try {
      if (result < 0) throw new HostCallError(operation, errnoOf(-result).name);
      const results = [0, 1, 2, 3, 4, 5, 6, 7].map((index) => HostCall.results.get(view, record, index));
      return take({ result, results, buffer: hostBuffer(view, record) });
    } finally {
      freeHostCall(view, record);
      this.#queue.shift()?.();
    }
  }

  /** Stops listening; calls under way fail. */
  close(): void {
    this.#closed = true;
    for (const { fail } of this.#pending.values()) fail(closedError());
    this.#pending.clear();
    for (const resume of this.#queue.splice(0)) resume();
    const at = finishedAt(this.#view);
    Atomics.add(this.#view.words, at, 1);
    Atomics.notify(this.#view.words, at);
  }

  async #take(): Promise<HostCall> {
    for (;;) {
      if (this.#closed) throw closedError();
      const record = takeHostCall(this.#view);
      if (record !== undefined) return record;
      await new Promise<void>((resume) => this.#queue.push(resume));
    }
  }

  #listen(): void {
    if (this.#listening) return;
    this.#listening = true;
    void this.#loop();
  }

  async #loop(): Promise<void> {
    const words = this.#view.words;
    const at = finishedAt(this.#view);
    while (!this.#closed && this.#pending.size > 0) {
      const seen = Atomics.load(words, at);
      let settled = false;
      for (const { record, settle } of this.#pending.values()) {
        if (Atomics.load(words, HostCall.state.at(record)) !== CALL_STATE.DONE) continue;
        this.#pending.delete(record);
        settled = true;
        settle();
      }
      if (settled) continue;
      await waitForChange(words, at, seen);
    }
    this.#listening = false;
    if (!this.#closed && this.#pending.size > 0) this.#listen();
  }
}
