"""Pictures in ISO boxes: AVIF by Pillow, HEIC by an extra, and the order in which plugins go."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, features

from edgeswap_runtime.errors import PictureTooLarge, UnreadablePicture
from edgeswap_runtime.pictures.read import load_picture, read_picture

if TYPE_CHECKING:
    from pathlib import Path


def _quarters() -> np.ndarray:
    """A 64 x 96 picture whose four quarters are red, green, blue and white."""
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:32, :48] = (255, 0, 0)
    picture[:32, 48:] = (0, 255, 0)
    picture[32:, :48] = (0, 0, 255)
    picture[32:, 48:] = 255
    return picture


def _centers(picture: np.ndarray) -> list[list[int]]:
    """The colors in the middle of the four quarters, to a quarter of the range."""
    height, width = picture.shape[:2]
    places = [(y, x) for y in (height // 4, 3 * height // 4) for x in (width // 4, 3 * width // 4)]
    return [np.rint(picture[y, x] / 64.0).astype(int).tolist() for y, x in places]


def _heic(path: Path, **options: Any) -> Path:
    heif = pytest.importorskip("pillow_heif")
    picture = Image.fromarray(_quarters())
    heif.from_pillow(picture).save(path, quality=90, **options)
    return path


def _avif(path: Path, **options: Any) -> Path:
    if not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    Image.fromarray(_quarters()).save(path, format="AVIF", quality=90, **options)
    return path


@pytest.mark.parametrize("make", [_heic, _avif])
def test_boxed_pictures_are_read_whatever_their_suffix(make: Any, tmp_path: Path) -> None:
    path = make(tmp_path / ("a.heic" if make is _heic else "a.avif"))
    found = read_picture(path)
    assert found.shape == (64, 96, 3) and _centers(found) == _centers(_quarters())
    renamed = path.rename(tmp_path / "photo.jpg")
    assert (read_picture(renamed) == found).all()


@pytest.mark.parametrize(("orientation", "turn"), [(3, 2), (6, -1), (8, 1)])
@pytest.mark.parametrize("make", [_heic, _avif])
def test_they_come_upright(make: Any, orientation: int, turn: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = make(tmp_path / ("a.heic" if make is _heic else "a.avif"), exif=exif.tobytes())
    assert _centers(read_picture(path)) == _centers(np.rot90(_quarters(), turn))


def test_the_color_profile_is_kept(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    picture = Image.fromarray(_quarters())
    picture.info["icc_profile"] = b"profile" * 20
    path = tmp_path / "a.heic"
    heif.from_pillow(picture).save(path, quality=90)
    assert load_picture(path).icc_profile == b"profile" * 20


@pytest.mark.parametrize("make", [_heic, _avif])
def test_the_limit_holds_before_decoding(make: Any, tmp_path: Path) -> None:
    path = make(tmp_path / ("a.heic" if make is _heic else "a.avif"))
    with pytest.raises(PictureTooLarge):
        read_picture(path, limit_px=1000)


@pytest.mark.parametrize("make", [_heic, _avif])
def test_damaged_ones_are_refused_in_one_line(make: Any, tmp_path: Path) -> None:
    path = make(tmp_path / ("a.heic" if make is _heic else "a.avif"))
    raw = path.read_bytes()
    generator = np.random.default_rng(0)
    for length in (*range(0, 64, 7), len(raw) // 2, len(raw) - 20):
        path.write_bytes(raw[:length])
        with pytest.raises(UnreadablePicture) as caught:
            read_picture(path)
        assert "\n" not in str(caught.value)
    for _ in range(30):
        changed = bytearray(raw)
        for place in generator.integers(12, len(raw), 8):
            changed[place] = generator.integers(256)
        path.write_bytes(changed)
        try:
            assert read_picture(path).shape[2] == 3
        except UnreadablePicture as error:
            assert "\n" not in str(error)


def test_without_the_extra_it_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _heic(tmp_path / "a.heic")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UnreadablePicture, match=r"edgeswap\[heif\]"):
        read_picture(path)


def test_high_dynamic_range_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heif = pytest.importorskip("pillow_heif")
    path = _heic(tmp_path / "a.heic")

    class Bright(heif.HeifImageFile):  # type: ignore[misc, name-defined]
        def _open(self) -> None:
            super()._open()
            self.info["nclx_profile"] = {"transfer_characteristics": 16}

    monkeypatch.setattr(heif, "HeifImageFile", Bright)
    with pytest.raises(UnreadablePicture, match=r"HDR \(PQ\)"):
        read_picture(path)


def test_another_boxed_file_is_none(tmp_path: Path) -> None:
    path = tmp_path / "film.heic"
    path.write_bytes(b"\0\0\0\x18ftypisom\0\0\0\0isomiso2" + b"\0" * 100)
    with pytest.raises(UnreadablePicture, match="its content is none of"):
        read_picture(path)
