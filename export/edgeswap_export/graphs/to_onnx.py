"""Write a torch module as an ONNX file; the same weights give the same bytes."""

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
"""The newest opset that TensorRT 10.3 of JetPack 6 reads without warnings."""

PRODUCER = "edgeswap"

DynamicAxes = Mapping[str, Mapping[int, str]]
"""Name of an input -> axis -> name of the dynamic axis; all other axes are static."""


def to_onnx(
    name: str,
    module: nn.Module,
    inputs: dict[str, Tensor],
    outputs: tuple[str, ...],
    axes: DynamicAxes | None = None,
) -> onnx.ModelProto:
    """Write a module as an ONNX graph, with `torch.export` and onnxscript's optimizer.

    Args:
        name: the graph's name.
        module: in evaluation mode; takes the inputs in order, returns a tuple of the outputs.
        inputs: name of an input -> example. A dynamic axis needs a size of at least 2 there: torch
            takes 1 for a constant.
        outputs: names of the outputs.
        axes: the dynamic axes; None for none.

    Returns:
        the checked model, without paths, dates or versions.

    Raises:
        GraphNotExported: torch cannot export the module, or the model is not valid ONNX.
    """
    model: onnx.ModelProto = torch_program(name, module, inputs, outputs, axes).model_proto
    strip(model, name)
    check(model, name)
    if axes is not None:
        require_dynamic_axes(model, name, axes)
    return model


def torch_program(
    name: str,
    module: nn.Module,
    inputs: dict[str, Tensor],
    outputs: tuple[str, ...],
    axes: DynamicAxes | None = None,
) -> Any:
    """Export a module with torch; return its result: the model and the traced program.

    The arguments are those of `to_onnx`.

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
                dynamic_shapes=None if axes is None else _dimensions(module, inputs, axes),
                optimize=True,
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        first = str(error).strip().splitlines()[0]
        raise GraphNotExported(f"torch could not write graph '{name}': {first}") from error


def require_dynamic_axes(model: onnx.ModelProto, name: str, axes: DynamicAxes) -> None:
    """Check that a model has the dynamic axes that were asked for.

    torch silently makes an axis static when tracing compares its size with a number.

    Raises:
        GraphNotExported: an axis is static.
    """
    for value in model.graph.input:
        for axis, size in axes.get(value.name, {}).items():
            if not value.type.tensor_type.shape.dim[axis].dim_param:
                raise GraphNotExported(
                    f"graph '{name}': torch made the axis '{size}' static in {value.name}"
                )


def _dimensions(
    module: nn.Module, inputs: Mapping[str, Tensor], axes: DynamicAxes
) -> tuple[Any, ...]:
    """Return axis -> torch's dimension of each input, in order; of `*tensors` as one tuple."""
    names = {name for named in axes.values() for name in named.values()}
    known = {name: torch.export.Dim(name, min=1) for name in sorted(names)}
    each = tuple(
        {axis: known[name] for axis, name in axes.get(key, {}).items()} or None for key in inputs
    )
    kinds = [p.kind for p in inspect.signature(module.forward).parameters.values()]
    if inspect.Parameter.VAR_POSITIONAL not in kinds:
        return each
    named = kinds.index(inspect.Parameter.VAR_POSITIONAL)
    return (*each[:named], each[named:]) if len(each) > named else each


def strip(model: onnx.ModelProto, name: str) -> None:
    """Remove what differs between two exports of the same weights.

    torch writes its version, and stack traces with file paths on every node.
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

    `write_onnx` checks a model that is too large for that, after writing it.

    Raises:
        GraphNotExported: it is not valid; with the checker's first line.
    """
    if not fits(model):
        return
    _checked(model, name)


def write_onnx(folder: Path, name: str, model: onnx.ModelProto) -> None:
    """Write NAME.onnx, with its weights in NAME.onnx.data beside it where they are too large.

    Args:
        folder: where the files go; it must not hold them yet.
        name: the graph's name.
        model: in memory. The weights of a large one are moved out of it, not copied.

    Raises:
        GraphNotExported: a large model is not valid ONNX.
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
        GraphNotExported: it is not valid; with the checker's first line.
    """
    _checked(str(path), name)


def _checked(model: onnx.ModelProto | str, name: str) -> None:
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        first = str(error).strip().splitlines()[0]
        raise GraphNotExported(f"graph '{name}' is not valid ONNX: {first}") from error


def serialize(model: onnx.ModelProto) -> bytes:
    """Return the model's bytes, the same for the same model."""
    data: bytes = model.SerializeToString(deterministic=True)
    return data


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's warnings about packages and interfaces that are not used here."""
    logger = logging.getLogger("torch.onnx._internal.exporter")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            # a warning for the second and later inputs that share a dynamic axis
            warnings.filterwarnings("ignore", r"# The axis name: \w+ will not be used", UserWarning)
            yield
    finally:
        logger.setLevel(before)
