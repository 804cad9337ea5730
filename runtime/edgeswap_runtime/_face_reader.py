"""Hold a bundle open on a backend, and find the faces of pictures with it."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from edgeswap_runtime._arguments import as_rgb, name_of
from edgeswap_runtime.bundle.manifest import DETECTOR
from edgeswap_runtime.errors import InvalidRequest
from edgeswap_runtime.faces.detect import as_choice
from edgeswap_runtime.faces.find import FaceFinder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from edgeswap_runtime._crop_swapper import CropSwapper
    from edgeswap_runtime.backends.protocol import Backend
    from edgeswap_runtime.bundle.folder import Bundle
    from edgeswap_runtime.faces.detect import Face
    from edgeswap_runtime.faces.judge import JudgedFace

    PictureLike = Path | str | NDArray[np.uint8]

_Reader = TypeVar("_Reader", bound="FaceReader")


class FaceReader:
    """What `Swapper` does before it swaps: it holds a backend, and finds faces with it.

    A context manager. Several threads may share one; it works for one of them at a time.

    Args:
        bundle: the opened bundle.
        backend: runs its graphs; stays the caller's to close.
        crops: runs the bundle's graphs on that backend.
    """

    def __init__(self, bundle: Bundle, backend: Backend[Any], crops: CropSwapper[Any]) -> None:
        self.bundle = bundle
        self._backend = backend
        self._owns_backend = False
        self._closed = False
        # The buffers are the backend's, so that swappers which share it share its lock.
        self._lock = getattr(backend, "lock", None) or threading.RLock()
        self._crops = crops
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="edgeswap-warp")
        self._faces = FaceFinder(
            bundle,
            crops.detector if DETECTOR in bundle.manifest.graphs else None,
            canvas=crops.canvas,
            each=self._pool.map,
        )

    def __enter__(self: _Reader) -> _Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the backend, if `open` opened it; calling it again does nothing.

        A swap that another thread has begun is finished first; later ones raise InvalidRequest.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._crops.forget()
            self._pool.shutdown()
            if self._owns_backend:
                self._backend.close()

    def detect(
        self, picture: PictureLike, near: Sequence[Face] = (), *, everywhere: bool = True
    ) -> tuple[Face, ...]:
        """Find all faces of a picture, largest first, with refined landmarks.

        Args:
            picture: a path, or (H, W, 3) uint8, RGB.
            near: in a film, the faces of the last frame: they are found again in a view each.
            everywhere: in a film, False looks for others in the shrunk picture only.

        Raises:
            DetectorMissing: the bundle is for aligned crops only.
            UnreadablePicture: a path that cannot be read.
        """
        rgb = as_rgb(picture)
        with self._in_use():
            return self._faces.find_all(rgb, near, everywhere=everywhere)

    def choose(
        self, picture: PictureLike, faces: str | int = "largest", *, name: str | None = None
    ) -> tuple[tuple[Face, ...], int]:
        """Find the faces of a picture that `swap` would swap; only these are refined.

        Args:
            picture: a path, or (H, W, 3) uint8, RGB.
            faces: "largest", "all", or how many, largest first.
            name: how to call the picture in messages.

        Returns:
            the faces, and how many there are in all.

        Raises:
            EdgeswapError: as for `swap`.
        """
        choice, rgb = as_choice(faces), as_rgb(picture)
        with self._in_use():
            return self._faces.choose(rgb, choice, name or name_of(picture))

    def judge(
        self, picture: PictureLike, faces: str | int = "all", *, name: str | None = None
    ) -> tuple[JudgedFace, ...]:
        """Find all faces of a picture, left to right, and say which of them `swap` would swap.

        Args:
            picture: a path, or (H, W, 3) uint8, RGB.
            faces: which are chosen, as for `choose`; only these are judged.
            name: how to call the picture in messages.

        Raises:
            EdgeswapError: as for `swap`.
        """
        choice, rgb = as_choice(faces), as_rgb(picture)
        with self._in_use():
            return self._faces.judge(rgb, choice, name or name_of(picture))

    @contextlib.contextmanager
    def _in_use(self) -> Iterator[None]:
        """Hold the backend's lock; raise InvalidRequest where the swapper is closed."""
        with self._lock:
            if self._closed:
                raise InvalidRequest("the swapper is closed: Swapper.open opens another")
            yield
