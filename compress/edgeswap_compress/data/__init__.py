"""Data: rendered synthetic adults, and a user's own pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeswap_runtime.lazy import lazy_names

if TYPE_CHECKING:
    from edgeswap_compress.data._align_photos import align_photos
    from edgeswap_compress.data.assets import asset, cache_folder, fetch
    from edgeswap_compress.data.dataset_rendering import render_dataset
    from edgeswap_compress.data.folders import Pictures, open_pictures
    from edgeswap_compress.data.grid import GroupSettings, triplets
    from edgeswap_compress.data.render3.portrait import render_portrait
    from edgeswap_compress.data.shards import Dataset, read_dataset
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "edgeswap_compress.data._align_photos": ("align_photos",),
            "edgeswap_compress.data.assets": (
                "asset",
                "cache_folder",
                "fetch",
            ),
            "edgeswap_compress.data.dataset_rendering": ("render_dataset",),
            "edgeswap_compress.data.folders": (
                "Pictures",
                "open_pictures",
            ),
            "edgeswap_compress.data.grid": (
                "GroupSettings",
                "triplets",
            ),
            "edgeswap_compress.data.render3.portrait": ("render_portrait",),
            "edgeswap_compress.data.shards": (
                "Dataset",
                "read_dataset",
            ),
        },
    )

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
