/** Boots a machine: not yet. */

import type { BootOptions, Machine } from "./api.ts";
import { CoppiceError } from "./errors.ts";

/** See `Boot` in api.ts. */
export function boot(options: BootOptions): Promise<Machine> {
  return Promise.reject(
    new CoppiceError({
      code: "HOST_UNSUPPORTED",
      part: `image "${options.image}"`,
      reason: "this version cannot boot a machine yet",
    }),
  );
}
