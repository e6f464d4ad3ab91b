/** The image `debian` for tests of whole machines, and a workload of pipes, files and forks for its bash. */

import { whyNoImage } from "./image.ts";

/** Why tests of machines are skipped, or false. */
export async function missingImage(): Promise<string | false> {
  return (await whyNoImage()) ?? false;
}

export const WORKLOAD = `cd /tmp
for i in 1 2 3 4; do
  mkdir -p d$i
  for j in 1 2 3; do echo $i $j > d$i/f$j; done
  cat d$i/f* | sort -r | tr 1-9 a-i
  (echo sub $i; ls d$i | wc -l) | cat
  rm -r d$i
done
seq 1 3000 | sort -n | tail -n 1
mkfifo fifo; echo through a fifo > fifo & cat fifo; rm fifo; wait
test -w /etc/passwd && echo root may write; echo $(id -u):$(stat -c %a /etc/shadow)`;

/** What it prints. */
export const PRINTED: string = [
  ...["a", "b", "c", "d"].flatMap((i, index) => [`${i} c`, `${i} b`, `${i} a`, `sub ${index + 1}`, "3"]),
  "3000",
  "through a fifo",
  "root may write",
  "0:640",
  "",
].join("\n");
