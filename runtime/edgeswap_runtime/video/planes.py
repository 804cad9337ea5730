"""Frames and pictures: from YUV to upright RGB and back, keeping every plane where nothing changed.

Only samples that the swap changed are converted back; all others keep the film's own numbers, of
any depth. Inside a face the precision is 8 bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from av.video.frame import VideoFrame

if TYPE_CHECKING:
    from av.video.plane import VideoPlane
    from numpy.typing import NDArray

    from edgeswap_runtime.video.film import TargetFilm

_FULL = 2


def to_picture(frame: VideoFrame, film: TargetFilm) -> NDArray[np.uint8]:
    """Convert a frame to an upright picture.

    Args:
        frame: of the film.
        film: says how its numbers mean colors, and how it is turned.

    Returns:
        (H, W, 3) uint8, RGB.
    """
    rgb = frame.reformat(
        format="rgb24",
        src_colorspace=film.colors.matrix,
        src_color_range=film.colors.range,
        dst_color_range=_FULL,
        threads=1,
    ).to_ndarray()
    return np.ascontiguousarray(np.rot90(rgb, film.rotation // 90))


def with_picture(
    frame: VideoFrame, before: NDArray[np.uint8], after: NDArray[np.uint8], film: TargetFilm
) -> VideoFrame:
    """Put a changed picture into a frame.

    Args:
        frame: of the film.
        before: (H, W, 3) uint8, RGB, from `to_picture`.
        after: the same, changed.
        film: as for `to_picture`.

    Returns:
        a new frame of the same format, tags and time; `frame` itself where nothing changed.
    """
    turns = -film.rotation // 90
    old_rgb, turned = (np.ascontiguousarray(np.rot90(one, turns)) for one in (before, after))
    box = _changed_box(old_rgb, turned)
    if box is None:
        return frame
    rows, columns = box
    differ = old_rgb[rows, columns] != turned[rows, columns]
    changed = differ[..., 0] | differ[..., 1] | differ[..., 2]
    made = VideoFrame.from_ndarray(turned, format="rgb24").reformat(
        format=film.pixel_format,
        src_color_range=_FULL,
        dst_colorspace=film.colors.matrix,
        dst_color_range=film.colors.range,
        threads=1,
    )
    for new, old in zip(made.planes, frame.planes, strict=True):
        target, kept = _samples(new, made), _samples(old, frame)
        down, across = -(-frame.height // new.height), -(-frame.width // new.width)
        part = (
            slice(rows.start // down, -(-rows.stop // down)),
            slice(columns.start // across, -(-columns.stop // across)),
        )
        swapped = target[part].copy()
        target[...] = kept
        np.copyto(target[part], swapped, where=_shrink(changed, (down, across)))
    made.pts, made.time_base, made.duration = frame.pts, frame.time_base, frame.duration
    for name, number in film.colors.tags.items():
        setattr(made, name, number)
    return made


def _samples(plane: VideoPlane, frame: VideoFrame) -> NDArray[Any]:
    """A plane's numbers, (h, w) uint8 or uint16, without a copy."""
    kind = np.uint8 if frame.format.components[0].bits == 8 else np.uint16
    buffer: Any = plane
    rows = np.frombuffer(buffer, np.uint8).reshape(-1, plane.line_size)[: plane.height]
    samples: NDArray[Any] = rows.view(kind)[:, : plane.width]
    return samples


def _changed_box(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> tuple[slice, slice] | None:
    """The rows and columns that hold all changed pixels; None where nothing changed.

    It begins at even numbers, and ends at such unless at the border: there chroma samples begin.
    """
    height, width = before.shape[:2]
    # Whole rows first, which are compared fastest; all else follows the face, not the frame.
    rows = np.flatnonzero((before != after).reshape(height, -1).any(axis=1))
    if not rows.size:
        return None
    top, bottom = int(rows[0]) // 2 * 2, min(height, -(-(int(rows[-1]) + 1) // 2) * 2)
    band = (before[top:bottom] != after[top:bottom]).any(axis=0)
    columns = np.flatnonzero(band.any(axis=1))
    left, right = int(columns[0]) // 2 * 2, min(width, -(-(int(columns[-1]) + 1) // 2) * 2)
    return slice(top, bottom), slice(left, right)


def _shrink(mask: NDArray[np.bool_], factors: tuple[int, int]) -> NDArray[np.bool_]:
    """A mask at a plane's size: true where any of the pixels that share a sample is.

    Args:
        mask: (h, w).
        factors: rows and columns of pixels that share a sample, 1 or 2.
    """
    if factors == (1, 1):
        return mask
    size = tuple(-(-length // share) for length, share in zip(mask.shape, factors, strict=True))
    padded = np.zeros((size[0] * factors[0], size[1] * factors[1]), dtype=bool)
    padded[: mask.shape[0], : mask.shape[1]] = mask
    grouped = padded.reshape(size[0], factors[0], size[1], factors[1])
    return np.asarray(grouped.any(axis=(1, 3)))
