/**
 * Test programs that write down what they computed. One image runs both in the interpreter, on a
 * TestMachine, and as a static ELF file under qemu; its output is cut into named sections to compare.
 *
 *     0x0010_0000  code    read, execute
 *     0x0100_0000  input   read, write
 *     0x0200_0000  scratch read, write (zero)
 *     0x0300_0000  output  read, write (zero); written to descriptor 1 at the end
 */
import { assert } from "../../base/assert.ts";
import { EXIT, REG_SCRATCH } from "../../base/hart-abi.ts";
import { assemble, type Operands } from "./assemble.ts";
import { TestMachine, type Tiers } from "./test-machine.ts";

export const CODE = 0x0010_0000;
export const INPUT = 0x0100_0000;
export const SCRATCH = 0x0200_0000;
export const OUTPUT = 0x0300_0000;
export const SCRATCH_BYTES = 0x4000;

const SYS_WRITE = 64;
const SYS_EXIT = 93;
const A0 = 10;
const A1 = 11;
const A2 = 12;
const A7 = 17;

/** A part of the output. */
export interface Section {
  readonly name: string;
  readonly start: number;
  readonly end: number;
}

export interface Program {
  readonly code: Uint8Array;
  readonly input: Uint8Array;
  readonly outputBytes: number;
  readonly sections: readonly Section[];
}

export class ProgramBuilder {
  readonly #code: number[] = [];
  readonly #input: bigint[] = [];
  readonly #sections: Section[] = [];
  #output = 0;

  /** Address of the next instruction. */
  get here(): number {
    return CODE + this.#code.length * 2;
  }

  /** Appends an instruction of 16 or 32 bits. */
  word(word: number): void {
    this.#code.push(word & 0xffff);
    if ((word & 3) === 3) this.#code.push(word >>> 16);
  }

  op(name: string, operands: Operands = {}): void {
    this.word(assemble(name, operands));
  }

  /** Register `rd` = `value`, from 0 to 2^31 − 1, always in two instructions. */
  li(rd: number, value: number): void {
    const low = (value << 20) >> 20;
    this.op("lui", { rd, imm: value - low });
    this.op("addiw", { rd, rs1: rd, imm: low });
  }

  /** Appends a jump over what comes until the returned function is called. */
  jumpAhead(): () => void {
    const from = this.here;
    const at = this.#code.length;
    this.op("jal", { rd: 0, imm: 0 });
    return () => {
      const word = assemble("jal", { rd: 0, imm: this.here - from });
      this.#code[at] = word & 0xffff;
      this.#code[at + 1] = word >>> 16;
    };
  }

  /** Adds 64-bit words to the input; their address. */
  data(words: readonly bigint[]): number {
    const at = INPUT + this.#input.length * 8;
    for (const word of words) this.#input.push(word);
    return at;
  }

  /** Sets output bytes aside under `name`; their address. */
  section(name: string, bytes: number): number {
    const start = this.#output;
    this.#output += bytes;
    this.#sections.push({ name, start, end: this.#output });
    return OUTPUT + start;
  }

  /** write(1, output, size); exit(0). */
  finish(): Program {
    this.li(A0, 1);
    this.li(A1, OUTPUT);
    this.li(A2, this.#output);
    this.li(A7, SYS_WRITE);
    this.op("ecall");
    this.li(A0, 0);
    this.li(A7, SYS_EXIT);
    this.op("ecall");
    return {
      code: new Uint8Array(Uint16Array.from(this.#code).buffer),
      input: new Uint8Array(BigUint64Array.from(this.#input, (word) => BigInt.asUintN(64, word)).buffer),
      outputBytes: this.#output,
      sections: this.#sections,
    };
  }
}

/** Runs `program` in tier 0, or with regions; its output. */
export function runHere(program: Program, tiers: Tiers = "tier 0"): Uint8Array {
  let output: Uint8Array | undefined;
  const machine = prepare(program, tiers, (bytes) => {
    output = bytes;
  });
  let exit = machine.run();
  while (exit === EXIT.FENCE) {
    machine.renewCode();
    exit = machine.run();
  }
  assert(
    exit === EXIT.LEFT && output !== undefined,
    `the program runs to its end (exit ${exit} at ${machine.pc.toString(16)}, value ${machine.trapValue.toString(16)})`,
  );
  return output;
}

/** A machine with `program` in it, which has not begun; `hear` gets the output. */
export function prepare(
  program: Program,
  tiers: Tiers,
  hear: (output: Uint8Array) => void = () => undefined,
): TestMachine {
  const megabytes =
    (tiers.endsWith("regions") ? 64 : 8) +
    Math.ceil((program.outputBytes + program.input.length + program.code.length) / 2 ** 20);
  const machine: TestMachine = new TestMachine(
    {
      syscall: () => {
        if (machine.x(A7) === BigInt(SYS_EXIT)) return 1;
        const output = machine.readBytes(Number(machine.x(A1)), Number(machine.x(A2)));
        hear(output);
        machine.pc += 4n;
        return 0;
      },
      csr: () => {
        machine.setLong(REG_SCRATCH, 0n);
        return 0;
      },
    },
    megabytes,
    tiers,
  );
  const data = { read: true, write: true };
  machine.mapReversed(CODE, program.code.length, { read: true, fetch: true });
  machine.writeBytes(CODE, program.code);
  machine.mapReversed(INPUT, program.input.length, data);
  machine.writeBytes(INPUT, program.input);
  machine.mapReversed(SCRATCH, SCRATCH_BYTES, data);
  machine.mapReversed(OUTPUT, program.outputBytes, data);
  machine.pc = BigInt(CODE);
  return machine;
}
