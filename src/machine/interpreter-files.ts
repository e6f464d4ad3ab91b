/** Names of the files that a bundle has beside it (tools/bundle.ts). */
export const INTERPRETER_FILES = {
  module: "tier0.wasm",
  withRegions: "tier0-regions.wasm",
  tables: "tier0.tables",
} as const;
