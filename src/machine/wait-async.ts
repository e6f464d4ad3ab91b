/** Waiting without blocking, as the main thread must (rule R11). */

interface WaitAsync {
  readonly async: boolean;
  readonly value: Promise<string> | string;
}
type AsyncAtomics = { waitAsync(words: Int32Array, index: number, value: number): WaitAsync };

/**
 * Resolves when the word at `index` is notified, at once if it is not `value` any more. It keeps no process
 * alive; but who waits for a word that nobody notifies keeps its buffer for ever.
 */
export async function waitForChange(words: Int32Array, index: number, value: number): Promise<void> {
  const waiting = (Atomics as unknown as AsyncAtomics).waitAsync(words, index, value);
  if (waiting.async) await waiting.value;
}
