"""Export a bare diffusers U-Net, whole or pruned, as one ONNX graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeswap_runtime.lazy import lazy_names

if TYPE_CHECKING:
    from edgeswap_export.unet.stage import NAME, export_unet, is_unet_folder
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "edgeswap_export.unet.stage": (
                "NAME",
                "export_unet",
                "is_unet_folder",
            ),
        },
    )

__all__ = [
    "NAME",
    "export_unet",
    "is_unet_folder",
]
