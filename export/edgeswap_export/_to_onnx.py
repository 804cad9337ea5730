"""From a torch module to the bytes of an ONNX file; the same weights give the same bytes."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from edgeswap_export._errors import GraphFailed, GraphTooLarge

OPSET = 18
"""The newest that JetPack 6's TensorRT 10.3 reads without complaint."""

PRODUCER = "edgeswap"

MAX_BYTES = 2**31 - 1
"""What one protobuf file, and so one ONNX file with its weights inside, can hold."""


def to_onnx(
    name: str, module: nn.Module, inputs: dict[str, Tensor], outputs: tuple[str, ...]
) -> onnx.ModelProto:
    """Write a module as an ONNX graph of static shapes, through ``torch.export``.

    Args:
        name: The graph's name, for its own field and for messages.
        module: In evaluation mode; takes the inputs in order, returns a tuple of the outputs.
        inputs: Input name -> example tensor.
        outputs: Output names.

    Returns:
        The checked model, without anything that tells where or when it was made.

    Raises:
        GraphTooLarge: The weights do not fit into one file.
        GraphFailed: torch cannot export the module or what it wrote is not valid ONNX.
    """
    weights_bytes = sum(value.nbytes for value in module.state_dict().values())
    if weights_bytes > MAX_BYTES:
        raise GraphTooLarge(name, weights_bytes, MAX_BYTES)
    try:
        with torch.no_grad(), _quiet():
            program: Any = torch.onnx.export(
                module,
                tuple(inputs.values()),
                dynamo=True,
                opset_version=OPSET,
                input_names=list(inputs),
                output_names=list(outputs),
                optimize=True,
                verbose=False,
            )
            model: onnx.ModelProto = program.model_proto
    except torch.onnx.errors.OnnxExporterError as error:
        first = str(error).strip().splitlines()[0]
        raise GraphFailed(f"torch could not write graph '{name}': {first}") from error
    strip(model, name)
    check(model, name)
    return model


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

    Raises:
        GraphFailed: With the checker's first line.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        first = str(error).strip().splitlines()[0]
        raise GraphFailed(f"graph '{name}' is not valid ONNX: {first}") from error


def serialise(model: onnx.ModelProto) -> bytes:
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
            yield
    finally:
        logger.setLevel(before)
