"""Contact sheets of datasets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgeswap_runtime.pictures.write import RENDERED, require_writable, save_marked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edgeswap_compress.data.shards import Dataset

_LANDMARK_RGB = (0, 255, 80)


def contact_sheet(dataset: Dataset, groups: Sequence[int], *, rows: int = 8) -> NDArray[np.uint8]:
    """Draw triplets side by side: source, target, truth, the truth's mask and landmarks.

    Args:
        dataset: at least one group.
        groups: which to show, a block of five columns each.
        rows: triplets of each group.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    chosen = dataset.triplets()
    chosen = chosen[np.linspace(0, len(chosen) - 1, min(rows, len(chosen))).astype(int)]
    blocks = []
    for group in groups:
        images, masks, points = (
            dataset.images(group),
            dataset.masks(group),
            dataset.landmarks(group),
        )
        lines = []
        for source, target, truth in chosen:
            mask = np.repeat(masks[truth][:, :, None], 3, axis=2)
            marked = mark_points(images[truth], points[truth])
            row = [images[source], images[target], images[truth], mask, marked]
            lines.append(np.concatenate(row, axis=1))
        blocks.append(np.concatenate(lines, axis=0))
    return np.concatenate(blocks, axis=1)


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
