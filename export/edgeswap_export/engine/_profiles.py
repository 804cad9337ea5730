"""Make optimization profiles of a graph's dynamic axes."""

from __future__ import annotations

from collections.abc import Mapping

from edgeswap_export.engine._config import Sizes
from edgeswap_export.engine._errors import UnsupportedEngine
from edgeswap_runtime.bundle.engines import Shapes
from edgeswap_runtime.bundle.manifest import DETECTOR, Graph, Tensor

DETECTOR_SIZES: dict[str, Sizes] = {"height": (32, 480, 640), "width": (32, 640, 640)}
"""Picture sizes that the runtime gives the detector: multiples of 32, at most 640."""


def check_sizes(graphs: Mapping[str, Graph], sizes: Mapping[str, Sizes]) -> None:
    """Refuse sizes of axes that no graph has as a dynamic axis.

    Raises:
        UnsupportedEngine: the message names the size, and the dynamic axes that there are.
    """
    free = {size for graph in graphs.values() for size in _free(graph)}
    for name in sizes:
        if name not in free:
            have = f"has only {', '.join(sorted(free))}" if free else "has none"
            raise UnsupportedEngine(
                f"no graph of the bundle has a dynamic axis '{name}' (it {have}): edgeswap export "
                "--batch MIN:OPT:MAX makes the batch dynamic"
            )


def profiles(name: str, graph: Graph, sizes: Mapping[str, Sizes]) -> dict[str, Shapes]:
    """Make the optimization profile of each input that has dynamic axes.

    Args:
        name: the graph's name.
        graph: as the manifest states it.
        sizes: asked for; the manifest's where an axis is not named here.

    Raises:
        UnsupportedEngine: the range of an axis is not known, or goes beyond what the graph was
            exported for.
    """
    return {
        tensor.name: _shapes(name, graph, tensor, sizes)
        for tensor in graph.inputs
        if any(isinstance(size, str) for size in tensor.shape)
    }


def _shapes(name: str, graph: Graph, tensor: Tensor, sizes: Mapping[str, Sizes]) -> Shapes:
    ranges = [
        (size, size, size) if isinstance(size, int) else _range(name, graph, size, axis, sizes)
        for size, axis in zip(tensor.shape, tensor.axes, strict=True)
    ]
    least, usual, most = zip(*ranges, strict=True)
    return tuple(least), tuple(usual), tuple(most)


def _range(name: str, graph: Graph, size: str, axis: str, sizes: Mapping[str, Sizes]) -> Sizes:
    stated = graph.dynamic_axes.get(size)
    if stated is None and name == DETECTOR:
        stated = DETECTOR_SIZES.get(size)
    asked = sizes.get(size, stated)
    if asked is None and axis == "batch":
        # A graph of other people, such as a recognizer: the runtime runs one picture at a time.
        return 1, 1, 1
    if asked is None:
        raise UnsupportedEngine(
            f"graph '{name}' has a dynamic axis '{size}' of unknown range: add --size "
            f"{size}=MIN:OPT:MAX"
        )
    if stated is not None and not (stated[0] <= asked[0] and asked[2] <= stated[2]):
        raise UnsupportedEngine(
            f"size {size} {':'.join(map(str, asked))} of graph '{name}' is beyond {stated[0]} to "
            f"{stated[2]}, which it was exported for: export again with a larger --batch"
        )
    return asked


def _free(graph: Graph) -> set[str]:
    return {size for tensor in graph.inputs for size in tensor.shape if isinstance(size, str)}
