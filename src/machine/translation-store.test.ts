/** Translations on disk: what is added is found again, and a damaged file costs no more than what it lost. */
import assert from "node:assert/strict";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { translatorIdentity, TranslationStore } from "./translation-store.ts";

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "coppice-translations-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, "made", "when", "needed");
}

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);
const loaded = (store: TranslationStore): number[][] => store.load().map((body) => [...body]);

test("chunks are found again, of the same image and translator alone", (t) => {
  const folder = folderOf(t);
  const store = new TranslationStore(folder, "image", "one");
  assert.deepEqual(loaded(store), []);
  store.append(bytes(1, 2, 3));
  store.append(bytes(4));
  assert.deepEqual(loaded(new TranslationStore(folder, "image", "one")), [[1, 2, 3], [4]]);
  assert.deepEqual(loaded(new TranslationStore(folder, "image", "two")), []);
  assert.deepEqual(loaded(new TranslationStore(folder, "other", "one")), []);
});

test("a file that was cut off or damaged keeps what came before, and is written anew", (t) => {
  const folder = folderOf(t);
  const path = join(folder, "image.one");
  const first = new TranslationStore(folder, "image", "one");
  first.append(bytes(1));
  const { length } = readFileSync(path);
  first.append(bytes(2, 2));
  const whole = readFileSync(path);
  for (const damage of [whole.subarray(0, -1), whole.subarray(0, length + 3)]) {
    writeFileSync(path, damage);
    const store = new TranslationStore(folder, "image", "one");
    assert.deepEqual(loaded(store), [[1]]);
    store.append(bytes(3));
    store.append(bytes(4));
    assert.deepEqual(loaded(new TranslationStore(folder, "image", "one")), [[1], [3], [4]]);
  }
  for (let at = 0; at < whole.length; at++) {
    const damage = Buffer.from(whole);
    damage[at]! ^= 0x40;
    writeFileSync(path, damage);
    assert.deepEqual(loaded(new TranslationStore(folder, "image", "one")), at < length ? [] : [[1]]);
  }
  assert.deepEqual(readdirSync(folder), ["image.one"]);
});

test("files of other translators go when nobody has added to them for long", (t) => {
  const folder = folderOf(t);
  for (const [image, identity] of [
    ["image", "old"],
    ["image", "new"],
    ["other", "old"],
  ] as const)
    new TranslationStore(folder, image, identity).append(bytes(1));
  const past = new Date(Date.now() - 90_000_000);
  for (const name of ["image.old", "other.old"]) utimesSync(join(folder, name), past, past);
  assert.deepEqual(loaded(new TranslationStore(folder, "image", "newer")), []);
  assert.deepEqual(readdirSync(folder).sort(), ["image.new", "other.old"]);
});

test("what follows a chunk that could not be added is not lost", (t) => {
  const folder = folderOf(t);
  const store = new TranslationStore(folder, "image", "one");
  store.append(bytes(1));
  const path = join(folder, "image.one");
  const whole = readFileSync(path);
  // As a disk that was full leaves it: the file cannot be opened now, and later ends in the middle of a chunk.
  rmSync(path);
  mkdirSync(path);
  store.append(bytes(2));
  rmSync(path, { recursive: true });
  writeFileSync(path, Buffer.concat([whole, whole.subarray(0, 7)]));
  store.append(bytes(3));
  assert.deepEqual(loaded(new TranslationStore(folder, "image", "one")), [[1], [3]]);
});

test("a file that is full gets nothing added, and the next machine begins anew", (t) => {
  const folder = folderOf(t);
  const store = new TranslationStore(folder, "image", "one");
  const large = new Uint8Array(40 << 20);
  for (let i = 0; i < 4; i++) store.append(large);
  const { size } = statSync(join(folder, "image.one"));
  assert.ok(size > 64 << 20 && size < 128 << 20, `${size} bytes`);
  const next = new TranslationStore(folder, "image", "one");
  assert.deepEqual(loaded(next), []);
  next.append(bytes(1));
  assert.deepEqual(loaded(new TranslationStore(folder, "image", "one")), [[1]]);
});

test("a folder that cannot be written to is no error", () => {
  const store = new TranslationStore("/dev/null/nowhere", "image", "one");
  assert.deepEqual(loaded(store), []);
  store.append(bytes(1));
  assert.deepEqual(loaded(store), []);
});

test("the identity of the translator is a digest of what it is made of", () => {
  assert.match(translatorIdentity(), /^[0-9a-f]{16}$/);
  assert.equal(translatorIdentity(), translatorIdentity());
});
