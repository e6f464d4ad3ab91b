/**
 * The little of OpenPGP (RFC 9580) that a Debian archive signature needs: armour, packet framing, version 4
 * keys and version 4 signatures with RSA or Ed25519. Everything else is refused, not guessed at.
 *
 *     packet      new form  11tttttt, length 1, 2 or 5 bytes (no partial lengths)
 *                 old form  10ttttll, length 1, 2 or 4 bytes (no indeterminate length)
 *     key         04 · u32 creation time · u8 algorithm · algorithm's numbers
 *     signature   04 · u8 type · u8 key algorithm · u8 hash · u16 n, n bytes of hashed subpackets
 *                 · u16 m, m bytes of unhashed ones · first 16 bits of the digest · algorithm's numbers
 */

/** Bytes that are not the OpenPGP they should be. */
export class OpenPgpError extends Error {
  override readonly name: string = "OpenPgpError";
}

export const packetTag = {
  signature: 2,
  publicKey: 6,
  marker: 10,
  userId: 13,
  publicSubkey: 14,
  userAttribute: 17,
} as const;

/** Public-key algorithms. 22 is the older form of Ed25519 (EdDSA over a named curve), 27 the newer. */
export const keyAlgorithm = { rsa: 1, rsaSign: 3, eddsa: 22, ed25519: 27 } as const;

export interface Packet {
  tag: number;
  body: Uint8Array;
}

/** A cursor that never reads past its end. */
export class ByteReader {
  #at = 0;
  readonly #bytes: Uint8Array;
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }
  get remaining(): number {
    return this.#bytes.length - this.#at;
  }
  take(length: number): Uint8Array {
    if (length > this.remaining) throw new OpenPgpError("truncated packet");
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }
  uint(length: number): number {
    let value = 0;
    for (const byte of this.take(length)) value = value * 256 + byte;
    return value;
  }
  /** A multi-precision integer: u16 bit count, then the bytes, without leading zero bits. */
  mpi(): Uint8Array {
    const bits = this.uint(2);
    const bytes = this.take((bits + 7) >>> 3);
    const leading = bytes[0];
    if (leading !== undefined && 32 - Math.clz32(leading) !== ((bits + 7) & 7) + 1) {
      throw new OpenPgpError("malformed integer");
    }
    return bytes;
  }
}

/** Splits `bytes` into packets. */
export function readPackets(bytes: Uint8Array): Packet[] {
  const reader = new ByteReader(bytes);
  const packets: Packet[] = [];
  while (reader.remaining > 0) {
    const head = reader.uint(1);
    if ((head & 0x80) === 0) throw new OpenPgpError("not an OpenPGP packet");
    if ((head & 0x40) !== 0) {
      packets.push({ tag: head & 0x3f, body: reader.take(newLength(reader)) });
    } else {
      const kind = head & 3;
      if (kind === 3) throw new OpenPgpError("packet of indeterminate length");
      packets.push({ tag: (head >>> 2) & 0xf, body: reader.take(reader.uint(1 << kind)) });
    }
  }
  return packets;
}

function newLength(reader: ByteReader): number {
  const first = reader.uint(1);
  if (first < 192) return first;
  if (first < 224) return (first - 192) * 256 + reader.uint(1) + 192;
  if (first === 255) return reader.uint(4);
  throw new OpenPgpError("packet of partial length");
}

/** A version 4 public key or subkey packet. */
export interface PublicKeyPacket {
  body: Uint8Array;
  /** Seconds since 1970. */
  created: number;
  algorithm: number;
  /** RSA: n and e. Ed25519: the 32-byte point alone. */
  numbers: Uint8Array[];
}

/** Object identifier of Ed25519 in keys of algorithm 22: 1.3.6.1.4.1.11591.15.1. */
const ed25519Oid = "2b06010401da470f01";

export function readPublicKey(body: Uint8Array): PublicKeyPacket {
  const reader = new ByteReader(body);
  const version = reader.uint(1);
  if (version !== 4) throw new OpenPgpError(`key of version ${version}, only 4 is supported`);
  const created = reader.uint(4);
  const algorithm = reader.uint(1);
  let numbers: Uint8Array[];
  if (algorithm === keyAlgorithm.rsa || algorithm === keyAlgorithm.rsaSign) {
    numbers = [reader.mpi(), reader.mpi()];
  } else if (algorithm === keyAlgorithm.eddsa) {
    const oid = Buffer.from(reader.take(reader.uint(1))).toString("hex");
    if (oid !== ed25519Oid) throw new OpenPgpError("key on a curve other than Ed25519");
    const point = reader.mpi();
    if (point.length !== 33 || point[0] !== 0x40) throw new OpenPgpError("malformed Ed25519 key");
    numbers = [point.subarray(1)];
  } else if (algorithm === keyAlgorithm.ed25519) {
    numbers = [reader.take(32)];
  } else {
    throw new OpenPgpError(`key algorithm ${algorithm} is not supported`);
  }
  if (reader.remaining !== 0) throw new OpenPgpError("trailing bytes in a key packet");
  return { body, created, algorithm, numbers };
}

/** A version 4 signature packet, its subpackets read. Only hashed subpackets are believed. */
export interface SignaturePacket {
  type: number;
  algorithm: number;
  hash: number;
  /** What the digest covers of the packet itself: from the version to the end of the hashed subpackets. */
  hashedPart: Uint8Array;
  digestStart: Uint8Array;
  numbers: Uint8Array[];
  /** Seconds since 1970. */
  created: number;
  /** Seconds after `created`; 0 for never. */
  expiresAfter: number;
  /** Of a key, in its self-signature: seconds after the key's creation; 0 for never. */
  keyExpiresAfter: number;
  keyFlags: number | undefined;
  /** Upper-case hexadecimal. From either area: it only chooses the key to try. */
  issuerFingerprint: string | undefined;
  issuerKeyId: string | undefined;
  /** The signature that a signing subkey makes over its primary key. */
  embedded: Uint8Array | undefined;
  revocationReason: number | undefined;
}

const subpacket = {
  created: 2,
  expires: 3,
  keyExpires: 9,
  issuer: 16,
  keyFlags: 27,
  revocationReason: 29,
  embedded: 32,
  issuerFingerprint: 33,
} as const;

/** Subpackets that may be critical without our acting on them: preferences, notations apart. */
const ignorable: ReadonlySet<number> = new Set([4, 5, 7, 11, 12, 21, 22, 23, 24, 25, 26, 28, 30, 34, 35]);

export function readSignature(body: Uint8Array): SignaturePacket {
  const reader = new ByteReader(body);
  const version = reader.uint(1);
  if (version !== 4) throw new OpenPgpError(`signature of version ${version}, only 4 is supported`);
  const type = reader.uint(1);
  const algorithm = reader.uint(1);
  const hash = reader.uint(1);
  const hashed = reader.take(reader.uint(2));
  const hashedPart = body.subarray(0, 6 + hashed.length);
  const unhashed = reader.take(reader.uint(2));
  const digestStart = reader.take(2);
  const numbers: Uint8Array[] = [];
  if (algorithm === keyAlgorithm.rsa || algorithm === keyAlgorithm.rsaSign) numbers.push(reader.mpi());
  else if (algorithm === keyAlgorithm.eddsa) numbers.push(reader.mpi(), reader.mpi());
  else if (algorithm === keyAlgorithm.ed25519) numbers.push(reader.take(64));
  else throw new OpenPgpError(`signature algorithm ${algorithm} is not supported`);
  if (reader.remaining !== 0) throw new OpenPgpError("trailing bytes in a signature packet");

  const result: SignaturePacket = {
    type,
    algorithm,
    hash,
    hashedPart,
    digestStart,
    numbers,
    created: -1,
    expiresAfter: 0,
    keyExpiresAfter: 0,
    keyFlags: undefined,
    issuerFingerprint: undefined,
    issuerKeyId: undefined,
    embedded: undefined,
    revocationReason: undefined,
  };
  readSubpackets(unhashed, result, false);
  readSubpackets(hashed, result, true);
  if (result.created < 0) throw new OpenPgpError("signature without a creation time");
  return result;
}

function readSubpackets(area: Uint8Array, into: SignaturePacket, trusted: boolean): void {
  const reader = new ByteReader(area);
  while (reader.remaining > 0) {
    const first = reader.uint(1);
    let length = first;
    if (first === 255) length = reader.uint(4);
    else if (first >= 192) length = (first - 192) * 256 + reader.uint(1) + 192;
    const content = new ByteReader(reader.take(length));
    const kind = content.uint(1);
    const critical = (kind & 0x80) !== 0;
    const type = kind & 0x7f;
    const hex = (): string => Buffer.from(content.take(content.remaining)).toString("hex").toUpperCase();
    if (type === subpacket.issuer) into.issuerKeyId = hex();
    else if (type === subpacket.issuerFingerprint) {
      if (content.uint(1) === 4) into.issuerFingerprint = hex();
    } else if (type === subpacket.embedded) into.embedded = content.take(content.remaining);
    else if (!trusted) continue;
    else if (type === subpacket.created) into.created = content.uint(4);
    else if (type === subpacket.expires) into.expiresAfter = content.uint(4);
    else if (type === subpacket.keyExpires) into.keyExpiresAfter = content.uint(4);
    else if (type === subpacket.keyFlags) into.keyFlags = content.remaining > 0 ? content.uint(1) : 0;
    else if (type === subpacket.revocationReason) into.revocationReason = content.uint(1);
    else if (critical && !ignorable.has(type)) {
      throw new OpenPgpError(`signature depends on subpacket ${type}, which is not supported`);
    }
  }
}

/** One armoured block: its headers and its bytes. */
export interface Armor {
  title: string;
  bytes: Uint8Array;
}

/** Reads the armoured block that `lines` consist of, from its BEGIN to its END line. */
export function readArmor(lines: readonly string[]): Armor {
  const title = /^-----BEGIN PGP ([A-Z ]+)-----$/.exec(lines[0] ?? "")?.[1];
  if (title === undefined) throw new OpenPgpError("armour does not begin where it should");
  if (lines.at(-1) !== `-----END PGP ${title}-----`) throw new OpenPgpError("armour is not closed");
  let at = 1;
  while (at < lines.length && /^[A-Za-z]+: /.test(lines[at] ?? "")) at++;
  if (lines[at] !== "") throw new OpenPgpError("armour without a blank line after its headers");
  const text = lines.slice(at + 1, -1);
  const checksum = /^=([A-Za-z0-9+/]{4})$/.exec(text.at(-1) ?? "")?.[1];
  if (checksum !== undefined) text.pop();
  const base64 = text.join("");
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(base64) || base64.length % 4 !== 0) {
    throw new OpenPgpError("armour holds something else than base64");
  }
  const bytes = Buffer.from(base64, "base64");
  if (checksum !== undefined && Buffer.from(checksum, "base64").readUIntBE(0, 3) !== crc24(bytes)) {
    throw new OpenPgpError("armour checksum does not match");
  }
  return { title, bytes };
}

/** The checksum of armour, RFC 9580 section 6.1. */
export function crc24(bytes: Uint8Array): number {
  let crc = 0xb704ce;
  for (const byte of bytes) {
    crc ^= byte << 16;
    for (let i = 0; i < 8; i++) crc = crc & 0x800000 ? ((crc << 1) ^ 0x1864cfb) & 0xffffff : crc << 1;
  }
  return crc;
}
