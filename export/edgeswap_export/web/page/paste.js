// Light and paste, as edgeswap's runtime does them (faces/light.py and faces/paste.py there).

import { apply, enlargePlane, invert, round8, spreadOut } from "./align.js";

const POINTS_PER_CROP_PX = 3;

/** Factors that bring a crop's light into the trained range; null where it is in it. */
export function lightGain(crop, light) {
  const [low, high] = light.face.map((share) => Math.round(share * crop.width));
  const means = crop.planes.map((plane) => {
    let sum = 0;
    for (let y = low; y < high; y += 1) for (let x = low; x < high; x += 1) sum += plane[y * crop.width + x];
    return Math.max(1, sum / (high - low) ** 2);
  });
  const mean = (means[0] + means[1] + means[2]) / 3;
  const within = means.every((value, at) => value / mean >= light.tint_bounds[at][0] && value / mean <= light.tint_bounds[at][1]);
  if (within && mean >= light.mean_bounds[0] && mean <= light.mean_bounds[1]) return null;
  const [least, most] = light.gain_bounds;
  return means.map((value, at) => Math.min(most, Math.max(least, light.typical[at] / value)));
}

export function applyGain(crop, gain) {
  const planes = crop.planes.map((plane, channel) => plane.map((value) => round8(value * gain[channel])));
  return { ...crop, planes };
}

export function isGray({ planes: [red, green, blue] }, step) {
  for (let at = 0; at < red.length; at += 1) {
    if (Math.max(red[at], green[at], blue[at]) - Math.min(red[at], green[at], blue[at]) > step) return false;
  }
  return true;
}

export function toGray(crop) {
  const [red, green, blue] = crop.planes;
  const luma = red.map((value, at) => 0.299 * value + 0.587 * green[at] + 0.114 * blue[at]);
  return { ...crop, planes: [luma, luma, luma] };
}

function weight(mask, x, y, size) {
  const across = Math.abs((x - mask.center_px[0]) / mask.radii_px[0]);
  const along = Math.abs((y - mask.center_px[1]) / mask.radii_px[1]);
  const radius = (across ** mask.exponent + along ** mask.exponent) ** (1 / mask.exponent);
  const border = (size - 1) / 2;
  const inside = border - Math.max(Math.abs(x - border), Math.abs(y - border));
  const depth = Math.min((1 - radius) * Math.min(...mask.radii_px), inside);
  if (mask.feather_px === 0) return depth > 0 ? 1 : 0;
  const rise = Math.min(1, Math.max(0, depth / mask.feather_px));
  return rise * rise * (3 - 2 * rise);
}

/** The mask on a part of a picture, 0 to 255; of large faces interpolated, as the runtime does. */
function regionWeights(mask, toCrop, width, height, size) {
  const pitch = Math.max(1, 1 / (POINTS_PER_CROP_PX * Math.hypot(toCrop[0], toCrop[3])));
  const exact = pitch === 1;
  const [across, down] = exact ? [width, height] : [width, height].map((side) => Math.ceil(side / pitch) + 2);
  const found = new Float32Array(across * down);
  for (let y = 0; y < down; y += 1) {
    for (let x = 0; x < across; x += 1) {
      const at = [pitch * (x - !exact), pitch * (y - !exact)];
      found[y * across + x] = round8(255 * weight(mask, ...apply(toCrop, at), size));
    }
  }
  if (exact) return found;
  const start = 1.5 - 0.5 / pitch;
  const box = [start, start, start + width / pitch, start + height / pitch];
  return enlargePlane({ width: across, height: down, planes: [least(found, across, down)] }, box, width, height).planes[0];
}

/** The least value of each point and its neighbors. */
function least(plane, width, height) {
  return plane.map((_, at) => {
    const x = at % width, y = Math.floor(at / width);
    let low = 255;
    for (let v = Math.max(0, y - 1); v <= Math.min(height - 1, y + 1); v += 1) {
      for (let u = Math.max(0, x - 1); u <= Math.min(width - 1, x + 1); u += 1) low = Math.min(low, plane[v * width + u]);
    }
    return low;
  });
}

/** A whole number divided by 255 and rounded, as Pillow does it. */
function by255(value) {
  const more = value + 128;
  return ((more >> 8) + more) >> 8;
}

/** Blend a swapped crop into a picture, in place; `alpha` (one more plane) may hold it back. */
export function paste(picture, crop, matrix, mask, alpha) {
  const size = crop.width;
  const low = mask.center_px.map((value, axis) => Math.max(0, value - mask.radii_px[axis]));
  const high = mask.center_px.map((value, axis) => Math.min(size - 1, value + mask.radii_px[axis]));
  const back = invert(matrix);
  const there = [[low[0], low[1]], [high[0], low[1]], [high[0], high[1]], [low[0], high[1]]].map((at) => apply(back, at));
  const xs = there.map((at) => at[0]), ys = there.map((at) => at[1]);
  const left = Math.max(0, Math.floor(Math.min(...xs))), top = Math.max(0, Math.floor(Math.min(...ys)));
  const right = Math.min(picture.width, Math.ceil(Math.max(...xs)) + 1);
  const bottom = Math.min(picture.height, Math.ceil(Math.max(...ys)) + 1);
  if (left >= right || top >= bottom) return;
  const [a, b, c, d, e, f] = matrix;
  const toCrop = [a, b, c + a * left + b * top, d, e, f + d * left + e * top];
  const planes = alpha ? [...crop.planes, alpha.map((value) => 255 * value)] : crop.planes;
  const width = right - left, height = bottom - top;
  const weights = regionWeights(mask, toCrop, width, height, size);
  const made = spreadOut({ ...crop, planes, whole: false }, toCrop, width, height);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const at = y * width + x, into = (top + y) * picture.width + left + x;
      let share = weights[at];
      if (alpha) share = by255(share * made.planes[3][at]);
      for (let channel = 0; share > 0 && channel < 3; channel += 1) {
        const before = picture.planes[channel][into];
        picture.planes[channel][into] = by255(before * (255 - share) + made.planes[channel][at] * share);
      }
    }
  }
}
