"""Check that every tensor of a bundle's graphs has the shape of what fills it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeswap_runtime.bundle.manifest_parts import MODEL_CROP
from edgeswap_runtime.bundle.run_order import DECODE, DENOISE, DETECTOR, ENCODE
from edgeswap_runtime.bundle.schema import SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgeswap_runtime.bundle.manifest_parts import CropSpec, Graph, GraphInput, Schedule

    Sizes = tuple[int | str, ...]

TARGET_LATENTS, LATENT_MASK = "target_latents", "latent_mask"
"""Outputs of `encode` that a schedule starts from and blends in."""
MAX_CANVAS_PX = 1280
"""Longest side of a detector's fixed input."""


def check_shapes(graphs: Mapping[str, Graph], crops: Mapping[str, CropSpec]) -> None:
    """Raise SchemaError unless what fills an input has its shape.

    Args:
        graphs: name -> graph; each role has its producer.
        crops: name -> crop.
    """
    latents = _latents(graphs)
    for name, graph in graphs.items():
        for tensor in graph.inputs:
            _check_input(graphs, crops, name, tensor, latents)
    check_shape("denoise.output", _output(graphs, DENOISE, "output"), latents)
    side = crops[MODEL_CROP].size_px
    check_shape("decode.crop", _output(graphs, DECODE, "crop"), ("batch", 3, side, side))
    if any(tensor.name == "alpha" for tensor in graphs[DECODE].outputs):
        check_shape("decode.alpha", _output(graphs, DECODE, "alpha"), ("batch", 1, side, side))


def check_schedule_outputs(graphs: Mapping[str, Graph], schedules: Mapping[str, Schedule]) -> None:
    """Raise SchemaError unless `encode` gives what the schedules start from or blend in."""
    latents = _latents(graphs)
    outputs = {tensor.name: tensor.shape for tensor in graphs[ENCODE].outputs}
    for name, schedule in schedules.items():
        wanted = [TARGET_LATENTS] if schedule.needs_target else []
        wanted += [LATENT_MASK] if schedule.blends else []
        for tensor in wanted:
            if tensor not in outputs:
                raise SchemaError(
                    f"schedules.{name} needs the target's latents, but graphs.encode gives "
                    f"{sorted(outputs)}, expected '{tensor}' among them"
                )
            expected = latents
            if tensor == LATENT_MASK and outputs[tensor][1:2] == (1,):
                expected = (latents[0], 1, *latents[2:])
            check_shape(f"encode.{tensor}", outputs[tensor], expected)


def check_shape(what: str, shape: Sizes, expected: Sizes) -> None:
    """Compare the sizes that are numbers; the batch may be free or 1.

    Raises:
        SchemaError: they differ.
    """
    fits = len(shape) == len(expected) and all(
        a == b or isinstance(a, str) or isinstance(b, str)
        for a, b in zip(shape, expected, strict=True)
    )
    if not fits or (isinstance(shape[0], int) and shape[0] != 1):
        raise SchemaError(f"graphs.{what} has shape {shape}, expected {expected}")


def _latents(graphs: Mapping[str, Graph]) -> Sizes:
    sample = graphs[DENOISE].input_of_role("sample")
    if sample is None or graphs[DENOISE].input_of_role("timestep") is None:
        raise SchemaError("graphs.denoise lacks an input of role sample or timestep")
    if graphs[DECODE].input_of_role("sample") is None:
        raise SchemaError("graphs.decode lacks an input of role sample")
    if len(sample.shape) != 4 or any(isinstance(size, str) for size in sample.shape[1:]):
        raise SchemaError(
            f"graphs.denoise.{sample.name} has shape {sample.shape}, expected 4 axes of which only "
            "the batch is free"
        )
    return ("batch", *sample.shape[1:])


def _output(graphs: Mapping[str, Graph], graph: str, name: str) -> Sizes:
    outputs = {tensor.name: tensor.shape for tensor in graphs[graph].outputs}
    if name not in outputs:
        raise SchemaError(f"graphs.{graph} gives {sorted(outputs)}, expected '{name}'")
    return outputs[name]


def _check_input(
    graphs: Mapping[str, Graph],
    crops: Mapping[str, CropSpec],
    graph: str,
    tensor: GraphInput,
    latents: Sizes,
) -> None:
    what, role = f"{graph}.{tensor.name}", tensor.parsed_role
    if role.kind == "picture":
        _check_canvas(tensor.shape)
    elif graph == DETECTOR:
        raise SchemaError(f"graphs.{what} has role '{role}', expected 'picture'")
    elif role.kind in ("crop", "keypoints"):
        if role.name not in crops:
            raise SchemaError(
                f"graphs.{what} takes crop '{role.name}', which is none of {sorted(crops)}"
            )
        side = crops[role.name].size_px
        check_shape(what, tensor.shape, ("batch", 3, side, side))
    elif role.kind == "sample":
        check_shape(what, tensor.shape, latents)
    elif role.kind in ("timestep", "guidance"):
        check_shape(what, tensor.shape, ("batch",))
    elif role.kind == "output":
        given = graphs[role.name].output(role.part).shape
        check_shape(what, tensor.shape, ("batch", *given[1:]))


def _check_canvas(shape: Sizes) -> None:
    sides = [size for size in shape[2:] if isinstance(size, int)]
    if len(shape) != 4 or any(side % 32 or side > MAX_CANVAS_PX for side in sides):
        raise SchemaError(
            f"graphs.{DETECTOR}.input has shape {shape}, expected (1, 3, height, width) of "
            f"multiples of 32 up to {MAX_CANVAS_PX}"
        )
