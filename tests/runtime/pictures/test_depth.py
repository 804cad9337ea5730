"""More than 8 bits: read by the range that is used, in every way such pictures are stored."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from edgeswap_runtime import UnreadablePicture, read_picture

tifffile = pytest.importorskip("tifffile")

if TYPE_CHECKING:
    from pathlib import Path

RAMP = np.linspace(0, 1, 48 * 40).reshape(40, 48)


def _png(path: Path, values: np.ndarray) -> None:
    """A PNG of 16 bits a channel, which Pillow cannot write in color."""
    height, width = values.shape[:2]
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[1 if values.ndim == 2 else values.shape[2]]

    def chunk(name: bytes, data: bytes) -> bytes:
        checked = name + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    rows = values.astype(">u2").reshape(height, -1)
    data = b"".join(b"\0" + row.tobytes() for row in rows)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))
    body = header + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def _tiff(path: Path, values: np.ndarray, **options: Any) -> None:
    tifffile.imwrite(path, values, **options)


WRITERS: dict[str, Any] = {
    "png": _png,
    "tiff": _tiff,
    "tiff big-endian": lambda path, values: _tiff(path, values, byteorder=">"),
    "tiff deflate": lambda path, values: _tiff(path, values, compression="zlib"),
}


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("writer", sorted(WRITERS))
@pytest.mark.parametrize("channels", [1, 3])
def test_bits_in_sixteen(tmp_path: Path, bits: int, writer: str, channels: int) -> None:
    values = np.rint(RAMP * ((1 << bits) - 1)).astype(np.uint16)
    expected = np.repeat(np.rint(RAMP * 255)[..., None], 3, 2)
    if channels == 3:
        values = np.dstack([values, values[::-1], values[:, ::-1]])
        expected = np.dstack([expected[..., 0], expected[::-1, :, 0], expected[:, ::-1, 0]])
    WRITERS[writer](tmp_path / "a", values)
    found = read_picture(tmp_path / "a")
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_twelve_bits_with_alpha(tmp_path: Path) -> None:
    values = np.full((4, 6, 4), 4095, np.uint16)
    values[:2, :, :3] = 0
    values[:, 3:, 3] = 0
    _png(tmp_path / "a.png", values)
    found = read_picture(tmp_path / "a.png")
    assert found[0, 0].tolist() == [0, 0, 0] and found[3, 0].tolist() == [255] * 3
    assert found[0, 5].tolist() == [255] * 3  # white shows through


def test_a_tiff_that_states_its_range(tmp_path: Path) -> None:
    """A dark picture stays dark where the file says what white is."""
    values = np.rint(RAMP * 1000).astype(np.uint16)
    _tiff(tmp_path / "a.tiff", values, extratags=[(281, "H", 1, 4095, True)])
    found = read_picture(tmp_path / "a.tiff")
    assert abs(int(found.max()) - round(1000 / 4095 * 255)) <= 1


def test_white_is_zero(tmp_path: Path) -> None:
    values = np.rint(RAMP * 65535).astype(np.uint16)
    _tiff(tmp_path / "a.tiff", values, photometric="miniswhite")
    found = read_picture(tmp_path / "a.tiff")
    assert found[0, 0, 0] == 255 and found[-1, -1, 0] == 0


def test_black_stays_black(tmp_path: Path) -> None:
    _png(tmp_path / "a.png", np.zeros((4, 4, 3), np.uint16))
    assert read_picture(tmp_path / "a.png").max() == 0


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_every_mode_of_eight_bits(tmp_path: Path, mode: str) -> None:
    picture = Image.fromarray(np.rint(RAMP * 255).astype(np.uint8))
    saved = picture.convert("RGBA" if mode == "PA" else "L").convert("P" if mode == "PA" else mode)
    saved.save(tmp_path / "a.tiff")
    found = read_picture(tmp_path / "a.tiff").astype(float)
    assert found[0, 0].max() < 12 and found[-1, -1].min() > 243
    if mode != "1":
        assert np.abs(found.mean(-1) - RAMP * 255).max() < 12


def test_several_frames_and_floats(tmp_path: Path) -> None:
    first = np.full((4, 4), 4095, np.uint16)
    tifffile.imwrite(tmp_path / "a.tiff", np.stack([first, first * 0]), photometric="minisblack")
    assert read_picture(tmp_path / "a.tiff").min() == 255
    tifffile.imwrite(tmp_path / "a.tiff", RAMP.astype(np.float32))
    with pytest.raises(UnreadablePicture, match="no stated range: save it as 8 bit"):
        read_picture(tmp_path / "a.tiff")
