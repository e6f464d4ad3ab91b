/** Folders of the host inside the guest: reading, writing, read-only, and attempts to get out. */

import type { MountEntry, Scenario } from "../../tools/oracle/scenario.ts";

const files: Readonly<Record<string, MountEntry>> = {
  "hello.txt": "hello from the host\n",
  "sub/inner.txt": "inner\n",
  "run.sh": { text: '#!/bin/sh\necho "run by $(basename $0) with $#"\n', mode: 0o755 },
  empty: { folder: true },
};

function mounted(name: string, text: string, more: Partial<Scenario> = {}): Scenario {
  return {
    name: `mounts/${name}`,
    argv: ["bash", "-c", text],
    cwd: "/mnt",
    mounts: [{ guest: "/mnt", files }],
    ...more,
  };
}

const readOnly: Partial<Scenario> = { mounts: [{ guest: "/mnt", files, readOnly: true }] };

export const mounts: readonly Scenario[] = [
  mounted(
    "read",
    "cat hello.txt sub/inner.txt; find . | sort; ./run.sh a b; wc -c < hello.txt; stat -c '%F %s %a' hello.txt; stat -c '%F %a' sub",
  ),
  mounted(
    "write",
    "echo new > new.txt; echo more >> hello.txt; mkdir -p a/b; mv new.txt a/b/; rm sub/inner.txt; rmdir sub; ln -s a/b/new.txt link; cat link; chmod 600 hello.txt; cp run.sh a; truncate -s 5 a/run.sh; ls",
  ),
  mounted(
    "errors",
    "cat nosuch; mkdir hello.txt; rmdir sub; rm sub; cat hello.txt/x; ln -s loop loop; cat loop; cd hello.txt; mv sub sub/x; touch $(printf 'n%.0s' $(seq 256))",
  ),
  mounted(
    "read-only",
    'cat hello.txt; echo x > hello.txt; echo x > new; rm hello.txt; mkdir d; chmod 777 run.sh; touch hello.txt; mv run.sh x; ln hello.txt y; truncate -s 0 hello.txt; test -w hello.txt; echo "status $?"; ./run.sh',
    readOnly,
  ),
  mounted(
    "escape-by-link",
    "cat up absolute folder/outside.txt; ls folder > /dev/null; readlink up absolute folder; echo overwritten > up; cat /outside.txt; cd folder; pwd -P; echo x > absolute2; cat /tmp/made",
    {
      mounts: [
        {
          guest: "/mnt",
          files: {
            up: { link: "../outside.txt" },
            absolute: { link: "/outside.txt" },
            folder: { link: ".." },
            absolute2: { link: "/tmp/made" },
          },
        },
      ],
    },
  ),
  mounted(
    "escape-by-dots",
    "cat ../outside.txt; cat sub/../../outside.txt; cd sub/../..; pwd; ls -d mnt; cd /mnt/sub; cd ../..; pwd; cat /proc/self/cwd/mnt/hello.txt; ln -s ../.. /mnt/far; ls -d /mnt/far/mnt; cat /mnt/far/outside.txt; cat /mnt/../mnt/hello.txt",
  ),
  mounted(
    "escape-by-race",
    "mkdir d; echo in > d/outside.txt; (for i in $(seq 60); do mv d e; ln -s .. d; rm d; mv e d; done) & for i in $(seq 60); do cat d/outside.txt 2> /dev/null; done | sort -u | grep -v '^in$'; wait; cat d/outside.txt",
  ),
  mounted(
    "two-folders",
    'cat /a/f /b/f; cp /a/f /b/copy; mv /b/f /a/moved; ls /a /b; ln /a/moved /b/hard; echo "status $?"',
    {
      cwd: "/",
      mounts: [
        { guest: "/a", files: { f: "in a\n" } },
        { guest: "/b", files: { f: "in b\n" } },
      ],
    },
  ),
  mounted(
    "nested",
    "cat /mnt/outer /mnt/in/inner; echo x > /mnt/in/new; ls /mnt; rm -r /mnt/in; rmdir /mnt/in; ls /mnt/in; mv /mnt/in /mnt/out",
    {
      mounts: [
        { guest: "/mnt", files: { outer: "outer\n", in: { folder: true } } },
        { guest: "/mnt/in", files: { inner: "inner\n" } },
      ],
    },
  ),
  mounted(
    "execute-and-map",
    'cp /bin/true t; ./t; echo $?; perl -e \'open F, "+<", "hello.txt"; seek F, 6, 0; print F "FROM"; close F; open G, "<", "hello.txt"; print <G>\'; cmp t /bin/true && echo same; rm t; sort -o hello.txt hello.txt; cat hello.txt',
  ),
  mounted(
    "large",
    "seq 100000 > big; cksum big; cp big sub/; tail -n 1 sub/big; gzip -n big; gzip -dc big.gz | cksum; rm big.gz sub/big",
  ),
  mounted(
    "as-user",
    'id -un; cat hello.txt; echo x > hello.txt; touch new; echo "status $?"; chmod 777 hello.txt; cat secret; ls empty',
    {
      user: "nobody",
      mounts: [{ guest: "/mnt", files: { ...files, secret: { text: "secret\n", mode: 0o600 } } }],
    },
  ),
];
