// Find faces with YuNet, as edgeswap's runtime does (faces/detect.py, look.py and refine.py there).
// A face is {box: [left, top, right, bottom], points: five [x, y], score}.

import { apply, shrink, view } from "./align.js";

const STRIDES = [8, 16, 32];

export class Detector {
  /**
   * @param run takes {data, height, width}, BGR planes, and gives the 12 outputs by name.
   * @param settings the runtime's own bounds.
   */
  constructor(run, settings) {
    this.run = run;
    this.settings = settings;
  }

  /** All faces of a picture, largest first, with refined landmarks. */
  async find(picture) {
    const found = [];
    for (const face of await this.#first(picture)) found.push(await this.#refine(picture, face));
    return found;
  }

  async #first(picture) {
    for (const longSide of [this.settings.detect_px, Math.floor(this.settings.detect_px / 2)]) {
      const factor = Math.min(1, longSide / Math.max(picture.width, picture.height));
      const width = Math.max(1, roundEven(picture.width * factor));
      const height = Math.max(1, roundEven(picture.height * factor));
      const small = factor < 1 ? shrink(picture, width, height) : picture;
      const input = toInput(small, wholeStrides(width), wholeStrides(height));
      const faces = this.#decode(await this.run(input), input, [width / picture.width, height / picture.height]);
      if (faces.length) return faces;
    }
    return [];
  }

  async #refine(picture, face) {
    const { close_enough_px, detect_px, sure_score, level_deg, level_views } = this.settings;
    const seenPx = boxPx(face) * Math.min(1, detect_px / Math.max(picture.width, picture.height));
    let best = face;
    if (seenPx < close_enough_px) {
      let most = 0.5;
      for (const seen of await this.#look(picture, face, {})) {
        const shared = overlap(seen, face);
        if (shared >= most) [best, most] = [seen, shared];
      }
    }
    const upright = best;
    for (const turns of [[90, 180, 270], [45, 135, 225, 315]]) {
      if (best.score >= sure_score) continue;
      for (const turnDeg of turns) {
        const there = await this.#bestThere(picture, upright, { turnDeg });
        if (there && there.score > best.score) best = there;
      }
    }
    if (best === upright && Math.abs(eyeLine(upright)) <= level_deg) return upright;
    const level = await this.#bestThere(picture, best, { turnDeg: eyeLine(best) });
    if (!level) return best;
    const looks = [level];
    for (const [perBox, shift] of level_views) {
      const look = await this.#bestThere(picture, level, { turnDeg: eyeLine(level), perBox, shift });
      if (look) looks.push(look);
    }
    const points = level.points.map((_, at) =>
      [0, 1].map((axis) => looks.reduce((sum, look) => sum + look.points[at][axis], 0) / looks.length));
    return { ...level, points };
  }

  async #bestThere(picture, face, view) {
    const reach = 0.3 * boxPx(face), [x, y] = center(face);
    let best = null;
    for (const seen of await this.#look(picture, face, view)) {
      const [u, v] = center(seen);
      if (Math.max(Math.abs(u - x), Math.abs(v - y)) <= reach && (!best || seen.score > best.score)) best = seen;
    }
    return best;
  }

  /** The faces seen in a square view around one, turned as asked. */
  async #look(picture, face, { turnDeg = 0, perBox = this.settings.view_per_box, shift = [0, 0] }) {
    const side = this.settings.view_px;
    const scale = (perBox * boxPx(face)) / side;
    const [cos, sin] = [Math.cos((turnDeg * Math.PI) / 180) * scale, Math.sin((turnDeg * Math.PI) / 180) * scale];
    const middle = (side - 1) / 2, [x, y] = center(face);
    const toPicture = [
      cos, -sin, x + boxPx(face) * shift[0] - (cos - sin) * middle,
      sin, cos, y + boxPx(face) * shift[1] - (sin + cos) * middle,
    ];
    const input = toInput(view(picture, toPicture, side, turnDeg !== 0), side, side);
    return this.#decode(await this.run(input), input, [1, 1]).map((one) => mapFace(one, toPicture, scale, turnDeg));
  }

  #decode(outputs, { width, height }, [scaleX, scaleY]) {
    const faces = [];
    for (const stride of STRIDES) {
      const [cls, obj, bbox, kps] = ["cls", "obj", "bbox", "kps"].map((name) => outputs[`${name}_${stride}`]);
      const across = width / stride;
      for (let at = 0; at < cls.length; at += 1) {
        const score = Math.sqrt(Math.min(1, Math.max(0, cls[at])) * Math.min(1, Math.max(0, obj[at])));
        if (!(score > this.settings.score_threshold)) continue;
        const column = at % across, row = Math.floor(at / across);
        const [dx, dy, w, h] = bbox.slice(4 * at, 4 * at + 4);
        const x = (column + dx) * stride, y = (row + dy) * stride;
        const halfX = (Math.exp(w) * stride) / 2, halfY = (Math.exp(h) * stride) / 2;
        const points = [0, 1, 2, 3, 4].map((k) =>
          [(kps[10 * at + 2 * k] + column) * stride, (kps[10 * at + 2 * k + 1] + row) * stride]);
        faces.push({ box: [x - halfX, y - halfY, x + halfX, y + halfY], points, score });
      }
    }
    faces.sort((one, other) => other.score - one.score);
    const kept = [];
    for (const face of faces) {
      if (kept.every((other) => overlap(face, other) <= this.settings.overlap_threshold)) kept.push(face);
    }
    return kept
      .map(({ box, points, score }) => ({
        box: box.map((value, at) => value / (at % 2 ? scaleY : scaleX) - 0.5),
        points: points.map(([x, y]) => [x / scaleX - 0.5, y / scaleY - 0.5]),
        score,
      }))
      .sort((one, other) => area(other) - area(one));
  }
}

function toInput(picture, width, height) {
  const data = new Float32Array(3 * width * height);
  [2, 1, 0].forEach((channel, at) => {
    for (let y = 0; y < picture.height; y += 1) {
      const row = picture.planes[channel].subarray(y * picture.width, (y + 1) * picture.width);
      data.set(row, at * width * height + y * width);
    }
  });
  return { data, width, height };
}

function mapFace(face, matrix, scale, turnDeg) {
  const [left, top, right, bottom] = face.box;
  let corners = [[left, top], [right, bottom]].map((corner) => apply(matrix, corner));
  if (turnDeg % 90 !== 0) {
    const half = (Math.max(right - left, bottom - top) / 2) * scale;
    const x = (corners[0][0] + corners[1][0]) / 2, y = (corners[0][1] + corners[1][1]) / 2;
    corners = [[x - half, y - half], [x + half, y + half]];
  }
  const xs = corners.map((corner) => corner[0]), ys = corners.map((corner) => corner[1]);
  return {
    box: [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)],
    points: face.points.map((point) => apply(matrix, point)),
    score: face.score,
  };
}

export function eyeLine({ points: [right, left] }) {
  return (Math.atan2(left[1] - right[1], left[0] - right[0]) * 180) / Math.PI;
}

export function center({ box: [left, top, right, bottom] }) {
  return [(left + right) / 2, (top + bottom) / 2];
}

export function boxPx({ box: [left, top, right, bottom] }) {
  return Math.max(right - left, bottom - top);
}

function area({ box: [left, top, right, bottom] }) {
  return (right - left) * (bottom - top);
}

function overlap(one, other) {
  const across = Math.min(one.box[2], other.box[2]) - Math.max(one.box[0], other.box[0]);
  const down = Math.min(one.box[3], other.box[3]) - Math.max(one.box[1], other.box[1]);
  const shared = Math.max(0, across) * Math.max(0, down);
  return shared / (area(one) + area(other) - shared);
}

function roundEven(value) {
  const low = Math.floor(value);
  return value - low > 0.5 || (value - low === 0.5 && low % 2) ? low + 1 : low;
}

function wholeStrides(length) {
  return Math.ceil(length / 32) * 32;
}
