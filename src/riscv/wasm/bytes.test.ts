import assert from "node:assert/strict";
import { test } from "node:test";
import { ByteWriter } from "./bytes.ts";

/** A LEB128 number read back, by the specification's recursive definition (5.2.2). */
function read(bytes: Uint8Array, signed: boolean): bigint {
  let value = 0n;
  bytes.forEach((byte, i) => {
    value |= BigInt(byte & 0x7f) << BigInt(7 * i);
    assert.equal(byte >= 0x80, i < bytes.length - 1, "all but the last byte go on");
  });
  return signed ? BigInt.asIntN(7 * bytes.length, value) : value;
}

function written(write: (to: ByteWriter) => void): Uint8Array {
  const writer = new ByteWriter(1);
  write(writer);
  return writer.copy();
}

test("numbers are written as LEB128, in as few bytes as can be", () => {
  const edges = [0n];
  for (let bit = 0n; bit < 64n; bit++) for (const near of [-1n, 0n, 1n]) edges.push((1n << bit) + near);
  for (const edge of edges.flatMap((value) => [value, -value])) {
    const value = BigInt.asIntN(64, edge);
    const bytes = written((to) => to.signed64(value));
    assert.equal(read(bytes, true), value);
    if (bytes.length > 1) assert.notEqual(BigInt.asIntN(7 * (bytes.length - 1), value), value);
    if (value >= -(2n ** 53n) && value < 2n ** 53n) {
      assert.deepEqual(
        written((to) => to.signed64(Number(value))),
        bytes,
      );
    }
    if (value === BigInt.asIntN(32, value)) {
      assert.deepEqual(
        written((to) => to.signed32(Number(value))),
        bytes,
      );
    }
    if (value === BigInt.asUintN(32, value)) {
      assert.equal(
        read(
          written((to) => to.unsigned(Number(value))),
          false,
        ),
        value,
      );
    }
  }
});

test("a header may be put before what was written", () => {
  const header = new ByteWriter(2);
  header.byte(1);
  header.byte(2);
  const bytes = written((to) => {
    to.byte(9);
    to.byte(8);
    to.insert(1, header);
  });
  assert.deepEqual([...bytes], [9, 1, 2, 8]);
});
