"""The watermark: found in swapped faces after what pictures go through, and nowhere else."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from edgeswap_runtime import Swapper, read_picture
from edgeswap_runtime.errors import NoFaceFound
from edgeswap_runtime.faces.align import TEMPLATE_96
from edgeswap_runtime.faces.light import to_gray
from edgeswap_runtime.faces.watermark import THRESHOLD, find_watermark, watermark_for
from edgeswap_runtime.pictures.portraits import packaged_portraits


@pytest.fixture(scope="module")
def swaps() -> tuple[np.ndarray, np.ndarray]:
    """A packaged portrait with another face, without the watermark and with it."""
    source, target = packaged_portraits()[0], packaged_portraits()[-1]
    with Swapper.open(threads=1) as swapper:
        identity = swapper.identity(source)
        marked = swapper.swap(target, identity)
        swapper.watermark = None
        plain = swapper.swap(target, identity)
    return np.asarray(plain), np.asarray(marked)


def _found(picture: np.ndarray) -> float:
    with Swapper.open(threads=1) as swapper:
        (face,), _ = swapper.choose(np.ascontiguousarray(picture))
    return find_watermark(picture, face)


def _jpeg(picture: np.ndarray) -> np.ndarray:
    data = io.BytesIO()
    Image.fromarray(picture).save(data, "JPEG", quality=75)
    return np.asarray(Image.open(data))


def _half(picture: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).reduce(2))


@pytest.mark.parametrize(
    "attack",
    [lambda p: p, _jpeg, _half, lambda p: p[20:, 30:], lambda p: np.rot90(p)],
    ids=["none", "jpeg", "half", "cut", "turned"],
)
def test_it_survives(swaps: tuple[np.ndarray, np.ndarray], attack: object) -> None:
    plain, marked = (attack(picture) for picture in swaps)  # type: ignore[operator]
    assert _found(marked) >= THRESHOLD > _found(plain) + 4


def test_it_is_faint_and_stays_in_the_face(swaps: tuple[np.ndarray, np.ndarray]) -> None:
    plain, marked = (picture.astype(np.float64) for picture in swaps)
    original = read_picture(packaged_portraits()[-1]).astype(np.float64)
    outside = (plain == original).all(-1)
    changed = (marked != plain).any(-1)
    assert changed.any() and (marked[outside] == original[outside]).all(-1).mean() > 0.9
    luma = (marked - plain) @ [0.299, 0.587, 0.114]
    assert np.abs(luma).max() <= 1.5, "brightness stays what it was, but for rounding"
    assert 38 < 10 * np.log10(255**2 / np.mean((marked - plain)[changed] ** 2)) < 60


def test_portraits_have_none() -> None:
    for path in packaged_portraits():
        assert _found(read_picture(path)) < THRESHOLD


def test_gray_crops_stay_gray() -> None:
    watermark = watermark_for(TEMPLATE_96.tolist(), 96)
    assert watermark is not None
    gray = to_gray(np.random.default_rng(0).uniform(0, 255, (96, 96, 3)).astype(np.float32))
    assert watermark.add(gray) is gray


def test_tiny_crops_have_none() -> None:
    assert watermark_for((TEMPLATE_96 / 4).tolist(), 24) is None


def test_crops_of_another_size_hold_the_same_pattern() -> None:
    """A bundle of 192 px crops: shrunk to 96 px, the pattern is the usual one."""
    flat = np.full((96, 96, 3), [200, 150, 120], np.float32)
    large = np.full((192, 192, 3), [200, 150, 120], np.float32)
    usual, other = (
        watermark_for((TEMPLATE_96 * scale + (scale - 1) / 2).tolist(), 96 * scale)
        for scale in (1, 2)
    )
    assert usual is not None and other is not None
    small = other.add(large).reshape(96, 2, 96, 2, 3).mean((1, 3))
    pattern = usual.add(flat) - flat
    assert np.corrcoef((small - flat).ravel(), pattern.ravel())[0, 1] > 0.97


def test_no_face_no_watermark() -> None:
    with pytest.raises(NoFaceFound):
        _found(np.zeros((96, 96, 3), np.uint8))
