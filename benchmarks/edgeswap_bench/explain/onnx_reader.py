"""Read what matters of an ONNX file without the onnx package: nodes, weights' shapes, sizes.

The bench may not need the training stack's packages, and three kinds of protobuf fields are all
that an ONNX graph is made of. Weights are skipped over, never loaded.

Source: onnx/onnx.proto (field numbers); protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeswap_runtime.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    Field = tuple[int, int | memoryview]
    """Field number; value of a varint or of a fixed-width field, or the bytes of the rest."""

ITEM_BYTES = {
    1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 16: 2,
    17: 1, 18: 1, 19: 1, 20: 1,
}  # fmt: skip
"""ONNX's number of an element type -> bytes. Source: onnx.proto, TensorProto.DataType."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxNode:
    """One node.

    Attributes:
        name: may be empty.
        kind: the operator, such as "Conv".
        inputs: names of tensors; an empty one is an input that is left out.
        outputs: names of tensors.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxGraph:
    """A graph's structure.

    Attributes:
        nodes: in the file's order, which is a topological one.
        weights: name of an initializer -> (shape, bytes an element).
        inputs: names of the graph's inputs, initializers left out.
    """

    nodes: tuple[OnnxNode, ...]
    weights: dict[str, tuple[tuple[int, ...], int]]
    inputs: tuple[str, ...]


def read_onnx(path: Path) -> OnnxGraph:
    """Read a graph's structure.

    Raises:
        InvalidRequest: not an ONNX file.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            view = memoryview(data)
            try:
                graph = next((value for number, value in _fields(view) if number == 7), None)
                if not isinstance(graph, memoryview):
                    raise ValueError("it holds no graph")
                return _graph(graph)
            finally:
                graph = None
                view.release()
    except (ValueError, IndexError) as error:
        raise InvalidRequest(f"{path} cannot be read as an ONNX graph: {error}") from error


def _graph(data: memoryview) -> OnnxGraph:
    nodes, weights, inputs = [], {}, []
    for number, value in _fields(data):
        if not isinstance(value, memoryview):
            continue
        if number == 1:
            nodes.append(_node(value))
        elif number == 5:
            name, shape, item = _weight(value)
            weights[name] = (shape, item)
        elif number == 11:
            inputs.append(_first_text(value, 1))
    return OnnxGraph(
        nodes=tuple(nodes), weights=weights, inputs=tuple(n for n in inputs if n not in weights)
    )


def _node(data: memoryview) -> OnnxNode:
    texts: dict[int, list[str]] = {1: [], 2: [], 3: [], 4: []}
    for number, value in _fields(data):
        if number in texts and isinstance(value, memoryview):
            texts[number].append(_text(value))
    return OnnxNode(
        name=(texts[3] or [""])[0],
        kind=(texts[4] or [""])[0],
        inputs=tuple(texts[1]),
        outputs=tuple(texts[2]),
    )


def _weight(data: memoryview) -> tuple[str, tuple[int, ...], int]:
    shape: list[int] = []
    kind, name = 1, ""
    for number, value in _fields(data):
        if number == 1:  # dims: one by one, or packed
            shape += [value] if isinstance(value, int) else list(_packed(value))
        elif number == 2 and isinstance(value, int):
            kind = value
        elif number == 8 and isinstance(value, memoryview):
            name = _text(value)
    return name, tuple(shape), ITEM_BYTES.get(kind, 4)


def _first_text(data: memoryview, wanted: int) -> str:
    for number, value in _fields(data):
        if number == wanted and isinstance(value, memoryview):
            return _text(value)
    return ""


def _text(data: memoryview) -> str:
    return bytes(data).decode("utf-8", errors="replace")


def _packed(data: memoryview) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value


def _fields(data: memoryview) -> Iterator[Field]:
    """Walk through a message."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == 2:
            size, at = _varint(data, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"a field of wire type {wire}")
        if at + size > len(data):
            raise ValueError("it ends in the middle of a field")
        yield number, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than 64 bits")
