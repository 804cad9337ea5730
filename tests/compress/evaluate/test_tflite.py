"""TensorFlow Lite to ONNX, on files of one operator."""

from __future__ import annotations

from typing import Any

import flatbuffers  # type: ignore[import-untyped]
import numpy as np
import onnxruntime
import pytest
import tflite
from numpy.typing import NDArray

from edgeswap_compress.evaluate.judges._tflite import convert

Array = NDArray[Any]
CODES = tflite.BuiltinOperator


def vector(builder: Any, start: Any, items: list[int], prepend: str) -> int:
    start(builder, len(items))
    for item in reversed(items):
        getattr(builder, prepend)(item)
    end: int = builder.EndVector()
    return end


def table(builder: Any, kind: str, **fields: Any) -> int:
    """A table of the schema with these fields set."""
    getattr(tflite, f"{kind}Start")(builder)
    for name, value in fields.items():
        getattr(tflite, f"{kind}Add{name}")(builder, value)
    end: int = getattr(tflite, f"{kind}End")(builder)
    return end


def network(
    code: int, options: tuple[int, str, dict[str, int]] | None, tensors: list[Any]
) -> bytes:
    """A file of one operator: tensors are the input's shape, its constants, the output's shape."""
    builder = flatbuffers.Builder(1024)
    buffers, described = [table(builder, "Buffer")], []
    for tensor in tensors:
        constant = isinstance(tensor, np.ndarray)
        dtype = tensor.dtype if constant else np.dtype(np.float32)
        if constant:
            data = builder.CreateByteVector(tensor.tobytes())
            buffers.append(table(builder, "Buffer", Data=data))
        shape = list(tensor.shape if constant else tensor)
        described.append(
            table(
                builder,
                "Tensor",
                Shape=vector(builder, tflite.TensorStartShapeVector, shape, "PrependInt32"),
                Type={"f": 0, "i": 2, "u": 3}[dtype.kind],
                Buffer=len(buffers) - 1 if constant else 0,
            )
        )
    offsets = "PrependUOffsetTRelative"
    last = len(tensors) - 1
    given = vector(builder, tflite.OperatorStartInputsVector, list(range(last)), "PrependInt32")
    made = vector(builder, tflite.OperatorStartOutputsVector, [last], "PrependInt32")
    operator: dict[str, Any] = {"Inputs": given, "Outputs": made}
    if options is not None:
        kind, name, fields = options
        operator |= {"BuiltinOptions": table(builder, name, **fields), "BuiltinOptionsType": kind}
    start = tflite.SubGraphStartOperatorsVector
    operators = vector(builder, start, [table(builder, "Operator", **operator)], offsets)
    graph = table(
        builder,
        "SubGraph",
        Tensors=vector(builder, tflite.SubGraphStartTensorsVector, described, offsets),
        Inputs=vector(builder, tflite.SubGraphStartInputsVector, [0], "PrependInt32"),
        Outputs=vector(builder, tflite.SubGraphStartOutputsVector, [last], "PrependInt32"),
        Operators=operators,
    )
    codes = [table(builder, "OperatorCode", BuiltinCode=code, DeprecatedBuiltinCode=code)]
    model = table(
        builder,
        "Model",
        OperatorCodes=vector(builder, tflite.ModelStartOperatorCodesVector, codes, offsets),
        Subgraphs=vector(builder, tflite.ModelStartSubgraphsVector, [graph], offsets),
        Buffers=vector(builder, tflite.ModelStartBuffersVector, buffers, offsets),
    )
    builder.Finish(model, b"TFL3")
    return bytes(builder.Output())


def convolution(options: dict[str, int], size: int, made: int) -> bytes:
    kernel = np.arange(9, dtype=np.float32).reshape(1, 3, 3, 1)
    bias = np.array([0.5], np.float32)
    shapes = [(1, size, size, 1), kernel, bias, (1, made, made, 1)]
    kind = tflite.BuiltinOptions.Conv2DOptions
    fields = {"StrideW": 1, "StrideH": 1, "DilationWFactor": 1, "DilationHFactor": 1, **options}
    return network(CODES.CONV_2D, (kind, "Conv2DOptions", fields), shapes)


def run(data: bytes, picture: Array) -> Array:
    """The converted network of an (n, H, W, C) picture, as (n, H, W, C)."""
    session = onnxruntime.InferenceSession(
        convert(data, ["x"], ["y"]), providers=["CPUExecutionProvider"]
    )
    found: Array = session.run(["y"], {"x": np.ascontiguousarray(picture.transpose(0, 3, 1, 2))})[0]
    return found.transpose(0, 2, 3, 1)


@pytest.mark.parametrize(("size", "above", "below"), [(4, 0, 1), (5, 1, 1)])
def test_same_padding_is_tensorflows(size: int, above: int, below: int) -> None:
    picture = np.random.default_rng(0).random((2, size, size, 1), dtype=np.float32)
    padded = np.pad(picture[..., 0], [(0, 0), (above, below), (above, below)])
    kernel = np.arange(9).reshape(3, 3)
    made = -(-size // 2)
    expected = [
        [
            [(padded[n, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3] * kernel).sum() for j in range(made)]
            for i in range(made)
        ]
        for n in range(2)
    ]
    options = {"Padding": tflite.Padding.SAME, "StrideW": 2, "StrideH": 2}
    found = run(convolution(options, size, made), picture)
    assert found[..., 0] == pytest.approx(np.array(expected) + 0.5, rel=1e-5)


def test_channels_are_padded_at_the_end() -> None:
    amounts = np.array([[0, 0], [0, 0], [0, 0], [0, 2]], np.int32)
    data = network(CODES.PAD, None, [(1, 2, 2, 1), amounts, (1, 2, 2, 3)])
    found = run(data, np.ones((1, 2, 2, 1), np.float32))
    assert found[0, 0, 0].tolist() == [1.0, 0.0, 0.0] and found.shape == (1, 2, 2, 3)


def test_slopes_belong_to_channels() -> None:
    slopes = np.array([[[0.5, 2.0]]], np.float32)
    data = network(CODES.PRELU, None, [(1, 1, 1, 2), slopes, (1, 1, 1, 2)])
    assert run(data, np.full((1, 1, 1, 2), -1, np.float32)).ravel().tolist() == [-0.5, -2.0]


def test_what_is_not_known_is_an_error() -> None:
    with pytest.raises(ValueError, match="operator LOGISTIC, expected one that convolves"):
        convert(network(CODES.LOGISTIC, None, [(1, 1, 1, 1), (1, 1, 1, 1)]), ["x"], ["y"])
    fused = convolution({"FusedActivationFunction": tflite.ActivationFunctionType.RELU}, 3, 3)
    with pytest.raises(ValueError, match="Conv2DOptions with FusedActivationFunction 1, expected"):
        convert(fused, ["x"], ["y"])
    with pytest.raises(ValueError, match="DilationHFactor 2, expected 1"):
        convert(convolution({"DilationHFactor": 2}, 3, 3), ["x"], ["y"])
    quantized = np.zeros((1, 1, 2), np.uint8)
    with pytest.raises(ValueError, match="a tensor of type 3, expected float32 or int32"):
        convert(network(CODES.PRELU, None, [(1, 1, 1, 2), quantized, (1, 1, 1, 2)]), ["x"], ["y"])
