/** Debian's programs with the region translator: what they print is what tier 0 alone makes them print. */
import assert from "node:assert/strict";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { cacheDirectory } from "../../src/image/cache.ts";
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

const LOOP = "i=0; while ((i < 60000)); do ((i += 1)); done; echo $i";

test("what a machine has translated serves the next, whatever the file has suffered", {
  skip,
  timeout: 300_000,
}, async (t) => {
  // A cache of its own, whose images are those of the real one.
  const real = cacheDirectory();
  const own = mkdtempSync(path.join(tmpdir(), "coppice-cache-"));
  for (const folder of ["images", "names"]) symlinkSync(path.join(real, folder), path.join(own, folder));
  const before = process.env["COPPICE_CACHE"];
  process.env["COPPICE_CACHE"] = own;
  t.after(() => {
    if (before === undefined) delete process.env["COPPICE_CACHE"];
    else process.env["COPPICE_CACHE"] = before;
    rmSync(own, { recursive: true, force: true });
  });
  const folder = path.join(own, "translations");
  const run = async (keepTranslations: boolean): Promise<string> => {
    await using machine = await boot({ image: "debian", keepTranslations });
    return (await machine.exec(["bash", "-c", LOOP])).stdout;
  };
  assert.equal(await run(false), "60000\n");
  assert.ok(!existsSync(folder));
  assert.equal(await run(true), "60000\n");
  const names = readdirSync(folder);
  assert.equal(names.length, 1);
  const file = path.join(folder, names[0]!);
  const { size } = statSync(file);
  assert.ok(size > 1000, "regions are kept");
  assert.equal(await run(true), "60000\n");
  const added = statSync(file).size - size;
  assert.ok(added < size / 2, `${size} bytes at first, and ${added} more: most regions are not made again`);
  const damaged = readFileSync(file);
  damaged[100]! ^= 1;
  writeFileSync(file, damaged);
  assert.equal(await run(true), "60000\n");
  assert.ok(statSync(file).size > 1000);
});
