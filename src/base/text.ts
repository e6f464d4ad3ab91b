/** UTF-8, by the encoder and decoder that every host of Coppice brings. */

interface Decoder {
  decode(bytes: Uint8Array): string;
}
interface Encoder {
  encode(text: string): Uint8Array<ArrayBuffer>;
}
declare const TextDecoder: new () => Decoder;
declare const TextEncoder: new () => Encoder;

const decoder = new TextDecoder();
const encoder = new TextEncoder();

/** The text of `bytes`; what is not UTF-8 becomes U+FFFD. The bytes may lie in shared memory. */
export function decodeUtf8(bytes: Uint8Array): string {
  // Hosts refuse to decode shared memory, which could change meanwhile.
  return decoder.decode(bytes.buffer instanceof ArrayBuffer ? bytes : new Uint8Array(bytes));
}

/** The UTF-8 bytes of `text`. */
export function encodeUtf8(text: string): Uint8Array<ArrayBuffer> {
  return encoder.encode(text);
}
