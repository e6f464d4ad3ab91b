/**
 * What a new program finds on its stack (System V psABI, RISC-V ELF psABI):
 *
 *     sp →  argc
 *           argv[0] … argv[argc−1], 0
 *           envp[0] …, 0
 *           auxiliary vector, pairs of 8 bytes, ending with AT_NULL
 *           padding to 16 bytes
 *           16 random bytes
 *           the strings: argv, envp, then the program's path
 *           8 zero bytes, up to the top
 */

import { AUX } from "./abi-memory.ts";

export interface StackContents {
  readonly argv: readonly Uint8Array[];
  readonly envp: readonly Uint8Array[];
  /** Path by which the program was executed. */
  readonly path: Uint8Array;
  readonly random: Uint8Array;
  /** The auxiliary vector but for AT_RANDOM, AT_EXECFN and AT_NULL. */
  readonly auxiliary: readonly (readonly [type: number, value: number])[];
}

export interface BuiltStack {
  /** From sp to the top. */
  readonly bytes: Uint8Array;
  /** Where the strings of argv begin and end; those of envp follow. */
  readonly argumentsStart: number;
  readonly argumentsEnd: number;
  readonly environmentEnd: number;
}

const POINTER = 8;

/** Bytes that strings and their pointers take, as execve's limit counts them. */
export function argumentBytes(argv: readonly Uint8Array[], envp: readonly Uint8Array[]): number {
  let total = 0;
  for (const list of [argv, envp]) for (const { length } of list) total += length + 1 + POINTER;
  return total;
}

/** Lays the stack out so that it ends at `top`. */
export function buildStack(contents: StackContents, top: number): BuiltStack {
  const { argv, envp, path, random, auxiliary } = contents;
  const stringBytes = [...argv, ...envp, path].reduce((sum, { length }) => sum + length + 1, 0);
  const stringsAt = top - POINTER - stringBytes;
  const randomAt = stringsAt - random.length;
  const words = 1 + argv.length + 1 + envp.length + 1 + (auxiliary.length + 3) * 2;
  const sp = Math.floor((randomAt - words * POINTER) / 16) * 16;
  const bytes = new Uint8Array(top - sp);
  const view = new DataView(bytes.buffer);
  let at = 0;
  const push = (value: number): void => {
    view.setUint32(at, value % 0x1_0000_0000, true);
    view.setUint32(at + 4, Math.floor(value / 0x1_0000_0000), true);
    at += POINTER;
  };
  let stringAt = stringsAt;
  const pushString = (text: Uint8Array): number => {
    bytes.set(text, stringAt - sp);
    const start = stringAt;
    stringAt += text.length + 1;
    return start;
  };
  push(argv.length);
  for (const text of argv) push(pushString(text));
  const argumentsEnd = stringAt;
  push(0);
  for (const text of envp) push(pushString(text));
  const environmentEnd = stringAt;
  push(0);
  const pathAt = pushString(path);
  bytes.set(random, randomAt - sp);
  for (const [type, value] of [
    ...auxiliary,
    [AUX.RANDOM, randomAt],
    [AUX.EXECFN, pathAt],
    [AUX.NULL, 0],
  ] as const) {
    push(type);
    push(value);
  }
  return { bytes, argumentsStart: stringsAt, argumentsEnd, environmentEnd };
}
