import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Errno } from "../../base/errno.ts";
import { checkHeap } from "../../heap/check.ts";
import { crashLoop } from "../../heap/crash-loop.ts";
import { createHeap } from "../../heap/heap.ts";
import { defineRecord, ref } from "../../heap/record.ts";
import { HookedTransaction } from "../../heap/transaction.ts";
import { Credentials } from "../../kernel/credentials.ts";
import { addSegment, clearSegments } from "../../kernel/request.ts";
import { KernelThread } from "../../kernel/thread.ts";
import { auth, createAuth } from "./auth.ts";
import { CAP } from "./capabilities.ts";
import { SECURE } from "./identity.ts";
import { KEEP, MAY } from "./permission.ts";

/** What a task is to the auth server. */
const Holder = defineRecord("test-b", { credentials: ref("credentials") });

class Machine {
  readonly tx: HookedTransaction;
  who: Credentials;
  readonly #holder: ReturnType<typeof Holder.allocate>;

  constructor() {
    const clock = { monotonic: () => 0, realtime: () => 0 };
    const thread = new KernelThread(1, clock, { fill: () => {} }, () => {
      throw new Error("contended in one thread");
    });
    const heap = createHeap({ bytes: 2 << 20, slots: 1 });
    this.tx = new HookedTransaction({ heap, memory: new SharedArrayBuffer(65536) }, 0, thread, () => {});
    createAuth(this.tx);
    this.#holder = Holder.allocate(this.tx);
    this.who = auth.createInitial(this.tx);
    Holder.credentials.init(this.tx, this.#holder, this.who);
    this.tx.commit();
  }

  /** Changes who the holder is; the errno's name if that is refused. */
  become(change: (tx: HookedTransaction, who: Credentials) => Credentials): string {
    try {
      this.exchange(change);
      this.tx.commit();
      this.who = Holder.credentials.get(this.tx, this.#holder);
      return "";
    } catch (error) {
      this.tx.rollback();
      if (!(error instanceof Errno)) throw error;
      return error.name;
    }
  }

  exchange(change: (tx: HookedTransaction, who: Credentials) => Credentials): void {
    const old = Holder.credentials.get(this.tx, this.#holder);
    Holder.credentials.set(this.tx, this.#holder, change(this.tx, old));
    auth.drop(this.tx, old);
  }

  ids(): number[] {
    const { tx, who } = this;
    const fields = [Credentials.uid, Credentials.effectiveUid, Credentials.savedUid, Credentials.fsUid];
    return fields.map((field) => field.get(tx, who));
  }

  can(capability: number): boolean {
    return auth.isCapable(this.tx, this.who, capability) === 1;
  }
}

describe("identity", () => {
  test("setuid, setreuid, setresuid and setfsuid set what Linux sets", () => {
    const m = new Machine();
    assert.equal(
      m.become((tx, who) => auth.setresuid(tx, who, KEEP, 1000, KEEP)),
      "",
    );
    assert.deepEqual(m.ids(), [0, 1000, 0, 1000]);
    assert.equal(m.can(CAP.SETUID), false);
    assert.equal(
      m.become((tx, who) => auth.setuid(tx, who, 5)),
      "EPERM",
    );
    assert.equal(
      m.become((tx, who) => auth.setuid(tx, who, 0)),
      "",
    );
    assert.deepEqual(m.ids(), [0, 0, 0, 0]);
    assert.equal(m.can(CAP.SETUID), true);
    assert.equal(
      m.become((tx, who) => auth.setfsuid(tx, who, 7)),
      "",
    );
    assert.deepEqual([m.ids(), m.can(CAP.DAC_OVERRIDE), m.can(CAP.SETUID)], [[0, 0, 0, 7], false, true]);
    assert.equal(
      m.become((tx, who) => auth.setreuid(tx, who, 10, 20)),
      "",
    );
    assert.deepEqual(m.ids(), [10, 20, 20, 20]);
    assert.equal(
      m.become((tx, who) => auth.setreuid(tx, who, 20, 10)),
      "",
    );
    assert.deepEqual(m.ids(), [20, 10, 10, 10]);
    assert.equal(
      m.become((tx, who) => auth.setresuid(tx, who, 0, KEEP, KEEP)),
      "EPERM",
    );
    assert.deepEqual(checkHeap(m.tx), []);
  });

  test("capabilities go with root, unless they are to be kept", () => {
    const m = new Machine();
    m.become((tx, who) => auth.setSecurebits(tx, who, SECURE.KEEP_CAPS, SECURE.KEEP_CAPS));
    m.become((tx, who) => auth.setuid(tx, who, 1000));
    assert.equal(m.can(CAP.CHOWN), false);
    assert.notEqual(Credentials.permittedCapabilities.get(m.tx, m.who, 0), 0);
    m.become((tx, who) => auth.afterExec(tx, who, 0, 0, 0o755, 1));
    assert.equal(Credentials.permittedCapabilities.get(m.tx, m.who, 0), 0);
    m.become((tx, who) => auth.afterExec(tx, who, 0, 0, 0o4755, 0));
    assert.deepEqual(m.ids(), [1000, 1000, 1000, 1000]);
    m.become((tx, who) => auth.afterExec(tx, who, 0, 0, 0o4755, 1));
    assert.deepEqual([m.ids(), m.can(CAP.CHOWN)], [[1000, 0, 0, 0], true]);
    assert.equal(auth.isSecure(m.tx, m.who), 1);
  });

  test("supplementary groups come from user memory", () => {
    const m = new Machine();
    new Uint32Array(m.tx.buffers.memory).set([5, 6]);
    const groups = (count: number): string => {
      clearSegments(m.tx);
      addSegment(m.tx, 0, count * 4);
      return m.become((tx, who) => auth.setgroups(tx, who, count));
    };
    assert.equal(groups(2), "");
    assert.deepEqual([auth.isInGroup(m.tx, m.who, 6), auth.isInGroup(m.tx, m.who, 7)], [1, 0]);
    assert.equal(groups(65), "EINVAL");
    m.become((tx, who) => auth.setuid(tx, who, 1));
    assert.equal(groups(0), "EPERM");
  });
});

describe("permissions", () => {
  test("the class of the user decides alone; capabilities come after", () => {
    const m = new Machine();
    m.become((tx, who) => auth.setgid(tx, who, 50));
    const may = (uid: number, gid: number, mode: number, wanted: number): number =>
      auth.mayAccess(m.tx, m.who, uid, gid, mode, wanted);
    assert.equal(may(1, 1, 0o100000, MAY.READ | MAY.WRITE), 1);
    assert.equal(may(1, 1, 0o100000, MAY.EXECUTE), 0);
    assert.equal(may(1, 1, 0o100001, MAY.EXECUTE), 1);
    assert.equal(may(1, 1, 0o040000, MAY.EXECUTE), 1);
    m.become((tx, who) => auth.setuid(tx, who, 1000));
    assert.equal(may(1000, 50, 0o100077, MAY.READ), 0);
    assert.equal(may(1, 50, 0o100707, MAY.READ), 0);
    assert.equal(may(1, 50, 0o100070, MAY.READ | MAY.WRITE | MAY.EXECUTE), 1);
    assert.equal(may(1, 1, 0o100004, MAY.READ), 1);
    assert.equal(auth.mayRemove(m.tx, m.who, 0o41777, 0, 1), 0);
    assert.equal(auth.mayRemove(m.tx, m.who, 0o41777, 0, 1000), 1);
    assert.equal(auth.mayRemove(m.tx, m.who, 0o40777, 0, 1), 1);
    assert.equal(auth.mayChown(m.tx, m.who, 1000, 1, KEEP, 50), 1);
    assert.equal(auth.mayChown(m.tx, m.who, 1000, 1, KEEP, 51), 0);
    assert.equal(auth.mayChown(m.tx, m.who, 1000, 1, 1000, KEEP), 1);
    assert.equal(auth.modeAfterWrite(m.tx, m.who, 0o106755), 0o100755);
    assert.equal(auth.modeAfterWrite(m.tx, m.who, 0o102644), 0o102644);
    assert.equal(auth.modeForChmod(m.tx, m.who, 51, 0o2755), 0o755);
  });
});

describe("every crash point leaves all or nothing", () => {
  const changes: Readonly<Record<string, (tx: HookedTransaction, who: Credentials) => Credentials>> = {
    setuid: (tx, who) => auth.setuid(tx, who, 5),
    setresgid: (tx, who) => auth.setresgid(tx, who, 1, 2, 3),
    setfsuid: (tx, who) => auth.setfsuid(tx, who, 5),
    afterExec: (tx, who) => auth.afterExec(tx, who, 5, 6, 0o6755, 1),
    dropBounding: (tx, who) => auth.dropBounding(tx, who, 3),
    hold: (tx, who) => (auth.hold(tx, who), who),
  };
  for (const [name, change] of Object.entries(changes)) {
    test(name, () => {
      const m = new Machine();
      m.become((tx, who) => auth.copy(tx, who));
      const report = crashLoop({ tx: m.tx, operation: () => m.exchange(change), pairs: true });
      assert.ok(report.points > 5 && report.pairs > 5, `${report.points} points, ${report.pairs} pairs`);
    });
  }
});
