// Where pictures come from: the camera, a film, or a photo. Each gives frames no larger than
// MAX_SIDE, drawn on a canvas.

const MAX_SIDE = 960;

const video = document.createElement("video");
video.muted = true;
video.playsInline = true;
video.loop = true;

export class Input {
  kind = null; // "camera", "film" or "photo"
  file = null;
  #photo = null;
  #stream = null;
  #address = null;
  #changed = false;
  canvas = document.createElement("canvas");

  async camera() {
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new Error("The browser gives a camera to pages on localhost and over https only.");
    }
    const wanted = { video: { width: { ideal: 1280 }, height: { ideal: 720 }, facingMode: "user" } };
    const stream = await navigator.mediaDevices.getUserMedia(wanted);
    this.stop();
    this.#stream = stream;
    video.srcObject = stream;
    await video.play();
    this.kind = "camera";
  }

  async open(file) {
    this.stop();
    this.file = file;
    this.#address = URL.createObjectURL(file);
    if (file.type.startsWith("video/")) {
      video.src = this.#address;
      await video.play();
      this.kind = "film";
      return;
    }
    const image = new Image();
    image.src = this.#address;
    await image.decode();
    this.#photo = image;
    this.kind = "photo";
    this.#changed = true;
  }

  stop() {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = this.#photo = this.file = this.kind = null;
    video.pause();
    video.srcObject = null;
    video.removeAttribute("src");
    if (this.#address) URL.revokeObjectURL(this.#address);
    this.#address = null;
  }

  /** Ask for the photo once more, as something else is put into it now. */
  refresh() {
    this.#changed = true;
  }

  /** Draw the newest picture on the canvas; false where there is none that was not drawn before. */
  draw() {
    const still = this.kind === "photo";
    const from = still ? this.#photo : video;
    if (!this.kind || (still && !this.#changed)) return false;
    if (!still && (video.readyState < 2 || video.currentTime === this.#drawnAt)) return false;
    const [width, height] = still ? [from.naturalWidth, from.naturalHeight] : [video.videoWidth, video.videoHeight];
    if (!width) return false;
    const scale = Math.min(1, MAX_SIDE / Math.max(width, height));
    this.canvas.width = Math.round(width * scale);
    this.canvas.height = Math.round(height * scale);
    this.canvas.getContext("2d").drawImage(from, 0, 0, this.canvas.width, this.canvas.height);
    this.#changed = false;
    this.#drawnAt = still ? -1 : video.currentTime;
    return true;
  }
  #drawnAt = -1;
}
