"""Reading whatever people call a picture; refusing, in one line, what is none."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from edgeswap_runtime import UnreadablePicture, read_picture
from edgeswap_runtime.errors import (
    InvalidRequest,
    OutputExists,
    PictureMissing,
    PictureTooLarge,
)
from edgeswap_runtime.pictures.mark import Mark
from edgeswap_runtime.pictures.read import load_picture
from edgeswap_runtime.pictures.write import write_picture

if TYPE_CHECKING:
    from pathlib import Path

MARK = Mark(software="edgeswap 0", bundle_sha256="ab" * 32)


def _corners() -> np.ndarray:
    """A 40 x 60 picture whose four quarters are red, green, blue and white."""
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:20, :30] = (255, 0, 0)
    picture[:20, 30:] = (0, 255, 0)
    picture[20:, :30] = (0, 0, 255)
    picture[20:, 30:] = 255
    return picture


@pytest.mark.parametrize("suffix", ["png", "webp", "bmp", "tiff", "gif", "ppm"])
def test_lossless_formats(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(_corners()).save(path, **({"lossless": True} if suffix == "webp" else {}))
    found = read_picture(path)
    np.testing.assert_array_equal(found, _corners())
    assert found.flags.writeable


def test_the_content_counts_not_the_suffix(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    Image.fromarray(_corners()).save(path, format="PNG")
    np.testing.assert_array_equal(read_picture(str(path)), _corners())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path: Path, orientation: int) -> None:
    """Each way a camera can be held: the picture is stored turned, and must come back upright."""
    back = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(back[orientation](_corners()))
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png"), _corners())


def test_unreadable_exif_is_taken_as_upright_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(_corners()).save(path, exif=b"Exif\x00\x00not exif at all")
    np.testing.assert_array_equal(read_picture(path), _corners())
    assert "EXIF cannot be read" in caplog.text


def test_gray_palette_alpha_and_sixteen_bits(tmp_path: Path) -> None:
    gray = np.arange(0, 200, 2, dtype=np.uint8).reshape(10, 10)
    path = tmp_path / "a.png"
    Image.fromarray(gray).save(path)
    np.testing.assert_array_equal(read_picture(path), np.repeat(gray[..., None], 3, 2))
    Image.fromarray(gray.astype(np.uint16) * 257).save(path)
    np.testing.assert_array_equal(read_picture(path), np.repeat(gray[..., None], 3, 2))
    Image.fromarray(_corners()).convert("P", palette=Image.Palette.ADAPTIVE).save(path)
    np.testing.assert_array_equal(read_picture(path), _corners())
    Image.fromarray(gray).point(lambda v: 255 * (v > 100)).convert("1").save(path)
    assert set(np.unique(read_picture(path))) == {0, 255}


def test_transparency_lies_over_white(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    pixels = np.array([[[255, 0, 0, 255], [255, 0, 0, 0], [0, 0, 0, 128]]], np.uint8)
    Image.fromarray(pixels).save(path)
    assert read_picture(path)[0].tolist() == [[255, 0, 0], [255, 255, 255], [127, 127, 127]]
    Image.fromarray(np.array([[[90, 255], [90, 0]]], np.uint8), mode=None).save(path)
    assert read_picture(path)[0].tolist() == [[90, 90, 90], [255, 255, 255]]
    palette = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.save(path, transparency=1)
    assert read_picture(path)[0].tolist() == [[10, 20, 30], [255, 255, 255]]


def test_cmyk_jpeg(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(_corners()).convert("CMYK").save(path, quality=95)
    assert np.abs(read_picture(path)[5, 5].astype(int) - [255, 0, 0]).max() < 12


def test_of_an_animation_the_first_frame(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    frames = [Image.fromarray(_corners()), Image.new("RGB", (60, 40), "black")]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(read_picture(path), _corners())


def test_numbers_of_no_stated_range_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tiff"
    Image.fromarray(np.ones((4, 4), np.float32)).save(path)
    with pytest.raises(UnreadablePicture, match=r"32-bit \(mode F\) of no stated range"):
        read_picture(path)
    Image.fromarray(np.full((4, 4), 1 << 20, np.int32)).save(path)
    with pytest.raises(UnreadablePicture, match=r"32-bit \(mode I\) of no stated range"):
        read_picture(path)


def test_missing_folder_empty_and_text(tmp_path: Path) -> None:
    with pytest.raises(
        PictureMissing, match=r"a\.png cannot be read as a picture: there is no such"
    ):
        read_picture(tmp_path / "a.png")
    with pytest.raises(UnreadablePicture, match="it is a folder, expected a file"):
        read_picture(tmp_path)
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(UnreadablePicture, match="the file is empty"):
        read_picture(tmp_path / "a.png")
    (tmp_path / "a.png").write_text("this is a shopping list, not a picture")
    with pytest.raises(UnreadablePicture, match="its content is none of JPEG, PNG, WEBP"):
        read_picture(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp", "tiff", "gif", "ppm"])
def test_files_cut_short_are_refused(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(noise).save(path)
    whole = path.read_bytes()
    for share in (0.6, 0.02):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(UnreadablePicture, match="damaged or cut short") as caught:
            read_picture(path)
        assert "\n" not in str(caught.value)


def test_too_many_pixels_are_refused_from_the_header_alone(tmp_path: Path, png_header: Any) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png_header(20_000, 20_000))  # there are no pixels to decode
    pattern = r"20000 x 20000 is 400\.0 megapixels, the limit is 64\.0: shrink it first"
    with pytest.raises(PictureTooLarge, match=pattern):
        read_picture(path)
    path.write_bytes(png_header(8_001, 8_000))
    with pytest.raises(PictureTooLarge, match="8001 x 8000"):
        read_picture(path)
    Image.fromarray(_corners()).save(path)
    with pytest.raises(PictureTooLarge, match="60 x 40"):
        read_picture(path, limit_px=2399)
    assert read_picture(path, limit_px=2400).shape == (40, 60, 3)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp", "tiff", "gif", "ppm"])
def test_whatever_is_damaged_one_line_or_a_picture(tmp_path: Path, suffix: str) -> None:
    """Random damage: it still decodes, or one line says why not; no warning, no traceback."""
    generator = np.random.default_rng(0)
    path = tmp_path / f"a.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {"exif": exif} if suffix in ("jpg", "png", "webp", "tiff") else {}
    Image.fromarray(generator.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(path, **options)
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    refused = 0
    for _ in range(60):
        damaged = whole.copy()
        reach = min(len(whole), 200) if generator.random() < 0.6 else len(whole)
        places = generator.integers(0, reach, generator.integers(1, 6))
        damaged[places] = generator.integers(0, 256, len(places))
        path.write_bytes(damaged.tobytes())
        try:
            assert read_picture(path).shape[2] == 3
        except UnreadablePicture as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 0


def test_a_plugins_own_pixel_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL.PngImagePlugin import PngImageFile

    def refuse(self: Any) -> None:
        raise Image.DecompressionBombError("too many")

    path = tmp_path / "a.png"
    Image.fromarray(_corners()).save(path)
    monkeypatch.setattr(PngImageFile, "load", refuse)
    with pytest.raises(
        UnreadablePicture, match=r"more pixels than can be, the limit is 64\.0 mega"
    ):
        read_picture(path)


def test_a_disk_error_is_not_blamed_on_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(_corners()).save(path)

    def fail(self: Any) -> None:
        raise OSError(5, "Input/output error")

    from PIL.PngImagePlugin import PngImageFile

    monkeypatch.setattr(PngImageFile, "load", fail)
    with pytest.raises(OSError, match="Input/output error") as caught:
        read_picture(path)
    assert not isinstance(caught.value, UnreadablePicture)


def test_the_color_profile_travels_along(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    source, out = tmp_path / "a.jpg", tmp_path / "b.png"
    Image.fromarray(_corners()).save(source, icc_profile=profile)
    picture = load_picture(source)
    assert picture.icc_profile == profile
    write_picture(out, picture.rgb, MARK, icc_profile=picture.icc_profile)
    assert load_picture(out).icc_profile == profile
    Image.fromarray(_corners()).convert("CMYK").save(source, icc_profile=profile)
    assert load_picture(source).icc_profile is None


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_writing_is_exact(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (31, 17, 3), dtype=np.uint8)
    path = tmp_path / f"out{suffix}"
    write_picture(path, noise, MARK)
    np.testing.assert_array_equal(read_picture(path), noise)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_jpeg_is_written_well(tmp_path: Path) -> None:
    smooth = np.asarray(Image.fromarray(_corners()).resize((8, 8)).resize((64, 64)))
    write_picture(tmp_path / "out.JPG", smooth, MARK)
    assert np.abs(read_picture(tmp_path / "out.JPG").astype(int) - smooth).mean() < 2


def test_outputs_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"expected a name ending in \.png, \.jpg"):
        write_picture(tmp_path / "out.tga", _corners(), MARK)
    with pytest.raises(InvalidRequest, match=r"there is no folder .*nowhere, make it first"):
        write_picture(tmp_path / "nowhere" / "out.png", _corners(), MARK)
    with pytest.raises(InvalidRequest, match=r"WEBP holds at most 16383 pixels a side.*use \.png"):
        write_picture(tmp_path / "out.webp", np.zeros((1, 16_384, 3), np.uint8), MARK)
    (tmp_path / "out.png").write_text("mine")
    with pytest.raises(OutputExists, match="or add --overwrite"):
        write_picture(tmp_path / "out.png", _corners(), MARK)
    assert (tmp_path / "out.png").read_text() == "mine"
    write_picture(tmp_path / "out.png", _corners(), MARK, overwrite=True)
    assert Image.open(io.BytesIO((tmp_path / "out.png").read_bytes())).size == (60, 40)
