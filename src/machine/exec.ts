/** Runs a started program to its end and collects what it writes. */

import type { ExecOptions, ExecResult, GuestProcess } from "./api.ts";
import { CoppiceError } from "./errors.ts";

const OUTPUT_MAX: number = 64 * 2 ** 20;

/** See `Machine.exec`. */
export async function collectOutput(
  child: GuestProcess,
  argv: readonly string[],
  options: ExecOptions & { readonly encoding?: "utf8" | "bytes" },
): Promise<ExecResult<string> | ExecResult<Uint8Array>> {
  const part = `command "${argv[0]}"`;
  const limit = options.maxOutputBytes ?? OUTPUT_MAX;
  let failure: CoppiceError | undefined;
  const fail = (code: "TOO_MUCH_OUTPUT" | "ABORTED", reason: string): void => {
    failure ??= new CoppiceError({ code, part, reason });
    child.kill("SIGKILL");
  };
  const timer =
    options.timeoutMs === undefined
      ? undefined
      : setTimeout(() => fail("ABORTED", `not finished after ${options.timeoutMs} ms`), options.timeoutMs);
  const abort = (): void => fail("ABORTED", "ended by its signal");
  options.signal?.addEventListener("abort", abort, { once: true });
  if (options.signal?.aborted === true) abort();
  const collect = async (stream: ReadableStream<Uint8Array>, name: string): Promise<Uint8Array> => {
    const chunks: Uint8Array[] = [];
    let length = 0;
    for await (const chunk of stream) {
      length += chunk.length;
      if (length > limit) fail("TOO_MUCH_OUTPUT", `more than ${limit} bytes on ${name}`);
      else chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  };
  const feed = async (): Promise<void> => {
    if (options.input === undefined) return;
    const writer = child.stdin.getWriter();
    try {
      const { input } = options;
      await writer.write(typeof input === "string" ? new TextEncoder().encode(input) : input);
      await writer.close();
    } catch {
      // The program did not read all of its input; that is its own business.
    }
  };
  try {
    const [stdout, stderr, status] = await Promise.all([
      collect(child.stdout, "stdout"),
      collect(child.stderr, "stderr"),
      child.wait(),
      feed(),
    ]);
    if (failure !== undefined) throw failure;
    if (options.encoding === "bytes") return { ...status, stdout, stderr };
    const decoder = new TextDecoder();
    return { ...status, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener("abort", abort);
  }
}
