"""What belongs to a picture besides its numbers goes along, through the library and the command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from edgeswap_runtime import read_picture
from edgeswap_runtime.cli import main
from edgeswap_runtime.pictures.extras import PictureArray, extras_of, lay_over_white
from edgeswap_runtime.pictures.mark import Mark
from edgeswap_runtime.pictures.write import write_picture

if TYPE_CHECKING:
    from pathlib import Path

    from edgeswap_runtime import Swapper

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
EXIF, GPS, THUMBNAIL = 0x8769, 0x8825, 0x0201


def _exif() -> Image.Exif:
    """Of a phone held upright: some of it everybody may know, some of it not."""
    exif = Image.Exif()
    exif.update({0x010F: "Maker", 0x0110: "Model 7", 0x0112: 6, 0x0132: "2026:01:02 03:04:05"})
    exif.update({0x013B: "Jane Doe", 0x010E: "at home", 0x8298: "(c) Jane"})
    exif[EXIF] = {0x9003: "2026:01:02 03:04:05", 0x829A: 0.01, 0xA431: "serial", 0x9286: b"hush"}
    exif[GPS] = {1: "N", 2: (50.0, 1.0, 2.0)}
    return exif


def _target(path: Path, photo: Any, alpha: bool) -> Path:
    rgb = photo(2)
    if alpha:
        rgb = np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])
        rgb[:4, :, 3] = 0
        rgb[-4:, :, 3] = 100
    Image.fromarray(rgb).save(path, exif=_exif(), icc_profile=PROFILE)
    return path


def _check(path: Path) -> None:
    with Image.open(path) as image:
        exif = image.getexif()
        assert image.info["icc_profile"] == PROFILE
        assert exif[0x0110] == "Model 7" and exif[0x0132] == "2026:01:02 03:04:05"
        assert exif.get(0x0112, 1) == 1 and exif[0x8298] == "(c) Jane"
        assert exif[0x0131].startswith("edgeswap")
        inner = exif.get_ifd(EXIF)
        assert inner[0x9003] == "2026:01:02 03:04:05" and float(inner[0x829A]) == 0.01
        assert not exif.get_ifd(GPS)
    data = path.read_bytes()
    for secret in (b"Jane Doe", b"at home", b"serial", b"hush"):
        assert secret not in data


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
@pytest.mark.parametrize("read", [False, True])
def test_the_library_keeps_them(
    swapper: Swapper, photo: Any, tmp_path: Path, suffix: str, read: bool
) -> None:
    path = _target(tmp_path / "t.png", photo, alpha=False)
    identity = swapper.identity(photo(1))
    swapped = swapper.swap(read_picture(path) if read else path, identity)
    swapper.save(swapped, tmp_path / f"out{suffix}")
    _check(tmp_path / f"out{suffix}")
    assert read_picture(tmp_path / f"out{suffix}").shape == read_picture(path).shape


def test_the_command_keeps_them(
    bundle_folder: Path, photo: Any, photo_file: Any, tmp_path: Path
) -> None:
    target, out = _target(tmp_path / "t.png", photo, alpha=True), tmp_path / "out.png"
    source = str(photo_file("s.png", 1))
    line = ["swap", "--source", source, str(bundle_folder), "--target", str(target)]
    assert main([*line, "--out", str(out), "--threads", "1"]) == 0
    _check(out)
    before, after = extras_of(read_picture(target)), extras_of(read_picture(out))
    assert before is not None and after is not None and before.alpha is not None
    np.testing.assert_array_equal(after.alpha, before.alpha)


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_alpha_and_what_it_hides(swapper: Swapper, photo: Any, tmp_path: Path, suffix: str) -> None:
    """Untouched pixels keep their own numbers, also below full transparency."""
    path = _target(tmp_path / "t.png", photo, alpha=True)
    swapped = swapper.swap(path, swapper.identity(photo(1)))
    swapper.save(swapped, tmp_path / f"out{suffix}")
    with Image.open(path) as file:
        before = np.asarray(file.transpose(Image.Transpose.ROTATE_270))
    with Image.open(tmp_path / f"out{suffix}") as file:
        after = np.asarray(file)
    np.testing.assert_array_equal(after[..., 3], before[..., 3])
    untouched = (np.asarray(swapped) == read_picture(path)).all(-1)
    assert untouched.any() and not untouched.all()
    np.testing.assert_array_equal(after[untouched], before[untouched])
    seen = lay_over_white(np.ascontiguousarray(after[..., :3]), after[..., 3])
    assert np.abs(seen.astype(int) - np.asarray(swapped)).max() <= 2


def test_jpeg_shows_alpha_over_white(swapper: Swapper, photo: Any, tmp_path: Path) -> None:
    path = _target(tmp_path / "t.png", photo, alpha=True)
    swapper.save(swapper.swap(path, swapper.identity(photo(1))), tmp_path / "out.jpg")
    assert read_picture(tmp_path / "out.jpg")[:, -2:].min() > 240  # turned: was on top


def test_arrays_carry_them_through_slices_and_copies(photo: Any, tmp_path: Path) -> None:
    picture = read_picture(_target(tmp_path / "t.png", photo, alpha=True))
    assert isinstance(picture, PictureArray)
    for derived in (picture[2:9], picture.copy(), picture[:, ::-1]):
        assert extras_of(derived) is extras_of(picture)
    assert extras_of(np.asarray(picture)) is None
    # Alpha of another size is of another picture.
    write_picture(tmp_path / "o.png", picture[2:9], Mark(software="x"), extras=extras_of(picture))
    with Image.open(tmp_path / "o.png") as image:
        assert image.mode == "RGB" and image.size == (64, 7)


def test_damaged_exif_is_left_out(tmp_path: Path, photo: Any) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(photo(1)).save(path, exif=b"Exif\x00\x00not exif at all")
    extras = extras_of(read_picture(path))
    assert extras is not None and extras.exif is None
    exif = Image.Exif()
    exif[0x010F] = "x" * 5000
    Image.fromarray(photo(1)).save(path, exif=exif)
    extras = extras_of(read_picture(path))
    assert extras is not None and extras.exif is None
