"""Dynamic axes become optimization profiles."""

from __future__ import annotations

from collections.abc import Mapping

from edgeswap_export.engine._config import Sizes
from edgeswap_export.engine._errors import UnsupportedEngine
from edgeswap_runtime.bundle.engines import Shapes
from edgeswap_runtime.bundle.manifest import DETECTOR, Graph

DETECTOR_SIZES: dict[str, Sizes] = {"height": (32, 480, 640), "width": (32, 640, 640)}
"""What the runtime shows the detector: multiples of 32, the longer side at most 640."""


def check_sizes(graphs: Mapping[str, Graph], sizes: Mapping[str, Sizes]) -> None:
    """Refuse sizes that no graph leaves free.

    Raises:
        UnsupportedEngine: naming the size, and those that are free.
    """
    free = {size for graph in graphs.values() for size in _free(graph)}
    for name in sizes:
        if name not in free:
            have = f"those that are: {', '.join(sorted(free))}" if free else "none is"
            raise UnsupportedEngine(
                f"no graph of the bundle leaves the size '{name}' free ({have}): edgeswap export "
                "--batch MIN:OPT:MAX leaves the batch free"
            )


def profiles(name: str, graph: Graph, sizes: Mapping[str, Sizes]) -> dict[str, Shapes]:
    """The optimization profile of each input that has dynamic axes.

    Args:
        name: the graph's.
        graph: as the manifest states it.
        sizes: what was asked for; else what the manifest states.

    Raises:
        UnsupportedEngine: a dynamic axis of which nothing is known, or one beyond what the graph
            was exported and proven for.
    """
    return {
        tensor.name: _shapes(name, graph, tensor.shape, sizes)
        for tensor in graph.inputs
        if any(isinstance(size, str) for size in tensor.shape)
    }


def _shapes(
    name: str, graph: Graph, shape: tuple[int | str, ...], sizes: Mapping[str, Sizes]
) -> Shapes:
    ranges = [
        (size, size, size) if isinstance(size, int) else _range(name, graph, size, sizes)
        for size in shape
    ]
    least, usual, most = zip(*ranges, strict=True)
    return tuple(least), tuple(usual), tuple(most)


def _range(name: str, graph: Graph, size: str, sizes: Mapping[str, Sizes]) -> Sizes:
    stated = graph.dynamic_axes.get(size)
    if stated is None and name == DETECTOR:
        stated = DETECTOR_SIZES.get(size)
    asked = sizes.get(size, stated)
    if asked is None:
        raise UnsupportedEngine(
            f"graph '{name}' leaves the size '{size}' free: say --size {size}=MIN:OPT:MAX"
        )
    if stated is not None and not (stated[0] <= asked[0] and asked[2] <= stated[2]):
        raise UnsupportedEngine(
            f"size {size} {':'.join(map(str, asked))} of graph '{name}' is beyond {stated[0]} to "
            f"{stated[2]}, which it was exported for: export again with more room"
        )
    return asked


def _free(graph: Graph) -> set[str]:
    return {size for tensor in graph.inputs for size in tensor.shape if isinstance(size, str)}
