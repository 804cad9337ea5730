// Who is in the picture, and whose face they get: buttons on the faces, and a list beside.

const faces = document.getElementById("faces");
const list = document.getElementById("people");
const nobody = document.getElementById("nobody");

const withoutEnding = (name) => name.replace(/\.\w+$/, "");

export class People extends EventTarget {
  chosen = {}; // place -> source key
  #seen = new Map(); // place -> when it was last in sight
  #sources = [];
  #listed = "";

  constructor(selected) {
    super();
    this.selected = selected; // () -> key of the source that a click puts in
  }

  setSources(sources) {
    this.#sources = sources;
    const keys = new Set(sources.map((one) => one.key));
    for (const place of Object.keys(this.chosen)) {
      if (!keys.has(this.chosen[place])) delete this.chosen[place];
    }
    this.#drawList(true);
  }

  put(place, key) {
    if (key) this.chosen[place] = key;
    else delete this.chosen[place];
    this.dispatchEvent(new Event("change"));
    this.#drawList(true);
  }

  /** A click or key: the selected face, or the own one again. */
  toggle(place) {
    const key = this.selected();
    this.put(place, this.chosen[place] === key ? null : key);
  }

  /** Draw the faces of a frame. */
  show(found) {
    const now = performance.now();
    for (const one of found) this.#seen.set(one.place, now);
    for (const [place, when] of this.#seen) if (now - when > 3000) this.#seen.delete(place);
    const held = new Map([...faces.children].map((button) => [Number(button.dataset.place), button]));
    for (const one of found) {
      const button = held.get(one.place) ?? this.#makeButton(one.place);
      held.delete(one.place);
      const [left, top, right, bottom] = one.box.map((share) => 100 * Math.min(1, Math.max(0, share)));
      Object.assign(button.style, {
        left: `${left}%`, top: `${top}%`, width: `${right - left}%`, height: `${bottom - top}%`,
      });
      const source = this.#name(this.chosen[one.place]);
      button.setAttribute("aria-pressed", String(Boolean(source)));
      button.setAttribute("aria-label", `Person ${one.place}, ${source ?? "own face"}`);
    }
    for (const button of held.values()) button.remove();
    this.#drawList(false);
  }

  #makeButton(place) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "face";
    button.dataset.place = place;
    button.innerHTML = `<span aria-hidden="true">${place}</span>`;
    button.addEventListener("click", () => this.toggle(place));
    faces.append(button);
    return button;
  }

  #name(key) {
    return this.#sources.find((one) => one.key === key)?.name;
  }

  #drawList(again) {
    const places = [...this.#seen.keys()].sort((a, b) => a - b);
    nobody.hidden = places.length > 0;
    if (!again && places.join() === this.#listed) return;
    const at = document.activeElement?.id;
    this.#listed = places.join();
    list.replaceChildren(...places.map((place) => this.#makeLine(place)));
    if (at?.startsWith("person-")) document.getElementById(at)?.focus();
  }

  #makeLine(place) {
    const line = document.createElement("li");
    const label = document.createElement("label");
    const select = document.createElement("select");
    select.id = `person-${place}`;
    label.htmlFor = select.id;
    label.textContent = `Person ${place}`;
    select.append(new Option("Own face", ""));
    for (const { name, key } of this.#sources) select.append(new Option(withoutEnding(name), key));
    select.value = this.chosen[place] ?? "";
    select.addEventListener("change", () => this.put(place, select.value));
    line.append(label, select);
    return line;
  }
}
