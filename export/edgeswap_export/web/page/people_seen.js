// Keep each person's place from frame to frame: the nearest face, else the least free place.

import { boxPx, center } from "./detect.js";

const FORGET_S = 2;

export class PeopleSeen {
  #known = new Map(); // place -> {at, size, timeS}

  /** Give every face of a frame its place, from 1, left to right among new ones. */
  place(faces, timeS) {
    for (const [place, one] of this.#known) {
      if (timeS < one.timeS || timeS - one.timeS > FORGET_S) this.#known.delete(place);
    }
    const pairs = [];
    faces.forEach((face, index) => {
      for (const [place, one] of this.#known) {
        const away = Math.hypot(center(face)[0] - one.at[0], center(face)[1] - one.at[1]) / one.size;
        if (away < 1) pairs.push({ away, index, place });
      }
    });
    const places = new Map(), taken = new Set();
    for (const { index, place } of pairs.sort((one, other) => one.away - other.away)) {
      if (places.has(index) || taken.has(place)) continue;
      places.set(index, place);
      taken.add(place);
    }
    const used = new Set(this.#known.keys());
    const fresh = faces.map((_, index) => index).filter((index) => !places.has(index));
    for (const index of fresh.sort((one, other) => center(faces[one])[0] - center(faces[other])[0])) {
      let place = 1;
      while (used.has(place)) place += 1;
      used.add(place);
      places.set(index, place);
    }
    return faces.map((face, index) => {
      this.#known.set(places.get(index), { at: center(face), size: boxPx(face), timeS });
      return { ...face, place: places.get(index) };
    });
  }
}
