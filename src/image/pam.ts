/**
 * What `pam-auth-update --package` writes on a fresh system: `/etc/pam.d/common-*` from the templates in
 * `/usr/share/pam` and the profiles in `/usr/share/pam-configs`. Without them `su` and `login` refuse everyone.
 */

import type { FileTree } from "./tree.ts";

interface Profile {
  priority: number;
  name: string;
  fields: Map<string, string>;
}

const types = ["auth", "account", "password", "session"] as const;

/** Writes the files, where the templates are there. */
export function writePamConfiguration(tree: FileTree): void {
  const profiles: Profile[] = [];
  for (const name of tree.list("usr/share/pam-configs")) {
    const fields = readProfile(tree.readText(`usr/share/pam-configs/${name}`) ?? "");
    if (fields.get("Default") !== "yes") continue;
    profiles.push({ name, fields, priority: Number(fields.get("Priority") ?? 0) || 0 });
  }
  profiles.sort((a, b) => b.priority - a.priority || (a.name < b.name ? -1 : 1));
  for (const name of tree.list("usr/share/pam")) {
    if (!/^common-[a-z-]+$/.test(name) || tree.exists(`etc/pam.d/${name}`)) continue;
    let text = tree.readText(`usr/share/pam/${name}`) ?? "";
    for (const type of types) {
      for (const block of ["primary", "additional"] as const) {
        text = text.replace(`$${type}_${block}\n`, moduleLines(profiles, type, block, false));
        if (type !== "session") continue;
        text = text.replace(`$session_nonint_${block}\n`, moduleLines(profiles, type, block, true));
      }
    }
    tree.write(`etc/pam.d/${name}`, text, { mode: 0o644 });
  }
}

function readProfile(text: string): Map<string, string> {
  const fields = new Map<string, string>();
  let last = "";
  for (const line of text.split("\n")) {
    const match = /^([A-Za-z-]+):\s*(.*)$/.exec(line);
    if (match !== null) {
      last = match[1] ?? "";
      fields.set(last, match[2] ?? "");
    } else if (/^\s+\S/.test(line) && last !== "") {
      fields.set(last, `${fields.get(last) ?? ""}\n${line.trim()}`.trim());
    }
  }
  return fields;
}

function moduleLines(
  profiles: readonly Profile[],
  type: (typeof types)[number],
  block: "primary" | "additional",
  nonInteractive: boolean,
): string {
  const title = type[0]?.toUpperCase() + type.slice(1);
  const lines: string[] = [];
  for (const { fields } of profiles) {
    if ((fields.get(`${title}-Type`) ?? "").toLowerCase() !== block) continue;
    if (nonInteractive && fields.get("Session-Interactive-Only") === "yes") continue;
    // The first module of a block has nobody to take a password from, so it has a form of its own.
    const own = lines.length === 0 ? fields.get(`${title}-Initial`) : undefined;
    lines.push(...(own ?? fields.get(title) ?? "").split("\n").filter((line) => line !== ""));
  }
  // "end" jumps over the rest of the block and the denial after it.
  return lines.map((line, i) => `${type}\t${line.replace(/\bend\b/, String(lines.length - i))}\n`).join("");
}
