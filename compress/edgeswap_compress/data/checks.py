"""Check a rendered dataset before anything slow, and before torch is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeswap_compress.errors import DatasetMismatch, InvalidSettings

if TYPE_CHECKING:
    from pathlib import Path

    from edgeswap_compress.checkpoint.swap_config import SwapConfig
    from edgeswap_compress.data.folders import Pictures
    from edgeswap_compress.data.shards import Dataset


def check_dataset(path: Path, swap: SwapConfig | None = None) -> Dataset:
    """Open a rendered dataset that a checkpoint can learn from.

    Args:
        path: its folder.
        swap: of the checkpoint; its crops must have the dataset's size.

    Raises:
        BadFolder, DatasetDamaged: there is none.
        DatasetMismatch: its crops have another size.
        InvalidSettings: it is too small for triplets.
    """
    from edgeswap_compress.data.shards import read_dataset

    dataset = read_dataset(path)
    if len(dataset) < 1 or dataset.identities < 2:
        raise InvalidSettings(
            f"{path} holds {len(dataset)} groups of {dataset.identities} people: expected 1 group "
            "or more of 2 people or more; render one with edgeswap data render"
        )
    if swap is not None and dataset.settings.size_px != swap.resolution_px:
        found = dataset.settings.size_px
        raise DatasetMismatch(path, "size_px", expected=swap.resolution_px, found=found)
    return dataset


def check_pictures(path: Path, swap: SwapConfig) -> Pictures:
    """Open a dataset of any kind that a distillation can learn from.

    Args:
        path: rendered dataset, triplets, or aligned crops, see `open_pictures`.
        swap: of the teacher; its crops must have the pictures' size.

    Raises:
        BadFolder, DatasetDamaged, UnusablePictures, UnreadablePicture: there is none.
        DatasetMismatch: its crops have another size.
        InvalidSettings: a rendered one is too small for triplets.
    """
    from edgeswap_compress.data.folders import open_pictures
    from edgeswap_compress.data.shards import MANIFEST

    if (path / MANIFEST).is_file() or not path.exists():
        return check_dataset(path, swap)
    pictures = open_pictures(path, loose=True)
    found = pictures.images(0).shape[1]
    if found != swap.resolution_px:
        raise DatasetMismatch(path, "size_px", expected=swap.resolution_px, found=found)
    return pictures
