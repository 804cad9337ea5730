"""The page in headless Chromium: equal to the runtime, and a camera swapped in the browser."""

from __future__ import annotations

import base64
import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import numpy as np
import pytest
from PIL import Image

from edgeswap_runtime import Swapper
from edgeswap_runtime.faces.align import similarity, warp
from edgeswap_runtime.faces.detect import Face
from edgeswap_runtime.faces.paste import face_mask, paste
from edgeswap_runtime.pictures.mark import read_mark
from edgeswap_runtime.pictures.portraits import packaged_portraits
from edgeswap_runtime.pictures.read import read_picture

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.assets

LANDMARK_PX = 0.03
"""Largest difference of landmarks: the same float32 graph, whose sums are rounded in another order,
and rarely a value of a view that lies at a half and is rounded to the other side."""
SCORE = 1e-3
CROP_LEVELS = 0.02
"""Largest difference of a swapped crop's values, 0..255: sums rounded in another order."""

SWAP = """(async () => {
  const module = await import("./swap.js");
  const load = async (data) => {
    const blob = await (await fetch(`data:image/png;base64,${data}`)).blob();
    const bitmap = await createImageBitmap(blob);
    const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
    context.drawImage(bitmap, 0, 0);
    return module.toPicture(context.getImageData(0, 0, bitmap.width, bitmap.height));
  };
  const lists = (picture) => picture.planes.map((plane) => Array.from(plane));
  const swapper = await module.BrowserSwapper.open(new URL("./", location.href));
  const source = await load(@SOURCE@), target = await load(@TARGET@);
  const sourceFaces = await swapper.find(source), faces = await swapper.find(target);
  const crop = swapper.align(source, sourceFaces[0]).crop;
  const targetCrop = swapper.align(target, faces[0]).crop;
  const swapped = (await swapper.swapCrop(targetCrop, crop)).crop;
  const after = module.copyOf(target);
  for (const face of faces) await swapper.swapFace(after, face, crop);
  return {
    isolated: crossOriginIsolated, sourceFaces, faces, crop: lists(crop),
    targetCrop: lists(targetCrop), swapped: lists(swapped), after: lists(after),
  };
})()"""
NUMBER = "Number(document.getElementById('stage').dataset.number ?? 0)"
CHANGED = """(() => {
  const [before, after] = ["before", "after"].map((id) => {
    const canvas = document.getElementById(id);
    return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  });
  return before.reduce((sum, value, at) => sum + (Math.abs(value - after[at]) > 25), 0);
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


@pytest.fixture(scope="module")
def swapper() -> Iterator[Swapper]:
    with Swapper.open(threads=1) as opened:
        yield opened


def as_data(image: Image.Image) -> str:
    data = io.BytesIO()
    image.save(data, "PNG")
    return base64.b64encode(data.getvalue()).decode()


def as_array(planes: list[list[float]], height: int, width: int) -> np.ndarray:
    return np.array(planes).reshape(3, height, width).transpose(1, 2, 0)


def as_faces(told: list[dict[str, Any]]) -> list[Face]:
    return [
        Face(box=tuple(f["box"]), landmarks_px=np.array(f["points"]), score=f["score"])
        for f in told
    ]


def scene(kind: str) -> Image.Image:
    """Two people upright; one turned by 40 degrees and dark; one large in a picture to shrink."""
    with Image.open(packaged_portraits()[3]) as one, Image.open(packaged_portraits()[5]) as other:
        first, second = one.convert("RGB"), other.convert("RGB")
    if kind == "large":
        return first.resize((1000, 1000), Image.Resampling.BICUBIC)
    if kind == "turned and dark":
        turned = first.resize((360, 360)).rotate(40, Image.Resampling.BICUBIC)
        return turned.point(lambda value: value // 4)
    picture = Image.new("RGB", (640, 360), (120, 130, 140))
    picture.paste(first.resize((260, 260)), (30, 50))
    picture.paste(second.resize((260, 260)), (350, 60))
    return picture


@pytest.mark.parametrize("kind", ["two people", "turned and dark", "large"])
def test_it_equals_the_runtime(browser: Any, address: str, swapper: Swapper, kind: str) -> None:
    """Landmarks, aligned crops, swap.onnx, and the picture with all faces swapped."""
    with Image.open(packaged_portraits()[1]) as image:
        source = image.convert("RGB")
    target = scene(kind)
    browser.go(f"{address}LICENSES.txt")
    script = SWAP.replace("@SOURCE@", repr(as_data(source)))
    told = browser.run(script.replace("@TARGET@", repr(as_data(target))))
    assert told["isolated"] is True

    picture = np.asarray(target)
    faces = as_faces(told["faces"])
    expected = swapper.detect(picture)
    assert len(faces) == len(expected) == (2 if kind == "two people" else 1)
    for face, same in zip(faces, expected, strict=True):
        assert np.abs(face.landmarks_px - same.landmarks_px).max() < LANDMARK_PX
        assert face.score == pytest.approx(same.score, abs=SCORE)

    side = swapper.resolution_px
    template = np.array(swapper.bundle.manifest.model_crop.landmarks_px)
    crop, target_crop = (as_array(told[name], side, side) for name in ("crop", "targetCrop"))
    matrix = similarity(faces[0].landmarks_px, template)
    assert np.array_equal(target_crop, warp(picture, matrix, side))
    identity = swapper.identity_of_crops([crop.astype(np.uint8)])
    swapped = as_array(told["swapped"], side, side)
    same_crop = swapper.swap_crop(target_crop.astype(np.uint8), identity)
    assert np.abs(np.clip(swapped, 0, 255) - same_crop).max() < 0.5 + CROP_LEVELS

    after = as_array(told["after"], *picture.shape[:2])
    same = swapper.swap(picture, identity, faces=faces)
    assert np.abs(after - same).max() <= 1 and (after != same).mean() < 1e-3
    replaced, white = np.zeros_like(picture), np.full((side, side, 3), 255, np.float32)
    for face in faces:
        matrix = similarity(face.landmarks_px, template)
        paste(replaced, white, matrix, face_mask(swapper.bundle.manifest.mask))
    untouched = (replaced == 0).all(-1)
    assert untouched.any() and np.array_equal(after[untouched], picture[untouched])


def test_a_camera_in_the_browser(browser: Any, address: str, tmp_path: Path) -> None:
    """The camera's people are swapped, the figures told, and the saved picture is marked."""
    browser.go(address)
    browser.until("document.getElementById('link').dataset.state === 'open'", 120)
    browser.choose_files("#photos", packaged_portraits()[1])
    browser.until("document.querySelectorAll('.source').length === 1")
    browser.run("document.getElementById('camera').click()")
    browser.until(f"{NUMBER} > 1 && {CHANGED} > 100", 120)
    names = browser.run("document.getElementById('stages').textContent")
    assert "Swap" in names and "Find faces" in names
    name, data = browser.run(SAVED)
    path = tmp_path / name
    path.write_bytes(base64.b64decode(data))
    mark = read_mark(path)
    assert mark is not None and mark.bundle_sha256
    assert read_picture(path).shape == (270, 480, 3)

    looks = Path(os.environ.get("EDGESWAP_LOOKS", tmp_path))
    for width in (390, 1440):
        for dark in (False, True):
            look = looks / f"web-{width}-{'dark' if dark else 'light'}.png"
            browser.look(look, width=width, height=900, dark=dark)
            assert browser.run("document.documentElement.scrollWidth") <= width
    asked = browser.run("performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert asked and all(one.startswith((address, "blob:", "data:")) for one in asked)
    assert browser.console == []


def test_a_photo_in_the_browser(browser: Any, address: str, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    scene("large").save(photo)
    browser.go(address)
    browser.until("document.getElementById('link').dataset.state === 'open'", 120)
    browser.choose_files("#photos", packaged_portraits()[1])
    browser.until("document.querySelectorAll('.source').length === 1")
    browser.choose_files("#file", photo)
    browser.until(f"{CHANGED} > 100", 120)
    name, data = browser.run(SAVED)
    path = tmp_path / name
    path.write_bytes(base64.b64decode(data))
    assert name == "swapped.png" and read_mark(path) is not None
    before, after = read_picture(photo), read_picture(path)
    assert after.shape == before.shape and (before != after).any()
    assert np.array_equal(before[:40], after[:40])


def test_the_server_isolates_the_page(address: str, page: Path) -> None:
    with urlopen(f"{address}settings.json") as answer:
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        assert json.load(answer)["crop"]["size_px"] == 96
    with urlopen(f"{address}ort/ort-wasm-simd-threaded.wasm") as answer:
        assert answer.headers["Content-Type"] == "application/wasm"
    assert {path.name for path in page.iterdir()} >= {"index.html", "swap.onnx", "LICENSES.txt"}
