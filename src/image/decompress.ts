/** Undoes the compressions that Debian archives use, whole buffers at a time and with a limit on the result. */

import { ReadableStream } from "node:stream/web";
import { createGunzip, createZstdDecompress } from "node:zlib";
import type { Transform } from "node:stream";
import xz from "xz-decompress";

/** Compressed data that ends early, is damaged, or grows beyond the limit. */
export class CompressionError extends Error {
  override readonly name: string = "CompressionError";
}

export type Compression = "none" | "gzip" | "xz" | "zstd";

/** The compression that a file name's ending stands for; undefined for one that is not supported. */
export function compressionOf(name: string): Compression | undefined {
  if (name.endsWith(".xz")) return "xz";
  if (name.endsWith(".gz")) return "gzip";
  if (name.endsWith(".zst")) return "zstd";
  return /\.(bz2|lzma|lz4|Z)$/.test(name) ? undefined : "none";
}

/**
 * The decompressed bytes, in a buffer of their own.
 * @throws {CompressionError} for damaged data or a result of more than `limit` bytes.
 */
export async function decompress(
  bytes: Uint8Array,
  compression: Compression,
  limit: number,
): Promise<Uint8Array> {
  if (compression === "none") return new Uint8Array(bytes);
  try {
    if (compression === "xz") return await gather(xzChunks(bytes), limit);
    const stream: Transform = compression === "gzip" ? createGunzip() : createZstdDecompress();
    stream.end(bytes);
    return await gather(stream as AsyncIterable<Uint8Array>, limit);
  } catch (error) {
    if (error instanceof CompressionError) throw error;
    throw new CompressionError(`damaged ${compression} data`, { cause: error });
  }
}

/** The library answers empty chunks for ever when data ends early, so a run of them ends it here. */
async function* xzChunks(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  const source = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(bytes);
      controller.close();
    },
  });
  const stream = new xz.XzReadableStream(source) as unknown as ReadableStream<Uint8Array>;
  let emptyInARow = 0;
  for await (const chunk of stream) {
    emptyInARow = chunk.length === 0 ? emptyInARow + 1 : 0;
    if (emptyInARow > 16) throw new CompressionError("xz data ends early");
    yield chunk;
  }
}

async function gather(chunks: AsyncIterable<Uint8Array>, limit: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    size += chunk.length;
    if (size > limit) throw new CompressionError(`decompresses to more than ${limit} bytes`);
    parts.push(chunk);
  }
  const whole = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
