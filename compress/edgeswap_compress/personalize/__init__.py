"""Personalization: a finished student learns one consenting person from a handful of photos."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeswap_runtime.lazy import lazy_names

if TYPE_CHECKING:
    from edgeswap_compress.personalize.config import PersonalizeConfig
    from edgeswap_compress.personalize.stage import personalize
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "edgeswap_compress.personalize.config": ("PersonalizeConfig",),
            "edgeswap_compress.personalize.stage": ("personalize",),
        },
    )

__all__ = ["PersonalizeConfig", "personalize"]
