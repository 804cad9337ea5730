// The stage: the picture before and after, with a slider between them.

const stage = document.getElementById("stage");
const before = document.getElementById("before");
const after = document.getElementById("after");
const cut = document.getElementById("cut");

cut.addEventListener("input", slide);
slide();

function slide() {
  stage.style.setProperty("--cut", `${cut.value}%`);
  stage.dataset.cut = cut.value;
}

/** Show a frame; `swapped` is null where nobody was swapped, and the frame itself stays. */
export function show(frame, swapped) {
  const { width, height } = frame;
  if (before.width !== width || before.height !== height) {
    for (const canvas of [before, after]) Object.assign(canvas, { width, height });
    stage.style.setProperty("--aspect", `${width} / ${height}`);
    stage.style.setProperty("--wide", width / height);
  }
  delete stage.dataset.empty;
  before.getContext("2d").drawImage(frame, 0, 0);
  after.getContext("2d").drawImage(swapped ?? frame, 0, 0);
}
