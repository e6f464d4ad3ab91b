/**
 * The signal frame of Linux riscv64 (arch/riscv/kernel/signal.c, uapi/asm/{ucontext,sigcontext,ptrace}.h).
 *
 *     +0     siginfo            128 bytes
 *     +128   ucontext
 *              +0    flags, link          16
 *              +16   stack_t              24
 *              +40   signal mask           8, room for 1024 bits
 *              +176  pc, x1 … x31        256
 *              +432  f0 … f31            256
 *              +688  fcsr                  4, zeros up to 784 bytes of sigcontext
 *     +1088  end
 *
 * The handler returns to a trampoline in a page that exec maps into every space (TRAMPOLINE), which calls
 * rt_sigreturn: riscv64 has no SA_RESTORER.
 */

import {
  PAGE_SIZE,
  REG_F,
  REG_FFLAGS,
  REG_FRM,
  REG_PC,
  REG_RESERVATION,
  REG_X,
  VA_LIMIT,
} from "../base/hart-abi.ts";
import { errno } from "../base/errno.ts";
import type { Personality, SignalAction, SignalInfo, SystemCall } from "../kernel/call.ts";
import { setPc, setX, unsigned, X } from "../kernel/registers.ts";
import { SA, setMask, SIG } from "../kernel/signal.ts";
import { Task } from "../kernel/task.ts";
import { readUser, writeUser } from "./user.ts";

export const SIGINFO_BYTES = 128;
const UCONTEXT = SIGINFO_BYTES;
const STACK = UCONTEXT + 16;
const MASK = UCONTEXT + 40;
const REGISTERS = UCONTEXT + 176;
const FLOATS = REGISTERS + 256;
const FCSR = FLOATS + 256;
const FRAME_BYTES = UCONTEXT + 176 + 784;

const SS_ONSTACK = 1;
const SS_DISABLE = 2;
const SS_AUTODISARM = 0x8000_0000;

/** Where the page with the trampoline is mapped: above the stack, below the last page, which is nobody's. */
export const TRAMPOLINE: number = VA_LIMIT - 2 * PAGE_SIZE;
/** li a7, 139 (rt_sigreturn); ecall. */
export const TRAMPOLINE_CODE: readonly number[] = [0x08b0_0893, 0x0000_0073];

/** siginfo_t as Linux lays it out for the kind of signal (include/uapi/asm-generic/siginfo.h). */
export function siginfoBytes(info: SignalInfo): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(SIGINFO_BYTES));
  view.setInt32(0, info.signal, true);
  view.setInt32(4, info.errno, true);
  view.setInt32(8, info.code, true);
  const isFault =
    info.code > 0 && [SIG.SEGV, SIG.BUS, SIG.ILL, SIG.FPE, SIG.TRAP].some((s) => s === info.signal);
  if (isFault && info.code < 0x80) {
    view.setBigUint64(16, BigInt(info.address), true);
    return new Uint8Array(view.buffer);
  }
  view.setInt32(16, info.pid, true);
  view.setUint32(20, info.uid, true);
  if (info.signal === SIG.CHLD && info.code > 0) view.setInt32(24, info.status, true);
  else {
    view.setInt32(24, info.valueLow, true);
    view.setInt32(28, info.valueHigh, true);
  }
  return new Uint8Array(view.buffer);
}

function isOnStack(sp: number, base: number, size: number): boolean {
  return size > 0 && sp > base && sp <= base + size;
}

/** See Personality.pushSignalFrame. */
export const pushSignalFrame: Personality["pushSignalFrame"] = (call, signal, info, action) => {
  const { tx, task, registers } = call;
  const sp = unsigned(tx, registers, X.sp);
  const base = Task.stackBase.get(tx, task);
  const size = Task.stackSize.get(tx, task);
  const stackFlags = Task.stackFlags.get(tx, task);
  const wantsStack = (action.flags & SA.ONSTACK) !== 0 && size > 0 && !isOnStack(sp, base, size);
  const top = wantsStack ? base + size : sp;
  const frame = Math.floor((top - FRAME_BYTES) / 16) * 16;
  // A frame that leaves the alternate stack it began on would overwrite what is below.
  if (frame < 0 || (isOnStack(sp, base, size) && !isOnStack(frame, base, size))) throw errno.EFAULT;
  writeUser(call, frame, frameBytes(call, info, action, sp, base, size, stackFlags));
  if (wantsStack && (stackFlags & SS_AUTODISARM) !== 0) {
    Task.stackSize.set(tx, task, 0);
  }
  setX(tx, registers, X.ra, TRAMPOLINE);
  setX(tx, registers, X.sp, frame);
  setX(tx, registers, X.a0, signal);
  setX(tx, registers, X.a1, frame);
  setX(tx, registers, X.a2, frame + UCONTEXT);
  setPc(tx, registers, action.handler);
};

function frameBytes(
  call: SystemCall,
  info: SignalInfo,
  action: SignalAction,
  sp: number,
  base: number,
  size: number,
  stackFlags: number,
): Uint8Array {
  const { tx, registers } = call;
  const m = tx.memory;
  const bytes = new Uint8Array(FRAME_BYTES);
  const view = new DataView(bytes.buffer);
  bytes.set(siginfoBytes(info), 0);
  view.setBigUint64(STACK, BigInt(base), true);
  view.setInt32(
    STACK + 8,
    size === 0 ? SS_DISABLE : (isOnStack(sp, base, size) ? SS_ONSTACK : 0) | stackFlags,
    true,
  );
  view.setBigUint64(STACK + 16, BigInt(size), true);
  view.setInt32(MASK, action.oldMaskLow, true);
  view.setInt32(MASK + 4, action.oldMaskHigh, true);
  const copy = (to: number, from: number, words: number): void => {
    for (let i = 0; i < words; i++) view.setInt32(to + i * 4, m[registers + (from >> 2) + i]!, true);
  };
  copy(REGISTERS, REG_PC, 2);
  copy(REGISTERS + 8, REG_X + 8, 62);
  copy(FLOATS, REG_F, 64);
  view.setInt32(FCSR, m[registers + (REG_FFLAGS >> 2)]! | (m[registers + (REG_FRM >> 2)]! << 5), true);
  return bytes;
}

/** Puts back what {@link pushSignalFrame} saved; a frame that cannot be read throws EFAULT. */
export function popSignalFrame(call: SystemCall): void {
  const { tx, task, registers } = call;
  const frame = unsigned(tx, registers, X.sp);
  if (frame % 16 !== 0) throw errno.EFAULT;
  const bytes = readUser(call, frame, FRAME_BYTES);
  const view = new DataView(bytes.buffer, bytes.byteOffset, FRAME_BYTES);
  const copy = (from: number, to: number, words: number): void => {
    for (let i = 0; i < words; i++)
      tx.storeMemory(registers + (to >> 2) + i, view.getInt32(from + i * 4, true));
  };
  copy(REGISTERS, REG_PC, 2);
  copy(REGISTERS + 8, REG_X + 8, 62);
  copy(FLOATS, REG_F, 64);
  const fcsr = view.getInt32(FCSR, true);
  tx.storeMemory(registers + (REG_FFLAGS >> 2), fcsr & 31);
  tx.storeMemory(registers + (REG_FRM >> 2), (fcsr >> 5) & 7);
  tx.storeMemory(registers + (REG_RESERVATION >> 2), -1);
  tx.storeMemory(registers + (REG_RESERVATION >> 2) + 1, -1);
  const stackFlags = view.getInt32(STACK + 8, true);
  const size = Number(view.getBigUint64(STACK + 16, true));
  if ((stackFlags & SS_DISABLE) === 0 && size !== Task.stackSize.get(tx, task)) {
    Task.stackBase.set(tx, task, Number(view.getBigUint64(STACK, true)));
    Task.stackSize.set(tx, task, size);
  }
  setMask(tx, task, view.getInt32(MASK, true), view.getInt32(MASK + 4, true));
}
