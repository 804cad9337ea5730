// What swaps: here a server, over a WebSocket. Bounded: a frame is only sent while fewer than `MOST`
// are unanswered; when the connection is lost it is opened again, later and later.

const MOST = 2;
const FIRST_WAIT_MS = 300;
const LONGEST_WAIT_MS = 5000;
const SILENCE_MS = 20000;
const QUALITY = 0.9;

export const STATES = { connecting: "Connecting…", open: "Connected", lost: "Connection lost, trying again…" };

export class Link extends EventTarget {
  #socket = null;
  #waiting = new Map(); // number -> when it was sent
  #number = 0;
  #retryMs = FIRST_WAIT_MS;
  #people = {};

  constructor() {
    super();
    this.url = new URL("api/frames", location.href);
    this.url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    this.#open();
    setInterval(() => this.#watch(), 1000);
  }

  /** Whether another frame may be sent now. */
  get ready() {
    return this.#socket?.readyState === WebSocket.OPEN && this.#waiting.size < MOST;
  }

  /** Say who is put where: place -> source key. Said again after every reconnection. */
  tell(people) {
    this.#people = people;
    if (this.#socket?.readyState === WebSocket.OPEN) {
      this.#socket.send(JSON.stringify({ people }));
    }
  }

  /** Send a canvas seen at `timeS`; gives the number under which it will be answered, or null. */
  async send(canvas, timeS) {
    const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", QUALITY));
    const jpeg = await blob.arrayBuffer();
    if (!this.ready) return null;
    const message = new Uint8Array(12 + jpeg.byteLength);
    const head = new DataView(message.buffer);
    this.#number += 1;
    head.setUint32(0, this.#number, true);
    head.setFloat64(4, timeS, true);
    message.set(new Uint8Array(jpeg), 12);
    this.#waiting.set(this.#number, performance.now());
    this.#socket.send(message);
    return this.#number;
  }

  /** The faces that can be put in, from before. */
  async sources() {
    return (await (await fetch("api/state")).json()).sources;
  }

  /** Read a face from a photo: {key, name, thumbnail}. */
  async read(file) {
    const address = `api/sources?name=${encodeURIComponent(file.name)}`;
    const response = await fetch(address, { method: "POST", body: file });
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.error);
    return answer;
  }

  async forget(key) {
    await fetch(`api/sources/${key}`, { method: "DELETE" });
  }

  /** Swap a photo at its full size; `chosen` is [{at: [x, y], source: key}]. Gives a marked PNG. */
  async photo(file, chosen) {
    const query = encodeURIComponent(JSON.stringify(chosen));
    const response = await fetch(`api/photo?people=${query}`, { method: "POST", body: file });
    if (!response.ok) throw new Error((await response.json()).error);
    return response.blob();
  }

  #open() {
    this.#say("connecting");
    const socket = new WebSocket(this.url);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      this.#retryMs = FIRST_WAIT_MS;
      this.tell(this.#people);
      this.#say("open");
    };
    socket.onmessage = (event) => this.#take(event.data);
    socket.onclose = () => {
      this.#socket = null;
      this.#waiting.clear();
      this.#say("lost");
      setTimeout(() => this.#open(), this.#retryMs);
      this.#retryMs = Math.min(2 * this.#retryMs, LONGEST_WAIT_MS);
    };
    this.#socket = socket;
  }

  #take(data) {
    if (typeof data === "string") {
      this.dispatchEvent(new CustomEvent("told", { detail: JSON.parse(data) }));
      return;
    }
    const length = new DataView(data).getUint32(0, true);
    const facts = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
    const jpeg = data.byteLength > 4 + length ? new Blob([data.slice(4 + length)], { type: "image/jpeg" }) : null;
    const roundTripMs = performance.now() - (this.#waiting.get(facts.number) ?? performance.now());
    // What was sent before it and is still unanswered was dropped.
    for (const number of this.#waiting.keys()) if (number <= facts.number) this.#waiting.delete(number);
    this.dispatchEvent(new CustomEvent("answer", { detail: { facts, jpeg, roundTripMs } }));
  }

  #watch() {
    const oldest = Math.min(...this.#waiting.values());
    if (this.#waiting.size && performance.now() - oldest > SILENCE_MS) this.#socket?.close();
  }

  #say(state) {
    this.dispatchEvent(new CustomEvent("state", { detail: state }));
  }
}
