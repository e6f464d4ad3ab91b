/** Makes OpenPGP keys and signatures for tests: what `gpg` would do, and the mistakes it would not make. */

import { createHash, generateKeyPairSync, sign } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { crc24 } from "../../src/image/openpgp-packet.ts";

export interface SignOptions {
  /** Seconds since 1970. */
  created: number;
  expiresAfter?: number;
  hash?: "sha1" | "sha256" | "sha512";
  /** Default 1 (text). */
  type?: number;
}

export interface TestKey {
  armored: string;
  fingerprint: string;
  /** Fingerprint of the key that signs: the subkey's where there is one. */
  signer: string;
  /** A cleartext-signed message over `text`. */
  clearsign(text: string, options: SignOptions): string;
  /** The signature packet alone. */
  signature(text: string, options: SignOptions): Buffer;
}

export interface KeyOptions {
  algorithm?: "rsa" | "ed25519" | "eddsa";
  created: number;
  expiresAfter?: number;
  /** The primary certifies only, and a subkey signs. */
  subkey?: { expiresAfter?: number; revoked?: boolean; withoutBackSignature?: boolean };
  revoked?: boolean;
}

const hashIds = { sha1: 2, sha256: 8, sha512: 10 } as const;

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function u16(value: number): Buffer {
  return Buffer.from([value >>> 8, value & 0xff]);
}

function mpi(bytes: Uint8Array): Buffer {
  let start = 0;
  while (start < bytes.length && bytes[start] === 0) start++;
  const rest = Buffer.from(bytes.subarray(start));
  return Buffer.concat([
    u16(rest.length === 0 ? 0 : (rest.length - 1) * 8 + 32 - Math.clz32(rest[0] ?? 0)),
    rest,
  ]);
}

export function packet(tag: number, body: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([0xc0 | tag, 0xff]), u32(body.length), body]);
}

export function armor(title: string, bytes: Uint8Array): string {
  const base64 = Buffer.from(bytes)
    .toString("base64")
    .replace(/.{64}(?=.)/g, "$&\n");
  const check = Buffer.alloc(3);
  check.writeUIntBE(crc24(bytes), 0, 3);
  return `-----BEGIN PGP ${title}-----\n\n${base64}\n=${check.toString("base64")}\n-----END PGP ${title}-----\n`;
}

interface Pair {
  body: Buffer;
  fingerprint: string;
  algorithm: number;
  privateKey: KeyObject;
}

function makePair(algorithm: "rsa" | "ed25519" | "eddsa", created: number): Pair {
  let numbers: Buffer;
  let id: number;
  let privateKey: KeyObject;
  if (algorithm === "rsa") {
    const pair = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const { n, e } = pair.publicKey.export({ format: "jwk" });
    numbers = Buffer.concat([mpi(Buffer.from(n ?? "", "base64url")), mpi(Buffer.from(e ?? "", "base64url"))]);
    privateKey = pair.privateKey;
    id = 1;
  } else {
    const pair = generateKeyPairSync("ed25519");
    const point = Buffer.from(pair.publicKey.export({ format: "jwk" }).x ?? "", "base64url");
    privateKey = pair.privateKey;
    id = algorithm === "eddsa" ? 22 : 27;
    const oid = Buffer.from("2b06010401da470f01", "hex");
    numbers =
      id === 27
        ? point
        : Buffer.concat([Buffer.from([oid.length]), oid, mpi(Buffer.concat([Buffer.from([0x40]), point]))]);
  }
  const body = Buffer.concat([Buffer.from([4]), u32(created), Buffer.from([id]), numbers]);
  return { body, algorithm: id, privateKey, fingerprint: fingerprint(body) };
}

function fingerprint(body: Buffer): string {
  return createHash("sha1").update(material(body)).digest("hex").toUpperCase();
}

function material(body: Buffer): Buffer {
  return Buffer.concat([Buffer.from([0x99]), u16(body.length), body]);
}

function subpacket(type: number, content: Uint8Array): Buffer {
  const length = content.length + 1;
  const head = length < 192 ? Buffer.from([length]) : Buffer.concat([Buffer.from([255]), u32(length)]);
  return Buffer.concat([head, Buffer.from([type]), content]);
}

function signatureBody(
  pair: Pair,
  type: number,
  hash: keyof typeof hashIds,
  signed: Uint8Array,
  subpackets: Buffer[],
): Buffer {
  const hashed = Buffer.concat([
    subpacket(33, Buffer.concat([Buffer.from([4]), Buffer.from(pair.fingerprint, "hex")])),
    ...subpackets,
  ]);
  const head = Buffer.concat([
    Buffer.from([4, type, pair.algorithm, hashIds[hash]]),
    u16(hashed.length),
    hashed,
  ]);
  const all = Buffer.concat([signed, head, Buffer.from([4, 0xff]), u32(head.length)]);
  const digest = createHash(hash).update(all).digest();
  let numbers: Buffer;
  if (pair.algorithm === 1) {
    numbers = mpi(sign(hash, all, pair.privateKey));
  } else {
    const raw = sign(null, digest, pair.privateKey);
    numbers = pair.algorithm === 27 ? raw : Buffer.concat([mpi(raw.subarray(0, 32)), mpi(raw.subarray(32))]);
  }
  const unhashed = subpacket(16, Buffer.from(pair.fingerprint.slice(-16), "hex"));
  return Buffer.concat([head, u16(unhashed.length), unhashed, digest.subarray(0, 2), numbers]);
}

/** A fresh key. */
export function makeKey(options: KeyOptions): TestKey {
  const { created, algorithm = "ed25519" } = options;
  const primary = makePair(algorithm, created);
  const userId = Buffer.from("Test Archive Key <test@example.invalid>");
  const userIdMaterial = Buffer.concat([Buffer.from([0xb4]), u32(userId.length), userId]);
  const flags = options.subkey === undefined ? 0x03 : 0x01;
  const times = [subpacket(2, u32(created))];
  const expiry = (after: number | undefined): Buffer[] =>
    after === undefined ? [] : [subpacket(9, u32(after))];
  const self = signatureBody(
    primary,
    0x13,
    "sha256",
    Buffer.concat([material(primary.body), userIdMaterial]),
    [...times, subpacket(27, Buffer.from([flags])), ...expiry(options.expiresAfter)],
  );
  const packets = [packet(6, primary.body)];
  if (options.revoked === true) {
    packets.push(
      packet(
        2,
        signatureBody(primary, 0x20, "sha256", material(primary.body), [
          ...times,
          subpacket(29, Buffer.from([2])),
        ]),
      ),
    );
  }
  packets.push(packet(13, userId), packet(2, self));
  let signer = primary;
  if (options.subkey !== undefined) {
    signer = makePair(algorithm, created);
    const both = Buffer.concat([material(primary.body), material(signer.body)]);
    const back = signatureBody(signer, 0x19, "sha256", both, times);
    packets.push(packet(14, signer.body));
    if (options.subkey.revoked === true)
      packets.push(packet(2, signatureBody(primary, 0x28, "sha256", both, times)));
    packets.push(
      packet(
        2,
        signatureBody(primary, 0x18, "sha256", both, [
          ...times,
          subpacket(27, Buffer.from([0x02])),
          ...expiry(options.subkey.expiresAfter),
          ...(options.subkey.withoutBackSignature === true ? [] : [subpacket(32, back)]),
        ]),
      ),
    );
  }
  const signature = (text: string, o: SignOptions): Buffer => {
    const canonical = Buffer.from(
      text
        .replace(/\n$/, "")
        .split("\n")
        .map((line) => line.replace(/[ \t]+$/, ""))
        .join("\r\n"),
    );
    return packet(
      2,
      signatureBody(signer, o.type ?? 1, o.hash ?? "sha256", canonical, [
        subpacket(2, u32(o.created)),
        ...(o.expiresAfter === undefined ? [] : [subpacket(3, u32(o.expiresAfter))]),
      ]),
    );
  };
  return {
    armored: armor("PUBLIC KEY BLOCK", Buffer.concat(packets)),
    fingerprint: primary.fingerprint,
    signer: signer.fingerprint,
    signature,
    clearsign: (text, o) => frame(text, [signature(text, o)]),
  };
}

/** The cleartext signature framework around `text` with these signature packets. */
export function frame(text: string, signatures: Uint8Array[]): string {
  const escaped = text.replace(/^-/gm, "- -");
  return `-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n${escaped.replace(/\n$/, "")}\n${armor("SIGNATURE", Buffer.concat(signatures))}`;
}
