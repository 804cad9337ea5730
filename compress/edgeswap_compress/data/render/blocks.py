"""Video compression of one picture: 8 × 8 transform blocks, coarse color, smoothed seams."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SIDE = 8
_DEAD_ZONE = 1 / 3
"""Share of a step below which a coefficient is dropped rather than rounded."""


def _dct() -> NDArray[np.float32]:
    """The orthonormal (8, 8) cosine transform."""
    k = np.arange(_SIDE)
    matrix = np.cos(np.pi * (k[None, :] + 0.5) * k[:, None] / _SIDE) * np.sqrt(2 / _SIDE)
    matrix[0] /= np.sqrt(2)
    return matrix.astype(np.float32)


def quantize_blocks(pixels: NDArray[np.uint8], step: float) -> NDArray[np.uint8]:
    """Quantize a picture as a video encoder's intra frame with a flat matrix would.

    Args:
        pixels: (H, W, 3) RGB.
        step: of luma coefficients, in gray levels; chroma's is half as large again.

    Returns:
        (H, W, 3) RGB.
    """
    luma, *chroma = (
        np.asarray(plane, np.float32) for plane in Image.fromarray(pixels).convert("YCbCr").split()
    )
    planes = [_deblock(_quantize(luma, step), step)]
    size = (pixels.shape[1], pixels.shape[0])
    half = (max(size[0] // 2, 1), max(size[1] // 2, 1))
    for plane in chroma:
        small = Image.fromarray(plane).resize(half, Image.Resampling.BOX)
        coarse = _quantize(np.asarray(small), 1.5 * step)
        planes.append(np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BILINEAR)))
    stacked = np.clip(np.round(np.stack(planes, axis=2)), 0, 255).astype(np.uint8)
    parts = [Image.fromarray(np.ascontiguousarray(stacked[:, :, k])) for k in range(3)]
    return np.asarray(Image.merge("YCbCr", parts).convert("RGB"))


def _quantize(plane: NDArray[np.float32], step: float) -> NDArray[np.float32]:
    height, width = plane.shape
    tall, wide = -height % _SIDE, -width % _SIDE
    padded = np.pad(plane, ((0, tall), (0, wide)), mode="edge") - 128
    rows, columns = padded.shape[0] // _SIDE, padded.shape[1] // _SIDE
    blocks = padded.reshape(rows, _SIDE, columns, _SIDE).transpose(0, 2, 1, 3)
    dct = _dct()
    waves = dct @ blocks @ dct.T
    whole = np.sign(waves) * np.floor(np.abs(waves) / step + _DEAD_ZONE)
    back = dct.T @ (whole * np.float32(step)) @ dct
    joined = back.transpose(0, 2, 1, 3).reshape(padded.shape) + 128
    return np.ascontiguousarray(joined[:height, :width], np.float32)


def _deblock(plane: NDArray[np.float32], step: float) -> NDArray[np.float32]:
    """Smooth the seams between blocks where they look like quantization and not like edges."""
    out = plane.copy()
    for turned in (out, out.T):
        seams = np.arange(_SIDE, turned.shape[1] - 1, _SIDE)
        left, right = turned[:, seams - 1].copy(), turned[:, seams].copy()
        jump = right - left
        moved = np.where(np.abs(jump) < 1.5 * step, jump / 4, 0)
        turned[:, seams - 1] = left + moved
        turned[:, seams] = right - moved
    return out
