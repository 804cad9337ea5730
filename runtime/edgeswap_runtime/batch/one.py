"""Swap one picture of a batch, and say what was done or why not."""

from __future__ import annotations

import time
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeswap_runtime._arguments import as_rgb
from edgeswap_runtime.errors import EdgeswapError, EdgeswapFailure, OutputExists
from edgeswap_runtime.faces.judge import problems_of, swappable
from edgeswap_runtime.pictures.write import require_writable
from edgeswap_runtime.swapper import Swapper

if TYPE_CHECKING:
    from edgeswap_runtime._crop_swapper import Identity
    from edgeswap_runtime.batch.settings import BatchSettings

_KEPT_IDENTITIES = 64


class PictureSwapper:
    """Swaps pictures from file to file with one opened swapper.

    A context manager: it holds the swapper until `close`.

    Args:
        settings: how.

    Raises:
        EdgeswapError: the bundle, the backend or a source cannot be used.
    """

    def __init__(self, settings: BatchSettings) -> None:
        engine = settings.engine
        self._settings = settings
        self._identities: OrderedDict[tuple[str, ...], Identity] = OrderedDict()
        self._swapper = Swapper.open(
            engine.bundle,
            backend=engine.backend,
            device=engine.device,
            schedule=settings.schedule,
            seed=settings.seed,
            threads=engine.threads,
            precision=engine.precision,
        )
        try:
            settings.marks.apply(self._swapper)
            self._swapper.keep_detail = settings.keep_detail
            if settings.sources:
                self._identity(settings.sources)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> PictureSwapper:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the swapper."""
        self._swapper.close()

    def swap(self, target: Path, out: Path, source: Path | None = None) -> dict[str, Any]:
        """Swap one picture; a picture that cannot be swapped is no exception but a result.

        Args:
            target: the picture.
            out: the new file; folders in between are made. One that exists already was written by
                a worker that died before it could say so, and counts as done.
            source: instead of the settings' sources.

        Returns:
            `done` ("swapped", "written earlier" or "failed"); for a swap faces_found,
            faces_swapped, left_alone (words, one for each face) and swap_ms; for a failure why and
            kind (the error's class).
        """
        sources = self._settings.sources if source is None else (str(source),)
        try:
            return self._swap(target, out, sources)
        except OutputExists:
            return {"done": "written earlier"}
        except (EdgeswapError, EdgeswapFailure, OSError) as error:
            why = str(error)
            if isinstance(error, OSError) and not isinstance(error, EdgeswapError):
                why = f"{error.filename or target}: {error.strerror or error}"
            return {"done": "failed", "kind": type(error).__name__, "why": why}

    def _swap(self, target: Path, out: Path, sources: tuple[str, ...]) -> dict[str, Any]:
        swapper, settings, name = self._swapper, self._settings, str(target)
        out.parent.mkdir(parents=True, exist_ok=True)
        require_writable(out, overwrite=False)
        start = time.perf_counter()
        identity = self._identity(sources)
        picture = as_rgb(target)
        judged = swapper.judge(picture, settings.faces, name=name)
        faces = swappable(judged, name, force=settings.force)
        swapper.save(swapper.swap(picture, identity, faces=faces), out)
        return {
            "done": "swapped",
            "faces_found": len(judged),
            "faces_swapped": len(faces),
            "left_alone": [] if settings.force else problems_of(judged),
            "swap_ms": (time.perf_counter() - start) * 1e3,
        }

    def _identity(self, sources: tuple[str, ...]) -> Identity:
        """The identity in some photos, read once; the last ones are kept."""
        if sources in self._identities:
            self._identities.move_to_end(sources)
            return self._identities[sources]
        identity = self._swapper.identity([Path(source) for source in sources])
        self._identities[sources] = identity
        if len(self._identities) > _KEPT_IDENTITIES:
            self._identities.popitem(last=False)
        return identity
