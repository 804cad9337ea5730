"""Hash the structure of an ONNX file: everything but the numbers in its weights.

An engine of one graph can be refitted with the weights of another graph of the same structure.
Constants of 32 and 64-bit integers are shapes and axes, not weights: they enter the hash. The file
is read as protobuf without the package onnx, which a Jetson need not have. Field numbers are
those of onnx.proto: ModelProto.graph 7, GraphProto.initializer 5, TensorProto.dims 1, data_type 2,
name 8.
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterator
from pathlib import Path

from edgeswap_export.engine._errors import UnsupportedEngine

_GRAPH, _INITIALIZER = 7, 5
_DATA_TYPE = 2
_TENSOR_FACTS = (1, _DATA_TYPE, 8)
_SHAPE_TYPES = (6, 7)  # TensorProto.INT32 and INT64
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def structure_sha256(path: Path) -> str:
    """Hash an ONNX file without the numbers in its initializers.

    Args:
        path: the file; a file of weights beside it is not read.

    Returns:
        64 hex digits.

    Raises:
        UnsupportedEngine: it is not protobuf.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        if path.stat().st_size == 0:
            raise UnsupportedEngine(f"{path} is empty, expected an ONNX graph")
        with (
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
            memoryview(mapped) as view,
        ):
            try:
                _model(view, digest)
            except (IndexError, ValueError) as error:
                raise UnsupportedEngine(f"{path} is not an ONNX graph: {error}") from error
    return digest.hexdigest()


def _model(view: memoryview, digest: hashlib._Hash) -> None:
    for number, raw, value in _fields(view):
        if number != _GRAPH:
            digest.update(raw)
            continue
        for inner, inner_raw, inner_value in _fields(value):
            if inner != _INITIALIZER:
                digest.update(inner_raw)
                continue
            digest.update(b"initializer")
            facts = list(_fields(inner_value))
            kinds = [_varint(value, 0)[0] for number, _, value in facts if number == _DATA_TYPE]
            for number, fact, _ in facts:
                if number in _TENSOR_FACTS or kinds[0] in _SHAPE_TYPES:
                    digest.update(fact)


def _fields(view: memoryview) -> Iterator[tuple[int, memoryview, memoryview]]:
    """Yield each field: its number, its bytes, and the bytes of its content."""
    place = 0
    while place < len(view):
        start = place
        tag, place = _varint(view, place)
        kind = tag & 7
        content = place
        if kind == _VARINT:
            _, place = _varint(view, place)
        elif kind == _BYTES:
            length, content = _varint(view, place)
            place = content + length
        elif kind in (_FIXED64, _FIXED32):
            place += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"field type {kind} at byte {start}")
        if place > len(view):
            raise ValueError(f"it ends within a field that begins at byte {start}")
        yield tag >> 3, view[start:place], view[content:place]


def _varint(view: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = view[place]
        value |= (byte & 0x7F) << shift
        place += 1
        if byte < 0x80:
            return value, place
        shift += 7
        if shift > 63:
            raise ValueError(f"a number of more than 64 bits at byte {place}")
