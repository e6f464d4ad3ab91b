/**
 * Tier 0 alone on the CPU programs of bench/guest: nanoseconds and millions of instructions per second, and
 * the time as a multiple of qemu's, if qemu-riscv64-static is there.
 *
 *     node bench/tier0.ts [--tiny] [RUNS]
 *
 * The programs run on a bare test machine, with just the system calls they need and no kernel under them.
 */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { EXIT, REG_BUDGET } from "../src/base/hart-abi.ts";
import { TestMachine } from "../src/riscv/testing/test-machine.ts";
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

function runProgram(file: Uint8Array, args: readonly string[], counted: boolean): Outcome {
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
    counted,
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
export function measureTier0(tiny: boolean, runs: number): void {
  let product = 1;
  for (const program of cpuPrograms) {
    const { size, output } = tiny ? program.tiny : program.usual;
    const path = fileURLToPath(new URL(`./guest/bin/${program.name}`, import.meta.url));
    const file = new Uint8Array(readFileSync(path));
    const args = [program.name, String(size)];
    const { instructions } = runProgram(file, args, true);
    const times: number[] = [];
    for (let run = 0; run < runs; run++) {
      const outcome = runProgram(file, args, false);
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

if (import.meta.main) {
  const tiny = process.argv.includes("--tiny");
  measureTier0(tiny, Number(process.argv.slice(2).find((argument) => /^\d+$/.test(argument)) ?? 5));
}
