/** Somebody at a terminal: types, and waits for what is shown. */

import assert from "node:assert/strict";

/** How long a text may take to appear. */
const PATIENCE_MS = 60_000;

export class Typist {
  readonly #write: (keys: Uint8Array) => unknown;
  readonly #ended: Promise<void>;
  #shown = "";
  /** Where what was waited for ends. */
  #seen = 0;
  #isOver = false;
  #changed: () => void = () => {};

  constructor(screen: AsyncIterable<Uint8Array>, write: (keys: Uint8Array) => unknown) {
    this.#write = write;
    this.#ended = this.#read(screen);
  }

  async #read(screen: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const chunk of screen) {
      this.#shown += Buffer.from(chunk).toString();
      this.#changed();
    }
    this.#isOver = true;
    this.#changed();
  }

  async type(keys: string): Promise<void> {
    await this.#write(Buffer.from(keys));
  }

  /** Waits until `text` appears behind what was waited for before. */
  async see(text: string): Promise<void> {
    const deadline = AbortSignal.timeout(PATIENCE_MS);
    for (;;) {
      const at = this.#shown.indexOf(text, this.#seen);
      if (at >= 0) {
        this.#seen = at + text.length;
        return;
      }
      const late = deadline.aborted ? "in time" : this.#isOver ? "before the end" : undefined;
      if (late !== undefined) {
        const tail = JSON.stringify(this.#shown.slice(-400));
        assert.fail(`${JSON.stringify(text)} did not appear ${late}: ${tail}`);
      }
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#changed = resolve;
      deadline.addEventListener("abort", () => resolve(), { once: true });
      await promise;
    }
  }

  /** Everything that was shown, once the screen has ended. */
  async all(): Promise<string> {
    await this.#ended;
    return this.#shown;
  }
}
