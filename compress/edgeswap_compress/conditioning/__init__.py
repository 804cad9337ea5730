"""Conditioning of the U-Net: crops, what the source and the prompt say, attention."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeswap_runtime.lazy import lazy_names

if TYPE_CHECKING:
    from edgeswap_compress.conditioning.condition import Condition, Conditioner
    from edgeswap_compress.conditioning.source import SourceConditioner
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "edgeswap_compress.conditioning.condition": ("Condition", "Conditioner"),
            "edgeswap_compress.conditioning.source": ("SourceConditioner",),
        },
    )

__all__ = ["Condition", "Conditioner", "SourceConditioner"]
