/**
 * Is this text signed by a key we trust, now? What `gpgv` answers for an InRelease file.
 *
 * A key counts when, and only when:
 *   K1  its newest self-signature over a user id (primary key) or its newest binding signature (subkey)
 *       verifies, and neither the key nor, for a subkey, its primary has expired at `now`;
 *   K2  no verifying revocation signature by the primary stands against it;
 *   K3  its flags allow signing, and a signing subkey has signed its primary in return (RFC 9580 section
 *       5.2.1.9), so that nobody can adopt another's subkey.
 * A signature counts when its digest is SHA-256 or stronger, it was made neither in the future nor before
 * its key, it has not expired, and it verifies. Unknown keys and other people's signatures are skipped; the
 * answer says why nothing counted.
 */

import { createHash, createPublicKey, verify } from "node:crypto";
import {
  OpenPgpError,
  keyAlgorithm,
  packetTag,
  readArmor,
  readPackets,
  readPublicKey,
  readSignature,
} from "./openpgp-packet.ts";
import type { PublicKeyPacket, SignaturePacket } from "./openpgp-packet.ts";

const signatureType = {
  binary: 0x00,
  text: 0x01,
  certificationFirst: 0x10,
  certificationLast: 0x13,
  subkeyBinding: 0x18,
  primaryBinding: 0x19,
  keyRevocation: 0x20,
  subkeyRevocation: 0x28,
} as const;

const flagSign = 0x02;
/** Clocks differ: a signature may be this much ahead of ours. */
const clockSkewSeconds = 300;

/** Hash algorithms that a signature may use. SHA-1 and MD5 are broken and count as no signature. */
const hashNames: ReadonlyMap<number, string> = new Map([
  [8, "sha256"],
  [9, "sha384"],
  [10, "sha512"],
]);

/** A key that may sign, with the time span in which it may. */
export interface SigningKey {
  /** Upper-case hexadecimal, 40 digits. */
  fingerprint: string;
  /** Of the primary key it belongs to; its own for a primary key. */
  primaryFingerprint: string;
  userId: string;
  packet: PublicKeyPacket;
  /** Seconds since 1970; Infinity for never. */
  expires: number;
  revoked: boolean;
}

/** Why a signature does not count. */
export type SignatureFault =
  | "unknown key"
  | "key expired"
  | "key revoked"
  | "signature expired"
  | "signature from the future"
  | "weak hash"
  | "does not verify"
  | "unsupported";

export interface SignatureResult {
  /** Fingerprint or key id of the issuer as far as the signature says. */
  issuer: string;
  userId: string | undefined;
  fault: SignatureFault | undefined;
}

export interface VerifiedText {
  /** The signed text, and nothing that stood outside the signature. */
  text: Buffer;
  results: SignatureResult[];
}

/** Reads armoured public keys, as `gpg --export --armor` writes them; blocks may follow each other. */
export function readKeys(armored: string): SigningKey[] {
  const keys: SigningKey[] = [];
  const lines = armored.replaceAll("\r\n", "\n").split("\n");
  for (let at = 0; at < lines.length; at++) {
    if (!lines[at]?.startsWith("-----BEGIN PGP ")) continue;
    const end = lines.findIndex((line, i) => i > at && line.startsWith("-----END PGP "));
    if (end < 0) throw new OpenPgpError("armour is not closed");
    const armor = readArmor(lines.slice(at, end + 1));
    if (armor.title !== "PUBLIC KEY BLOCK") throw new OpenPgpError(`${armor.title} instead of a public key`);
    keys.push(...readKeyring(armor.bytes));
    at = end;
  }
  if (keys.length === 0) throw new OpenPgpError("no usable public key found");
  return keys;
}

/** Reads binary keys (K1–K3); keys that can never sign are left out. */
export function readKeyring(bytes: Uint8Array): SigningKey[] {
  const packets = readPackets(bytes);
  const keys: SigningKey[] = [];
  let at = 0;
  while (at < packets.length) {
    if (packets[at]?.tag !== packetTag.publicKey) throw new OpenPgpError("a key block must begin with a key");
    let end = at + 1;
    while (end < packets.length && packets[end]?.tag !== packetTag.publicKey) end++;
    keys.push(...readOneKey(packets.slice(at, end)));
    at = end;
  }
  return keys;
}

interface Section {
  tag: number;
  body: Uint8Array;
  signatures: SignaturePacket[];
}

function readOneKey(packets: { tag: number; body: Uint8Array }[]): SigningKey[] {
  const sections: Section[] = [];
  for (const packet of packets) {
    if (packet.tag === packetTag.signature) {
      const signature = attempt(() => readSignature(packet.body));
      if (signature !== undefined) sections.at(-1)?.signatures.push(signature);
    } else if (packet.tag !== packetTag.marker) {
      sections.push({ ...packet, signatures: [] });
    }
  }
  const head = sections[0];
  const primary = head && attempt(() => readPublicKey(head.body));
  if (head === undefined || primary === undefined) return [];
  const primaryFingerprint = fingerprintOf(primary);
  const isRevoked = head.signatures.some(
    (s) => s.type === signatureType.keyRevocation && verifies(primary, s, [keyMaterial(primary.body)]),
  );

  let self: SignaturePacket | undefined;
  let userId = "";
  for (const section of sections) {
    if (section.tag !== packetTag.userId) continue;
    const newest = newestOf(
      section.signatures.filter(
        (s) =>
          s.type >= signatureType.certificationFirst &&
          s.type <= signatureType.certificationLast &&
          isBy(s, primaryFingerprint) &&
          verifies(primary, s, [keyMaterial(primary.body), userIdMaterial(section.body)]),
      ),
    );
    if (newest === undefined || (self !== undefined && self.created >= newest.created)) continue;
    self = newest;
    userId = Buffer.from(section.body).toString("utf8");
  }
  if (self === undefined) return [];
  const primaryExpires = expiry(primary.created, self.keyExpiresAfter);
  const keys: SigningKey[] = [];
  const common = { primaryFingerprint, userId };
  if (self.keyFlags === undefined || (self.keyFlags & flagSign) !== 0) {
    keys.push({
      ...common,
      fingerprint: primaryFingerprint,
      packet: primary,
      expires: primaryExpires,
      revoked: isRevoked,
    });
  }
  for (const section of sections) {
    if (section.tag !== packetTag.publicSubkey) continue;
    const subkey = attempt(() => readPublicKey(section.body));
    if (subkey === undefined) continue;
    const material = [keyMaterial(primary.body), keyMaterial(section.body)];
    const byPrimary = section.signatures.filter((s) => verifies(primary, s, material));
    const binding = newestOf(byPrimary.filter((s) => s.type === signatureType.subkeyBinding));
    if (binding === undefined || ((binding.keyFlags ?? 0) & flagSign) === 0) continue;
    const back = binding.embedded && attempt(() => readSignature(binding.embedded ?? new Uint8Array(0)));
    if (back === undefined || back.type !== signatureType.primaryBinding) continue;
    if (!verifies(subkey, back, material)) continue;
    keys.push({
      ...common,
      fingerprint: fingerprintOf(subkey),
      packet: subkey,
      expires: Math.min(primaryExpires, expiry(subkey.created, binding.keyExpiresAfter)),
      revoked: isRevoked || byPrimary.some((s) => s.type === signatureType.subkeyRevocation),
    });
  }
  return keys;
}

/** What reading an unsupported packet gives: nothing. Other failures pass. */
function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof OpenPgpError) return undefined;
    throw error;
  }
}

function newestOf(signatures: SignaturePacket[]): SignaturePacket | undefined {
  return signatures.reduce<SignaturePacket | undefined>(
    (best, s) => (best === undefined || s.created >= best.created ? s : best),
    undefined,
  );
}

function expiry(created: number, after: number): number {
  return after === 0 ? Infinity : created + after;
}

/** A key as signatures over it hash it: 0x99, u16 length, body (RFC 9580 section 5.2.4). */
function keyMaterial(body: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from([0x99, body.length >>> 8, body.length & 0xff]), body]);
}

function userIdMaterial(body: Uint8Array): Uint8Array {
  const head = Buffer.alloc(5);
  head[0] = 0xb4;
  head.writeUInt32BE(body.length, 1);
  return Buffer.concat([head, body]);
}

/** The version 4 fingerprint: SHA-1 of the key material. A name, not a proof. */
export function fingerprintOf(key: PublicKeyPacket): string {
  return createHash("sha1").update(keyMaterial(key.body)).digest("hex").toUpperCase();
}

function isBy(signature: SignaturePacket, fingerprint: string): boolean {
  if (signature.issuerFingerprint !== undefined) return signature.issuerFingerprint === fingerprint;
  return signature.issuerKeyId === undefined || fingerprint.endsWith(signature.issuerKeyId);
}

/** Whether `key` made `signature` over `material`, whatever their dates. */
function verifies(
  key: PublicKeyPacket,
  signature: SignaturePacket,
  material: readonly Uint8Array[],
): boolean {
  const hashName = hashNames.get(signature.hash);
  if (hashName === undefined || !sameAlgorithm(key.algorithm, signature.algorithm)) return false;
  const trailer = Buffer.alloc(6);
  trailer.writeUInt16BE(0x04ff, 0);
  trailer.writeUInt32BE(signature.hashedPart.length, 2);
  const signed = Buffer.concat([...material, signature.hashedPart, trailer]);
  const digest = createHash(hashName).update(signed).digest();
  if (digest[0] !== signature.digestStart[0] || digest[1] !== signature.digestStart[1]) return false;
  try {
    if (key.algorithm === keyAlgorithm.rsa || key.algorithm === keyAlgorithm.rsaSign) {
      const [n, e] = key.numbers;
      const value = signature.numbers[0];
      if (n === undefined || e === undefined || value === undefined || n.length < 256) return false;
      const publicKey = createPublicKey({
        format: "jwk",
        key: { kty: "RSA", n: base64url(n), e: base64url(e) },
      });
      return verify(hashName, signed, publicKey, leftPad(value, n.length));
    }
    const point = key.numbers[0];
    if (point === undefined) return false;
    const publicKey = createPublicKey({
      format: "jwk",
      key: { kty: "OKP", crv: "Ed25519", x: base64url(point) },
    });
    const halves =
      signature.numbers.length === 2 ? signature.numbers.map((half) => leftPad(half, 32)) : signature.numbers;
    return verify(null, digest, publicKey, Buffer.concat(halves));
  } catch {
    return false; // node:crypto refuses malformed keys by throwing; for us such a key verifies nothing.
  }
}

function sameAlgorithm(key: number, signature: number): boolean {
  const family = (algorithm: number): number =>
    algorithm === keyAlgorithm.rsaSign ? keyAlgorithm.rsa : algorithm;
  return family(key) === family(signature);
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64url");
}

function leftPad(bytes: Uint8Array, length: number): Buffer {
  if (bytes.length > length) throw new OpenPgpError("integer longer than its key");
  return Buffer.concat([Buffer.alloc(length - bytes.length), bytes]);
}

/**
 * Reads a text in the cleartext signature framework (RFC 9580 section 7) and judges each signature against
 * `keys` at `now` (seconds since 1970).
 * @throws {OpenPgpError} when the frame is malformed or when anything but blank lines stands outside it.
 */
export function verifyCleartext(file: Uint8Array, keys: readonly SigningKey[], now: number): VerifiedText {
  // latin1 keeps every byte, and the frame itself is ASCII.
  const lines = Buffer.from(file.buffer, file.byteOffset, file.length).toString("latin1").split("\n");
  const bare = lines.map((line) => (line.endsWith("\r") ? line.slice(0, -1) : line));
  if (bare.at(-1) === "") bare.pop();
  if (bare[0] !== "-----BEGIN PGP SIGNED MESSAGE-----")
    throw new OpenPgpError("the file is not a signed message");
  let at = 1;
  while (bare[at]?.startsWith("Hash: ") === true) at++;
  if (bare[at] !== "") throw new OpenPgpError("unexpected header in the signed message");
  const begin = bare.indexOf("-----BEGIN PGP SIGNATURE-----", at);
  if (begin < 0) throw new OpenPgpError("the message has no signature");
  const end = bare.indexOf("-----END PGP SIGNATURE-----", begin);
  if (end < 0) throw new OpenPgpError("the signature is not closed");
  if (bare.slice(end + 1).some((line) => line.trim() !== "")) {
    throw new OpenPgpError("text follows the signed message");
  }
  const content = bare.slice(at + 1, begin).map((line) => {
    if (line.startsWith("- ")) return line.slice(2);
    if (line.startsWith("-")) throw new OpenPgpError("a line that begins with a dash is not escaped");
    return line;
  });
  // What is signed: trailing white space dropped, lines ended by CR LF, no end of line after the last one.
  const canonical = Buffer.from(content.map((line) => line.replace(/[ \t\r]+$/, "")).join("\r\n"), "latin1");
  const packets = readPackets(readArmor(bare.slice(begin, end + 1)).bytes);
  const results = packets.map((packet) => judge(packet, keys, canonical, now));
  // The caller sees the text as it was signed: white space at line ends is not covered, so it goes.
  const text = Buffer.from(content.map((line) => `${line.replace(/[ \t\r]+$/, "")}\n`).join(""), "latin1");
  return { text, results };
}

function judge(
  packet: { tag: number; body: Uint8Array },
  keys: readonly SigningKey[],
  canonical: Buffer,
  now: number,
): SignatureResult {
  const signature =
    packet.tag === packetTag.signature ? attempt(() => readSignature(packet.body)) : undefined;
  if (signature === undefined) return { issuer: "unknown", userId: undefined, fault: "unsupported" };
  const issuer = signature.issuerFingerprint ?? signature.issuerKeyId ?? "unknown";
  const key = keys.find((candidate) => isBy(signature, candidate.fingerprint));
  const result = (fault: SignatureFault | undefined): SignatureResult => ({
    issuer,
    userId: key?.userId,
    fault,
  });
  if (key === undefined || issuer === "unknown") return result("unknown key");
  if (signature.type !== signatureType.text && signature.type !== signatureType.binary)
    return result("unsupported");
  if (!hashNames.has(signature.hash)) return result("weak hash");
  if (!verifies(key.packet, signature, [canonical])) return result("does not verify");
  if (key.revoked) return result("key revoked");
  if (key.expires <= now) return result("key expired");
  if (signature.created > now + clockSkewSeconds) return result("signature from the future");
  if (signature.created < key.packet.created) return result("does not verify");
  if (expiry(signature.created, signature.expiresAfter) <= now) return result("signature expired");
  return result(undefined);
}
