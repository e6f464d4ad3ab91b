/**
 * The golden answers of src/riscv's differential tests, from qemu and binutils.
 *
 *     node tools/riscv-golden.ts             writes src/riscv/testing/riscv.golden.json
 *     node tools/riscv-golden.ts --check     runs the oracles again and compares with the file
 *     node tools/riscv-golden.ts --show NAME prints where interpreter and qemu differ in sections that
 *                                            contain NAME
 *
 * Needs qemu-riscv64-static and riscv64-linux-gnu-objdump. The tests need neither: they compare digests.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { disassemblySamples } from "../src/riscv/testing/disassembly-samples.ts";
import { elfOf } from "../src/riscv/testing/elf.ts";
import { digest, GOLDEN_URL, type Golden, sectionDigests } from "../src/riscv/testing/golden.ts";
import { type Program, runHere } from "../src/riscv/testing/program.ts";
import { buildSuites, SEED } from "../src/riscv/testing/suites.ts";

const QEMU = "qemu-riscv64-static";
const OBJDUMP = "riscv64-linux-gnu-objdump";
const OUTPUT_LIMIT = 1 << 28;

function firstLine(command: string): string {
  return execFileSync(command, ["--version"], { encoding: "utf8" }).split("\n")[0] ?? "";
}

const folder = mkdtempSync(join(tmpdir(), "riscv-golden-"));

function runInQemu(program: Program): Uint8Array {
  const path = join(folder, "program");
  writeFileSync(path, elfOf(program), { mode: 0o755 });
  return new Uint8Array(execFileSync(QEMU, [path], { maxBuffer: OUTPUT_LIMIT }));
}

/** objdump's spelling of each sample: mnemonic and operands, separated by one blank. */
function disassembleSamples(): Map<string, string> {
  const samples = disassemblySamples();
  const path = join(folder, "samples");
  const spelled = new Map<string, string>();
  writeFileSync(path, Uint8Array.from(samples.flatMap(({ bytes }) => [...bytes])));
  const text = execFileSync(
    OBJDUMP,
    ["-D", "-z", "-b", "binary", "-m", "riscv:rv64", "-M", "no-aliases", path],
    { encoding: "utf8", maxBuffer: OUTPUT_LIMIT },
  );
  const byAddress = new Map<number, string>();
  for (const line of text.split("\n")) {
    const found = /^\s*([0-9a-f]+):\t[0-9a-f ]+\t(.*)$/.exec(line);
    if (found === null) continue;
    const [, address = "", spelling = ""] = found;
    byAddress.set(
      Number.parseInt(address, 16),
      spelling
        .replace(/\s*[#<].*$/, "")
        .replace("\t", " ")
        .trim(),
    );
  }
  let at = 0;
  for (const { name, bytes } of samples) {
    spelled.set(name, `${spelled.get(name) ?? ""}${byAddress.get(at) ?? "?"}\n`);
    at += bytes.length;
  }
  return spelled;
}

function generate(): Golden {
  const suites: Golden["suites"] = {};
  for (const { name, program } of buildSuites()) {
    console.log(`${name}: ${program.sections.length} sections, ${program.outputBytes} bytes`);
    suites[name] = sectionDigests(program, runInQemu(program));
  }
  const disassembly: Record<string, string> = {};
  for (const [name, text] of disassembleSamples()) disassembly[name] = digest(new TextEncoder().encode(text));
  return { qemu: firstLine(QEMU), objdump: firstLine(OBJDUMP), seed: SEED, suites, disassembly };
}

function show(wanted: string): void {
  for (const { name, program } of buildSuites()) {
    const expected = runInQemu(program);
    const actual = runHere(program);
    for (const section of program.sections) {
      if (!`${name} ${section.name}`.includes(wanted)) continue;
      const want = new BigUint64Array(expected.slice(section.start, section.end).buffer);
      const have = new BigUint64Array(actual.slice(section.start, section.end).buffer);
      let shown = 0;
      want.forEach((word, index) => {
        if (word === have[index] || shown++ >= 8) return;
        console.log(
          `${name} / ${section.name} word ${index}: qemu ${word.toString(16)}, here ${have[index]?.toString(16)}`,
        );
      });
      if (shown > 8) console.log(`${name} / ${section.name}: ${shown} of ${want.length} words differ`);
    }
  }
  const ours = new Map<string, string>();
  for (const sample of disassemblySamples()) {
    ours.set(sample.name, `${ours.get(sample.name) ?? ""}${sample.spelling}\n`);
  }
  for (const [name, text] of disassembleSamples()) {
    if (!`disassembly ${name}`.includes(wanted)) continue;
    const have = (ours.get(name) ?? "").split("\n");
    const differences = text.split("\n").flatMap((line, i) => (line === have[i] ? [] : [[line, have[i]]]));
    for (const [want, mine] of differences.slice(0, 4))
      console.log(`${name}: objdump «${want}», here «${mine}»`);
  }
}

try {
  const [mode, name] = process.argv.slice(2);
  if (mode === "--show") show(name ?? "");
  else {
    const golden = generate();
    if (mode === "--check") {
      const stored = JSON.parse(readFileSync(GOLDEN_URL, "utf8")) as Golden;
      const same = JSON.stringify(stored) === JSON.stringify(golden);
      console.log(same ? "the golden answers are current" : "the golden answers differ");
      process.exitCode = same ? 0 : 1;
    } else writeFileSync(GOLDEN_URL, `${JSON.stringify(golden, undefined, 1)}\n`);
  }
} finally {
  rmSync(folder, { recursive: true });
}
