"""Run a whole swap on exported graphs with float crops, as the runtime does with pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeswap_runtime.backends.protocol import Backend
from edgeswap_runtime.bundle.manifest import Graph, Schedule
from edgeswap_runtime.bundle.roles import output_role
from edgeswap_runtime.bundle.run_order import DECODE, DENOISE, ENCODE, find_run_order
from edgeswap_runtime.sampler import TargetLatents, sample_latents

Arrays = Mapping[str, NDArray[np.float32]]
Watch = Callable[[str, dict[str, NDArray[np.float32]]], None]
"""Is told the name of each graph that runs, and its inputs."""


class SwapRun:
    """A bundle's graphs on a backend, run in the order that their roles ask for.

    Args:
        backend: holds the graphs.
        graphs: name -> what the manifest states of it.
        fixed: role -> array: the constants, and guidance where there is some.
        watch: told of each run; None for nobody.
    """

    def __init__(
        self,
        backend: Backend[Any],
        graphs: Mapping[str, Graph],
        fixed: Arrays,
        watch: Watch | None = None,
    ) -> None:
        self._backend, self._graphs, self._fixed = backend, graphs, dict(fixed)
        self._order, self._watch = find_run_order(graphs), watch

    def swap(
        self, pictures: Arrays, schedule: Schedule, draw: Callable[[], NDArray[np.float32]]
    ) -> dict[str, NDArray[np.float32]]:
        """Swap once.

        Args:
            pictures: role, such as "crop:model/target" -> (1, 3, R, R) float32.
            schedule: the steps to sample.
            draw: returns noise (1, C, S, S) float32 at each call, the first included.

        Returns:
            what `decode` gives, by name.
        """
        held = self._sampled(pictures, schedule, draw)
        self._run((DECODE,), held)
        outputs = self._graphs[DECODE].outputs
        return {tensor.name: held[output_role(DECODE, tensor.name)] for tensor in outputs}

    def sample(
        self, pictures: Arrays, schedule: Schedule, draw: Callable[[], NDArray[np.float32]]
    ) -> dict[str, NDArray[np.float32]]:
        """Swap once, but for decoding, which takes most of the time of a large model's one step.

        The arguments are those of `swap`.

        Returns:
            what `decode` would be given, by name.
        """
        return self._inputs(DECODE, self._sampled(pictures, schedule, draw))

    def _sampled(
        self, pictures: Arrays, schedule: Schedule, draw: Callable[[], NDArray[np.float32]]
    ) -> dict[str, NDArray[np.float32]]:
        """Run everything before `decode`; what is held then, by role."""
        order, held = self._order, {**self._fixed, **pictures}
        self._run((*order.per_photo, *order.per_source, *order.per_target), held)

        def denoise(sample: NDArray[np.float32], timestep: float) -> NDArray[np.float32]:
            held["sample"] = sample.astype(np.float32)
            held["timestep"] = np.array([timestep], np.float32)
            self._run((DENOISE,), held)
            return held[output_role(DENOISE, "output")]

        held["sample"] = sample_latents(
            schedule, denoise, draw, target=self._target(schedule, held)
        )
        return held

    def _inputs(self, name: str, held: Arrays) -> dict[str, NDArray[np.float32]]:
        return {tensor.name: held[tensor.role] for tensor in self._graphs[name].inputs}

    def _run(self, names: Iterable[str], held: dict[str, NDArray[np.float32]]) -> None:
        for name in names:
            inputs = self._inputs(name, held)
            if self._watch is not None:
                self._watch(name, inputs)
            buffers = {key: self._backend.upload(value) for key, value in inputs.items()}
            for key, buffer in self._backend.run(name, buffers).items():
                held[output_role(name, key)] = self._backend.download(buffer)

    def _target(self, schedule: Schedule, held: Arrays) -> TargetLatents | None:
        """What the schedule starts from or blends in; None where it does neither."""
        if not schedule.needs_target:
            return None
        mask = held[output_role(ENCODE, "latent_mask")] if schedule.blends else None
        return TargetLatents(held[output_role(ENCODE, "target_latents")], mask)
