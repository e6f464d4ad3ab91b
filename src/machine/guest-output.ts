/**
 * What a program writes, as a stream: bytes are read from the guest one piece at a time, when somebody wants
 * them, or all that is left when the machine closes.
 */

/** Where the bytes come from. */
export interface OutputSource {
  /** The next bytes; none at the end. Fails with what the stream is to fail with. */
  read(): Promise<Uint8Array>;
  /** Gives up the guest's file, once, when nobody will read any more. */
  close(): void;
}

export class GuestOutput {
  readonly stream: ReadableStream<Uint8Array>;
  readonly #source: OutputSource;
  /** Reads follow each other, whoever asks. */
  #last: Promise<void> = Promise.resolve();
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  #state: "open" | "ended" | "cancelled" = "open";

  constructor(source: OutputSource) {
    this.#source = source;
    this.stream = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller;
        },
        pull: () => this.#next(),
        cancel: () => {
          const reading = this.#last;
          this.#state = "cancelled";
          // A read under way still names the file.
          void reading.then(() => this.#source.close());
        },
      },
      { highWaterMark: 0 },
    );
  }

  /** Whether nothing more will be read. */
  get isOver(): boolean {
    return this.#state !== "open";
  }

  /** Takes over all that can still be read, so that the stream delivers it without the machine. */
  async drain(): Promise<void> {
    while (this.#state === "open") await this.#next();
  }

  /** Ends the stream with what it has, if it has not ended. */
  end(): void {
    if (this.#state !== "open") return;
    this.#state = "ended";
    this.#controller?.close();
  }

  #next(): Promise<void> {
    this.#last = this.#last.then(() => this.#readOne());
    return this.#last;
  }

  async #readOne(): Promise<void> {
    if (this.#state !== "open") return;
    try {
      const chunk = await this.#source.read();
      if (this.#isOpen() && chunk.length > 0) this.#controller?.enqueue(chunk);
      else if (chunk.length === 0) {
        this.#source.close();
        this.end();
      }
    } catch (error) {
      if (!this.#isOpen()) return;
      this.#state = "ended";
      this.#controller?.error(error);
    }
  }

  /** The state as it is now: it may have changed during a read. */
  #isOpen(): boolean {
    return this.#state === "open";
  }
}
