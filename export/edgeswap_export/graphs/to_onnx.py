"""From a torch module to the bytes of an ONNX file; the same weights give the same bytes."""

from __future__ import annotations

import contextlib
import inspect
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from edgeswap_export._errors import GraphNotExported
from edgeswap_export.graphs.values import LARGE_BYTES, fits
from edgeswap_runtime.files import write_bytes

OPSET = 18
"""The newest that JetPack 6's TensorRT 10.3 reads without complaint."""

PRODUCER = "edgeswap"

DynamicAxes = Mapping[str, Mapping[int, str]]
"""Input name -> axis -> name of its dynamic axis; every other size is static."""


def to_onnx(
    name: str,
    module: nn.Module,
    inputs: dict[str, Tensor],
    outputs: tuple[str, ...],
    free: DynamicAxes | None = None,
) -> onnx.ModelProto:
    """Write a module as an ONNX graph, through ``torch.export`` and onnxscript's optimizer.

    Args:
        name: The graph's name, for its own field and for messages.
        module: In evaluation mode; takes the inputs in order, returns a tuple of the outputs.
        inputs: Input name -> example tensor. A dynamic axis is at least 2 in the example, since
            torch takes a 1 for a constant.
        outputs: Output names.
        free: Which sizes stay free; none when None.

    Returns:
        The checked model, without anything that tells where or when it was made.

    Raises:
        GraphNotExported: torch cannot export the module or what it wrote is not valid ONNX.
    """
    model: onnx.ModelProto = torch_program(name, module, inputs, outputs, free).model_proto
    strip(model, name)
    check(model, name)
    if free is not None:
        require_dynamic_axes(model, name, free)
    return model


def torch_program(
    name: str,
    module: nn.Module,
    inputs: dict[str, Tensor],
    outputs: tuple[str, ...],
    free: DynamicAxes | None = None,
) -> Any:
    """torch's own result of the export: the model, and the traced program it came from.

    Raises:
        GraphNotExported: torch cannot export the module.
    """
    try:
        with torch.no_grad(), _quiet():
            return torch.onnx.export(
                module,
                tuple(inputs.values()),
                dynamo=True,
                opset_version=OPSET,
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_shapes=None if free is None else _dimensions(module, inputs, free),
                optimize=True,
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        first = str(error).strip().splitlines()[0]
        raise GraphNotExported(f"torch could not write graph '{name}': {first}") from error


def require_dynamic_axes(model: onnx.ModelProto, name: str, free: DynamicAxes) -> None:
    """Hold a model's inputs against what was to stay free.

    torch fixes a size that its tracing compared with a number, and does not say so.

    Raises:
        GraphNotExported: It has fixed one.
    """
    for value in model.graph.input:
        for axis, size in free.get(value.name, {}).items():
            if not value.type.tensor_type.shape.dim[axis].dim_param:
                raise GraphNotExported(
                    f"graph '{name}': torch fixed the size '{size}' of {value.name}"
                )


def _dimensions(
    module: nn.Module, inputs: Mapping[str, Tensor], free: DynamicAxes
) -> tuple[Any, ...]:
    """Per input, in order: axis -> torch's dimension of that name; one tuple for `*tensors`."""
    names = {name for axes in free.values() for name in axes.values()}
    known = {name: torch.export.Dim(name, min=1) for name in sorted(names)}
    each = tuple(
        {axis: known[name] for axis, name in free.get(key, {}).items()} or None for key in inputs
    )
    parameters = inspect.signature(module.forward).parameters.values()
    return (each,) if any(p.kind is p.VAR_POSITIONAL for p in parameters) else each


def strip(model: onnx.ModelProto, name: str) -> None:
    """Remove what differs between two exports of the same weights, or names the machine.

    torch writes stack traces with file paths on every node, and its own version.
    """
    model.producer_name, model.producer_version = PRODUCER, ""
    model.doc_string, model.domain = "", ""
    del model.metadata_props[:]
    graph = model.graph
    graph.name, graph.doc_string = name, ""
    # Intermediate shapes follow from the inputs; every reader infers them again.
    del graph.value_info[:]
    entries: list[Any] = [graph, *graph.node, *graph.input, *graph.output, *graph.initializer]
    for function in model.functions:
        entries += [function, *function.node]
    for entry in entries:
        entry.doc_string = ""
        del entry.metadata_props[:]


def check(model: onnx.ModelProto, name: str) -> None:
    """Run onnx's checker with full shape inference.

    A model too large for that is checked when it has been written, by `write_onnx`.

    Raises:
        GraphNotExported: With the checker's first line.
    """
    if not fits(model):
        return
    _checked(model, name)


def write_onnx(folder: Path, name: str, model: onnx.ModelProto) -> None:
    """Write NAME.onnx, with its weights in NAME.onnx.data beside it where they are too large.

    Args:
        folder: Where to; it must not hold the files yet.
        name: The graph's.
        model: Whole, in memory. Of a large one the weights are moved out of it, not copied.

    Raises:
        GraphNotExported: A large model is not valid ONNX.
    """
    path = folder / f"{name}.onnx"
    if fits(model):
        write_bytes(path, serialize(model))
        return
    data = f"{name}.onnx.data"
    onnx.save_model(
        model, path, save_as_external_data=True, location=data, size_threshold=LARGE_BYTES
    )
    check_file(path, name)


def check_file(path: Path, name: str) -> None:
    """Run onnx's checker, with full shape inference, on a file, its weights in it or beside it.

    Raises:
        GraphNotExported: With the checker's first line.
    """
    _checked(str(path), name)


def _checked(model: onnx.ModelProto | str, name: str) -> None:
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        first = str(error).strip().splitlines()[0]
        raise GraphNotExported(f"graph '{name}' is not valid ONNX: {first}") from error


def serialize(model: onnx.ModelProto) -> bytes:
    """The model's bytes, map entries in a fixed order."""
    data: bytes = model.SerializeToString(deterministic=True)
    return data


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the exporter says about packages and interfaces that are not used here."""
    logger = logging.getLogger("torch.onnx._internal.exporter")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            # said of the second and later inputs that share a dynamic axis
            warnings.filterwarnings("ignore", r"# The axis name: \w+ will not be used", UserWarning)
            yield
    finally:
        logger.setLevel(before)
