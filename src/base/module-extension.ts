/**
 * The extension of the project's modules at run time: sources run as they are in development (`.ts`), the
 * published package holds JavaScript (`.js`). Whoever starts a worker names its entry file so that both work:
 *
 *     new URL(`./hart-thread${moduleExtension(import.meta.url)}`, import.meta.url)
 *
 * The test of the layers reads templates of this form as imports.
 */

/** `.ts` or `.js`, whichever the module at `url` (its `import.meta.url`) has. */
export function moduleExtension(url: string): ".ts" | ".js" {
  return url.endsWith(".ts") ? ".ts" : ".js";
}
