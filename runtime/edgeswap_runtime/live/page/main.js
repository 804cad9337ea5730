// Ties the parts together: input -> link -> stage.

import { drop, note } from "./figures.js";
import { Input } from "./inputs.js";
import { Link, STATES } from "./link.js";
import { People } from "./people.js";
import { Sources } from "./sources.js";
import { show } from "./view.js";

const byId = (id) => document.getElementById(id);
const notice = byId("notice");
const stage = byId("stage");

const input = new Input();
const link = new Link();
const sources = new Sources(link, fail);
const people = new People(() => sources.selected);
const sent = new Map(); // number -> the frame that was sent
let last = null; // {jpeg, faces} of the last answer
let busy = false;

function fail(words) {
  notice.textContent = words;
  notice.hidden = !words;
}

// --- frames ------------------------------------------------------------------------------------

async function step() {
  requestAnimationFrame(step);
  if (busy || !link.ready) return;
  if (!input.draw()) return;
  busy = true;
  try {
    const frame = await createImageBitmap(input.canvas);
    const number = await link.send(input.canvas, performance.now() / 1000);
    if (number !== null) {
      sent.set(number, frame);
    } else {
      frame.close();
      input.refresh();
    }
  } finally {
    busy = false;
  }
}

link.addEventListener("answer", async ({ detail: { facts, jpeg, roundTripMs } }) => {
  const frame = sent.get(facts.number);
  for (const number of sent.keys()) {
    if (number < facts.number) {
      sent.get(number).close();
      drop(1);
    }
    if (number <= facts.number) sent.delete(number);
  }
  if (!frame) return;
  if (facts.error) {
    fail(facts.error);
    frame.close();
    return;
  }
  const swapped = jpeg ? await createImageBitmap(jpeg) : null;
  show(frame, swapped);
  people.show(facts.faces);
  note(facts, roundTripMs);
  swapped?.close();
  frame.close();
  last = { jpeg, faces: facts.faces };
  byId("save").disabled = !jpeg;
  stage.dataset.number = facts.number;
});

link.addEventListener("told", ({ detail }) => {
  if (detail.error) fail(detail.error);
});

link.addEventListener("state", ({ detail }) => {
  byId("link").textContent = STATES[detail];
  byId("link").dataset.state = detail;
  for (const frame of sent.values()) frame.close();
  sent.clear();
  if (detail === "open") {
    input.refresh();
    begin();
  }
});

// --- who ---------------------------------------------------------------------------------------

sources.addEventListener("change", () => {
  people.setSources(sources.list);
  tell();
});
sources.addEventListener("added", ({ detail }) => {
  // The first face goes to the first person, so that something is to be seen at once.
  if (!Object.keys(people.chosen).length) people.put(1, detail);
});
people.addEventListener("change", tell);

function tell() {
  link.tell(people.chosen);
  input.refresh();
}

async function begin() {
  const known = await link.sources();
  const first = !sources.list.length && known[0]?.key;
  sources.set(known);
  if (first && !Object.keys(people.chosen).length) people.put(1, first);
}

// --- buttons -----------------------------------------------------------------------------------

byId("camera").addEventListener("click", async () => {
  fail("");
  if (input.kind === "camera") {
    input.stop();
    byId("camera").textContent = "Camera";
    return;
  }
  try {
    await input.camera();
    byId("camera").textContent = "Stop camera";
  } catch (error) {
    fail(error.name === "NotAllowedError" ? "The browser did not give the camera: allow it for this page." : error.message);
  }
});

async function open(file) {
  fail("");
  try {
    await input.open(file);
    byId("camera").textContent = "Camera";
  } catch {
    fail(`${file.name} is no picture or film that this browser can show.`);
  }
}

byId("file").addEventListener("change", () => {
  const [file] = byId("file").files;
  if (file) open(file);
  byId("file").value = "";
});
for (const name of ["dragover", "dragleave", "drop"]) {
  stage.addEventListener(name, (event) => {
    event.preventDefault();
    stage.classList.toggle("over", name === "dragover");
    const file = name === "drop" && event.dataTransfer.files[0];
    if (file) open(file);
  });
}

byId("save").addEventListener("click", async () => {
  fail("");
  try {
    const blob = input.kind === "photo" ? await wholePhoto() : last.jpeg;
    const anchor = document.createElement("a");
    anchor.href = URL.createObjectURL(blob);
    anchor.download = input.kind === "photo" ? "swapped.png" : "swapped.jpg";
    anchor.click();
    setTimeout(() => URL.revokeObjectURL(anchor.href), 10000);
  } catch (error) {
    fail(error.message);
  }
});

/** The photo at its full size. */
async function wholePhoto() {
  const chosen = last.faces
    .filter((one) => people.chosen[one.place])
    .map(({ place, box: [left, top, right, bottom] }) => ({
      at: [(left + right) / 2, (top + bottom) / 2], source: people.chosen[place],
    }));
  return link.photo(input.file, chosen);
}

// Number keys give a person the selected face, or take it away.
addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, select, textarea");
  if (!typing && !event.ctrlKey && !event.metaKey && !event.altKey && /^[1-9]$/.test(event.key)) {
    people.toggle(Number(event.key));
  }
});

step();
