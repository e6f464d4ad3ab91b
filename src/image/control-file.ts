/**
 * Debian control data ("deb822"): stanzas of `Field: value` lines, continuation lines indented, stanzas
 * separated by blank lines. Release, Packages, DEBIAN/control and .sources files are all written in it.
 */

/** One stanza. Names keep the spelling of the file; look them up with {@link field}. */
export type Stanza = ReadonlyMap<string, string>;

/** The stanzas of `text`. Continuation lines are joined with newlines, their first blank dropped. */
export function parseStanzas(text: string): Stanza[] {
  const stanzas: Stanza[] = [];
  let current = new Map<string, string>();
  let last = "";
  for (const line of text.split("\n")) {
    if (line.trim() === "") {
      if (current.size > 0) stanzas.push(current);
      current = new Map();
      last = "";
    } else if (line.startsWith("#")) {
      continue;
    } else if (line.startsWith(" ") || line.startsWith("\t")) {
      if (last !== "") current.set(last, `${current.get(last) ?? ""}\n${line.slice(1)}`);
    } else {
      const colon = line.indexOf(":");
      if (colon <= 0) continue;
      last = line.slice(0, colon);
      current.set(last, line.slice(colon + 1).trim());
    }
  }
  if (current.size > 0) stanzas.push(current);
  return stanzas;
}

/** The value of a field whose name may be spelt in any case; undefined when absent. */
export function field(stanza: Stanza, name: string): string | undefined {
  const exact = stanza.get(name);
  if (exact !== undefined) return exact;
  const wanted = name.toLowerCase();
  for (const [key, value] of stanza) if (key.toLowerCase() === wanted) return value;
  return undefined;
}
