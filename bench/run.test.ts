import assert from "node:assert/strict";
import { test } from "node:test";
import { measureRow } from "./lib/measure.ts";
import { rows } from "./lib/rows.ts";
import { coppice, openNative, openQemu, type System } from "./lib/systems.ts";
import { line, missingCells } from "./lib/table.ts";
import { runBenchmark } from "./run.ts";

/** A system that prints what the guest programs print, without running them. */
const pretended: System = {
  name: "coppice",
  missing: undefined,
  open: (program) =>
    Promise.resolve({
      run: ([name = "", count = ""]) =>
        Promise.resolve({ stdout: `${name} ${count} 50\n`, stderr: "", wallNs: 50 }),
      close: () => Promise.resolve(),
      program,
    }),
  close: () => Promise.resolve(),
};

test("every row runs on the systems that this host has", async () => {
  const systems = [await openQemu(), await openNative()].filter(({ missing }) => missing === undefined);
  // Rows whose programs come out of an image, or need the host's kernel to be set up, may be missing with a
  // reason; a program that fails or prints nonsense may not.
  const excused = /no image|binfmt_misc|python3 is not installed/;
  const results = await runBenchmark({ effort: "tiny", only: rows, systems });
  assert.equal(results.length, rows.length);
  for (const { row, cells } of results) {
    for (const [system, cell] of cells) {
      if ("missing" in cell) assert.match(cell.missing, excused, `${row.name} on ${system}`);
      else assert.ok(cell.warmNs > 0 && cell.coldNs > 0, `${row.name} on ${system}`);
    }
  }
});

test("rows run on Coppice, if there is an image", async () => {
  const only = rows.filter(({ name }) => ["calls", "null-call", "pipe-byte"].includes(name));
  for (const { row, cells } of await runBenchmark({ effort: "tiny", only, systems: [coppice] })) {
    const cell = cells.get("coppice")!;
    if ("missing" in cell) assert.match(cell.missing, /no image/, row.name);
    else assert.ok(cell.warmNs > 0 && cell.coldNs > 0, row.name);
  }
});

test("ratios and verdicts", async () => {
  const row = rows.find(({ name }) => name === "null-call")!;
  const native: System = { ...pretended, name: "native" };
  const qemu: System = { ...pretended, name: "qemu-user", missing: "not installed" };
  const result = await measureRow(row, [pretended, qemu, native], "tiny");
  assert.match(
    line(result),
    /^null-call +ns +50\.0 +50\.0 +— +— +50\.0 +50\.0 +— +1\.00 × {2}meets ≤ 1 × native$/,
  );
  assert.deepEqual(missingCells([result]), ["qemu-user: not installed (all rows)"]);
});

test("a system that fails says why", async () => {
  const row = rows.find(({ name }) => name === "calls")!;
  const failing: System = {
    ...pretended,
    open: () => Promise.reject(new Error("cannot boot yet: no kernel")),
  };
  const result = await measureRow(row, [failing, { ...pretended, name: "native" }], "tiny");
  assert.deepEqual(missingCells([result]), [
    "coppice: cannot boot yet: no kernel (all rows)",
    "native: calls printed 8 1 50 (all rows)",
  ]);
});
