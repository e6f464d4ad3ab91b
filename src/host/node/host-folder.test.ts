import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, describe, test } from "node:test";
import { checkHeap } from "../../heap/check.ts";
import { mountHostFolder } from "../../servers/vfs/host-folder.ts";
import { O } from "../../servers/vfs/open-flags.ts";
import { TestMachine } from "../../servers/vfs/testing/test-machine.ts";
import { HostFolders } from "./host-folder.ts";

const base = realpathSync(mkdtempSync(path.join(tmpdir(), "coppice-folder-")));
after(() => rmSync(base, { recursive: true }));
let count = 0;

/** A folder on the host with a few files, granted at /mnt/host. */
function granted(readOnly: boolean = false): { m: TestMachine; folder: string; outside: string } {
  const root = path.join(base, `${count++}`);
  const folder = path.join(root, "granted");
  const outside = path.join(root, "outside");
  mkdirSync(path.join(folder, "sub"), { recursive: true });
  mkdirSync(outside);
  writeFileSync(path.join(folder, "file"), "from the host");
  writeFileSync(path.join(outside, "secret"), "secret");
  symlinkSync(outside, path.join(folder, "leads-out"));
  symlinkSync("sub", path.join(folder, "leads-in"));
  const folders = new HostFolders([{ path: folder, readOnly }]);
  const m = new TestMachine({ serve: (words, memory, request) => folders.serve(words, memory, request) });
  m.run((tx) => mountHostFolder(tx, 0, "/mnt/host", readOnly, 5, 6));
  return { m, folder, outside };
}

/** Answers are good for a little while: time goes on before what changes on the host is looked at again. */
function later(m: TestMachine): void {
  m.seconds += 10;
}

describe("a granted folder", () => {
  test("is read and written from the guest", () => {
    const { m, folder } = granted();
    assert.equal(m.readFile("/mnt/host/file"), "from the host");
    const stat = m.stat("/mnt/host/file");
    assert.deepEqual([stat.uid, stat.gid, stat.size, stat.mode & 0o170000], [5, 6, 13, 0o100000]);
    assert.deepEqual(m.list("/mnt/host"), ["file", "leads-in", "leads-out", "sub"]);
    later(m);
    m.writeFile("/mnt/host/sub/new", "from the guest");
    assert.equal(readFileSync(path.join(folder, "sub/new"), "utf8"), "from the guest");
    later(m);
    m.writeFile("/mnt/host/sub/new", ", more", O.WRONLY | O.APPEND);
    assert.equal(readFileSync(path.join(folder, "sub/new"), "utf8"), "from the guest, more");
    later(m);
    m.truncate("/mnt/host/sub/new", 4);
    later(m);
    assert.equal(m.readFile("/mnt/host/leads-in/new"), "from");
    m.rename("/mnt/host/sub/new", "/mnt/host/moved");
    assert.equal(readFileSync(path.join(folder, "moved"), "utf8"), "from");
    later(m);
    m.chmod("/mnt/host/moved", 0o600);
    assert.equal(m.stat("/mnt/host/moved").mode, 0o100600);
    m.mkdir("/mnt/host/dir");
    later(m);
    assert.equal(
      m.attempt(() => m.mkdir("/mnt/host/dir")),
      "EEXIST",
    );
    m.writeFile("/mnt/host/dir/x", "");
    later(m);
    assert.equal(
      m.attempt(() => m.rmdir("/mnt/host/dir")),
      "ENOTEMPTY",
    );
    m.unlink("/mnt/host/dir/x");
    m.rmdir("/mnt/host/dir");
    assert.ok(!existsSync(path.join(folder, "dir")));
    m.symlink("/etc", "/mnt/host/link");
    assert.equal(m.readlink("/mnt/host/link"), "/etc");
    const big = new Uint8Array(100_000).map((_, i) => i % 251);
    m.writeFile("/mnt/host/big", big);
    later(m);
    const f = m.open("/mnt/host/big");
    assert.deepEqual(m.read(f, 200_000), big);
    m.close(f);
    later(m);
    assert.equal(
      m.attempt(() => m.link("/mnt/host/big", "/mnt/host/hard")),
      "EPERM",
    );
    assert.equal(
      m.attempt(() => m.chown("/mnt/host/big", 1, -1)),
      "EPERM",
    );
    assert.deepEqual(checkHeap(m.tx), []);
  });

  test("what the host changes is seen", () => {
    const { m, folder } = granted();
    assert.equal(
      m.attempt(() => m.stat("/mnt/host/later")),
      "ENOENT",
    );
    writeFileSync(path.join(folder, "later"), "now");
    later(m);
    assert.equal(m.readFile("/mnt/host/later"), "now");
    rmSync(path.join(folder, "later"));
    later(m);
    assert.equal(
      m.attempt(() => m.stat("/mnt/host/later")),
      "ENOENT",
    );
    assert.deepEqual(checkHeap(m.tx), []);
  });

  test("no link leads out", () => {
    const { m, folder, outside } = granted();
    // Resolved in the guest's own namespace, where there is no such place.
    assert.equal(
      m.attempt(() => m.readFile("/mnt/host/leads-out/secret")),
      "ENOENT",
    );
    assert.equal(m.readlink("/mnt/host/leads-out"), outside);
    assert.equal(
      m.attempt(() => m.stat("/mnt/host/../../outside/secret")),
      "ENOENT",
    );
    // A directory that the guest stands in becomes a link: the host side refuses it.
    m.chdir("/mnt/host/sub");
    rmSync(path.join(folder, "sub"), { recursive: true });
    symlinkSync(outside, path.join(folder, "sub"));
    later(m);
    const reached = m.attempt(() => m.readFile("secret"));
    assert.ok(reached === "ELOOP" || reached === "ENOTDIR", reached);
    assert.equal(m.attempt(() => m.writeFile("planted", "x")) === undefined, false);
    assert.ok(!existsSync(path.join(outside, "planted")));
    // A file becomes a link between two looks.
    rmSync(path.join(folder, "file"));
    symlinkSync(path.join(outside, "secret"), path.join(folder, "file"));
    later(m);
    assert.equal(
      m.attempt(() => m.readFile("/mnt/host/file")),
      "ENOENT",
    );
  });

  test("that is read-only is EROFS on both sides", () => {
    const { m, folder } = granted(true);
    assert.equal(m.readFile("/mnt/host/file"), "from the host");
    assert.equal(
      m.attempt(() => m.writeFile("/mnt/host/file", "x")),
      "EROFS",
    );
    assert.equal(
      m.attempt(() => m.unlink("/mnt/host/file")),
      "EROFS",
    );
    assert.equal(
      m.attempt(() => m.mkdir("/mnt/host/new")),
      "EROFS",
    );
    assert.equal(readFileSync(path.join(folder, "file"), "utf8"), "from the host");
  });
});
