// A whole swap in the browser: detect, align, swap.onnx, paste. Used by the worker, and by tests.

import * as ort from "./ort/ort.wasm.min.mjs";
import { similarity, warp } from "./align.js";
import { Detector } from "./detect.js";
import { applyGain, isGray, lightGain, paste, toGray } from "./paste.js";

const MOST_THREADS = 4;

export class BrowserSwapper {
  /** Load the graphs and settings that lie beside this page. */
  static async open(base) {
    const made = new BrowserSwapper();
    made.settings = await (await fetch(new URL("settings.json", base))).json();
    ort.env.wasm.wasmPaths = new URL("ort/", base).href;
    const threads = Math.min(MOST_THREADS, navigator.hardwareConcurrency || 1);
    ort.env.wasm.numThreads = globalThis.crossOriginIsolated ? threads : 1;
    const open = (name) => ort.InferenceSession.create(new URL(name, base).href, { executionProviders: ["wasm"] });
    [made.graph, made.detectorGraph] = [await open("swap.onnx"), await open("detector.onnx")];
    if (made.settings.watermark) {
      made.watermark = new Float32Array(await (await fetch(new URL("watermark.f32", base))).arrayBuffer());
    }
    made.detector = new Detector((input) => made.#detect(input), made.settings.detector);
    return made;
  }

  find(picture) {
    return this.detector.find(picture);
  }

  /** The aligned crop of a face, and the matrix to it. */
  align(picture, face) {
    const { landmarks_px: landmarks, size_px: size } = this.settings.crop;
    const matrix = similarity(face.points, landmarks);
    return { crop: warp(picture, matrix, size), matrix };
  }

  /** Swap aligned crops of whole numbers: {crop, alpha}, float, 0 to 255 and 0 to 1. */
  async swapCrop(target, source) {
    const made = await this.graph.run({ target: toTensor(target), source: toTensor(source) });
    const size = target.width, data = made.crop.data;
    const planes = [0, 1, 2].map((channel) =>
      data.slice(channel * size * size, (channel + 1) * size * size).map((value) => (value + 1) * 127.5));
    return { crop: { width: size, height: size, planes }, alpha: made.alpha?.data };
  }

  /** Put a source's crop into a face of a picture, in place. `note` hears the milliseconds. */
  async swapFace(picture, face, source, note = () => {}) {
    const start = performance.now();
    const { crop, matrix } = this.align(picture, face);
    note("align", performance.now() - start);
    const before = performance.now();
    const gain = lightGain(crop, this.settings.light);
    const made = await this.swapCrop(gain ? applyGain(crop, gain) : crop, source);
    let swapped = made.crop;
    if (gain) swapped = { ...swapped, planes: swapped.planes.map((plane, at) => plane.map((value) => value / gain[at])) };
    if (isGray(crop, this.settings.light.gray_step)) swapped = toGray(swapped);
    if (this.watermark && !isGray(swapped, this.settings.light.gray_step)) this.#addWatermark(swapped);
    const then = performance.now();
    note("swap", then - before);
    paste(picture, swapped, matrix, this.settings.mask, made.alpha);
    note("paste", performance.now() - then);
  }

  /** The invisible mark, in face coordinates, as the runtime adds it. */
  #addWatermark({ planes }) {
    planes.forEach((plane, channel) => {
      for (let at = 0; at < plane.length; at += 1) plane[at] += this.watermark[channel * plane.length + at];
    });
  }

  async #detect({ data, width, height }) {
    const made = await this.detectorGraph.run({ input: new ort.Tensor("float32", data, [1, 3, height, width]) });
    return Object.fromEntries(Object.entries(made).map(([name, tensor]) => [name, tensor.data]));
  }
}

function toTensor(crop) {
  const size = crop.width, data = new Float32Array(3 * size * size);
  crop.planes.forEach((plane, channel) => {
    for (let at = 0; at < plane.length; at += 1) data[channel * size * size + at] = Math.fround(plane[at] / 127.5) - 1;
  });
  return new ort.Tensor("float32", data, [1, 3, size, size]);
}

/** Pixels of a canvas as a picture. */
export function toPicture({ data, width, height }) {
  const planes = [0, 1, 2].map((channel) => {
    const plane = new Float32Array(width * height);
    for (let at = 0; at < plane.length; at += 1) plane[at] = data[4 * at + channel];
    return plane;
  });
  return { width, height, planes, whole: true };
}

/** A picture as pixels of a canvas. */
export function toPixels({ width, height, planes }) {
  const pixels = new ImageData(width, height);
  for (let at = 0; at < width * height; at += 1) {
    for (let channel = 0; channel < 3; channel += 1) pixels.data[4 * at + channel] = planes[channel][at];
    pixels.data[4 * at + 3] = 255;
  }
  return pixels;
}

export function copyOf(picture) {
  return { ...picture, planes: picture.planes.map((plane) => plane.slice()) };
}
