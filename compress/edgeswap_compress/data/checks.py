"""Check a rendered dataset before anything slow, and before torch is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeswap_compress.errors import DatasetMismatch, InvalidSettings

if TYPE_CHECKING:
    from pathlib import Path

    from edgeswap_compress.checkpoint.swap_config import SwapConfig
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
