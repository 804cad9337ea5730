"""What training reads: rendered synthetic adults, and a user's own pictures."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgeswap_compress.data._align_photos import align_photos
    from edgeswap_compress.data._assets import asset, cache_folder, fetch
    from edgeswap_compress.data._folders import Pictures, open_pictures
    from edgeswap_compress.data._grid import GroupSettings, triplets
    from edgeswap_compress.data._portrait import render_portrait
    from edgeswap_compress.data._rendering import render_dataset
    from edgeswap_compress.data._shards import Dataset, read_dataset

__all__ = [
    "Dataset",
    "GroupSettings",
    "Pictures",
    "align_photos",
    "asset",
    "cache_folder",
    "fetch",
    "open_pictures",
    "read_dataset",
    "render_dataset",
    "render_portrait",
    "triplets",
]

_HOMES = {
    "Dataset": "_shards",
    "GroupSettings": "_grid",
    "Pictures": "_folders",
    "align_photos": "_align_photos",
    "asset": "_assets",
    "cache_folder": "_assets",
    "fetch": "_assets",
    "open_pictures": "_folders",
    "read_dataset": "_shards",
    "render_dataset": "_rendering",
    "render_portrait": "_portrait",
    "triplets": "_grid",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
