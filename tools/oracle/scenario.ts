/**
 * What a scenario is: a command in an image and its surroundings, as data. The answers (what it printed and how
 * it ended) are recorded by real execution and lie in `test/scenarios/golden`.
 */

/** A folder of the host that is made for the scenario and handed to the guest. */
export interface ScenarioMount {
  /** Where the guest sees it. */
  readonly guest: string;
  readonly readOnly?: boolean;
  /** Its contents by relative path: a text, a folder, or a symbolic link. */
  readonly files: Readonly<Record<string, MountEntry>>;
}

export type MountEntry =
  | string
  | { readonly text: string; readonly mode: number }
  | { readonly folder: true; readonly mode?: number }
  | { readonly link: string };

/** One step at a terminal: wait until the text has been printed since the last step, then send the keys. */
export interface KeyStep {
  readonly expect: string;
  readonly send: string;
  /** Milliseconds to wait after the text came, where a program must first get ready. Default 0. */
  readonly pauseMs?: number;
}

export interface Scenario {
  /** Unique; `group/name`. */
  readonly name: string;
  readonly argv: readonly string[];
  /** The image that it runs in; all of a group have the same. Default `debian`. */
  readonly image?: string;
  /** What the program reads; without it, the input is empty. */
  readonly stdin?: string;
  /** Keys typed at a terminal of 24 by 80 that is then stdin, stdout and stderr of the program. */
  readonly keys?: readonly KeyStep[];
  readonly env?: Readonly<Record<string, string>>;
  /** As `coppice run -u`: a name, or a uid, with `:group` or `:gid`. Default root. */
  readonly user?: string;
  /** Default `/`. */
  readonly cwd?: string;
  readonly mounts?: readonly ScenarioMount[];
  readonly normalise?: readonly NormalisationName[];
  /** System calls that may answer ENOSYS in this scenario, each with the reason. See ALLOWED_MISSING. */
  readonly allowMissing?: Readonly<Record<string, string>>;
  /** Default 30,000. */
  readonly timeoutMs?: number;
  /** Why it takes long; then it runs only where COPPICE_SLOW_SCENARIOS is set. */
  readonly slow?: string;
}

/**
 * System calls that may answer ENOSYS in every scenario, each with the reason. Any other ENOSYS fails the scenario
 * even if its output is right.
 */
export const ALLOWED_MISSING: Readonly<Record<string, string>> = {
  rseq: "glibc asks for restartable sequences at the start of every thread and does without them",
};

/** The image of a scenario. */
export const imageOf = (scenario: Scenario): string => scenario.image ?? "debian";

export interface Outcome {
  /** With a terminal: all that it showed, and stderr is empty. */
  readonly stdout: string;
  readonly stderr: string;
  /** 128 + the signal for a program that one ended, as the command line reports it. */
  readonly exitCode: number;
  /** The files of the mounted folders afterwards, as `mount number:path`. */
  readonly files?: Readonly<Record<string, string>>;
}

/**
 * Changes made to an answer before it is compared, each with its reason. Everything else is compared byte for
 * byte; at most ten scenarios may use one (a test counts).
 */
export const normalisations = {
  jobPid: {
    pattern: /^\[(\d+)\] \d+(\r?)$/gm,
    replacement: "[$1] PID$2",
    reason: "an interactive bash prints the process id of every job that it starts in the background",
  },
} as const satisfies Record<string, { pattern: RegExp; replacement: string; reason: string }>;

export type NormalisationName = keyof typeof normalisations;

export function normalise(text: string, names: readonly NormalisationName[] = []): string {
  return names.reduce(
    (t, name) => t.replaceAll(normalisations[name].pattern, normalisations[name].replacement),
    text,
  );
}
