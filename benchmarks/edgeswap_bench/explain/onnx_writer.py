"""Write a small ONNX model without the onnx package, for the probes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

_FLOAT, _INTS, _INT = 1, 7, 2


class OnnxWriter:
    """Builds one float32 graph, node by node.

    Args:
        inputs: name -> shape.
        outputs: name -> shape.

    Source: onnx/onnx.proto (field numbers); protobuf.dev/programming-guides/encoding.
    """

    def __init__(
        self, *, inputs: Mapping[str, Sequence[int]], outputs: Mapping[str, Sequence[int]]
    ) -> None:
        self._inputs, self._outputs = dict(inputs), dict(outputs)
        self._nodes: list[bytes] = []
        self._weights: list[bytes] = []

    def weight(self, name: str, array: NDArray[np.float32]) -> str:
        """Add a constant; returns its name."""
        dims = b"".join(_number(1, size) for size in array.shape)
        raw = np.ascontiguousarray(array, dtype="<f4").tobytes()
        self._weights.append(dims + _number(2, _FLOAT) + _text(8, name) + _bytes(9, raw))
        return name

    def node(
        self, kind: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: list[int]
    ) -> None:
        """Add a node; an attribute of one number is a number, of several a list."""
        parts = [_text(1, name) for name in inputs] + [_text(2, name) for name in outputs]
        parts += [_text(3, f"{kind}_{len(self._nodes)}"), _text(4, kind)]
        for name, values in attributes.items():
            if len(values) == 1:
                body = _text(1, name) + _number(3, values[0]) + _number(20, _INT)
            else:
                body = _text(1, name) + b"".join(_number(8, v) for v in values) + _number(20, _INTS)
            parts.append(_bytes(5, body))
        self._nodes.append(b"".join(parts))

    def encode(self) -> bytes:
        """The model's bytes: opset 17."""
        graph = b"".join(
            [
                *(_bytes(1, node) for node in self._nodes),
                _text(2, "probe"),
                *(_bytes(5, weight) for weight in self._weights),
                *(_bytes(11, _value(name, shape)) for name, shape in self._inputs.items()),
                *(_bytes(12, _value(name, shape)) for name, shape in self._outputs.items()),
            ]
        )
        opset = _text(1, "") + _number(2, 17)
        return _number(1, 8) + _bytes(7, graph) + _bytes(8, opset)


def _value(name: str, shape: Sequence[int]) -> bytes:
    """A ValueInfoProto of float32."""
    dims = b"".join(_bytes(1, _number(1, size)) for size in shape)
    tensor = _number(1, _FLOAT) + _bytes(2, dims)
    return _text(1, name) + _bytes(2, _bytes(1, tensor))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value & 0xFFFF_FFFF_FFFF_FFFF)


def _bytes(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _text(field: int, text: str) -> bytes:
    return _bytes(field, text.encode())


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
