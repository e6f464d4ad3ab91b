/** Every guest program in Coppice, against the verdicts of Debian's riscv64 kernel. */

import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { suite, test } from "node:test";
import { coppiceRunner } from "../../tools/oracle/coppice.ts";
import { IMAGE, whyNoImage } from "../machine/image.ts";
import { guestPrograms } from "./manifest.ts";

const bin = path.join(import.meta.dirname, "bin");
const expected = (name: string): string => path.join(import.meta.dirname, "expected", `${name}.txt`);

test("every program is built and has its verdicts, all of them good", () => {
  for (const { name, program } of guestPrograms) {
    assert.ok(existsSync(path.join(bin, program)), `${program} is built: run test/guest/build.sh`);
    assert.doesNotMatch(readFileSync(expected(name), "utf8"), /^FAIL/m);
  }
  const known = new Set(guestPrograms.map(({ program }) => program));
  assert.deepEqual(
    readdirSync(bin).filter((program) => !known.has(program)),
    [],
  );
});

/** Programs that are known not to pass yet, with the reason. They run all the same. */
const KNOWN: { readonly [name: string]: string } = {};

const reason = await whyNoImage();

suite("guest programs", { skip: reason ?? false, concurrency: 2 }, () => {
  const runner = coppiceRunner(IMAGE);
  for (const { name, program, args = [], user = "root", exitCode } of guestPrograms) {
    test(name, { todo: KNOWN[name] ?? false }, async () => {
      const outcome = await runner.run({
        argv: [`/guest/${program}`, ...args],
        env: {},
        cwd: "/tmp",
        user,
        stdin: "",
        mounts: [{ host: bin, guest: "/guest", readOnly: true }],
        timeoutMs: 120_000,
      });
      assert.equal(outcome.stdout, readFileSync(expected(name), "utf8"));
      assert.equal(outcome.stderr, "");
      assert.equal(outcome.exitCode, exitCode);
    });
  }
});
