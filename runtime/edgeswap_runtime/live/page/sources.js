// The faces to put in: dropped or chosen photos.

const shelf = document.getElementById("sources");
const drop = document.getElementById("drop");
const photos = document.getElementById("photos");

export class Sources extends EventTarget {
  list = [];
  selected = null;

  constructor(link, fail) {
    super();
    this.link = link;
    this.fail = fail;
    photos.addEventListener("change", () => {
      this.add([...photos.files]);
      photos.value = "";
    });
    for (const name of ["dragover", "dragleave", "drop"]) {
      drop.addEventListener(name, (event) => {
        event.preventDefault();
        drop.classList.toggle("over", name === "dragover");
        if (name === "drop") this.add([...event.dataTransfer.files]);
      });
    }
    shelf.addEventListener("keydown", (event) => this.#step(event));
  }

  set(list) {
    this.list = list;
    if (!list.some((one) => one.key === this.selected)) this.selected = list[0]?.key ?? null;
    this.#draw();
    this.dispatchEvent(new Event("change"));
  }

  async add(files) {
    drop.setAttribute("aria-busy", "true");
    for (const file of files) {
      try {
        const source = await this.link.read(file);
        this.selected = source.key;
        this.set([...this.list, source]);
        this.dispatchEvent(new CustomEvent("added", { detail: source.key }));
      } catch (error) {
        this.fail(`${file.name}: ${error.message}`);
      }
    }
    drop.removeAttribute("aria-busy");
  }

  async remove(key) {
    await this.link.forget(key);
    this.set(this.list.filter((one) => one.key !== key));
  }

  select(key) {
    this.selected = key;
    this.#draw();
  }

  /** Arrow keys move between the faces, as in any group of radio buttons. */
  #step(event) {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const at = this.list.findIndex((one) => one.key === this.selected);
    if (by === undefined || at < 0) return;
    event.preventDefault();
    this.select(this.list[(at + by + this.list.length) % this.list.length].key);
    shelf.querySelector('[aria-checked="true"]').focus();
  }

  #draw() {
    shelf.replaceChildren(
      ...this.list.map((source) => {
        const place = document.createElement("div");
        place.className = "source";
        const chosen = source.key === this.selected;
        const pick = document.createElement("button");
        Object.assign(pick, { type: "button", className: "pick", title: source.name, tabIndex: chosen ? 0 : -1 });
        pick.setAttribute("role", "radio");
        pick.setAttribute("aria-checked", String(chosen));
        const image = new Image();
        Object.assign(image, { src: source.thumbnail, alt: source.name });
        pick.append(image);
        pick.addEventListener("click", () => {
          this.select(source.key);
          shelf.querySelector('[aria-checked="true"]').focus();
        });
        const remove = document.createElement("button");
        Object.assign(remove, { type: "button", className: "remove", textContent: "×" });
        remove.setAttribute("aria-label", `Remove ${source.name}`);
        remove.addEventListener("click", () => this.remove(source.key));
        place.append(pick, remove);
        return place;
      }),
    );
  }
}
