/**
 * A request that asks about a granted folder runs again at any moment while its answer arrives, in another hart's
 * transaction. It must neither believe what is not committed nor sleep through it.
 */
import { deepEqual, equal, notEqual, ok } from "node:assert/strict";
import { test } from "node:test";
import { FOLDER_OPERATION } from "../../base/host-folder-io.ts";
import { encodeUtf8 } from "../../base/text.ts";
import { liveRecords } from "../../heap/check.ts";
import { SLOT } from "../../heap/layout.ts";
import { completeNextIo } from "../../kernel/block-io.ts";
import { clearWaits, WOULD_BLOCK } from "../../kernel/request.ts";
import { askFolder } from "./folder-call.ts";
import { mountHostFolder } from "./host-folder.ts";
import { FILE_SYSTEM, FileSystem } from "./records.ts";
import { TestMachine } from "./testing/test-machine.ts";

const FILES = 7;

type Attempt = "answered" | "waits" | "waits for a lock";

interface Scene {
  readonly m: TestMachine;
  /** Runs the request once. */
  readonly attempt: () => Attempt;
  /** Whether what the last attempt waits for has been signalled since it noted that. */
  readonly mayRunAgain: () => boolean;
}

/** A machine whose first slot has asked, and whose host has answered. */
function asked(): Scene {
  const m = new TestMachine({ serve: () => FILES });
  m.run((tx) => mountHostFolder(tx, 0, "/mnt", false, 0, 0));
  const fileSystem = [...liveRecords(m.tx, FileSystem.schema)].find(
    (each) => FileSystem.kind.get(m.tx, each) === FILE_SYSTEM.HOST,
  )!;
  m.tx.words[m.tx.slotAt + SLOT.owner] = 1;
  const question = { operation: FOLDER_OPERATION.LIST, path: encodeUtf8("a") };
  const attempt = (): Attempt => {
    clearWaits(m.tx);
    try {
      equal(askFolder(m.tx, fileSystem, question).result, FILES);
      m.tx.commit();
      return "answered";
    } catch (error) {
      m.tx.rollback();
      if (error === WOULD_BLOCK) return "waits";
      if (error instanceof Error && error.message.startsWith("contended")) return "waits for a lock";
      throw error;
    }
  };
  const mayRunAgain = (): boolean => {
    const { words, slotAt } = m.tx;
    ok(words[slotAt + SLOT.waitCount]! > 0, "waits for nothing");
    return words[words[slotAt + SLOT.waits]!] !== words[slotAt + SLOT.waits + 1];
  };
  equal(attempt(), "waits");
  ok(m.serveIo());
  return { m, attempt, mayRunAgain };
}

/** Lets `meanwhile` run at the given moment of the completion, if it has so many. */
function complete(m: TestMachine, moment: number, meanwhile: (isCommitted: boolean) => void): void {
  let count = 0;
  let isCommitted = false;
  m.second.hook = (point) => {
    isCommitted ||= point === "committed";
    if (++count === moment) meanwhile(isCommitted);
  };
  ok(completeNextIo(m.second));
  m.second.commit();
}

test("a request that looks while its answer arrives", () => {
  const seen = new Set<Attempt>();
  for (let moment = 1; ; moment++) {
    const { m, attempt, mayRunAgain } = asked();
    const outcomes: Attempt[] = [];
    complete(m, moment, (isCommitted) => {
      outcomes.push(attempt());
      if (!isCommitted) notEqual(outcomes[0], "answered", `at moment ${moment}, before the commit`);
    });
    const [outcome] = outcomes;
    if (outcome === undefined) break;
    seen.add(outcome);
    if (outcome === "waits") ok(mayRunAgain(), `asleep since moment ${moment}`);
    if (outcome !== "answered") equal(attempt(), "answered");
  }
  deepEqual([...seen].sort(), ["answered", "waits", "waits for a lock"]);
});
