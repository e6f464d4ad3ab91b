/** CRC-32C (Castagnoli, reflected 0x82f63b78), as EROFS uses it: the caller chooses the seed, no inversion. */

const table: Uint32Array = makeTable();

function makeTable(): Uint32Array {
  const entries = new Uint32Array(256);
  for (let n = 0; n < 256; n++) {
    let value = n;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
    entries[n] = value >>> 0;
  }
  return entries;
}

/** The checksum of `bytes[start..end)`, continuing from `seed`. */
export function crc32c(seed: number, bytes: Uint8Array, start: number, end: number): number {
  let crc = seed | 0;
  for (let i = start; i < end; i++) crc = (table[(crc ^ (bytes[i] ?? 0)) & 0xff] ?? 0) ^ (crc >>> 8);
  return crc >>> 0;
}
