import assert from "node:assert/strict";
import { test } from "node:test";
import { compareVersions, satisfiesRelation } from "./version.ts";
import type { VersionRelation } from "./version.ts";

/** Pairs in ascending order; many from dpkg's own test suite and from Debian Policy 5.6.12. */
const ascending: [string, string][] = [
  ["1.0~~", "1.0~~a"],
  ["1.0~~a", "1.0~"],
  ["1.0~", "1.0"],
  ["1.0", "1.0a"],
  ["1.0~beta1~svn1245", "1.0~beta1"],
  ["1.0~rc1-1", "1.0-1"],
  ["0:9.9", "1:0.1"],
  ["1:9", "2:1"],
  ["1.2", "1.10"],
  ["1.09", "1.010"],
  ["1.0-1", "1.0-1+b10"],
  ["1.0-1+b9", "1.0-1+b10"],
  ["2.41-12", "2.41-12+deb13u4"],
  ["2.41-12+deb13u4", "2.41-13"],
  ["1.0", "1.0-1"],
  ["1.0-0", "1.0-0.1"],
  ["a", "b"],
  ["1.a", "1.+"],
  ["1A", "1a"],
  ["1z", "1."],
  ["1", "1+"],
  ["7.6-0", "7.6p2-4"],
  ["1.0.3-3", "1.0-1"].reverse() as [string, string],
  ["0.8", "0.11.2"],
  ["1.3.dfsg", "1:1.3.dfsg+really1.3.1"],
  ["9223372036854775807", "9223372036854775808"],
  ["1.2.3-2-1", "1.2.3-2-2"],
];

test("versions sort as Debian Policy says", () => {
  for (const [older, newer] of ascending) {
    assert.equal(Math.sign(compareVersions(older, newer)), -1, `${older} < ${newer}`);
    assert.equal(Math.sign(compareVersions(newer, older)), 1, `${newer} > ${older}`);
    assert.equal(compareVersions(older, older), 0);
  }
  for (const [a, b] of [
    ["1.0", "0:1.0"],
    ["1.0-0", "1.0"],
    ["1.00", "1.0"],
    ["1.0-", "1.0-0"],
    ["01", "1"],
    ["1.001", "1.1"],
  ] as const) {
    assert.equal(compareVersions(a, b), 0, `${a} = ${b}`);
  }
});

test("relations", () => {
  const cases: [string, VersionRelation, string, boolean][] = [
    ["1.0", ">=", "1.0", true],
    ["1.0", ">>", "1.0", false],
    ["1.0~rc1", ">=", "1.0", false],
    ["1.0", "<<", "1.0.1", true],
    ["1.0", "<=", "1.0-0", true],
    ["1.0", "=", "1.0-1", false],
    ["1.0", ">", "1.0", true],
    ["1.0", "<", "1.0", true],
  ];
  for (const [version, relation, wanted, expected] of cases) {
    assert.equal(satisfiesRelation(version, relation, wanted), expected, `${version} ${relation} ${wanted}`);
  }
});
