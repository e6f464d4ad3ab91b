/** The command line as a whole: arguments in, exit status out. */

import type { Boot } from "../machine/api.ts";
import { describeFailure, STATUS } from "./failure.ts";
import type { HostConsole } from "./host-console.ts";
import type { ImageService } from "./image.ts";
import { buildImage, inspectImages, listImages, pruneImages, removeImages } from "./image.ts";
import { DEFAULT_IMAGE, type Invocation, parseCommandLine } from "./invocation.ts";
import { run } from "./run.ts";

/** What the command line stands on. Both parts are loaded when they are first needed. */
export interface Services {
  boot(): Promise<Boot>;
  images(): Promise<ImageService>;
}

/** A root shell in the image `debian`, which is built if it is missing. */
async function start(host: HostConsole, services: Services): Promise<number> {
  const images = await services.images();
  if (!(await images.has(DEFAULT_IMAGE))) {
    host.stderr.write(`The image "${DEFAULT_IMAGE}" is not there yet; building it from Debian's packages.\n`);
    const request = { kind: "image build", name: DEFAULT_IMAGE, include: [], offline: false } as const;
    await buildImage(request, host, images, false);
  }
  const shell = {
    kind: "run",
    image: DEFAULT_IMAGE,
    command: ["bash"],
    interactive: true,
    tty: host.stdinIsTerminal && host.stdoutIsTerminal,
    env: {},
    workdir: "/root",
    volumes: [],
    timing: false,
    strace: false,
  } as const;
  return run(shell, host, await services.boot());
}

async function perform(invocation: Invocation, host: HostConsole, services: Services): Promise<number> {
  switch (invocation.kind) {
    case "text":
      host.stdout.write(invocation.text);
      return STATUS.OK;
    case "run":
      return run(invocation, host, await services.boot());
    case "start":
      return start(host, services);
    case "image build":
      await buildImage(invocation, host, await services.images(), true);
      return STATUS.OK;
    case "image ls":
      await listImages(invocation.quiet, host, await services.images());
      return STATUS.OK;
    case "image inspect":
      await inspectImages(invocation.names, host, await services.images());
      return STATUS.OK;
    case "image rm":
      await removeImages(invocation.names, host, await services.images());
      return STATUS.OK;
    case "image prune":
      await pruneImages(host, await services.images());
      return STATUS.OK;
  }
}

/** Does what `argv` (the arguments after the program's name) asks for and returns the exit status. */
export async function runCommandLine(
  argv: readonly string[],
  version: string,
  env: Readonly<Record<string, string | undefined>>,
  host: HostConsole,
  services: Services,
): Promise<number> {
  try {
    const columns = host.stdoutIsTerminal ? Math.min(host.size().columns, 100) : 90;
    return await perform(parseCommandLine(argv, { version, env, columns }), host, services);
  } catch (error) {
    const failure = describeFailure(error, argv[0] === "image" ? STATUS.FAILED : STATUS.COPPICE);
    host.stderr.write(failure.text);
    return failure.status;
  }
}
