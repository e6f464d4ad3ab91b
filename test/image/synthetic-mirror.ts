/** A tiny Debian archive for tests, in a folder or behind a loopback server that can misbehave. */

import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { makeKey } from "./openpgp-writer.ts";
import type { SignOptions, TestKey } from "./openpgp-writer.ts";

export interface TarMember {
  path: string;
  type?: "0" | "1" | "2" | "3" | "4" | "5" | "6";
  mode?: number;
  uid?: number;
  gid?: number;
  mtime?: number;
  link?: string;
  data?: string | Uint8Array;
  major?: number;
  minor?: number;
}

/** One tar header with its content, padded. */
export function tarMember(m: TarMember): Buffer {
  const header = Buffer.alloc(512);
  const data = Buffer.from(m.data ?? "");
  header.write(m.path, 0, 100, "latin1");
  const octal = (value: number, at: number, length: number): void => {
    header.write(`${value.toString(8).padStart(length - 1, "0")}\0`, at, "latin1");
  };
  octal(m.mode ?? (m.type === "5" ? 0o755 : 0o644), 100, 8);
  octal(m.uid ?? 0, 108, 8);
  octal(m.gid ?? 0, 116, 8);
  octal(data.length, 124, 12);
  octal(m.mtime ?? 1_600_000_000, 136, 12);
  header.write("        ", 148, "latin1");
  header.write(m.type ?? "0", 156, "latin1");
  header.write(m.link ?? "", 157, 100, "latin1");
  header.write("ustar\x0000", 257, "latin1");
  octal(m.major ?? 0, 329, 8);
  octal(m.minor ?? 0, 337, 8);
  const sum = header.reduce((a, b) => a + b, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return Buffer.concat([header, data, Buffer.alloc((512 - (data.length % 512)) % 512)]);
}

export function tarArchive(members: (TarMember | Buffer)[]): Buffer {
  return Buffer.concat([...members.map((m) => (Buffer.isBuffer(m) ? m : tarMember(m))), Buffer.alloc(1024)]);
}

export function arArchive(members: [name: string, content: Uint8Array][]): Buffer {
  const parts: Uint8Array[] = [Buffer.from("!<arch>\n")];
  for (const [name, content] of members) {
    const head = `${name.padEnd(16)}${"0".padEnd(12)}${"0".padEnd(6)}${"0".padEnd(6)}${"100644".padEnd(8)}${String(content.length).padEnd(10)}\`\n`;
    parts.push(Buffer.from(head), content, Buffer.alloc(content.length % 2, 10));
  }
  return Buffer.concat(parts);
}

export interface TestPackage {
  name: string;
  version?: string;
  /** Further control fields. */
  fields?: Record<string, string>;
  /** Maintainer scripts and other control files. */
  control?: Record<string, string>;
  files?: (TarMember | Buffer)[];
  compression?: "gz" | "zst" | "none";
}

/** The bytes of a .deb. */
export function makeDeb(p: TestPackage): Buffer {
  const fields = {
    Package: p.name,
    Version: p.version ?? "1.0",
    Architecture: "riscv64",
    Maintainer: "T <t@example.invalid>",
    ...p.fields,
    Description: "a test",
  };
  const control = Object.entries(fields)
    .map(([k, v]) => `${k}: ${v}\n`)
    .join("");
  const scripts = Object.entries(p.control ?? {}).map(([path, data]) => ({
    path: `./${path}`,
    data,
    mode: /^(post|pre)/.test(path) ? 0o755 : 0o644,
  }));
  const data = tarArchive(p.files ?? [{ path: "./", type: "5" }]);
  const kind = p.compression ?? "gz";
  const member: [string, Buffer] =
    kind === "gz"
      ? ["data.tar.gz", gzipSync(data)]
      : kind === "zst"
        ? ["data.tar.zst", zstdCompressSync(data)]
        : ["data.tar", data];
  return arArchive([
    ["debian-binary", Buffer.from("2.0\n")],
    [
      "control.tar.gz",
      gzipSync(tarArchive([{ path: "./", type: "5" }, { path: "./control", data: control }, ...scripts])),
    ],
    member,
  ]);
}

const masters = {
  passwd: "root:*:0:0:root:/root:/bin/bash\ndaemon:*:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n",
  group: "root:*:0:\nshadow:*:42:\nstaff:*:50:alice\n",
};

/** A base that resembles Debian's: links of a merged /usr, masters, an alternative, a library. */
export const basePackages: TestPackage[] = [
  {
    name: "base-files",
    fields: { Essential: "yes", Priority: "required" },
    control: { conffiles: "/etc/issue\n", triggers: "interest-noawait /usr/lib64\ninterest named-trigger\n" },
    files: [
      { path: "./", type: "5" },
      { path: "./bin", type: "2", link: "usr/bin" },
      { path: "./lib", type: "2", link: "usr/lib" },
      { path: "./usr/", type: "5" },
      { path: "./usr/bin/", type: "5" },
      { path: "./usr/lib/", type: "5" },
      { path: "./etc/", type: "5" },
      { path: "./etc/issue", data: "Test \\n\n" },
      { path: "./tmp/", type: "5", mode: 0o1777 },
      { path: "./usr/share/base-files/dot.profile", data: "# profile\n" },
      { path: "./usr/share/base-files/profile", data: "PATH=/usr/bin\n" },
    ],
  },
  {
    name: "base-passwd",
    fields: { Essential: "yes", Priority: "required" },
    files: [
      { path: "./usr/share/base-passwd/passwd.master", data: masters.passwd },
      { path: "./usr/share/base-passwd/group.master", data: masters.group },
    ],
  },
  {
    name: "shell",
    version: "2:1.5~rc1-3",
    fields: {
      Essential: "yes",
      Priority: "required",
      "Pre-Depends": "libtest1 (>= 1.2)",
      "Multi-Arch": "foreign",
    },
    compression: "zst",
    files: [
      { path: "./bin/bash", data: "#!bash", mode: 0o755 },
      { path: "./usr/bin/rbash", type: "1", link: "./bin/bash" },
      { path: "./usr/bin/more", data: "more", mode: 0o755 },
    ],
    control: {
      postinst:
        "#!/bin/sh\nupdate-alternatives --install /usr/bin/pager pager \\\n  /bin/more 50 \\\n --slave /usr/share/man/pager.1 pager.1 /nowhere || true\nfor i in a b; do update-alternatives --install /usr/bin/$i $i /usr/bin/more 1; done\n",
    },
  },
  {
    name: "libtest1",
    version: "1.2-1",
    fields: { Priority: "optional", "Multi-Arch": "same" },
    compression: "none",
    files: [{ path: "./lib/libtest.so.1", data: Buffer.alloc(9000, 7) }],
  },
  {
    name: "tool",
    fields: { Priority: "optional", Depends: "editor | shell, libtest1" },
    files: [{ path: "./usr/bin/tool", data: "tool", mode: 0o4755, gid: 42 }],
  },
  {
    name: "vi",
    fields: { Priority: "optional", Provides: "editor (= 3)" },
    files: [{ path: "./usr/bin/vi", data: "vi" }],
  },
];

export interface MirrorOptions {
  suite?: string;
  origin?: string;
  validUntil?: string;
  date?: string;
  byHash?: boolean;
  sign?: Partial<SignOptions>;
  key?: TestKey;
  packages?: TestPackage[];
}

export interface Mirror {
  directory: string;
  url: string;
  key: TestKey;
  /** File name of each package below the folder. */
  pool: Map<string, string>;
}

/** 2026-01-01. */
export const testNowSeconds = 1_767_225_600;

/** Writes an archive into `directory`. */
export function makeMirror(directory: string, options: MirrorOptions = {}): Mirror {
  const suite = options.suite ?? "trixie";
  const key = options.key ?? makeKey({ created: testNowSeconds - 1000 });
  const pool = new Map<string, string>();
  const put = (path: string, content: string | Uint8Array): void => {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), content);
  };
  let index = "";
  for (const p of options.packages ?? basePackages) {
    const deb = makeDeb(p);
    const path = `pool/main/${p.name}_${(p.version ?? "1.0").replace(/^[0-9]+:/, "")}_riscv64.deb`;
    pool.set(p.name, path);
    put(path, deb);
    const fields = {
      Package: p.name,
      Version: p.version ?? "1.0",
      Architecture: "riscv64",
      ...p.fields,
      Filename: path,
      Size: deb.length,
      SHA256: sha256(deb),
    };
    index += `${Object.entries(fields)
      .map(([k, v]) => `${k}: ${v}\n`)
      .join("")}\n`;
  }
  const compressed = gzipSync(index);
  const path = "main/binary-riscv64/Packages.gz";
  put(`dists/${suite}/${path}`, compressed);
  const release =
    `Origin: ${options.origin ?? "Debian"}\nSuite: stable\nCodename: ${suite}\nVersion: 13.0\n` +
    `Date: ${options.date ?? "Mon, 01 Dec 2025 00:00:00 UTC"}\n` +
    (options.validUntil === undefined ? "" : `Valid-Until: ${options.validUntil}\n`) +
    (options.byHash === true ? "Acquire-By-Hash: yes\n" : "") +
    `Architectures: riscv64\nComponents: main\nSHA256:\n ${sha256(compressed)} ${compressed.length} ${path}\n`;
  put(`dists/${suite}/InRelease`, key.clearsign(release, { created: testNowSeconds - 500, ...options.sign }));
  return { directory, url: `file://${directory}`, key, pool };
}

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

export interface ServerBehaviour {
  /** Answer ranges; default true. */
  ranges?: boolean;
  /** For each path: drop the connection after so many bytes, once for each entry. */
  breakAfter?: Map<string, number[]>;
  /** Wait before each answer. */
  delayMs?: number;
}

export interface MirrorServer {
  url: string;
  /** Path and range of each request. */
  requests: { path: string; range: string | undefined }[];
  /** The most requests that were answered at the same time. */
  readonly mostAtOnce: number;
  close(): Promise<void>;
}

/** Serves `directory` on a loopback port. */
export async function serve(directory: string, behaviour: ServerBehaviour = {}): Promise<MirrorServer> {
  const requests: MirrorServer["requests"] = [];
  let now = 0;
  let most = 0;
  const server = createServer((request, response) => {
    const path = decodeURI(request.url ?? "/").slice(1);
    requests.push({ path, range: request.headers.range });
    now += 1;
    most = Math.max(most, now);
    response.on("close", () => {
      now -= 1;
    });
    const answer = (): void => {
      let content: Buffer;
      try {
        content = readFileSync(join(directory, path));
      } catch {
        response.writeHead(404).end();
        return;
      }
      const from =
        behaviour.ranges === false ? undefined : /^bytes=([0-9]+)-$/.exec(request.headers.range ?? "")?.[1];
      const start = Number(from ?? 0);
      if (start > content.length) {
        response.writeHead(416).end();
        return;
      }
      const body = content.subarray(start);
      response.writeHead(from === undefined ? 200 : 206, {
        "content-length": body.length,
        ...(from === undefined
          ? {}
          : { "content-range": `bytes ${start}-${content.length - 1}/${content.length}` }),
      });
      const limit = behaviour.breakAfter?.get(path)?.shift();
      if (limit === undefined) response.end(body);
      else response.write(body.subarray(0, limit), () => setTimeout(() => response.destroy(), 20));
    };
    setTimeout(answer, behaviour.delayMs ?? 0);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    get mostAtOnce() {
      return most;
    },
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
