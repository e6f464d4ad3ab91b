/** Signals by number and by name, as the library shows them. */

import { SIG } from "../kernel/signal.ts";
import type { SignalName } from "./api.ts";

const byNumber = new Map<number, SignalName>(
  Object.entries(SIG).map(([name, number]) => [number, `SIG${name}` as SignalName]),
);
const byName = new Map<string, number>([...byNumber].map(([number, name]) => [name, number]));

/** The name of a signal; `SIG34` and the like for real-time ones. */
export function signalNameOf(number: number): SignalName {
  return byNumber.get(number) ?? `SIG${number}`;
}

/** The number of a signal; 0 for a name that is none. */
export function signalNumberOf(name: SignalName): number {
  const known = byName.get(name);
  if (known !== undefined) return known;
  const number = Number(name.slice(3));
  return Number.isInteger(number) && number >= 32 && number <= 64 ? number : 0;
}
