"""The mark is in every format, readable by others, and not in the pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from edgeswap_runtime.errors import InvalidRequest
from edgeswap_runtime.pictures.mark import DIGITAL_SOURCE_TYPE, Mark, read_mark
from edgeswap_runtime.pictures.write import write_picture

if TYPE_CHECKING:
    from pathlib import Path

MARK = Mark(software="edgeswap 1.2 <&>", bundle_sha256="ab" * 32)
RGB = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_there_and_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    write_picture(path, RGB, MARK)
    assert read_mark(path) == MARK
    assert DIGITAL_SOURCE_TYPE.encode() in path.read_bytes()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_others_can_read_it(tmp_path: Path, suffix: str) -> None:
    """By EXIF, and by an XML parser that knows nothing of edgeswap."""
    path = tmp_path / f"out{suffix}"
    write_picture(path, RGB, MARK)
    with Image.open(path) as image:
        assert image.getexif()[0x0131] == MARK.software
        packet = image.info.get("xmp") or image.info["XML:com.adobe.xmp"]
    root = ElementTree.fromstring(packet)
    found = root.find(".//{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType")
    assert found is not None and found.text == DIGITAL_SOURCE_TYPE
    tool = root.find(".//{http://ns.adobe.com/xap/1.0/}CreatorTool")
    assert tool is not None and tool.text == MARK.software


def test_pixels_are_untouched(tmp_path: Path) -> None:
    write_picture(tmp_path / "marked.png", RGB, MARK)
    Image.fromarray(RGB).save(tmp_path / "plain.png")
    with Image.open(tmp_path / "marked.png") as marked, Image.open(tmp_path / "plain.png") as plain:
        assert marked.tobytes() == plain.tobytes()
    Image.fromarray(RGB).save(tmp_path / "plain.jpg", quality=95, subsampling=0)
    write_picture(tmp_path / "marked.jpg", RGB, MARK)
    with Image.open(tmp_path / "marked.jpg") as marked, Image.open(tmp_path / "plain.jpg") as plain:
        assert marked.tobytes() == plain.tobytes()


def test_a_picture_without_a_mark(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "plain.png")
    assert read_mark(tmp_path / "plain.png") is None


def test_a_format_that_cannot_carry_it() -> None:
    with pytest.raises(
        InvalidRequest, match="no mark is known for BMP: expected PNG, JPEG or WEBP"
    ):
        MARK.save_options("BMP")
