/** Connects the command line with the machine and the images, loaded when they are first needed. */

import { ImageError } from "../image/errors.ts";
import type { Services } from "./command-line.ts";
import type { ImageService } from "./image.ts";

function unavailable(): never {
  throw new ImageError({
    part: "image",
    problem: "this version cannot build or find images yet",
    remedy: "wait for the next one",
  });
}

const images: ImageService = {
  build: async () => unavailable(),
  has: async () => unavailable(),
  list: async () => unavailable(),
  inspect: async () => unavailable(),
  remove: async () => unavailable(),
  prune: async () => unavailable(),
};

export const services: Services = {
  async boot() {
    const { boot } = await import("../machine/index.ts");
    return boot;
  },
  images: async () => images,
};
