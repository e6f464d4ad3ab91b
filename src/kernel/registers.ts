/**
 * A task's register file, as the kernel reads and writes it. Values are numbers up to 2^53 where the meaning
 * allows it (addresses, sizes, counts), else low and high words: 64-bit integers as JavaScript BigInt cost a
 * heap object each and never appear on a warm path.
 *
 * `registers` is always the word index of the file in the guest memory (Task.registers).
 */

import { REG_PC, REG_X } from "../base/hart-abi.ts";
import type { HeapView, MemoryWord } from "../heap/heap.ts";
import type { Transaction } from "../heap/transaction.ts";

/** Integer registers by their ABI names. */
export const X = {
  ra: 1,
  sp: 2,
  gp: 3,
  tp: 4,
  a0: 10,
  a1: 11,
  a2: 12,
  a3: 13,
  a4: 14,
  a5: 15,
  a6: 16,
  a7: 17,
} as const;

/** Low word of x`index`. */
export function low(view: HeapView, registers: MemoryWord, index: number): number {
  return view.memory[registers + (REG_X >> 2) + index * 2]!;
}

/** High word of x`index`. */
export function high(view: HeapView, registers: MemoryWord, index: number): number {
  return view.memory[registers + (REG_X >> 2) + index * 2 + 1]!;
}

/** x`index` as a signed number; inexact beyond 2^53. */
export function signed(view: HeapView, registers: MemoryWord, index: number): number {
  const at = registers + (REG_X >> 2) + index * 2;
  return view.memory[at + 1]! * 0x1_0000_0000 + (view.memory[at]! >>> 0);
}

/** x`index` as an unsigned number; inexact beyond 2^53, but then beyond every address that is valid. */
export function unsigned(view: HeapView, registers: MemoryWord, index: number): number {
  const at = registers + (REG_X >> 2) + index * 2;
  return (view.memory[at + 1]! >>> 0) * 0x1_0000_0000 + (view.memory[at]! >>> 0);
}

/** Stores a number between −2^53 and 2^53 in x`index`. */
export function setX(tx: Transaction, registers: MemoryWord, index: number, value: number): void {
  const at = registers + (REG_X >> 2) + index * 2;
  tx.storeMemory(at, value | 0);
  tx.storeMemory(at + 1, Math.floor(value / 0x1_0000_0000) | 0);
}

/** The program counter. */
export function pc(view: HeapView, registers: MemoryWord): number {
  const at = registers + (REG_PC >> 2);
  return (view.memory[at + 1]! >>> 0) * 0x1_0000_0000 + (view.memory[at]! >>> 0);
}

export function setPc(tx: Transaction, registers: MemoryWord, value: number): void {
  const at = registers + (REG_PC >> 2);
  tx.storeMemory(at, value | 0);
  tx.storeMemory(at + 1, Math.floor(value / 0x1_0000_0000) | 0);
}

/** Ends a system call in one commit with its effects (rule R2): result in a0, pc behind the ecall. */
export function finishCall(tx: Transaction, registers: MemoryWord, result: number): void {
  const m = tx.memory;
  const a0 = registers + ((REG_X + X.a0 * 8) >> 2);
  tx.storeMemory(a0, result | 0);
  const resultHigh = result >= 0 && result < 0x8000_0000 ? 0 : Math.floor(result / 0x1_0000_0000) | 0;
  if (m[a0 + 1] !== resultHigh) tx.storeMemory(a0 + 1, resultHigh);
  const at = registers + (REG_PC >> 2);
  const next = (m[at]! + 4) | 0;
  tx.storeMemory(at, next);
  // A carry out of the low word.
  if (next >= 0 && next < 4) tx.storeMemory(at + 1, (m[at + 1]! + 1) | 0);
}
