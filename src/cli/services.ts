/** Connects the command line with the machine and the images, loaded when they are first needed. */

import type { ImageInfo } from "../image/images.ts";
import type { Services } from "./command-line.ts";
import type { ImageService, ImageSummary } from "./image.ts";

const summarize = ({ name, suite, releaseVersion, bytes, createdMs }: ImageInfo): ImageSummary => {
  return {
    name,
    release: releaseVersion === "" ? suite : `${suite} ${releaseVersion}`,
    bytes,
    builtMs: createdMs,
  };
};

const images: ImageService = {
  async build({ kind: _kind, ...options }, progress, signal) {
    const { buildImage } = await import("../image/build.ts");
    return summarize(await buildImage(options, progress, signal));
  },
  async has(name) {
    const { lookUpImage } = await import("../image/images.ts");
    return (await lookUpImage(name)) !== undefined;
  },
  async list() {
    const { listImages } = await import("../image/images.ts");
    return (await listImages()).map(summarize);
  },
  async inspect(name) {
    const { inspectImage } = await import("../image/images.ts");
    return inspectImage(name);
  },
  async remove(name) {
    const { removeImage } = await import("../image/images.ts");
    await removeImage(name);
  },
  async prune() {
    const { pruneImages } = await import("../image/images.ts");
    const { images: count, downloads, temporary, freedBytes } = await pruneImages();
    return { files: count + downloads + temporary, bytes: freedBytes };
  },
};

export const services: Services = {
  async boot() {
    const { boot } = await import("../machine/index.ts");
    return boot;
  },
  images: async () => images,
};
