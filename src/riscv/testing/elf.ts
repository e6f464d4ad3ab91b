/** A test program as a static riscv64 ELF file. System V ABI, ELF header and program header. */
import { CODE, INPUT, OUTPUT, type Program, SCRATCH, SCRATCH_BYTES } from "./program.ts";

const ELF_HEADER_BYTES = 64;
const PROGRAM_HEADER_BYTES = 56;
const PAGE = 4096;
const ET_EXEC = 2;
const EM_RISCV = 243;
/** EF_RISCV_RVC | EF_RISCV_FLOAT_ABI_DOUBLE. */
const FLAGS = 0x5;
const PT_LOAD = 1;
const PF = { X: 1, W: 2, R: 4 } as const;

const pageUp = (size: number): number => Math.ceil(size / PAGE) * PAGE;

export function elfOf(program: Program): Uint8Array {
  const data = PF.R | PF.W;
  const segments = [
    { va: CODE, bytes: program.code, size: program.code.length, flags: PF.R | PF.X },
    { va: INPUT, bytes: program.input, size: program.input.length, flags: data },
    { va: SCRATCH, bytes: new Uint8Array(0), size: SCRATCH_BYTES, flags: data },
    { va: OUTPUT, bytes: new Uint8Array(0), size: program.outputBytes, flags: data },
  ];
  const total = segments.reduce((sum, { bytes }) => sum + pageUp(bytes.length), PAGE);
  const file = new Uint8Array(total);
  const view = new DataView(file.buffer);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, ET_EXEC, true);
  view.setUint16(18, EM_RISCV, true);
  view.setUint32(20, 1, true);
  view.setBigUint64(24, BigInt(CODE), true);
  view.setBigUint64(32, BigInt(ELF_HEADER_BYTES), true);
  view.setUint32(48, FLAGS, true);
  view.setUint16(52, ELF_HEADER_BYTES, true);
  view.setUint16(54, PROGRAM_HEADER_BYTES, true);
  view.setUint16(56, segments.length, true);
  let offset = PAGE;
  segments.forEach(({ va, bytes, size, flags }, index) => {
    const at = ELF_HEADER_BYTES + index * PROGRAM_HEADER_BYTES;
    view.setUint32(at, PT_LOAD, true);
    view.setUint32(at + 4, flags, true);
    view.setBigUint64(at + 8, BigInt(offset), true);
    view.setBigUint64(at + 16, BigInt(va), true);
    view.setBigUint64(at + 24, BigInt(va), true);
    view.setBigUint64(at + 32, BigInt(bytes.length), true);
    view.setBigUint64(at + 40, BigInt(size), true);
    view.setBigUint64(at + 48, BigInt(PAGE), true);
    file.set(bytes, offset);
    offset += pageUp(bytes.length);
  });
  return file;
}
