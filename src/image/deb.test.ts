import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { arArchive, makeDeb, tarArchive, tarMember } from "../../test/image/synthetic-mirror.ts";
import { DebError, readAr, readDeb } from "./deb.ts";
import { CompressionError, decompress } from "./decompress.ts";
import { TarError, readTar } from "./tar.ts";

/** "coppice\n" 2000 times, compressed by `xz -9e`. */
const xzSample =
  "/Td6WFoAAATm1rRGAgAhARwAAAAQz1jM4D5/AD5dADGbynn23iQ91fdsp8lRIWmsMbk7wyF5NzkNplctbyTDRX3WC+5Md0uaGUHET9WgBFWUaOt/UbJCMzexwMUAAAAAAu2KrhG7L0QAAVqAfQAAAJ8380axxGf7AgAAAAAEWVo=";

function pax(records: Record<string, string>): Buffer {
  let text = "";
  for (const [key, value] of Object.entries(records)) {
    const rest = ` ${key}=${value}\n`;
    let length = rest.length;
    while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
    text += length + rest;
  }
  const member = tarMember({ path: "pax", data: Buffer.from(text, "latin1") });
  return retype(member, "x");
}

/** The same member with another type; the checksum follows. */
function retype(member: Buffer, type: string): Buffer {
  const copy = Buffer.from(member);
  copy.write(type, 156, "latin1");
  return checksummed(copy);
}

function checksummed(member: Buffer): Buffer {
  member.write("        ", 148, "latin1");
  const sum = member.subarray(0, 512).reduce((a, b) => a + b, 0);
  member.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return member;
}

test("tar: every kind of member, with owner, mode and time", () => {
  const archive = tarArchive([
    { path: "./", type: "5", mode: 0o1777 },
    { path: "./a/file", data: "content", mode: 0o4755, uid: 7, gid: 8, mtime: 1234 },
    { path: "./a/hard", type: "1", link: "./a/file" },
    { path: "./a/soft", type: "2", link: "../x" },
    { path: "./dev/null", type: "3", major: 1, minor: 3 },
    { path: "./dev/sda", type: "4", major: 8, minor: 300 },
    { path: "./pipe", type: "6" },
  ]);
  const entries = readTar(archive);
  assert.deepEqual(
    entries.map(({ path, kind, link, major, minor }) => [path, kind, link, major, minor]),
    [
      ["", "directory", "", 0, 0],
      ["a/file", "file", "", 0, 0],
      ["a/hard", "hardlink", "a/file", 0, 0],
      ["a/soft", "symlink", "../x", 0, 0],
      ["dev/null", "character", "", 1, 3],
      ["dev/sda", "block", "", 8, 300],
      ["pipe", "fifo", "", 0, 0],
    ],
  );
  const file = entries[1];
  assert(file !== undefined);
  assert.deepEqual([file.mode, file.uid, file.gid, file.mtimeSeconds], [0o4755, 7, 8, 1234]);
  assert.equal(archive.toString("latin1", file.offset, file.offset + file.size), "content");
});

test("tar: long names of GNU and pax, pax times, sizes and capabilities, prefixes, base 256", () => {
  const long = `deep/${"x".repeat(180)}/end`;
  const gnu = [
    retype(tarMember({ path: "././@LongLink", data: `${long}\0` }), "L"),
    { path: "short", data: "1" },
  ];
  const gnuLink = [
    retype(tarMember({ path: "././@LongLink", data: `${long}\0` }), "K"),
    { path: "s", type: "2" as const },
  ];
  assert.equal(readTar(tarArchive(gnu))[0]?.path, long);
  assert.equal(readTar(tarArchive(gnuLink))[0]?.link, long);

  const records = {
    path: long,
    mtime: "12.5",
    uid: "3000000",
    "SCHILY.xattr.security.capability": "\u0001\u0000=\n",
  };
  const [entry] = readTar(tarArchive([pax(records), { path: "x", data: "1" }]));
  assert.deepEqual(
    [entry?.path, entry?.mtimeSeconds, entry?.mtimeNanoseconds, entry?.uid],
    [long, 12, 500_000_000, 3_000_000],
  );
  assert.deepEqual([...(entry?.xattrs?.get("security.capability") ?? [])], [1, 0, 61, 10]);
  assert.deepEqual(
    readTar(tarArchive([pax({ mtime: "-1.25" }), { path: "x" }])).map((e) => [
      e.mtimeSeconds,
      e.mtimeNanoseconds,
    ]),
    [[-2, 750_000_000]],
  );

  const prefixed = tarMember({ path: "name" });
  prefixed.write("some/prefix", 345, "latin1");
  assert.equal(readTar(tarArchive([checksummed(prefixed)]))[0]?.path, "some/prefix/name");
  const big = tarMember({ path: "n" });
  Buffer.from([0x80, 0, 0, 0, 0, 0x2d, 0xc6, 0xc0]).copy(big, 108);
  assert.equal(readTar(tarArchive([checksummed(big)]))[0]?.uid, 3_000_000);
});

test("tar: archives that lead outside or are broken", () => {
  const bad: [Buffer, RegExp][] = [
    [tarArchive([{ path: "../etc/passwd", data: "x" }]), /out of the archive/],
    [tarArchive([{ path: "a/../../b", data: "x" }]), /out of the archive/],
    [tarArchive([{ path: "h", type: "1", link: "../x" }]), /out of the archive/],
    [tarArchive([{ path: "./", data: "x" }]).subarray(0, 700), /ends in the middle/],
    [Buffer.alloc(100), /ends in the middle/],
    [tarArchive([retype(tarMember({ path: "x" }), "S")]), /unknown type/],
    [tarArchive([pax({ "GNU.sparse.major": "1" }), { path: "x" }]), /sparse/],
    [tarArchive([retype(tarMember({ path: "p", data: "nonsense" }), "x"), { path: "x" }]), /pax/],
  ];
  for (const [archive, pattern] of bad) {
    assert.throws(
      () => readTar(archive),
      (error) => error instanceof TarError && pattern.test(error.message),
    );
  }
  const damaged = tarArchive([{ path: "x", data: "1" }]);
  damaged[3] = 65;
  assert.throws(() => readTar(damaged), /damaged header/);
});

test("tar: no change of bytes gives anything but entries inside the archive or TarError", () => {
  const good = tarArchive([
    pax({ path: "p/q", mtime: "3.5" }),
    { path: "x", data: "12345" },
    { path: "l", type: "2", link: "t" },
  ]);
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 5 }),
      (damage) => {
        const copy = Buffer.from(good);
        for (const [at, value] of damage) copy[at] = value;
        // Checksums are made right again, so that the damage reaches the fields.
        for (const at of [0, 1024, 2048]) checksummed(copy.subarray(at, at + 512));
        try {
          for (const entry of readTar(copy)) {
            assert(entry.offset + entry.size <= copy.length);
            assert(!entry.path.split("/").includes(".."));
          }
        } catch (error) {
          assert(error instanceof TarError, String(error));
        }
      },
    ),
    { numRuns: 1500 },
  );
});

test("deb: each compression, and scripts with their modes", async () => {
  for (const compression of ["none", "gz", "zst"] as const) {
    const deb = await readDeb(
      makeDeb({
        name: "p",
        control: { postinst: "#!/bin/sh\n" },
        files: [{ path: "./f", data: "data" }],
        compression,
      }),
    );
    assert.equal(
      Buffer.from(deb.control.get("control") ?? "")
        .toString()
        .split("\n")[0],
      "Package: p",
    );
    assert.equal(deb.controlModes.get("postinst"), 0o755);
    const [entry] = deb.entries;
    assert(entry !== undefined);
    assert.equal(Buffer.from(deb.data.subarray(entry.offset, entry.offset + entry.size)).toString(), "data");
  }
});

test("deb: damage of every part is a DebError", async () => {
  const good = makeDeb({ name: "p" });
  const members = readAr(good);
  const rebuilt = (change: (name: string, content: Uint8Array) => [string, Uint8Array] | undefined): Buffer =>
    arArchive(members.map((m) => change(m.name, m.content)).filter((m) => m !== undefined));
  const bad: [Buffer, RegExp][] = [
    [Buffer.from("not a package"), /not an ar archive/],
    [good.subarray(0, good.length - 10), /middle of a member/],
    [rebuilt((n, c) => (n.startsWith("data") ? undefined : [n, c])), /no data.tar/],
    [rebuilt((n, c) => [n.startsWith("data") ? "data.tar.bz2" : n, c]), /not supported/],
    [rebuilt((n, c) => [n, n === "debian-binary" ? Buffer.from("3.0\n") : c]), /format 2/],
    [rebuilt((n, c) => [n, n.startsWith("data") ? c.subarray(0, c.length - 9) : c]), /damaged gzip/],
    [rebuilt((n, c) => [n.startsWith("data") ? "data.tar.xz" : n, c]), /damaged xz/],
    [rebuilt((n, c) => [n.startsWith("data") ? "data.tar.zst" : n, c]), /damaged zstd/],
  ];
  for (const [file, pattern] of bad) {
    await assert.rejects(
      readDeb(file),
      (error) => error instanceof DebError && pattern.test(error.message),
      String(pattern),
    );
  }
});

test("xz: whole, truncated anywhere, damaged, and beyond the limit", async () => {
  const sample = Buffer.from(xzSample, "base64");
  const whole = await decompress(sample, "xz", 100_000);
  assert.equal(Buffer.from(whole).toString(), "coppice\n".repeat(2000));
  for (let length = 0; length < sample.length; length += 7) {
    await assert.rejects(
      decompress(sample.subarray(0, length), "xz", 100_000),
      CompressionError,
      `${length} bytes`,
    );
  }
  // The library checks the headers' CRC-32 but not a CRC-64 of the content; every file is checked by its
  // SHA-256 before it gets here.
  const damaged = Buffer.from(sample);
  damaged[8] = (damaged[8] ?? 0) ^ 0xff;
  await assert.rejects(decompress(damaged, "xz", 100_000), CompressionError);
  await assert.rejects(decompress(sample, "xz", 1000), /more than 1000 bytes/);
  assert.equal((await decompress(sample, "xz", 100_000)).length, 16_000);
});
