/** Debian's programs with the region translator: what they print is what tier 0 alone makes them print. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { boot } from "../../src/machine/boot.ts";
import { missingImage } from "./debian.ts";

const skip = await missingImage();

const SCRIPTS: readonly string[] = [
  "i=0; while ((i < 3000)); do ((i++)); done; echo $i",
  "for i in $(seq 60); do (echo $((i * i))) & done | sort -n | md5sum; wait",
  "seq 1 20000 | sort -rn | md5sum",
  "awk 'BEGIN { for (i = 1; i < 20000; i++) s += sqrt(i) / 3; printf \"%.9f\\n\", s }'",
  "trap 'echo caught' USR1; kill -USR1 $$; printf '%s\\n' {1..300} | grep -c 7",
];

test("scripts print the same with and without the translator", { skip, timeout: 300_000 }, async () => {
  const outputs: string[][] = [];
  for (const translate of [false, true]) {
    await using machine = await boot({ image: "debian", translate });
    const texts: string[] = [];
    // Twice: the second time with regions from the beginning.
    for (const script of [...SCRIPTS, ...SCRIPTS]) {
      const { stdout, stderr, exitCode } = await machine.exec(["bash", "-c", script]);
      texts.push(`${exitCode} ${stdout}${stderr}`);
    }
    outputs.push(texts);
  }
  assert.deepEqual(outputs[1], outputs[0]);
  assert.match(outputs[0]![0]!, /^0 3000$/m);
});
