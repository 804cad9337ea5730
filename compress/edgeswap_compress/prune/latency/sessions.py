"""Open modules as ONNX Runtime sessions on the CPU, to time them."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

OPSET = 18  # the newest that JetPack 6 reads

Session: TypeAlias = Callable[[], Any]
"""One evaluation."""


class _OfTensors(nn.Module):
    """A module as a function of the tensors among its arguments; returns its first tensor."""

    def __init__(self, module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        super().__init__()
        self.module = module
        self._args, self._kwargs = args, kwargs

    def forward(self, *tensors: Tensor) -> Tensor:
        """Evaluate on positional tensors, in the order of `tensors_of`."""
        given = iter(tensors)
        args, kwargs = _replaced((tuple(self._args), dict(self._kwargs)), given)
        return _first_tensor(self.module(*args, **kwargs))


def tensors_of(nested: Any) -> list[Tensor]:
    """List the tensors in nested tuples, lists and dicts, in order."""
    if isinstance(nested, Tensor):
        return [nested]
    if isinstance(nested, Mapping):
        nested = tuple(nested.values())
    return (
        [t for entry in nested for t in tensors_of(entry)]
        if isinstance(nested, tuple | list)
        else []
    )


def _replaced(nested: Any, given: Any) -> Any:
    if isinstance(nested, Tensor):
        return next(given)
    if isinstance(nested, Mapping):
        return {key: _replaced(value, given) for key, value in nested.items()}
    if isinstance(nested, tuple | list):
        return type(nested)(_replaced(value, given) for value in nested)
    return nested


def _first_tensor(output: Any) -> Tensor:
    if isinstance(output, Tensor):
        return output
    return _first_tensor(output[0] if isinstance(output, tuple | list) else output.sample)


def write_onnx(
    module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any], path: Path
) -> None:
    """Write a module as ONNX with float32 weights, inputs called "input_0", "input_1", ...

    Through TorchScript, which takes a tenth of the time of `torch.export`; a bundle's graphs are
    written by `edgeswap export`, with the same operators where the time goes.

    Args:
        module: on the CPU, float32, in evaluation mode.
        args: positional arguments of its forward; the tensors among them become inputs.
        kwargs: keyword arguments, likewise.
        path: of the file; weights of more than 2 GB are written beside it.
    """
    tensors = tensors_of((tuple(args), dict(kwargs)))
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # shapes are constants here, which tracing warns of
            torch.onnx.export(
                _OfTensors(module, args, kwargs),
                tuple(tensors),
                str(path),
                dynamo=False,
                opset_version=OPSET,
                input_names=[f"input_{i}" for i in range(len(tensors))],
            )
    finally:
        logger.setLevel(level)


def open_session(
    module: nn.Module,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
) -> Session:
    """Open a module on ONNX Runtime's CPU provider, with as many threads as torch uses.

    Args:
        module: as for `write_onnx`.
        args: positional arguments that it will be evaluated on.
        kwargs: keyword arguments that it will be evaluated on.

    Returns:
        A function that evaluates the module once and returns its output.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    # Threads of many sessions that spin would take the processor from the one that is timed.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "module.onnx"
        write_onnx(module, args, kwargs or {}, path)
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    tensors = tensors_of((tuple(args), dict(kwargs or {})))
    given = {f"input_{i}": tensor.numpy() for i, tensor in enumerate(tensors)}
    # what no output needs is not there
    feed = {entry.name: given[entry.name] for entry in session.get_inputs()}
    return lambda: session.run(None, feed)[0]
