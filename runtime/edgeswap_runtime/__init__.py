"""Run bundles: pictures in, pictures out, with numpy, Pillow and one backend.

    with Swapper.open("bundle") as swapper:
        picture = swapper.swap("target.jpg", swapper.identity("source.jpg"))
        swapper.save(picture, "swapped.png")

Importing this package imports nothing else; each name is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeswap_runtime.lazy import lazy_names

if TYPE_CHECKING:
    from edgeswap_runtime._clock import StageClock
    from edgeswap_runtime._crop_swapper import Identity
    from edgeswap_runtime.backends.fake import FakeBackend
    from edgeswap_runtime.backends.protocol import Backend
    from edgeswap_runtime.bundle.folder import Bundle
    from edgeswap_runtime.errors import BadBundle, EdgeswapError, NoFaceFound, UnreadablePicture
    from edgeswap_runtime.faces.detect import Face
    from edgeswap_runtime.pictures.read import read_picture
    from edgeswap_runtime.swapper import Swapper
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "edgeswap_runtime._clock": ("StageClock",),
            "edgeswap_runtime._crop_swapper": ("Identity",),
            "edgeswap_runtime.backends.fake": ("FakeBackend",),
            "edgeswap_runtime.backends.protocol": ("Backend",),
            "edgeswap_runtime.bundle.folder": ("Bundle",),
            "edgeswap_runtime.errors": (
                "BadBundle",
                "EdgeswapError",
                "NoFaceFound",
                "UnreadablePicture",
            ),
            "edgeswap_runtime.faces.detect": ("Face",),
            "edgeswap_runtime.pictures.read": ("read_picture",),
            "edgeswap_runtime.swapper": ("Swapper",),
        },
    )

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
