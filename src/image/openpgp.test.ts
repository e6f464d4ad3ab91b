import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import * as fc from "fast-check";
import { frame, makeKey } from "../../test/image/openpgp-writer.ts";
import type { KeyOptions, SignOptions } from "../../test/image/openpgp-writer.ts";
import { debianKeys } from "./debian-keys.ts";
import { OpenPgpError } from "./openpgp-packet.ts";
import { readKeys, verifyCleartext } from "./openpgp-verify.ts";
import type { SignatureFault } from "./openpgp-verify.ts";

const now = 1_767_225_600;
const day = 86_400;
const message = "Origin: Debian\nSuite: stable\n- dashed\n-- two\ntrailing blanks  \t\n\nlast line\n";
const signedForm = "Origin: Debian\nSuite: stable\n- dashed\n-- two\ntrailing blanks\n\nlast line\n";

function check(
  key: KeyOptions,
  sign: Partial<SignOptions> = {},
  at: number = now,
): SignatureFault | undefined {
  const made = makeKey(key);
  const text = made.clearsign(message, { created: now - day, ...sign });
  const { results, text: verified } = verifyCleartext(Buffer.from(text), readOrNone(made.armored), at);
  assert.equal(results.length, 1);
  assert.equal(verified.toString(), signedForm);
  return results[0]?.fault;
}

function readOrNone(armored: string): ReturnType<typeof readKeys> {
  try {
    return readKeys(armored);
  } catch (error) {
    if (error instanceof OpenPgpError) return [];
    throw error;
  }
}

const created = now - 10 * day;

test("each kind of key and digest verifies", () => {
  for (const algorithm of ["rsa", "ed25519", "eddsa"] as const) {
    assert.equal(check({ algorithm, created }), undefined, algorithm);
    assert.equal(
      check({ algorithm, created, subkey: {} }, { hash: "sha512" }),
      undefined,
      `${algorithm} subkey`,
    );
  }
  assert.equal(check({ created }, { type: 0 }), undefined);
});

test("keys and signatures count in their time only", () => {
  assert.equal(check({ created, expiresAfter: 9 * day }), "key expired");
  assert.equal(check({ created, expiresAfter: 11 * day }), undefined);
  assert.equal(check({ created, expiresAfter: 9 * day, subkey: {} }), "key expired");
  assert.equal(check({ created, subkey: { expiresAfter: 9 * day } }), "key expired");
  assert.equal(check({ created }, { expiresAfter: day - 1 }), "signature expired");
  assert.equal(check({ created }, { expiresAfter: day + 1 }), undefined);
  assert.equal(check({ created }, { created: now + day }), "signature from the future");
  assert.equal(check({ created }, { created: now + 60 }), undefined);
  assert.equal(check({ created }, { created: created - 1 }), "does not verify");
});

test("revoked and misused keys do not count", () => {
  assert.equal(check({ created, revoked: true }), "key revoked");
  assert.equal(check({ created, revoked: true, subkey: {} }), "key revoked");
  assert.equal(check({ created, subkey: { revoked: true } }), "key revoked");
  assert.equal(check({ created, subkey: { withoutBackSignature: true } }), "unknown key");
  assert.equal(check({ created }, { hash: "sha1" }), "weak hash");
  assert.equal(check({ created }, { type: 0x40 }), "unsupported");
});

test("another key's signature does not count, one trusted among several does", () => {
  const trusted = makeKey({ created });
  const other = makeKey({ created });
  const options = { created: now - day };
  const foreign = verifyCleartext(
    Buffer.from(other.clearsign(message, options)),
    readKeys(trusted.armored),
    now,
  );
  assert.deepEqual(
    foreign.results.map(({ fault }) => fault),
    ["unknown key"],
  );
  const both = frame(message, [other.signature(message, options), trusted.signature(message, options)]);
  const mixed = verifyCleartext(Buffer.from(both), readKeys(trusted.armored), now);
  assert.deepEqual(
    mixed.results.map(({ fault }) => fault),
    ["unknown key", undefined],
  );
  assert.equal(mixed.results[1]?.issuer, trusted.fingerprint);
});

test("changed text does not verify; text outside the frame is refused", () => {
  const key = makeKey({ created });
  const keys = readKeys(key.armored);
  const good = key.clearsign(message, { created: now - day });
  const verify = (text: string): ReturnType<typeof verifyCleartext> =>
    verifyCleartext(Buffer.from(text), keys, now);
  assert.equal(verify(good).results[0]?.fault, undefined);
  assert.equal(verify(good.replaceAll("\n", "\r\n")).results[0]?.fault, undefined);
  assert.equal(verify(good.replace("stable", "stable2")).results[0]?.fault, "does not verify");
  assert.equal(verify(good.replace("last line\n", "last line\n\n")).results[0]?.fault, "does not verify");
  const refused: [string, RegExp][] = [
    [`Origin: Evil\n${good}`, /not a signed message/],
    [`${good}Origin: Evil\n`, /follows/],
    [good.replace("Hash: SHA256\n", "Hash: SHA256\nOrigin: Evil\n"), /unexpected header/],
    [good.replace("- - dashed", "-dashed"), /not escaped/],
    [good.replace("-----END PGP SIGNATURE-----", ""), /not closed/],
    [good.replace(/-----BEGIN PGP SIGNATURE[^]*/, ""), /no signature/],
    [good.replace(/^=.{4}$/m, "=AAAA"), /checksum/],
    ["", /not a signed message/],
  ];
  for (const [text, pattern] of refused) {
    assert.throws(
      () => verify(text),
      (error) => error instanceof OpenPgpError && pattern.test(error.message),
      text,
    );
  }
});

test("no change of a bit makes a signature count for other text, or throws anything but OpenPgpError", () => {
  const key = makeKey({ created, subkey: {} });
  const keys = readKeys(key.armored);
  const good = Buffer.from(key.clearsign(message, { created: now - day }));
  const expected = verifyCleartext(good, keys, now).text.toString();
  fc.assert(
    fc.property(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const copy = Buffer.from(good);
      copy[at] = (copy[at] ?? 0) ^ flip;
      try {
        const { text, results } = verifyCleartext(copy, keys, now);
        if (results.some(({ fault }) => fault === undefined)) assert.equal(text.toString(), expected);
      } catch (error) {
        assert(error instanceof OpenPgpError, String(error));
      }
    }),
    { numRuns: 600 },
  );
});

test("damaged keys give OpenPgpError or no key, and never a new one", () => {
  const key = makeKey({ created, subkey: {} });
  const fingerprints = new Set(readKeys(key.armored).map((k) => k.fingerprint));
  const lines = key.armored.split("\n");
  const raw = Buffer.from(lines.slice(2, -3).join(""), "base64");
  fc.assert(
    fc.property(fc.nat(raw.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const copy = Buffer.from(raw);
      copy[at] = (copy[at] ?? 0) ^ flip;
      const text = `${lines[0]}\n\n${copy.toString("base64")}\n${lines.at(-2)}\n`;
      for (const found of readOrNone(text)) assert(fingerprints.has(found.fingerprint));
    }),
    { numRuns: 400 },
  );
});

test("the committed keys are the ones that their fingerprints name", () => {
  for (const { armor, fingerprint, file } of debianKeys) {
    const keys = readKeys(armor);
    assert(
      keys.every((key) => key.primaryFingerprint === fingerprint),
      file,
    );
    assert(
      keys.every((key) => !key.revoked && key.expires > now && key.userId.includes("Debian")),
      file,
    );
  }
  assert.equal(new Set(debianKeys.map(({ fingerprint }) => fingerprint)).size, 6);
  assert.equal(createHash("sha256").update("").digest("hex").length, 64);
});
