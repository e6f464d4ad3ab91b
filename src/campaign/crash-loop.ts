/**
 * The crash loop over whole system calls (DESIGN.md §8): every segment of every scenario is run again and
 * again from the same state, and each time a fault strikes one step later, until it ends without one.
 *
 *     for k = 1, 2, 3 …:  restore the snapshot · run, fault before step k · let the machine recover ·
 *                         check the whole heap · compare with the run without a fault
 *
 * Two kinds of fault: "exception" is a bug that throws once (the hart's loop rolls back and runs the request
 * again); "death" is the end of the hart's thread: from the fault on nothing that the dying code tries has an
 * effect, and the machine recovers the hart. The run must end in the same state either way.
 *
 * A segment whose way through the code (call, outcome, sequence of store sites) has been tried before is not
 * tried again.
 */

import { checkHeap } from "../heap/check.ts";
import type { CrashPoint, HookedTransaction } from "../heap/transaction.ts";
import { Comparison } from "./compare.ts";
import { Driver, HartDeath, type Segment, type UserCode } from "./driver.ts";
import { KnownStates } from "./known-states.ts";
import type { OneThreadMachine } from "./machine.ts";
import { type Snapshot, Snapshots } from "./snapshot.ts";
import { storeSite } from "./store-sites.ts";

export type FaultKind = "exception" | "death";

export interface CrashLoopOptions {
  readonly kinds: readonly FaultKind[];
  /** At most so many points of one segment, spread over it; all if left out. */
  readonly pointsMax?: number;
  /** Only segments for which this holds are tried; all are run. */
  readonly wanted?: (segment: Segment) => boolean;
  /** Hears of each segment that was tried. */
  readonly onSegment?: (result: SegmentResult) => void;
}

/** One way through the kernel, tried at every point. */
export interface SegmentResult {
  readonly what: string;
  readonly call: number;
  /** Steps at which a fault may strike, and runs with a fault that were made. */
  readonly points: number;
  readonly runs: number;
  /** Runs that did not end as they should; the failures are the first one for each place. */
  readonly failed: number;
  readonly failures: readonly Failure[];
}

/** A fault that was not survived. */
export interface Failure {
  readonly what: string;
  readonly kind: FaultKind;
  readonly step: number;
  readonly point: CrashPoint | "end";
  readonly site: string;
  readonly text: string;
}

/** What the campaign has learned, over all scenarios. */
export class CrashRecord {
  readonly segments: SegmentResult[] = [];
  /** Store sites that were reached in runs without a fault. */
  readonly sites = new Set<string>();
  readonly seen = new Set<string>();

  get points(): number {
    return this.segments.reduce((sum, { points }) => sum + points, 0);
  }
  get runs(): number {
    return this.segments.reduce((sum, { runs }) => sum + runs, 0);
  }
  get failed(): number {
    return this.segments.reduce((sum, { failed }) => sum + failed, 0);
  }
  get failures(): readonly Failure[] {
    return this.segments.flatMap(({ failures }) => failures);
  }
}

const STORES: ReadonlySet<CrashPoint> = new Set(["store", "fresh"]);

/** Runs scenarios and tries their segments. */
export class CrashLoop {
  readonly record: CrashRecord;
  readonly #options: CrashLoopOptions;
  #machine: OneThreadMachine | undefined;
  #snapshots: Snapshots | undefined;
  #right: KnownStates | undefined;
  #before: Snapshot | undefined;
  #after: Snapshot | undefined;
  /** Violations that are there without a fault. */
  #known = new Set<string>();
  /** Whether the hart that a fault of kind "death" has struck has been recovered. */
  #recovered = true;

  constructor(record: CrashRecord, options: CrashLoopOptions) {
    this.record = record;
    this.#options = options;
  }

  /** A driver for `machine` whose segments are tried. Without a loop (`plain`) they are only run. */
  driver(machine: OneThreadMachine, code?: UserCode): Driver {
    this.#machine = machine;
    this.#known = new Set();
    this.#snapshots = new Snapshots(machine.view);
    this.#right = new KnownStates(machine.view, this.#snapshots);
    this.#before = this.#snapshots.empty();
    this.#after = this.#snapshots.empty();
    const driver = new Driver(machine, (segment) => this.#segment(segment), code);
    driver.onRecovered = () => {
      this.#recovered = true;
    };
    driver.quietHook = (_point, _tx, word) => this.#snapshots!.mark(word);
    return driver;
  }

  get #tx(): HookedTransaction {
    return this.#machine!.harts[0]!.tx;
  }

  #segment(segment: Segment): void {
    const wanted = this.#options.wanted?.(segment) ?? true;
    if (!wanted) {
      segment.run();
      return;
    }
    const machine = this.#machine!;
    const snapshots = this.#snapshots!;
    const [before, after] = [this.#before!, this.#after!];
    snapshots.capture(before);
    const trail = this.#follow(segment);
    const signature = `${segment.what} ${trail.hash}`;
    if (this.record.seen.has(signature)) return;
    this.record.seen.add(signature);
    snapshots.capture(after);
    const dirty = snapshots.dirty(before);
    this.#right!.clear();
    const failures: Failure[] = [];
    // What is wrong without a fault is said once.
    for (const { invariant, text: what } of checkHeap(machine.view)) {
      const text = `${invariant}: ${what}`;
      if (this.#known.has(text)) continue;
      this.#known.add(text);
      failures.push({ what: segment.what, kind: "exception", step: 0, point: "end", site: "no fault", text });
    }
    let runs = 0;
    let failed = failures.length;
    const stride = Math.max(
      1,
      Math.ceil(trail.steps / (this.#options.pointsMax ?? Number.POSITIVE_INFINITY)),
    );
    for (const kind of this.#options.kinds) {
      for (let step = 1; step <= trail.steps; step += stride) {
        runs++;
        snapshots.restorePages(before, dirty);
        const failure = this.#tryOne(segment, kind, step, after);
        if (failure === undefined) continue;
        failed++;
        if (!failures.some((other) => isSamePlace(other, failure))) {
          failures.push(failure);
        }
        snapshots.restore(before);
      }
    }
    snapshots.restore(after);
    const { what, call } = segment;
    const result = { what, call, points: trail.steps, runs, failed, failures };
    this.record.segments.push(result);
    this.#options.onSegment?.(result);
  }

  /** Runs the segment without a fault, noting where it stores. */
  #follow(segment: Segment): { steps: number; hash: number } {
    const tx = this.#tx;
    let steps = 0;
    let hash = 0;
    tx.hook = (point) => {
      steps++;
      if (!STORES.has(point)) return;
      const site = storeSite();
      this.record.sites.add(site);
      hash = (Math.imul(hash, 31) + numberOf(site)) | 0;
    };
    try {
      segment.run();
    } finally {
      tx.hook = (_point, _tx, word) => this.#snapshots!.mark(word);
    }
    return { steps, hash };
  }

  #tryOne(segment: Segment, kind: FaultKind, step: number, expected: Snapshot): Failure | undefined {
    const tx = this.#tx;
    let count = 0;
    let struck: { point: CrashPoint; site: string } | undefined;
    tx.hook = (point, _tx, word) => {
      this.#snapshots!.mark(word);
      // A dead thread does nothing more; the machine takes the hook away to recover.
      if (struck !== undefined) {
        if (kind === "death" && !this.#recovered) throw new HartDeath("dead");
        return;
      }
      if (++count !== step) return;
      struck = { point, site: storeSite() };
      this.#recovered = false;
      throw new HartDeath(`${kind} before ${point}, step ${step}`);
    };
    const failed = (text: string): Failure => ({
      what: segment.what,
      kind,
      step,
      point: struck?.point ?? "end",
      site: struck?.site ?? "",
      text,
    });
    try {
      segment.run();
    } catch (error) {
      tx.hook = (_point, _tx, word) => this.#snapshots!.mark(word);
      tx.rollback();
      return failed(error instanceof Error ? (error.stack ?? error.message) : String(error));
    } finally {
      tx.hook = (_point, _tx, word) => this.#snapshots!.mark(word);
      this.#recovered = true;
    }
    if (struck === undefined) return failed("the fault did not strike: the run is not the same twice");
    if (this.#right!.has()) return undefined;
    const violations = checkHeap(this.#machine!.view)
      .map(({ invariant, text }) => `${invariant}: ${text}`)
      .filter((text) => !this.#known.has(text));
    if (violations.length > 0) return failed(violations.slice(0, 3).join("; "));
    const differences = new Comparison(this.#machine!.view, expected).run();
    if (differences.length > 0) return failed(differences.join("; "));
    this.#right!.add();
    return undefined;
  }
}

function isSamePlace(a: Failure, b: Failure): boolean {
  return a.site === b.site && a.point === b.point && a.kind === b.kind;
}

const siteNumbers = new Map<string, number>();

function numberOf(site: string): number {
  let number = siteNumbers.get(site);
  if (number === undefined) {
    number = siteNumbers.size + 1;
    siteNumbers.set(site, number);
  }
  return number;
}
