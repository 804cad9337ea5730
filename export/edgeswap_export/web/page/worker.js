// The swaps, beside the page: {id, task, ...} in, {id, ...} out.

import { marked } from "./mark.js";
import { PeopleSeen } from "./people_seen.js";
import { BrowserSwapper, copyOf, toPicture, toPixels } from "./swap.js";

const THUMB_PX = 112;
const QUALITY = 0.95;
const opening = BrowserSwapper.open(new URL("./", self.location.href));
const sources = new Map(); // key -> aligned crop
const seen = new PeopleSeen();
let count = 0;

const tasks = {
  async open() {
    await opening;
    return {};
  },

  async read({ bitmap, name }) {
    const swapper = await opening;
    const picture = toPicture(pixelsOf(bitmap));
    const [face] = await swapper.find(picture);
    if (!face) throw new Error("no face found in it: use a photo in which the face is uncovered and turned to the camera");
    count += 1;
    sources.set(`s${count}`, swapper.align(picture, face).crop);
    return { key: `s${count}`, name, thumbnail: await thumbnail(bitmap, face) };
  },

  forget({ key }) {
    sources.delete(key);
    return {};
  },

  async frame({ pixels, people, timeS }) {
    const swapper = await opening, ms = { find: 0, align: 0, swap: 0, paste: 0, write: 0 };
    const note = (stage, spent) => (ms[stage] += spent);
    const start = performance.now(), picture = toPicture(pixels);
    const faces = seen.place(await swapper.find(picture), timeS);
    note("find", performance.now() - start);
    let after = null;
    for (const face of faces) {
      const source = sources.get(people[face.place]);
      if (!source) continue;
      after ??= copyOf(picture);
      await swapper.swapFace(after, face, source, note);
    }
    const writing = performance.now();
    const blob = after ? await written(after, "image/jpeg", swapper) : null;
    note("write", performance.now() - writing);
    const { width, height } = picture;
    const told = faces.map(({ place, box: [left, top, right, bottom] }) =>
      ({ place, box: [left / width, top / height, right / width, bottom / height] }));
    return { blob, facts: { faces: told, ms, total_ms: performance.now() - start } };
  },

  async photo({ bitmap, chosen }) {
    const swapper = await opening, picture = toPicture(pixelsOf(bitmap));
    const faces = await swapper.find(picture), after = copyOf(picture);
    for (const { at: [x, y], source } of chosen) {
      const away = ({ box }) => Math.hypot((box[0] + box[2]) / 2 - x * picture.width, (box[1] + box[3]) / 2 - y * picture.height);
      const [face] = faces.sort((one, other) => away(one) - away(other)).splice(0, 1);
      if (face) await swapper.swapFace(after, face, sources.get(source));
    }
    return { blob: await written(after, "image/png", swapper) };
  },
};

self.onmessage = async ({ data: { id, task, ...given } }) => {
  try {
    self.postMessage({ id, ...(await tasks[task](given)) });
  } catch (error) {
    self.postMessage({ id, error: error.message });
  }
};

function pixelsOf(bitmap) {
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height);
}

async function written(picture, type, swapper) {
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  canvas.getContext("2d").putImageData(toPixels(picture), 0, 0);
  return marked(await canvas.convertToBlob({ type, quality: QUALITY }), swapper.settings.xmp);
}

async function thumbnail(bitmap, { box: [left, top, right, bottom] }) {
  const side = 1.5 * Math.max(right - left, bottom - top);
  const canvas = new OffscreenCanvas(THUMB_PX, THUMB_PX);
  const x = (left + right - side) / 2, y = (top + bottom - side) / 2;
  canvas.getContext("2d").drawImage(bitmap, x, y, side, side, 0, 0, THUMB_PX, THUMB_PX);
  const data = new Uint8Array(await (await canvas.convertToBlob({ type: "image/jpeg" })).arrayBuffer());
  return `data:image/jpeg;base64,${btoa(String.fromCharCode(...data))}`;
}
