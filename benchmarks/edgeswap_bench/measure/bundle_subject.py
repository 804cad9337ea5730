"""Time a bundle on a backend of this process."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeswap_bench.measure.config import TASKS, SwapOptions
from edgeswap_bench.measure.inputs import seeded_inputs
from edgeswap_bench.measure.pictures import fit
from edgeswap_bench.measure.subject import GraphClock, Lap, Task
from edgeswap_runtime import Bundle, StageClock
from edgeswap_runtime.backends import open_backend
from edgeswap_runtime.backends.protocol import BackendRequest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from edgeswap_runtime.backends.protocol import Backend
    from edgeswap_runtime.bundle.manifest import Schedule


class BundleSubject:
    """A bundle, opened and ready to be timed.

    Args:
        bundle: a folder, whose hashes are then verified, or one opened already.
        source: (H, W, 3) uint8, RGB, with a face.
        target: the same.
        options: how to run it.
        label: what to call it; the bundle's name when None.
        backend: one that is open, to use in place of a named one; it stays its owner's to close.

    Attributes:
        label: what to call it.
        kind: "bundle".
        tasks: all there are.
        pid: None, it runs in this process.
        bundle: the opened bundle.
        open_ms: how long opening took, hashes included.
        backend: what runs its graphs.
        swapped: task -> the picture that its last run gave.
    """

    def __init__(
        self,
        bundle: Bundle | Path | str,
        source: NDArray[np.uint8],
        target: NDArray[np.uint8],
        options: SwapOptions | None = None,
        *,
        label: str | None = None,
        backend: Backend[Any] | None = None,
    ) -> None:
        # Not paid for by every --help, and before the clock starts.
        from edgeswap_runtime import Swapper

        start = time.perf_counter_ns()
        self.kind = "bundle"
        self.tasks: tuple[str, ...] = TASKS
        self.pid: int | None = None
        self.options = options or SwapOptions()
        self.bundle = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
        self.label = label or self.bundle.manifest.name
        self._owns_backend = backend is None
        self.backend: Backend[Any] = backend or self._open_backend()
        self._graphs = GraphClock(self.backend)
        try:
            self._swapper = Swapper.open(
                self.bundle,
                backend=self._graphs,
                schedule=self.options.schedule,
                seed=self.options.seed,
            )
        except BaseException:
            self._close_backend()
            raise
        self.open_ms = (time.perf_counter_ns() - start) / 1e6
        self.swapped: dict[Task, NDArray[np.uint8]] = {}
        self._source, self._target = source, target
        self._clock = StageClock()
        self._prepared: dict[Task, Callable[[], Any]] = {}

    @property
    def schedule(self) -> Schedule:
        """The schedule in use."""
        return self._swapper.schedule

    @property
    def target_size(self) -> tuple[int, int]:
        """(height, width) of the target, in pixels."""
        height, width = self._target.shape[:2]
        return height, width

    def prepare(self, task: Task) -> None:
        """Make what a task needs, untimed: the identity, the scaled picture, the inputs.

        Raises:
            NoFaceFound: in the source.
            DetectorMissing: the bundle is for aligned crops only.
        """
        if task not in self._prepared:
            make = {
                "identity": self._prepare_identity,
                "picture": self._prepare_picture,
                "crop": self._prepare_crop,
                "unet": self._prepare_unet,
            }[task.name]
            self._prepared[task] = make(task)

    def run(self, task: Task) -> Lap:
        """Do a task once; see `TimedSubject`."""
        self.prepare(task)
        call = self._prepared[task]
        self._clock.lap()
        self._graphs.lap()
        start = time.perf_counter_ns()
        result = call()
        total = time.perf_counter_ns() - start
        if task.name in ("picture", "crop"):
            self.swapped[task] = result
        return Lap(total_ns=total, stages=self._clock.lap(), graphs=self._graphs.lap())

    def shown(self, task: Task) -> NDArray[np.uint8]:
        """The picture that a task swaps."""
        if task.name == "crop":
            return fit(self._target, (self._swapper.resolution_px,) * 2)
        if task.height_px is None or task.width_px is None:
            return self._target
        size = (task.height_px, task.width_px)
        return self._target if self._target.shape[:2] == size else fit(self._target, size)

    def describe(self) -> dict[str, Any]:
        """What is timed, JSON-ready."""
        manifest = self.bundle.manifest
        options = self.options
        return {
            "artifact": {
                "path": str(self.bundle.path),
                "name": manifest.name,
                "manifest_sha256": manifest.manifest_sha256,
                "total_bytes": sum(entry.bytes for entry in manifest.files.values()),
                "graph_bytes": self._graph_bytes(),
                "engine_bytes": self._engine_bytes(),
                "precisions": {name: graph.precision for name, graph in manifest.graphs.items()},
            },
            "settings": {
                "backend": options.backend,
                "device": options.device,
                "precision": options.precision,
                "threads": options.threads,
                "schedule": self._swapper.schedule_name,
                "evaluations": len(self._swapper.schedule.rows),
                "seed": options.seed,
                "open_ms": self.open_ms,
            },
            "quality": manifest.quality,
        }

    def close(self) -> None:
        """Close the swapper, and the backend where it is ours; calling it again does nothing."""
        self._prepared.clear()
        self._swapper.close()
        self._close_backend()

    def _open_backend(self) -> Backend[Any]:
        request = BackendRequest(
            graphs=self.bundle.graph_paths(),
            device=self.options.device,
            threads=self.options.threads,
            precision=self.options.precision,
            bundle=self.bundle,
        )
        return open_backend(self.options.backend, request)

    def _close_backend(self) -> None:
        if self._owns_backend:
            self.backend.close()

    def _prepare_identity(self, task: Task) -> Callable[[], Any]:
        self._swapper.identity(self._source)
        return lambda: self._swapper.identity(self._source, clock=self._clock)

    def _prepare_picture(self, task: Task) -> Callable[[], Any]:
        identity = self._swapper.identity(self._source)
        picture = self.shown(task)
        return lambda: self._swapper.swap(picture, identity, clock=self._clock)

    def _prepare_crop(self, task: Task) -> Callable[[], Any]:
        side = (self._swapper.resolution_px,) * 2
        source, target = fit(self._source, side), fit(self._target, side)

        def swap() -> NDArray[np.uint8]:
            identity = self._swapper.identity_of_crops([source], clock=self._clock)
            return self._swapper.swap_crop(target, identity, clock=self._clock)

        return swap

    def _prepare_unet(self, task: Task) -> Callable[[], Any]:
        arrays = seeded_inputs(self.bundle.manifest.graphs["denoise"])
        inputs = {name: self._graphs.upload(array) for name, array in arrays.items()}
        return lambda: self._graphs.run("denoise", inputs)

    def _graph_bytes(self) -> dict[str, int]:
        """Graph -> size of its file and of the file with its weights."""
        files = self.bundle.manifest.files
        return {
            name: sum(files[f].bytes for f in (graph.file, f"{graph.file}.data") if f in files)
            for name, graph in self.bundle.manifest.graphs.items()
        }

    def _engine_bytes(self) -> dict[str, int]:
        """Engine key -> size of its file."""
        manifest = self.bundle.manifest
        return {
            key: manifest.files[entry.file].bytes
            for key, entry in manifest.engines.items()
            if entry.file in manifest.files
        }
