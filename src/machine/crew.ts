/**
 * The threads that the main thread starts: the warden, which is the parent of the harts and the servers'
 * threads, and the I/O thread. Neither keeps anything, so another takes the place of one that ends. The
 * warden's children end with it; they are noted as dead before the next warden starts, which recovers them.
 */

import { moduleExtension } from "../base/module-extension.ts";
import type { HeapView } from "../heap/heap.ts";
import type { HostThread } from "../host/contract.ts";
import { nodeThreads } from "../host/node/threads.ts";
import { recordDeath } from "../kernel/ledger.ts";
import { markChildrenDead, markDead, registerThread, ROLE } from "../kernel/placement/threads.ts";
import { CodeArea } from "../riscv/code-area.ts";
import { stopMachine } from "./life.ts";
import type {
  EndRequest,
  HartStart,
  IoThreadData,
  TranslatorThreadData,
  WardenThreadData,
} from "./thread-data.ts";
import { waitForChange } from "./wait-async.ts";

/** Time that the threads have to come to rest when the machine ends, ms. */
const REST_MS = 500;

/** Requests for regions after which the thread that makes them is started; a shell's start files two. */
const REQUESTS = 8;

/** Why the machine would have to start more wardens than this in a row is beyond it. */
const WARDENS_MAX = 20;

const entry = (name: string): URL => new URL(`./${name}${moduleExtension(import.meta.url)}`, import.meta.url);
const threads = nodeThreads({
  warden: entry("warden-thread"),
  io: entry("io-thread"),
  hart: entry("hart-thread"),
  server: entry("server-thread"),
  translator: entry("translator-thread"),
});

export interface CrewOptions {
  readonly view: HeapView;
  readonly warden: Omit<WardenThreadData, "begun">;
  readonly io: Omit<IoThreadData, "begun">;
  /** Hears the messages of all threads. */
  readonly hear: (message: unknown) => void;
  /** Hears of the end of a thread of the crew that was not meant to end. */
  readonly onDeath: (role: string, error: Error | undefined) => void;
}

interface Warden {
  readonly thread: HostThread;
  readonly ended: Promise<void>;
  /** Number in the thread table; 0 until the machine has begun. */
  number: number;
}

export class Crew {
  readonly #options: CrewOptions;
  /** See EarlyData. */
  readonly #begun = new Int32Array(new SharedArrayBuffer(4));
  #start: HartStart | undefined;
  #warden: Warden;
  #io: HostThread;
  #translator: HostThread | undefined;
  #translatorEnded: Promise<void> = Promise.resolve();
  /** Where harts ask for regions; undefined until that is awaited. */
  #requests: CodeArea | undefined;
  #wardens = 0;
  #translators = 0;
  #isOver = false;
  #awaited: () => void = () => undefined;

  /** Starts the threads. They load, and touch nothing of the machine until {@link begin}. */
  constructor(options: CrewOptions) {
    this.#options = options;
    this.#warden = this.#startWarden();
    this.#io = this.#startIo();
  }

  /** The machine's state is there: the threads go to work, the harts with `start`. */
  begin(start: HartStart): void {
    this.#start = start;
    this.#beginWarden(this.#warden);
  }

  /** Ends the threads of a machine that cannot begin. */
  abandon(): void {
    this.#isOver = true;
    void this.#warden.thread.end();
    void this.#io.end();
  }

  #beginWarden(warden: { readonly thread: HostThread; number: number }): void {
    warden.number = registerThread(this.#options.view, ROLE.WARDEN);
    warden.thread.post(this.#start);
    Atomics.store(this.#begun, 0, warden.number);
    Atomics.notify(this.#begun, 0);
  }

  #startWarden(): Warden {
    const { view, hear, onDeath } = this.#options;
    const begun = this.#begun.buffer;
    // A warden that follows one must not take its number for its own.
    Atomics.store(this.#begun, 0, 0);
    const thread = threads.start("warden", { ...this.#options.warden, begun } satisfies WardenThreadData);
    this.#wardens++;
    thread.onMessage(hear);
    const ended = new Promise<void>((resolve) => {
      thread.onEnd((error) => {
        // Node ends the workers of a worker, and waits for their ends, before it reports that one's own.
        if (warden.number !== 0) {
          markDead(view, warden.number);
          markChildrenDead(view);
        }
        resolve();
        if (this.#isOver) return;
        recordDeath(view, "wardens");
        onDeath("warden", error);
        if (this.#wardens >= WARDENS_MAX) return;
        this.#warden = this.#startWarden();
        if (this.#start !== undefined) this.#beginWarden(this.#warden);
      });
    });
    const warden: Warden = { thread, ended, number: 0 };
    return warden;
  }

  #startIo(): HostThread {
    const begun = this.#begun.buffer;
    const thread = threads.start("io", { ...this.#options.io, begun } satisfies IoThreadData);
    thread.onMessage(this.#options.hear);
    thread.onEnd((error) => {
      if (this.#isOver) return;
      this.#options.onDeath("I/O", error);
      // An error that it cannot start with would come again at once.
      if (error === undefined) this.#io = this.#startIo();
    });
    return thread;
  }

  /**
   * Starts the thread that translates once harts have asked for regions REQUESTS times. Most commands end before
   * that, and the processor time that the thread takes to load is a fifth of theirs.
   */
  async translateWhenAsked(data: TranslatorThreadData): Promise<void> {
    const { memory, area } = data;
    const requests = new CodeArea(memory.buffer, area.at, area.bytes, area.harts);
    this.#requests = requests;
    const words = new Int32Array(memory.buffer);
    for (;;) {
      const { word, value } = requests.bell();
      if (this.#isOver) return;
      if (value >= REQUESTS) break;
      // What `stop` has to wake.
      this.#awaited = () => Atomics.notify(words, word);
      await waitForChange(words, word, value);
    }
    this.#startTranslator(data);
  }

  #startTranslator(data: TranslatorThreadData): void {
    const thread = threads.start("translator", data);
    this.#translator = thread;
    let ended: () => void;
    this.#translatorEnded = new Promise((resolve) => {
      ended = resolve;
    });
    thread.onEnd((error) => {
      ended();
      if (this.#isOver) return;
      this.#options.onDeath("translator", error);
      if (this.#translators++ < WARDENS_MAX) this.#startTranslator(data);
    });
  }

  /** Asks the warden to end a hart or a server's thread. */
  end(target: EndRequest["target"]): void {
    this.#warden.thread.post({ kind: "end", target } satisfies EndRequest);
  }

  /** Ends the warden, and with it the harts; resolves when they have ended. */
  async endWarden(): Promise<void> {
    const { thread, ended } = this.#warden;
    await thread.end();
    await ended;
  }

  /** Ends all threads: between two turns of their loops, if they come to that in time. */
  async stop(): Promise<void> {
    this.#isOver = true;
    this.#awaited();
    this.#requests?.end();
    stopMachine(this.#options.view);
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, REST_MS);
    });
    // The translator's thread has something to write, perhaps.
    await Promise.race([Promise.all([this.#warden.ended, this.#translatorEnded]), patience]);
    clearTimeout(timer);
    await Promise.all([this.#warden.thread.end(), this.#io.end(), this.#translator?.end()]);
  }
}
