"""Networks beside diffusers' autoencoders: what a decoder sees of the target."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeswap_runtime.lazy import lazy_names

if TYPE_CHECKING:
    from edgeswap_compress.autoencoders.target_overlay import TargetOverlay, laid_over
else:
    __getattr__, __dir__ = lazy_names(
        __name__, {"edgeswap_compress.autoencoders.target_overlay": ("TargetOverlay", "laid_over")}
    )

__all__ = ["TargetOverlay", "laid_over"]
