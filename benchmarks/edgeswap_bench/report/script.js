for (const box of document.querySelectorAll(".compare")) {
  const slider = box.querySelector("input");
  const top = box.querySelector("img.top");
  const show = () => { top.style.clipPath = `inset(0 ${100 - slider.value}% 0 0)`; };
  slider.addEventListener("input", show);
  show();
}
addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details")) part.open = true;
});
