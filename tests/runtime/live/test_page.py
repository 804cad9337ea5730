"""The page in headless Chromium, whose fake camera plays a rendered film."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from edgeswap_runtime.pictures.mark import read_mark
from edgeswap_runtime.pictures.read import read_picture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PLACES = "[...document.querySelectorAll('.face')].map((one) => Number(one.dataset.place)).sort()"
NUMBER = "Number(document.getElementById('stage').dataset.number ?? 0)"
CHANGED = """(() => {
  const [before, after] = ["before", "after"].map((id) => {
    const canvas = document.getElementById(id);
    return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  });
  const columns = new Array(before.width).fill(0);
  for (let at = 0; at < before.data.length; at += 4) {
    if (Math.abs(before.data[at] - after.data[at]) > 25) columns[(at / 4) % before.width] += 1;
  }
  const middle = before.width / 2, sum = (part) => part.reduce((a, b) => a + b, 0);
  return [sum(columns.slice(0, middle)), sum(columns.slice(middle))];
})()"""
SAVED = """new Promise((done) => {
  const make = URL.createObjectURL;
  URL.createObjectURL = (blob) => {
    const reader = new FileReader();
    HTMLAnchorElement.prototype.click = function () {
      reader.onload = () => done([this.download, reader.result.split(",")[1]]);
      reader.readAsDataURL(blob);
    };
    return make.call(URL, blob);
  };
  document.getElementById("save").click();
})"""


@pytest.fixture
def browser(chromium: Any, camera_film: Path, tmp_path: Path) -> Iterator[Any]:
    with chromium.Chromium(tmp_path, [f"--use-file-for-fake-video-capture={camera_film}"]) as one:
        yield one


def press(browser: Any, selector: str) -> None:
    browser.run(f"document.querySelector({selector!r}).click()")


def begin(browser: Any, address: str, *photos: Path) -> None:
    browser.go(address)
    browser.until("document.getElementById('link').dataset.state === 'open'")
    browser.choose_files("#photos", *photos)
    browser.until(f"document.querySelectorAll('.source').length === {len(photos)}")


def saved(browser: Any, folder: Path) -> Path:
    name, data = browser.run(SAVED)
    path = folder / name
    path.write_bytes(base64.b64decode(data))
    return path


def test_a_camera(browser: Any, served: Callable[..., str], source: Path, tmp_path: Path) -> None:
    address = served()
    begin(browser, address, source)
    press(browser, "#camera")
    browser.until(f"{NUMBER} > 2 && {PLACES}.join() === '1,2'")
    _, right = browser.until(f"(([l, r]) => l > 100 && [l, r])({CHANGED})")
    assert right < 20, "the first face goes to person 1 alone"

    press(browser, ".face[data-place='2']")
    browser.until(f"(([l, r]) => l > 100 && r > 100)({CHANGED})")
    browser.press("1")
    browser.until(f"(([l, r]) => l < 20 && r > 100)({CHANGED})")
    assert browser.run("document.getElementById('person-1').value") == ""

    stages = browser.run("[...document.querySelectorAll('.ms')].map((cell) => cell.textContent)")
    assert len(stages) == 9 and all(float(ms) >= 0 for ms in stages)
    assert "frames a second" in browser.run("document.getElementById('rate').textContent")

    path = saved(browser, tmp_path)
    assert path.name == "swapped.jpg" and read_mark(path) is not None
    assert read_picture(path).shape == (270, 480, 3)

    # The slider shows the picture before on the left of it.
    browser.run("document.getElementById('cut').focus()")
    for _ in range(5):
        browser.press("ArrowRight")
    assert browser.run("document.getElementById('stage').style.getPropertyValue('--cut')") == "5%"
    assert browser.console == []


def test_the_page_goes_on_when_the_server_comes_back(
    browser: Any, served: Any, source: Path
) -> None:
    address = served()
    port = int(address.rstrip("/").rpartition(":")[2])
    begin(browser, address, source)
    press(browser, "#camera")
    browser.until(f"{NUMBER} > 2")
    served.stop()
    browser.until("document.getElementById('link').dataset.state !== 'open'")
    served(port=port)
    browser.until("document.getElementById('link').dataset.state === 'open'")
    # Another server knows no sources: nobody is swapped, and the page shows none.
    browser.until("document.querySelectorAll('.source').length === 0")
    before = browser.run(NUMBER)
    browser.until(f"{NUMBER} > {before} + 2")


def test_a_photo_is_saved_at_its_full_size(
    browser: Any,
    served: Callable[..., str],
    source: Path,
    people: Callable[..., Image.Image],
    tmp_path: Path,
) -> None:
    photo = tmp_path / "photo.png"
    people().resize((1600, 900), Image.Resampling.LANCZOS).save(photo)
    begin(browser, served(), source)
    browser.choose_files("#file", photo)
    browser.until(f"(([l]) => l > 100)({CHANGED})")
    assert browser.run("document.getElementById('before').width") == 960
    path = saved(browser, tmp_path)
    assert path.name == "swapped.png" and read_mark(path) is not None
    before, after = read_picture(photo), read_picture(path)
    assert after.shape == before.shape
    changed = (before != after).any(-1)
    assert changed[:, :800].sum() > 2000 and not changed[:, 800:].any()

    browser.choose_files("#file", Path(__file__))
    told = browser.until("document.getElementById('notice').textContent")
    assert "no picture or film" in told


@pytest.mark.parametrize("width", [390, 1440])
def test_it_fits_and_is_named(
    browser: Any, served: Callable[..., str], source: Path, width: int, tmp_path: Path
) -> None:
    """No sideways scrolling, large enough targets, and a name for whatever can be used."""
    begin(browser, served(), source)
    press(browser, "#camera")
    browser.until(f"{NUMBER} > 2 && {PLACES}.length === 2")
    shown = Path(os.environ.get("EDGESWAP_LOOKS", tmp_path))
    for dark in (False, True):
        look = shown / f"live-{width}-{'dark' if dark else 'light'}.png"
        browser.look(look, width=width, height=900, dark=dark)
        seen = np.asarray(Image.open(look).convert("L"))
        assert (seen[5, 5] < 60) == dark
        assert browser.run("document.documentElement.scrollWidth") <= width
    unnamed = browser.run(
        """[...document.querySelectorAll("button, input, select")].filter((one) =>
          !(one.getAttribute("aria-label") || one.labels?.length || one.textContent.trim()
            || one.querySelector("img[alt]"))).map((one) => one.outerHTML)"""
    )
    assert unnamed == []
    small = browser.run(
        """[...document.querySelectorAll("button, select, .button")].filter((one) => {
          const box = one.getBoundingClientRect();
          return box.width && (box.width < 28 || box.height < 28);
        }).map((one) => one.outerHTML)"""
    )
    assert small == []
