// Similarities, resampling and cropping, as edgeswap's runtime does them (faces/align.py there):
// pixel centers at integers; a matrix [a, b, c, d, e, f] maps (x, y) to (ax + by + c, dx + ey + f).
// Pictures are {width, height, planes}: three Float32Array, red, green and blue, 0 to 255.

const KERNEL_PX = 3;
const ENLARGE = 3;

/** The least-squares similarity from points to a template, both [[x, y], ...]. */
export function similarity(points, template) {
  const mean = (list, axis) => list.reduce((sum, point) => sum + point[axis], 0) / list.length;
  const [px, py, tx, ty] = [mean(points, 0), mean(points, 1), mean(template, 0), mean(template, 1)];
  let along = 0, across = 0, size = 0;
  points.forEach(([x, y], at) => {
    const [u, v] = [template[at][0] - tx, template[at][1] - ty];
    along += (x - px) * u + (y - py) * v;
    across += (x - px) * v - (y - py) * u;
    size += (x - px) ** 2 + (y - py) ** 2;
  });
  const [cos, sin] = [along / size, across / size];
  return [cos, -sin, tx - cos * px + sin * py, sin, cos, ty - sin * px - cos * py];
}

export function invert([a, b, c, d, e, f]) {
  const det = a * e - b * d;
  const [p, q, r, s] = [e / det, -b / det, -d / det, a / det];
  return [p, q, -(p * c + q * f), r, s, -(r * c + s * f)];
}

export function apply([a, b, c, d, e, f], [x, y]) {
  return [a * x + b * y + c, d * x + e * y + f];
}

export function round8(value) {
  // Halves go to the even neighbor, as in numpy.
  const low = Math.floor(value);
  const up = value - low > 0.5 || (value - low === 0.5 && low % 2 !== 0);
  return Math.min(255, Math.max(0, up ? low + 1 : low));
}

/** Sample a picture on a rotated, scaled and shifted grid; `toPicture` maps output pixels to it. */
export function resample(picture, toPicture, width, height) {
  const [a, b, c, d, e, f] = toPicture;
  const spread = Math.sqrt(Math.abs(a * e - b * d));
  const corners = [[-0.5, -0.5], [width - 0.5, -0.5], [width - 0.5, height - 0.5], [-0.5, height - 0.5]]
    .map((corner) => apply(toPicture, corner));
  const region = cutRegion(picture, corners, spread);
  const enlarging = spread < 1 + 1e-6;
  const factor = enlarging ? 1 : Math.floor(spread);
  const samples = enlarging ? 1 : 2;
  const zoom = enlarging ? ENLARGE : 1 / factor;
  const x0 = -0.5 * (a + b) + c + 0.5 - region.left;
  const y0 = -0.5 * (d + e) + f + 0.5 - region.top;
  const grid = [a / samples, b / samples, x0, d / samples, e / samples, y0].map((value) => value * zoom);
  let source = factor > 1 ? reduce(region, factor, picture.whole) : region;
  if (enlarging) source = enlarge(source);
  const large = affine(source, grid, width * samples, height * samples);
  return samples > 1 ? reduce(large, samples, false) : large;
}

/** Sample a small picture on the grid of a larger one, in whole numbers; see the runtime's spread_out. */
export function spreadOut(picture, [a, b, c, d, e, f], width, height) {
  const pitch = Math.hypot(a, d) * ENLARGE;
  if (pitch >= 1) return rounded(resample(picture, [a, b, c, d, e, f], width, height));
  const right = KERNEL_PX + pitch * width, bottom = KERNEL_PX + pitch * height;
  const first = (0.5 - KERNEL_PX) / pitch - 0.5;
  const toSamples = [a / pitch, b / pitch, (a + b) * first + c, d / pitch, e / pitch, (d + e) * first + f];
  const turned = rounded(resample(picture, toSamples, Math.ceil(right) + KERNEL_PX, Math.ceil(bottom) + KERNEL_PX));
  return resizeBox(turned, [KERNEL_PX, KERNEL_PX, right, bottom], width, height, bicubic, 2);
}

/** Enlarge part of a plane of whole numbers by a triangle filter. */
export function enlargePlane(plane, box, width, height) {
  return resizeBox(plane, box, width, height, triangle, 1);
}

function rounded(picture) {
  return { ...picture, planes: picture.planes.map((plane) => plane.map(round8)) };
}

/** An aligned square crop, rounded to whole numbers. */
export function warp(picture, matrix, size) {
  const crop = resample(picture, invert(matrix), size, size);
  for (const plane of crop.planes) for (let at = 0; at < plane.length; at += 1) plane[at] = round8(plane[at]);
  return { ...crop, whole: true };
}

function cutRegion(picture, corners, spread) {
  const margin = KERNEL_PX + Math.ceil(spread);
  const xs = corners.map((corner) => corner[0]), ys = corners.map((corner) => corner[1]);
  const left = Math.floor(Math.min(...xs)) - margin, top = Math.floor(Math.min(...ys)) - margin;
  const right = Math.ceil(Math.max(...xs)) + 1 + margin, bottom = Math.ceil(Math.max(...ys)) + 1 + margin;
  const width = right - left, height = bottom - top;
  const columns = Int32Array.from({ length: width }, (_, at) => Math.min(picture.width - 1, Math.max(0, left + at)));
  const planes = picture.planes.map((plane) => {
    const cut = new Float32Array(width * height);
    for (let y = 0; y < height; y += 1) {
      const row = Math.min(picture.height - 1, Math.max(0, top + y)) * picture.width;
      for (let x = 0; x < width; x += 1) cut[y * width + x] = plane[row + columns[x]];
    }
    return cut;
  });
  return { left, top, width, height, planes };
}

/** Average blocks of factor x factor pixels; those at the right and lower border may be smaller. */
export function reduce(picture, factorX, whole, factorY = factorX) {
  const width = Math.ceil(picture.width / factorX), height = Math.ceil(picture.height / factorY);
  const planes = picture.planes.map((plane) => {
    const made = new Float32Array(width * height);
    for (let y = 0; y < height; y += 1) {
      const lastY = Math.min(picture.height, (y + 1) * factorY);
      for (let x = 0; x < width; x += 1) {
        const lastX = Math.min(picture.width, (x + 1) * factorX);
        let sum = 0;
        for (let v = y * factorY; v < lastY; v += 1) {
          for (let u = x * factorX; u < lastX; u += 1) sum += plane[v * picture.width + u];
        }
        const mean = sum / ((lastY - y * factorY) * (lastX - x * factorX));
        made[y * width + x] = whole ? Math.floor(mean + 0.5) : mean;
      }
    }
    return made;
  });
  return { width, height, planes };
}

function bicubic(x) {
  const at = Math.abs(x);
  if (at < 1) return (1.5 * at - 2.5) * at * at + 1;
  return at < 2 ? ((-0.5 * at + 2.5) * at - 4) * at + 2 : 0;
}

const triangle = (x) => Math.max(0, 1 - Math.abs(x));

/** Weights of one axis: for each output pixel [first, weights], normalized at the borders too. */
function axisWeights(from, to, start, length, filter, reach) {
  const scale = length / to, widen = Math.max(scale, 1), support = reach * widen;
  return Array.from({ length: to }, (_, at) => {
    const center = start + (at + 0.5) * scale;
    const first = Math.max(0, Math.floor(center - support + 0.5));
    const last = Math.min(from, Math.floor(center + support + 0.5));
    const weights = Array.from({ length: last - first }, (_, k) => filter((first + k - center + 0.5) / widen));
    const sum = weights.reduce((one, other) => one + other, 0);
    return [first, weights.map((weight) => weight / sum)];
  });
}

function resizeBy(picture, columns, rows, whole) {
  const width = columns.length, height = rows.length;
  const settle = whole ? (value) => Math.min(255, Math.max(0, Math.floor(value + 0.5))) : (value) => value;
  const planes = picture.planes.map((plane) => {
    const middle = new Float32Array(width * picture.height);
    for (let y = 0; y < picture.height; y += 1) {
      for (let x = 0; x < width; x += 1) {
        const [first, weights] = columns[x];
        let sum = 0;
        for (let k = 0; k < weights.length; k += 1) sum += plane[y * picture.width + first + k] * weights[k];
        middle[y * width + x] = settle(sum);
      }
    }
    const made = new Float32Array(width * height);
    for (let y = 0; y < height; y += 1) {
      const [first, weights] = rows[y];
      for (let x = 0; x < width; x += 1) {
        let sum = 0;
        for (let k = 0; k < weights.length; k += 1) sum += middle[(first + k) * width + x] * weights[k];
        made[y * width + x] = settle(sum);
      }
    }
    return made;
  });
  return { width, height, planes };
}

function enlarge(picture) {
  const axis = (length) => axisWeights(length, length * ENLARGE, 0, length, bicubic, 2);
  return resizeBy(picture, axis(picture.width), axis(picture.height), false);
}

/** Shrink a whole picture; of much larger ones only every second, third ... row is looked at. */
export function shrink(picture, width, height) {
  const step = Math.max(1, Math.min(Math.floor(Math.max(picture.width / width, picture.height / height)) >> 1, picture.height));
  const rows = step > 1 ? everyRow(picture, step) : picture;
  return resizeBox(rows, [0, 0, rows.width, rows.height], width, height, triangle, 1);
}

function everyRow(picture, step) {
  const { width } = picture, height = Math.floor(picture.height / step), first = step >> 1;
  const planes = picture.planes.map((plane) => {
    const kept = new Float32Array(width * height);
    for (let y = 0; y < height; y += 1) {
      const from = (first + y * step) * width;
      kept.set(plane.subarray(from, from + width), y * width);
    }
    return kept;
  });
  return { width, height, planes };
}

/** Resize a box of a picture as Pillow does with reducing_gap 1: whole pixels are averaged first. */
function resizeBox(picture, [left, top, right, bottom], width, height, filter, reach) {
  const axes = [[left, right, width, picture.width], [top, bottom, height, picture.height]].map(([low, high, to, from]) => {
    const factor = Math.max(1, Math.floor((high - low) / to)), support = ((reach - 0.5) * (high - low)) / to;
    return { low, high, to, from, factor, first: Math.max(0, Math.trunc(low - support)), last: Math.min(from, Math.ceil(high + support)) };
  });
  const less = axes.some(({ factor }) => factor > 1);
  if (less) picture = reduce(cut(picture, ...axes), axes[0].factor, true, axes[1].factor);
  const [columns, rows] = axes.map(({ low, high, to, from, factor, first, last }) => less
    ? axisWeights(Math.ceil((last - first) / factor), to, (low - first) / factor, (high - low) / factor, filter, reach)
    : axisWeights(from, to, low, high - low, filter, reach));
  return resizeBy(picture, columns, rows, true);
}

function cut(picture, across, down) {
  const width = across.last - across.first, height = down.last - down.first;
  const planes = picture.planes.map((plane) => {
    const part = new Float32Array(width * height);
    for (let y = 0; y < height; y += 1) {
      const from = (down.first + y) * picture.width + across.first;
      part.set(plane.subarray(from, from + width), y * width);
    }
    return part;
  });
  return { width, height, planes };
}

/** A square view of whole numbers, as the detector takes it; see faces/look.py of the runtime. */
export function view(picture, toPicture, side, turned) {
  const [a, b, c, d, e, f] = toPicture;
  const scale = Math.hypot(a, d);
  if (!turned) {
    const ends = [[-0.5, -0.5], [side - 0.5, side - 0.5]].map((corner) => apply(toPicture, corner));
    const region = cutRegion(picture, ends, scale);
    const box = ends.flatMap(([x, y]) => [x - region.left + 0.5, y - region.top + 0.5]);
    return scale < 1 ? resizeBox(region, box, side, side, bicubic, 2) : resizeBox(region, box, side, side, triangle, 1);
  }
  const last = side - 1;
  const corners = [[0, 0], [last, 0], [last, last], [0, last]].map((corner) => apply(toPicture, corner));
  const region = cutRegion(picture, corners, scale);
  const factor = Math.max(1, Math.floor(scale));
  const grid = [
    a, b, c - (a + b) / 2 + 0.5 - region.left,
    d, e, f - (d + e) / 2 + 0.5 - region.top,
  ].map((value) => value / factor);
  const seen = affine(factor > 1 ? reduce(region, factor, true) : region, grid, side, side);
  for (const plane of seen.planes) for (let at = 0; at < plane.length; at += 1) plane[at] = Math.trunc(plane[at]);
  return seen;
}

/** Bilinear samples at [a, b, c, d, e, f] applied to (x + 0.5, y + 0.5); 0 outside. */
function affine(source, [a, b, c, d, e, f], width, height) {
  const made = source.planes.map(() => new Float32Array(width * height));
  const lastX = source.width - 1, lastY = source.height - 1;
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      let u = a * (x + 0.5) + b * (y + 0.5) + c, v = d * (x + 0.5) + e * (y + 0.5) + f;
      if (u < 0 || v < 0 || u >= source.width || v >= source.height) continue;
      u -= 0.5;
      v -= 0.5;
      const left = Math.floor(u), top = Math.floor(v), right = u - left, down = v - top;
      const x0 = Math.max(0, left), x1 = Math.min(lastX, left + 1);
      const y0 = Math.max(0, top) * source.width, y1 = Math.min(lastY, top + 1) * source.width;
      const at = y * width + x;
      for (let channel = 0; channel < made.length; channel += 1) {
        const plane = source.planes[channel];
        const upper = plane[y0 + x0] + (plane[y0 + x1] - plane[y0 + x0]) * right;
        const lower = plane[y1 + x0] + (plane[y1 + x1] - plane[y1 + x0]) * right;
        made[channel][at] = upper + (lower - upper) * down;
      }
    }
  }
  return { width, height, planes: made };
}
