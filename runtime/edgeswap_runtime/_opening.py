"""Check what `Swapper.open` is given, open bundle and backend, hold them, and find faces."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from edgeswap_runtime._arguments import as_path, as_rgb, name_of, require_word
from edgeswap_runtime.backends import open_backend
from edgeswap_runtime.backends.protocol import BackendRequest
from edgeswap_runtime.backends.threads import require_threads
from edgeswap_runtime.bundle.default import default_bundle
from edgeswap_runtime.bundle.folder import Bundle
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
    from edgeswap_runtime.faces.detect import Face
    from edgeswap_runtime.faces.judge import JudgedFace

    PictureLike = Path | str | NDArray[np.uint8]

_Reader = TypeVar("_Reader", bound="FaceReader")


def open_bundle(bundle: Bundle | Path | str | None) -> Bundle:
    """Open a bundle's folder and verify its hashes; None names the packaged one.

    Raises:
        InvalidRequest: it is neither a path nor a bundle.
        EdgeswapError: as from `Bundle.open`.
    """
    folder = default_bundle() if bundle is None else bundle
    return folder if isinstance(folder, Bundle) else Bundle.open(as_path(folder, "bundle"))


def require_options(
    backend: object, *, device: object, schedule: object, precision: object
) -> None:
    """Raise InvalidRequest unless names are names, and the backend is a name or can run graphs."""
    for name, word in (("schedule", schedule), ("precision", precision), ("device", device)):
        require_word(word, name)
    if not isinstance(backend, str) and not hasattr(backend, "run"):
        raise InvalidRequest(f"backend is {backend!r}, expected a name or a backend")


def require_schedule(bundle: Bundle, name: object) -> str:
    """Return the name of a bundle's schedule, its default for None.

    Raises:
        InvalidRequest: it has none of that name.
    """
    require_word(name, "schedule")
    manifest = bundle.manifest
    chosen = manifest.default_schedule if name is None else str(name)
    if chosen not in manifest.schedules:
        raise InvalidRequest(
            f"{bundle.path} has no schedule '{chosen}': expected one of "
            f"{', '.join(sorted(manifest.schedules))}"
        )
    return chosen


def open_named_backend(
    name: str, bundle: Bundle, *, device: str, threads: int | None, precision: str | None
) -> Backend[Any]:
    """Open a backend of the table `BACKENDS` with all graphs of a bundle.

    Raises:
        EdgeswapError: as from `open_backend`.
    """
    request = BackendRequest(
        graphs=bundle.graph_paths(),
        device=device,
        threads=require_threads(threads),
        precision=precision,
        bundle=bundle,
    )
    return open_backend(name, request)


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
