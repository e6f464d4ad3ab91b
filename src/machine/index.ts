/** The public face of the library. */

export type * from "./api.ts";
export { boot } from "./boot.ts";
export { CoppiceError, type CoppiceErrorCode } from "./errors.ts";
