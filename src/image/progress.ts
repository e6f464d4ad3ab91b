/** What a build tells its caller while it runs. */

/** The steps of a build, in order. `download` and `unpack` overlap. */
export type Phase = "release" | "index" | "resolve" | "download" | "unpack" | "configure" | "write";

/** The state of one phase. Byte counts are 0 where a phase has none. */
export interface PhaseReport {
  phase: Phase;
  state: "begin" | "progress" | "end";
  /** What is being worked on, for people: a package or file name. */
  detail: string;
  items: number;
  /** 0 when not known yet. */
  totalItems: number;
  bytes: number;
  /** 0 when not known yet. */
  totalBytes: number;
  /** Bytes taken from the cache instead of the network; they are counted in `bytes` too. */
  cachedBytes: number;
  /** Bytes a second since the phase began, cached ones left out; 0 when nothing was transferred. */
  rate: number;
  /** Since the phase began. */
  elapsedMs: number;
}

/** Receives reports. Called often (each chunk that arrives): draw at most a few times a second. */
export interface Progress {
  report(report: PhaseReport): void;
  /** Something worth knowing that is no failure, for example an alternative that was left out. */
  note?(message: string): void;
}

/** A progress that hears nothing. */
export const silent: Progress = { report: () => {} };

/** Keeps the counters of one phase and reports each change. */
export interface PhaseMeter {
  plan(totalItems: number, totalBytes: number): void;
  /** `cached` bytes did not travel. Negative bytes take back what a retry will count again. */
  add(items: number, bytes: number, detail?: string, cached?: boolean): void;
  end(): void;
  readonly elapsedMs: number;
}

/** Begins `phase`; times come from `nowMs`. */
export function beginPhase(progress: Progress, phase: Phase, nowMs: () => number): PhaseMeter {
  const start = nowMs();
  const r: PhaseReport = {
    phase,
    state: "begin",
    detail: "",
    items: 0,
    totalItems: 0,
    bytes: 0,
    totalBytes: 0,
    cachedBytes: 0,
    rate: 0,
    elapsedMs: 0,
  };
  const send = (): void => {
    r.elapsedMs = nowMs() - start;
    const travelled = r.bytes - r.cachedBytes;
    r.rate = r.elapsedMs > 0 && travelled > 0 ? (travelled * 1000) / r.elapsedMs : 0;
    progress.report({ ...r });
  };
  send();
  r.state = "progress";
  return {
    plan(totalItems, totalBytes) {
      r.totalItems = totalItems;
      r.totalBytes = totalBytes;
      send();
    },
    add(items, bytes, detail, cached) {
      r.items += items;
      r.bytes += bytes;
      if (cached === true) r.cachedBytes += bytes;
      if (detail !== undefined) r.detail = detail;
      send();
    },
    end() {
      r.state = "end";
      send();
    },
    get elapsedMs() {
      return nowMs() - start;
    },
  };
}
