"""Make seeded inputs for one graph of a bundle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgeswap_runtime.bundle.manifest import Graph, Tensor


def seeded_inputs(graph: Graph, batch: int = 1) -> dict[str, NDArray[Any]]:
    """Draw inputs of the shapes and types that a graph states.

    Args:
        graph: from a manifest.
        batch: size of every free axis called "batch"; other free axes get their usual size.

    Returns:
        Input name -> array, normal with standard deviation 0.5; the same at every call.
    """
    random = np.random.default_rng(0)
    return {
        tensor.name: random.normal(0, 0.5, shape_of(graph, tensor, batch)).astype(tensor.dtype)
        for tensor in graph.inputs
    }


def shape_of(graph: Graph, tensor: Tensor, batch: int = 1) -> tuple[int, ...]:
    """Settle the dynamic axes of a tensor's shape."""
    sizes = []
    for size, axis in zip(tensor.shape, tensor.axes, strict=True):
        if isinstance(size, int):
            sizes.append(size)
        elif axis == "batch":
            sizes.append(batch)
        else:
            sizes.append(graph.dynamic_axes[size][1] if size in graph.dynamic_axes else 320)
    return tuple(sizes)


def largest_batch(graph: Graph) -> int:
    """Tell how large a batch a graph takes; 1 where its batch is fixed."""
    largest = 1
    for tensor in graph.inputs:
        for size, axis in zip(tensor.shape, tensor.axes, strict=True):
            if axis == "batch":
                fixed = (
                    size if isinstance(size, int) else graph.dynamic_axes.get(size, (1, 1, 1))[2]
                )
                largest = max(largest, fixed)
    return largest
