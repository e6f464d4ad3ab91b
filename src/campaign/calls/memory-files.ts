/** Files of memory without a name: making, mapping, sealing. */

import { scenario, type Scenario } from "./scenario.ts";

const F = { ADD_SEALS: 1033, GET_SEALS: 1034 } as const;
const SEAL = { SEAL: 1, SHRINK: 2, GROW: 4, WRITE: 8, FUTURE_WRITE: 16, EXEC: 32 } as const;
const MFD = { ALLOW_SEALING: 2, NOEXEC_SEAL: 8 } as const;
const PROT = { READ: 1, WRITE: 2 } as const;
const MAP_SHARED = 1;

export const memoryFiles: readonly Scenario[] = [
  scenario("memory files/seals", function* (g) {
    yield* g.setUp();
    const buffer = g.bytes(8192);
    const file = yield* g.ok("memfd_create", yield* g.put("name"), MFD.ALLOW_SEALING);
    yield* g.ok("ftruncate", file, 4096);
    const at = yield* g.ok("mmap", 0, 4096, PROT.READ | PROT.WRITE, MAP_SHARED, file, 0);
    yield* g.poke(at, Uint8Array.of(1, 2, 3));
    yield* g.fails("EBUSY", "fcntl", file, F.ADD_SEALS, SEAL.WRITE);
    yield* g.ok("munmap", at, 4096);
    yield* g.ok("fcntl", file, F.ADD_SEALS, SEAL.GROW);
    yield* g.ok("write", file, buffer, 8192);
    yield* g.fails("EPERM", "ftruncate", file, 5000);
    yield* g.fails("EPERM", "fallocate", file, 0, 0, 5000);
    yield* g.ok("fcntl", file, F.ADD_SEALS, SEAL.FUTURE_WRITE);
    yield* g.fails("EPERM", "mmap", 0, 4096, PROT.WRITE, MAP_SHARED, file, 0);
    const read = yield* g.ok("mmap", 0, 4096, PROT.READ, MAP_SHARED, file, 0);
    yield* g.fails("EACCES", "mprotect", read, 4096, PROT.WRITE);
    yield* g.ok("fcntl", file, F.ADD_SEALS, SEAL.WRITE | SEAL.SEAL);
    yield* g.fails("EPERM", "pwrite64", file, buffer, 1, 0);
    yield* g.ok("fcntl", file, F.GET_SEALS, 0);
    yield* g.ok("readlinkat", -100, yield* g.put(`/proc/self/fd/${file}`), buffer, 100);
    yield* g.ok("close", file);
    const other = yield* g.ok("memfd_create", yield* g.put(""), MFD.NOEXEC_SEAL);
    yield* g.fails("EPERM", "fchmod", other, 0o777);
    yield* g.ok("close", other);
  }),
];
