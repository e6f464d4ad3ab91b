import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { Errno } from "../base/errno.ts";
import { encodeUtf8 } from "../base/text.ts";
import {
  type ElfImage,
  HEADER_BYTES,
  interpreterPath,
  isElf,
  parseHeader,
  parseImage,
  parseScript,
  PROGRAM_HEADER_BYTES,
} from "./elf.ts";

interface Part {
  readonly type: number;
  readonly flags?: number;
  readonly offset?: number;
  readonly address?: number;
  readonly fileBytes?: number;
  readonly memoryBytes?: number;
  readonly alignment?: number;
}

const PT_LOAD = 1;
const PT_INTERP = 3;
const PT_GNU_STACK = 0x6474_e551;

function put64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % 2 ** 32, true);
  view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
}

/** A file of these program headers and nothing else. */
function elf(parts: readonly Part[], type = 3): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + parts.length * PROGRAM_HEADER_BYTES + 64);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, type, true);
  view.setUint16(18, 243, true);
  put64(view, 24, 0x1000);
  put64(view, 32, HEADER_BYTES);
  view.setUint16(54, PROGRAM_HEADER_BYTES, true);
  view.setUint16(56, parts.length, true);
  for (const [i, part] of parts.entries()) {
    const at = HEADER_BYTES + i * PROGRAM_HEADER_BYTES;
    view.setUint32(at, part.type, true);
    view.setUint32(at + 4, part.flags ?? 4, true);
    put64(view, at + 8, part.offset ?? 0);
    put64(view, at + 16, part.address ?? 0);
    put64(view, at + 32, part.fileBytes ?? 0);
    put64(view, at + 40, part.memoryBytes ?? part.fileBytes ?? 0);
    put64(view, at + 48, part.alignment ?? 4096);
  }
  return bytes;
}

const usual: readonly Part[] = [
  { type: PT_INTERP, offset: 0x200, fileBytes: 28 },
  { type: PT_LOAD, flags: 5, fileBytes: 0x1800 },
  { type: PT_LOAD, flags: 6, offset: 0x1800, address: 0x2800, fileBytes: 0x100, memoryBytes: 0x5000 },
  { type: PT_GNU_STACK, flags: 6 },
];

function parse(bytes: Uint8Array): ElfImage {
  const header = parseHeader(bytes);
  const { programHeadersAt: at, programHeaders } = header;
  return parseImage(header, bytes.subarray(at, at + programHeaders * PROGRAM_HEADER_BYTES));
}

function fails(name: string, work: () => unknown): void {
  assert.throws(work, (error) => error instanceof Errno && error.name === name);
}

describe("ELF files", () => {
  test("a position-independent program with an interpreter", () => {
    const image = parse(elf(usual));
    assert.equal(image.relocatable, true);
    assert.deepEqual(image.interpreter, { offset: 0x200, length: 28 });
    assert.deepEqual(
      image.segments.map(({ address, fileBytes, memoryBytes, protection }) => [
        address,
        fileBytes,
        memoryBytes,
        protection,
      ]),
      [
        [0, 0x1800, 0x1800, 5],
        [0x2800, 0x100, 0x5000, 3],
      ],
    );
    assert.deepEqual([image.start, image.end], [0, 0x8000]);
    assert.equal(image.programHeadersAddress, HEADER_BYTES);
    assert.equal(image.executableStack, false);
  });

  test("what cannot be executed is refused", () => {
    const changed = (at: number, value: number): Uint8Array => {
      const bytes = elf(usual);
      bytes[at] = value;
      return bytes;
    };
    fails("ENOEXEC", () => parse(new Uint8Array(0)));
    fails("ENOEXEC", () => parse(elf(usual).subarray(0, 63)));
    fails("ENOEXEC", () => parse(elf(usual).subarray(0, 100)));
    for (const at of [0, 4, 5, 16, 18, 54]) fails("ENOEXEC", () => parse(changed(at, 99)));
    fails("ENOEXEC", () => parse(elf([])));
    fails("ENOEXEC", () => parse(elf([{ type: PT_GNU_STACK }])));
    fails("ENOEXEC", () =>
      parse(
        elf([
          { type: PT_LOAD, fileBytes: 10 },
          { type: PT_INTERP, fileBytes: 1 },
        ]),
      ),
    );
    fails("EINVAL", () => parse(elf([{ type: PT_LOAD, fileBytes: 10, memoryBytes: 5 }])));
    fails("EINVAL", () => parse(elf([{ type: PT_LOAD, fileBytes: 10, address: 1 }])));
    fails("EINVAL", () => parse(elf([{ type: PT_LOAD, fileBytes: 4096, address: 2 ** 38 - 4095 }])));
    fails("EINVAL", () => parse(elf([{ type: PT_LOAD, fileBytes: 4096, memoryBytes: 2 ** 60 }])));
  });

  test("no corruption leads to anything but an errno or a description within bounds", () => {
    const changes = fc.array(fc.tuple(fc.nat(HEADER_BYTES + 4 * PROGRAM_HEADER_BYTES - 1), fc.nat(255)), {
      maxLength: 12,
    });
    const cut = fc.option(fc.nat(400));
    fc.assert(
      fc.property(changes, cut, (bytesChanged, length) => {
        let bytes = elf(usual);
        for (const [at, value] of bytesChanged) bytes[at] = value;
        if (length !== null) bytes = bytes.slice(0, length);
        let image: ElfImage;
        try {
          image = parse(bytes);
        } catch (error) {
          assert.ok(error instanceof Errno, String(error));
          return;
        }
        for (const segment of image.segments) {
          assert.ok(segment.address + segment.memoryBytes <= 2 ** 38);
          assert.ok(segment.fileBytes <= segment.memoryBytes);
          assert.ok(Number.isSafeInteger(segment.fileOffset));
        }
        assert.ok(image.start < image.end && image.alignment >= 4096);
      }),
      { numRuns: 3000 },
    );
  });

  test("the interpreter's name ends in a zero", () => {
    assert.equal(Buffer.from(interpreterPath(encodeUtf8("/lib/ld.so\0"))).toString(), "/lib/ld.so");
    fails("ENOEXEC", () => interpreterPath(encodeUtf8("/lib/ld.so")));
    fails("ENOEXEC", () => interpreterPath(encodeUtf8("\0\0")));
  });
});

describe("scripts", () => {
  const line = (text: string): string[] | undefined => {
    const found = parseScript(encodeUtf8(text));
    if (found === undefined) return undefined;
    const parts = [found.interpreter, ...(found.argument === undefined ? [] : [found.argument])];
    return parts.map((part) => Buffer.from(part).toString());
  };

  test("an interpreter and at most one argument", () => {
    assert.equal(line("echo"), undefined);
    assert.equal(isElf(encodeUtf8("#!/x")), false);
    assert.deepEqual(line("#!/i\nrest"), ["/i"]);
    assert.deepEqual(line("#! \t/i \t\n"), ["/i"]);
    assert.deepEqual(line("#!/i a b  c \n"), ["/i", "a b  c"]);
    assert.deepEqual(line("#!/i -x"), ["/i", "-x"]);
  });

  test("a line without an interpreter, or cut off in its name, cannot be executed", () => {
    fails("ENOEXEC", () => line("#!\n"));
    fails("ENOEXEC", () => line("#!   \n"));
    fails("ENOEXEC", () => line(`#!/${"x".repeat(300)}\n`));
    assert.deepEqual(line(`#!/i ${"x".repeat(300)}\n`), ["/i", "x".repeat(256 - 5)]);
  });

  test("no bytes lead to anything but an errno, a line or none", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 256 }), (tail) => {
        const bytes = Uint8Array.from([0x23, 0x21, ...tail]).subarray(0, 256);
        try {
          const found = parseScript(bytes);
          assert.ok(found !== undefined && found.interpreter.length > 0);
        } catch (error) {
          assert.ok(error instanceof Errno, String(error));
        }
      }),
    );
  });
});
