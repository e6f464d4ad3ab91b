/** The file of golden answers: digests of what qemu and binutils said (tools/riscv-golden.ts writes it). */
import { createHash } from "node:crypto";
import type { Program } from "./program.ts";

export const GOLDEN_URL: URL = new URL("./riscv.golden.json", import.meta.url);

export interface Golden {
  readonly qemu: string;
  readonly objdump: string;
  readonly seed: number;
  /** Digests by suite and section. */
  readonly suites: Record<string, Record<string, string>>;
  /** Digests of the spelled samples by row. */
  readonly disassembly: Record<string, string>;
}

const DIGEST_HEX_DIGITS = 16;

export function digest(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex").slice(0, DIGEST_HEX_DIGITS);
}

/** A digest of each section of a program's output. */
export function sectionDigests(program: Program, output: Uint8Array): Record<string, string> {
  const digests: Record<string, string> = {};
  for (const { name, start, end } of program.sections) digests[name] = digest(output.subarray(start, end));
  return digests;
}
