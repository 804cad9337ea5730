// How long each stage takes: medians over the last frames.

const NAMES = {
  read: "Read", find: "Find faces", align: "Align", encode: "Encode", denoise: "Denoise",
  decode: "Decode", swap: "Swap", paste: "Paste", write: "Write", way: "On the way",
};
const KEPT = 30;
const table = document.getElementById("stages");
const total = document.getElementById("total");
const rate = document.getElementById("rate");
const frames = [];
let dropped = 0;

let rows = [];

function makeRows(keys) {
  rows = keys.map((key) => {
    const row = table.insertRow();
    row.innerHTML = `<th scope="row">${NAMES[key]}</th><td><div class="track"><i></i></div></td><td class="ms">–</td>`;
    return [key, row.querySelector("i"), row.querySelector(".ms")];
  });
}

export function drop(count) {
  dropped += count;
}

export function note(facts, roundTripMs) {
  const ms = { ...facts.ms, way: Math.max(0, roundTripMs - facts.total_ms) };
  if (!rows.length) makeRows(Object.keys(ms));
  frames.push({ ms, roundTripMs, at: performance.now() });
  if (frames.length > KEPT) frames.shift();
  const whole = median(frames.map((frame) => frame.roundTripMs));
  total.textContent = `${whole.toFixed(0)} ms`;
  for (const [key, bar, cell] of rows) {
    const value = median(frames.map((frame) => frame.ms[key] ?? 0));
    cell.textContent = value.toFixed(1);
    bar.style.width = `${Math.min(100, (100 * value) / whole)}%`;
  }
  const seconds = (frames.at(-1).at - frames[0].at) / 1000;
  const fps = seconds > 0 ? (frames.length - 1) / seconds : 0;
  rate.textContent = `${fps.toFixed(1)} frames a second, ${dropped} dropped; milliseconds, median of ${frames.length}.`;
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}
