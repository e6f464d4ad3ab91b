/** Debian's bash, with servers in their callers' threads and in threads of their own: the same output. */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { BootOptions } from "../../src/machine/api.ts";
import { boot } from "../../src/machine/boot.ts";
import { missingImage, PRINTED, WORKLOAD } from "./debian.ts";

const skip = await missingImage();

const placements: readonly NonNullable<BootOptions["placement"]>[] = [
  {},
  { pipe: "worker" },
  { auth: "worker" },
  { pipe: "worker", auth: "worker" },
  { vfs: "worker", tty: "worker", pipe: "worker", auth: "worker" },
];

for (const placement of placements) {
  const workers = Object.keys(placement);
  const name = workers.length === 0 ? "in their callers" : `${workers.join(", ")} in threads of their own`;
  test(`bash with its servers ${name}`, { skip, timeout: 120_000 }, async () => {
    await using machine = await boot({ image: "debian", placement });
    const { stdout, stderr, exitCode } = await machine.exec(["bash", "-c", WORKLOAD]);
    assert.deepEqual({ stdout, stderr, exitCode }, { stdout: PRINTED, stderr: "", exitCode: 0 });
    const { counters } = machine.timing();
    for (const server of ["pipe", "auth"]) {
      const served = counters[`calls of ${server}`] ?? 0;
      assert.equal(
        served > 0,
        server in placement,
        `calls that the thread of ${server} has taken: ${served}`,
      );
    }
    assert.equal(counters["crashes survived"], 0);
  });
}

test("a server that does not exist, and a place that does not, are refused", { skip }, async () => {
  const refuse = (placement: object, message: RegExp): Promise<void> =>
    assert.rejects(boot({ image: "debian", placement: placement as never }), message);
  await refuse({ pipes: "worker" }, /there is no server "pipes"/);
  await refuse({ pipe: "thread" }, /"thread" is not a placement/);
});
