"""Conditioning of the U-Net on the source: encoders and their outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeswap_runtime.lazy import lazy_names

if TYPE_CHECKING:
    from edgeswap_compress.conditioning.source import Condition, SourceConditioner
else:
    __getattr__, __dir__ = lazy_names(
        __name__, {"edgeswap_compress.conditioning.source": ("Condition", "SourceConditioner")}
    )

__all__ = ["Condition", "SourceConditioner"]
