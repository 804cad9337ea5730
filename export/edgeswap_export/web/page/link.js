// What swaps: here a worker in this browser; nothing leaves the machine. It has the same face as the
// `link.js` of `edgeswap live`, so that the rest of the page is the same.

export const STATES = { connecting: "Loading the model…", open: "Runs in this browser", lost: "The model did not load" };

export class Link extends EventTarget {
  #worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  #asked = new Map(); // id -> [resolve, reject]
  #id = 0;
  #open = false;
  #busy = false;
  #number = 0;
  #people = {};

  constructor() {
    super();
    this.#worker.onmessage = ({ data: { id, ...answer } }) => {
      const [resolve, reject] = this.#asked.get(id);
      this.#asked.delete(id);
      if (answer.error) reject(new Error(answer.error));
      else resolve(answer);
    };
    this.#worker.onerror = (event) => this.#lose(event.message);
    queueMicrotask(() => this.#begin());
  }

  /** One frame at a time: those in between are not taken at all. */
  get ready() {
    return this.#open && !this.#busy;
  }

  tell(people) {
    this.#people = { ...people };
  }

  async send(canvas, timeS) {
    const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    this.#number += 1;
    this.#answer(this.#number, pixels, timeS);
    return this.#number;
  }

  async sources() {
    return [];
  }

  async read(file) {
    return this.#ask("read", { bitmap: await bitmapOf(file), name: file.name });
  }

  async forget(key) {
    await this.#ask("forget", { key });
  }

  async photo(file, chosen) {
    return (await this.#ask("photo", { bitmap: await bitmapOf(file), chosen })).blob;
  }

  async #begin() {
    this.#say("connecting");
    try {
      await this.#ask("open", {});
      this.#open = true;
      this.#say("open");
    } catch (error) {
      this.#lose(error.message);
    }
  }

  async #answer(number, pixels, timeS) {
    this.#busy = true;
    const start = performance.now();
    let detail;
    try {
      const { facts, blob } = await this.#ask("frame", { pixels, people: this.#people, timeS });
      detail = { facts: { number, ...facts }, jpeg: blob, roundTripMs: performance.now() - start };
    } catch (error) {
      detail = { facts: { number, error: error.message }, jpeg: null, roundTripMs: 0 };
    }
    this.#busy = false;
    this.dispatchEvent(new CustomEvent("answer", { detail }));
  }

  #ask(task, given) {
    this.#id += 1;
    const id = this.#id;
    return new Promise((resolve, reject) => {
      this.#asked.set(id, [resolve, reject]);
      this.#worker.postMessage({ id, task, ...given });
    });
  }

  #lose(words) {
    this.#say("lost");
    this.dispatchEvent(new CustomEvent("told", { detail: { error: `The model did not load: ${words}` } }));
  }

  #say(state) {
    this.dispatchEvent(new CustomEvent("state", { detail: state }));
  }
}

async function bitmapOf(file) {
  try {
    return await createImageBitmap(file);
  } catch {
    throw new Error("it is no picture that this browser can show");
  }
}
