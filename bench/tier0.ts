/**
 * Tier 0 alone (with --regions: with the region translator) on the CPU programs of bench/guest: nanoseconds and millions of instructions per second, and
 * the time as a multiple of qemu's, if qemu-riscv64-static is there.
 *
 *     node bench/tier0.ts [--tiny] [--regions] [--only=NAME,…] [--instructions] [RUNS]
 *
 * The programs run on a bare test machine, with just the system calls they need and no kernel under them.
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { EXIT, REG_BUDGET } from "../src/base/hart-abi.ts";
import { assemble, assembleRow, rowNamed } from "../src/riscv/testing/assemble.ts";
import { TestMachine, type Tiers } from "../src/riscv/testing/test-machine.ts";
import { buildTier0 } from "../src/riscv/tier0.ts";
import { tier0TableBytes, writeTier0Tables } from "../src/riscv/tier0-tables.ts";
import { cpuPrograms } from "./guest/manifest.ts";

const PAGE = 4096;
const STACK = 0x3f_0000_0000;
const STACK_BYTES = 1 << 20;
const HEAP = 0x20_0000_0000;
const SYS = { write: 64, exit: 93, exitGroup: 94, clockGettime: 113, munmap: 215, mmap: 222 } as const;
const A0 = 10;
const A1 = 11;
const A2 = 12;
const A7 = 17;
const SP = 2;
/** Of the loops of single instructions. */
const LOOP = 0x1_0000;
const BUFFER = 0x2_0000;
const UNROLLED = 32;
/** Taken transfers between two returns to the host, as a kernel's time slice would be. */
const SLICE = 1_000_000;

interface Outcome {
  readonly output: string;
  readonly ms: number;
  readonly instructions: bigint;
}

/** Maps the PT_LOAD segments; the entry address. */
function loadElf(machine: TestMachine, file: Uint8Array): bigint {
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const headers = Number(view.getBigUint64(32, true));
  const mapped = new Set<number>();
  for (let i = 0; i < view.getUint16(56, true); i++) {
    const at = headers + i * view.getUint16(54, true);
    if (view.getUint32(at, true) !== 1) continue;
    const offset = Number(view.getBigUint64(at + 8, true));
    const va = Number(view.getBigUint64(at + 16, true));
    const fileBytes = Number(view.getBigUint64(at + 32, true));
    const memoryBytes = Number(view.getBigUint64(at + 40, true));
    for (let page = va - (va % PAGE); page < va + memoryBytes; page += PAGE) {
      if (!mapped.has(page)) machine.map(page, PAGE, { read: true, write: true, fetch: true });
      mapped.add(page);
    }
    for (let n = 0; n < fileBytes; n++) machine.bytes[machine.physical(va + n)] = file[offset + n] ?? 0;
  }
  return view.getBigUint64(24, true);
}

/** argc, argv, an empty environment and an empty auxiliary vector on the stack. */
function pushArguments(machine: TestMachine, args: readonly string[]): void {
  let at = STACK - 4096;
  const addresses = args.map((text) => {
    const start = at;
    for (const byte of new TextEncoder().encode(`${text}\0`)) machine.bytes[machine.physical(at++)] = byte;
    return BigInt(start);
  });
  const sp = STACK - 8192;
  [BigInt(args.length), ...addresses, 0n, 0n, 0n, 0n].forEach((word, index) =>
    machine.view.setBigUint64(machine.physical(sp + index * 8), word, true),
  );
  machine.setX(SP, BigInt(sp));
}

function runProgram(file: Uint8Array, args: readonly string[], tiers: Tiers): Outcome {
  let output = "";
  let heap = HEAP;
  let done = false;
  const machine: TestMachine = new TestMachine(
    {
      syscall: () => {
        const [a0, a1, a2] = [A0, A1, A2].map((register) => Number(machine.x(register))) as [
          number,
          number,
          number,
        ];
        let result = 0;
        switch (Number(machine.x(A7))) {
          case SYS.write:
            for (let n = 0; n < a2 && a0 === 1; n++) {
              output += String.fromCharCode(machine.bytes[machine.physical(a1 + n)] ?? 0);
            }
            result = a2;
            break;
          case SYS.mmap:
            result = heap;
            machine.map(heap, a1, { read: true, write: true });
            heap += Math.ceil(a1 / PAGE) * PAGE;
            break;
          case SYS.clockGettime: {
            const nanoseconds = BigInt(Math.round(performance.now() * 1e6));
            machine.view.setBigUint64(machine.physical(a1), nanoseconds / 1_000_000_000n, true);
            machine.view.setBigUint64(machine.physical(a1 + 8), nanoseconds % 1_000_000_000n, true);
            break;
          }
          case SYS.munmap:
            break;
          case SYS.exit:
          case SYS.exitGroup:
            done = true;
            return 1;
          default:
            throw new Error(`system call ${machine.x(A7)}`);
        }
        machine.setX(A0, BigInt(result));
        machine.pc += 4n;
        return 0;
      },
    },
    512,
    tiers,
  );
  machine.map(STACK - STACK_BYTES, STACK_BYTES, { read: true, write: true });
  machine.pc = loadElf(machine, file);
  pushArguments(machine, args);
  const start = performance.now();
  for (;;) {
    machine.setWord(REG_BUDGET, SLICE);
    const exit = machine.run();
    if (done) break;
    if (exit !== EXIT.BUDGET) throw new Error(`exit ${exit} at ${machine.pc.toString(16)}`);
  }
  return { output, ms: performance.now() - start, instructions: machine.instructions };
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

/** Milliseconds of one run under qemu, or undefined without qemu. */
function qemuMs(path: string, size: number): number | undefined {
  const start = performance.now();
  const result = spawnSync("qemu-riscv64-static", [path, String(size)]);
  return result.status === 0 ? performance.now() - start : undefined;
}

/** Measures all programs; throws if one prints anything but its checksum. */
export function measureTier0(tiny: boolean, runs: number, tiers: Tiers = "tier 0"): void {
  let product = 1;
  const only = process.argv.find((argument) => argument.startsWith("--only="))?.slice(7);
  for (const program of cpuPrograms.filter(
    ({ name }) => only === undefined || only.split(",").includes(name),
  )) {
    const { size, output } = tiny ? program.tiny : program.usual;
    const path = fileURLToPath(new URL(`./guest/bin/${program.name}`, import.meta.url));
    const file = new Uint8Array(readFileSync(path));
    const args = [program.name, String(size)];
    const { instructions } = runProgram(file, args, "counted");
    const times: number[] = [];
    for (let run = 0; run < runs; run++) {
      const outcome = runProgram(file, args, tiers);
      if (outcome.output.trim() !== output) throw new Error(`${program.name} printed ${outcome.output}`);
      times.push(outcome.ms);
    }
    const ms = median(times);
    const perInstruction = (ms * 1e6) / Number(instructions);
    const qemu = Array.from({ length: runs }, () => qemuMs(path, size));
    const ratio = qemu.every((time) => time !== undefined) ? ms / median(qemu) : undefined;
    product *= ratio ?? 1;
    console.log(
      `${program.name.padEnd(11)} ${(Number(instructions) / 1e6).toFixed(1).padStart(7)} M instructions` +
        ` ${ms.toFixed(0).padStart(6)} ms ${perInstruction.toFixed(2).padStart(6)} ns/instruction` +
        ` ${(1e3 / perInstruction).toFixed(0).padStart(4)} M/s` +
        (ratio === undefined ? "" : `  ${ratio.toFixed(2).padStart(6)} × qemu`),
    );
  }
  if (product !== 1) {
    console.log(`geometric mean: ${(product ** (1 / cpuPrograms.length)).toFixed(2)} × qemu`);
  }
}

/** Prints what a fresh process pays before the first instruction. */
function measureColdStart(): void {
  const steps: [name: string, work: () => unknown][] = [
    ["tables", () => writeTier0Tables(new Uint8Array(tier0TableBytes()))],
    ["module bytes", () => buildTier0()],
    ["module bytes, warm", () => Array.from({ length: 20 }, () => buildTier0())],
  ];
  for (const [name, work] of steps) {
    const start = performance.now();
    const result = work();
    const ms = performance.now() - start;
    console.log(`${name}: ${(Array.isArray(result) ? ms / result.length : ms).toFixed(1)} ms`);
  }

  // A loop of three instructions, in slices; the engine optimises the module meanwhile.
  const machine = new TestMachine();
  machine.map(LOOP, PAGE, { fetch: true });
  machine.writeCode(LOOP, [
    assemble("addi", { rd: 11, rs1: 11, imm: 3 }),
    assemble("addi", { rd: 10, rs1: 10, imm: -1 }),
    assemble("bne", { rs1: 10, rs2: 0, imm: -8 }),
  ]);
  machine.setX(10, 1n << 40n);
  machine.pc = BigInt(LOOP);
  const start = performance.now();
  for (const slice of [1, 2, 3, 10, 100, 300]) {
    let rate = 0;
    for (let done = 0; done < slice; done++) {
      machine.setWord(REG_BUDGET, 20_000);
      const before = performance.now();
      machine.run();
      rate = 60 / (performance.now() - before);
    }
    console.log(
      `after ${(performance.now() - start).toFixed(1)} ms: ${rate.toFixed(0)} M instructions per second`,
    );
  }
}

/** Prints nanoseconds for each of some instructions, in a loop of 32 of them. */
function measureInstructions(runs: number): void {
  const FLAG_NX = 1;
  const registers = { rd: 12, rs1: 10, rs2: 11, rs3: 13, rm: 7 };
  const samples: [instruction: string, flags: number][] = [
    ["add", 0],
    ["ld", 0],
    ["sd", 0],
    ["amoadd.d", 0],
    ["div", 0],
    ["fadd.d", FLAG_NX],
    ["fmul.d", FLAG_NX],
    ["fdiv.d", FLAG_NX],
    ["fsqrt.d", FLAG_NX],
    ["fmadd.d", FLAG_NX],
    ["fmadd.s", FLAG_NX],
    ["fcvt.w.d", FLAG_NX],
    ["fcvt.d.l", FLAG_NX],
  ];
  for (const [instruction, flags] of samples) {
    const machine = new TestMachine();
    machine.map(LOOP, PAGE, { fetch: true });
    machine.map(BUFFER, PAGE, { read: true, write: true });
    const row = rowNamed(instruction);
    const has = (field: string): boolean =>
      row.format.operands.some((kind) => kind.slice(1) === field.slice(1));
    const word = assembleRow(row, {
      rs1: registers.rs1,
      rm: row.rounds ? registers.rm : 0,
      ...(has("rd") ? { rd: registers.rd } : {}),
      ...(has("rs2") ? { rs2: registers.rs2 } : {}),
      ...(has("rs3") ? { rs3: registers.rs3 } : {}),
    });
    const body = Array.from({ length: UNROLLED }, () => word);
    machine.writeCode(LOOP, [...body, assemble("jal", { rd: 0, imm: -4 * UNROLLED })]);
    machine.setX(registers.rs1, BigInt(BUFFER));
    machine.setX(registers.rs2, 7n);
    const single = instruction.endsWith(".s");
    // 0.1, 3.7 and 1.1: nothing they come to is exact.
    const values = single
      ? [0xffffffff3dcccccdn, 0xffffffff406ccccdn, 0xffffffff3f8ccccdn]
      : [0x3fb999999999999an, 0x400d99999999999an, 0x3ff199999999999an];
    values.forEach((value, index) => machine.setF(10 + (index === 2 ? 3 : index), value));
    const times: number[] = [];
    for (let run = 0; run < runs * 20; run++) {
      machine.pc = BigInt(LOOP);
      machine.flags = flags;
      machine.setWord(REG_BUDGET, 10_000);
      const start = performance.now();
      machine.run();
      times.push(((performance.now() - start) * 1e6) / (10_000 * (UNROLLED + 1)));
    }
    console.log(`${instruction.padEnd(10)} ${median(times).toFixed(2).padStart(6)} ns`);
  }
}

if (import.meta.main) {
  if (!process.argv.some((argument) => argument.startsWith("--only="))) measureColdStart();
  if (process.argv.includes("--instructions")) measureInstructions(5);
  const tiny = process.argv.includes("--tiny");
  const runs = Number(process.argv.slice(2).find((argument) => /^\d+$/.test(argument)) ?? 5);
  measureTier0(tiny, runs, process.argv.includes("--regions") ? "regions" : "tier 0");
}
