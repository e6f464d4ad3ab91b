/**
 * The image that tests boot. It is built into the usual cache when it is missing, as `npm start` does; where that
 * is not possible, because no mirror answers, the tests that need it are skipped, and the run says so at its end.
 */

import { readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { buildImage } from "../../src/image/build.ts";
import { ImageError } from "../../src/image/errors.ts";
import { lookUpImage } from "../../src/image/images.ts";

export const IMAGE = "debian";

/** What each image of the tests has in it besides the essential packages, and the lock that fixes the versions. */
const RECIPES: Readonly<Record<string, { readonly include?: readonly string[]; readonly lock?: string }>> = {
  [IMAGE]: {},
  "debian-tools": {
    include: ["python3", "procps", "less", "vim-tiny", "lsof", "tmux"],
    lock: path.join(import.meta.dirname, "debian-tools.lock"),
  },
};
/** A test of a machine that takes longer hangs. */
const TIMEOUT_MS = 180_000;
const LOCK: string = path.join(tmpdir(), "coppice-test-image.lock");

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Test files run side by side; one of them builds, the others wait for it. */
async function withLock<T>(work: () => Promise<T>): Promise<T> {
  const take = (): Promise<boolean> =>
    writeFile(LOCK, String(process.pid), { flag: "wx" }).then(
      () => true,
      () => false,
    );
  while (!(await take())) {
    const holder = await readFile(LOCK, "utf8").catch(() => "");
    if (holder !== "" && !isAlive(Number(holder))) await rm(LOCK, { force: true });
    await sleep(200);
  }
  try {
    return await work();
  } finally {
    await rm(LOCK, { force: true });
  }
}

/** Why there is no image and none can be built; undefined if it is there. */
export async function whyNoImage(name: string = IMAGE): Promise<string | undefined> {
  if ((await lookUpImage(name)) !== undefined) return undefined;
  return withLock(async () => {
    if ((await lookUpImage(name)) !== undefined) return undefined;
    console.log(`building the image ${name}`);
    try {
      await buildImage({ name, ...RECIPES[name] });
      return undefined;
    } catch (error) {
      const unreachable = error instanceof ImageError && ["mirror", "download"].includes(error.part);
      if (!unreachable) throw error;
      return `the image ${name} is missing and no mirror answers: ${error.message}`;
    }
  });
}

let missing: Promise<string | undefined> | undefined;

/** A test that boots {@link IMAGE}. */
export function machineTest(name: string, run: (t: TestContext) => Promise<void>): void {
  void test(name, { timeout: TIMEOUT_MS }, async (t) => {
    missing ??= whyNoImage();
    const reason = await missing;
    if (reason === undefined) await run(t);
    else t.skip(reason);
  });
}
