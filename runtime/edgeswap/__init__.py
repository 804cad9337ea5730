"""Make a face-swapping diffusion U-Net small and fast, and run it without torch.

    import edgeswap

    with edgeswap.open("bundle") as swapper:
        picture = swapper.swap("target.jpg", swapper.identity("source.jpg"))
        swapper.save(picture, "swapped.png")

    edgeswap.prune("checkpoint", edgeswap.PruneConfig.best(macs_ratio=0.5), "pruned")

Importing this package imports nothing else; each name is loaded when it is first used. What needs
torch (`prune`, `distill`, `export` and their settings) says which extra to install.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeswap_runtime.lazy import lazy_names

if TYPE_CHECKING:
    from edgeswap_compress.checkpoint import Checkpoint
    from edgeswap_compress.distill import DistillConfig, distill
    from edgeswap_compress.prune import PruneChoice, PruneConfig, PruneTarget, prune
    from edgeswap_export import BundleInfo, ExportConfig, GraphsConfig, SchedulesConfig, export
    from edgeswap_runtime import EdgeswapError, Identity, Swapper

    open = Swapper.open  # noqa: A001
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "edgeswap_compress.checkpoint": ("Checkpoint",),
            "edgeswap_compress.distill": ("DistillConfig", "distill"),
            "edgeswap_compress.prune": ("PruneChoice", "PruneConfig", "PruneTarget", "prune"),
            "edgeswap_export": (
                "BundleInfo",
                "ExportConfig",
                "GraphsConfig",
                "SchedulesConfig",
                "export",
            ),
            "edgeswap_runtime": ("EdgeswapError", "Identity", "Swapper", "open=Swapper.open"),
        },
        extras={"edgeswap_compress": "compress", "edgeswap_export": "export"},
    )

__all__ = [
    "BundleInfo",
    "Checkpoint",
    "DistillConfig",
    "EdgeswapError",
    "ExportConfig",
    "GraphsConfig",
    "Identity",
    "PruneChoice",
    "PruneConfig",
    "PruneTarget",
    "SchedulesConfig",
    "Swapper",
    "distill",
    "export",
    "open",
    "prune",
]
