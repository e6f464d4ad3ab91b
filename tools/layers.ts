/**
 * The layers of `src/` and the imports that each may have. A layer is a folder; a file imports from its own
 * layer and from those listed here, nothing else. Type-only imports count. The tsconfig of each layer lists
 * the same edges as project references, so the compiler enforces them too (layers.test.ts compares).
 */

interface Layer {
  readonly imports: readonly string[];
  /** Whether the layer may use Node's modules; the others run in a browser as they are. */
  readonly node: boolean;
}

const layer = (node: "node" | "any host", ...imports: readonly string[]): Layer => ({
  imports,
  node: node === "node",
});

export const LAYERS: Readonly<Record<string, Layer>> = {
  base: layer("any host"),
  heap: layer("any host", "base"),
  riscv: layer("any host", "base"),
  erofs: layer("any host", "base"),
  host: layer("node", "base"),
  image: layer("node", "base", "erofs"),
  kernel: layer("any host", "base", "heap"),
  servers: layer("any host", "base", "heap", "kernel", "erofs"),
  linux: layer("any host", "base", "heap", "kernel", "servers"),
  machine: layer("node", "base", "heap", "kernel", "servers", "linux", "riscv", "erofs", "host", "image"),
  campaign: layer("node", "base", "heap", "kernel", "servers", "linux", "riscv", "erofs", "host", "machine"),
  cli: layer("node", "base", "image", "machine"),
};

/** The only file that may consist of re-exports: the face of the library. */
export const PUBLIC_FACE = "src/machine/index.ts";

/** The layer of a path such as `src/heap/heap.ts`. */
export const layerOf = (file: string): string => file.split("/")[1] ?? "";
