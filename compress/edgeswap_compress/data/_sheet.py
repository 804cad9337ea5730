"""Contact sheets of datasets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgeswap_runtime.pictures.sheet import SheetStyle, draw_sheet
from edgeswap_runtime.pictures.write import RENDERED, require_writable, save_marked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edgeswap_compress.data.shards import Dataset

_LANDMARK_RGB = (0, 255, 80)


def contact_sheet(dataset: Dataset, groups: Sequence[int], *, rows: int = 8) -> NDArray[np.uint8]:
    """Draw triplets side by side: source, target, truth, the truth's mask and landmarks.

    What stands before the face is red in the mask's picture (renderer 4).

    Args:
        dataset: at least one group.
        groups: which to show, a block of five columns each.
        rows: triplets of each group.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    chosen = dataset.triplets()
    chosen = chosen[np.linspace(0, len(chosen) - 1, min(rows, len(chosen))).astype(int)]
    lines = [
        [picture for group in groups for picture in _pictures(dataset, group, triplet)]
        for triplet in chosen
    ]
    return draw_sheet(lines, style=SheetStyle(tile_px=None))


def _pictures(
    dataset: Dataset, group: int, triplet: NDArray[np.integer]
) -> list[NDArray[np.uint8]]:
    source, target, truth = triplet
    images = dataset.images(group)
    marked = mark_points(images[truth], dataset.landmarks(group)[truth])
    mask = _with_occluders(dataset.masks(group)[truth], dataset.occluders(group)[truth])
    return [
        np.asarray(one) for one in (images[source], images[target], images[truth], mask, marked)
    ]


def _with_occluders(mask: NDArray[np.uint8], occluders: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Draw a mask (H, W) in white, and in red what stands before the face."""
    return np.stack([np.maximum(mask, occluders), mask, mask], axis=2)


def mark_points(image: NDArray[np.uint8], points: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Copy an image (H, W, 3) and mark each of (N, 2) points by one pixel."""
    marked = np.array(image)
    for x, y in np.round(points).astype(int):
        marked[np.clip(y, 0, len(image) - 1), np.clip(x, 0, image.shape[1] - 1)] = _LANDMARK_RGB
    return marked


def save_sheet(dataset: Dataset, out: Path, groups: Sequence[int], *, rows: int = 8) -> None:
    """Write a contact sheet, marked as rendered.

    Raises:
        InvalidRequest: the name ends in no format that can be written, or its folder is missing.
        OutputExists: nothing is overwritten.
    """
    require_writable(out, overwrite=False)
    save_marked(out, contact_sheet(dataset, groups, rows=rows), RENDERED)
