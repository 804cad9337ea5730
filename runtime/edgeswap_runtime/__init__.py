"""edgeswap's runtime: a bundle and pictures in, pictures out. numpy, Pillow and one backend.

    with Swapper.open("bundle") as swapper:
        picture = swapper.swap("target.jpg", swapper.identity("source.jpg"))
        swapper.save(picture, "swapped.png")

Importing this package imports nothing else; each name is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeswap_runtime._bundle import Bundle
    from edgeswap_runtime._clock import StageClock
    from edgeswap_runtime._detect import Face
    from edgeswap_runtime._engine import Identity
    from edgeswap_runtime._errors import BadBundle, EdgeswapError, NoFaceFound, UnreadablePicture
    from edgeswap_runtime._picture import read_picture
    from edgeswap_runtime._swapper import Swapper
    from edgeswap_runtime.backends._fake import FakeBackend
    from edgeswap_runtime.backends._protocol import Backend

_HOMES = {
    "Backend": "backends._protocol",
    "BadBundle": "_errors",
    "Bundle": "_bundle",
    "EdgeswapError": "_errors",
    "Face": "_detect",
    "FakeBackend": "backends._fake",
    "Identity": "_engine",
    "NoFaceFound": "_errors",
    "StageClock": "_clock",
    "Swapper": "_swapper",
    "UnreadablePicture": "_errors",
    "read_picture": "_picture",
}

__all__ = [
    "Backend",
    "BadBundle",
    "Bundle",
    "EdgeswapError",
    "Face",
    "FakeBackend",
    "Identity",
    "NoFaceFound",
    "StageClock",
    "Swapper",
    "UnreadablePicture",
    "read_picture",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
