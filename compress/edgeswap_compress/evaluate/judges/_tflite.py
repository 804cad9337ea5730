"""A convolutional TensorFlow Lite network as an ONNX graph, so that ONNX Runtime runs it.

Knows the six operators of MediaPipe's face mesh and nothing else; whatever it does not know is an
error, never left out. Layout of the file: TensorFlow, `lite/schema/schema.fbs`; padding rules:
`lite/kernels/padding.h`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import tflite
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_OPSET = 13
_DTYPES = {tflite.TensorType.FLOAT32: "<f4", tflite.TensorType.INT32: "<i4"}
_OPERATORS = {
    code: name for name, code in vars(tflite.BuiltinOperator).items() if isinstance(code, int)
}


def convert(data: bytes, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """Convert a network of one float32 graph.

    Args:
        data: the .tflite file.
        inputs: names for the graph's inputs, in its order.
        outputs: names for its outputs, in its order.

    Returns:
        an ONNX model of the same weights, (n, C, H, W) where TensorFlow Lite has (1, H, W, C).

    Raises:
        ValueError: an operator, an option or a dtype that this conversion does not know.
    """
    model = tflite.Model.GetRootAs(data, 0)
    if model.SubgraphsLength() != 1:
        raise ValueError(f"{model.SubgraphsLength()} graphs, expected 1")
    graph = model.Subgraphs(0)
    names = {
        **dict(zip(graph.InputsAsNumpy().tolist(), inputs, strict=True)),
        **dict(zip(graph.OutputsAsNumpy().tolist(), outputs, strict=True)),
    }
    return _Conversion(model, graph, names).onnx(inputs, outputs)


class _Conversion:
    """Collects nodes and constants of one graph."""

    def __init__(self, model: Any, graph: Any, names: dict[int, str]) -> None:
        self._model = model
        self._graph = graph
        self._names = names
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def onnx(self, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
        for number in range(self._graph.OperatorsLength()):
            self._add(self._graph.Operators(number))
        indices = {name: index for index, name in self._names.items()}
        graph = helper.make_graph(
            self._nodes,
            "tflite",
            [self._described(name, indices[name]) for name in inputs],
            [self._described(name, indices[name]) for name in outputs],
            self._constants,
        )
        opset = helper.make_opsetid("", _OPSET)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
        onnx.checker.check_model(model)
        data: bytes = model.SerializeToString()
        return data

    def _described(self, name: str, index: int) -> Any:
        height, width, channels = self._shape(index)[1:]
        shape: list[int | str] = ["n", channels, height, width]
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    def _add(self, operator: Any) -> None:
        code = self._model.OperatorCodes(operator.OpcodeIndex())
        kind = _OPERATORS[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        given, (made,) = operator.InputsAsNumpy().tolist(), operator.OutputsAsNumpy().tolist()
        if kind == "CONV_2D":
            options = _options(operator, tflite.Conv2DOptions)
            # output channels, height, width, input channels
            filters = self._array(given[1]).transpose(0, 3, 1, 2)
            self._convolution(made, given, options, filters, groups=1)
        elif kind == "DEPTHWISE_CONV_2D":
            options = _options(operator, tflite.DepthwiseConv2DOptions)
            filters = self._array(given[1]).transpose(3, 0, 1, 2)  # 1, height, width, channels
            self._convolution(made, given, options, filters, groups=len(filters))
        elif kind == "MAX_POOL_2D":
            options = _options(operator, tflite.Pool2DOptions)
            window = [options.FilterHeight(), options.FilterWidth()]
            self._node("MaxPool", made, [self._name(given[0])],
                       kernel_shape=window, **self._placed(given[0], options, window))  # fmt: skip
        elif kind == "PRELU":
            slopes = self._array(given[1]).transpose(2, 0, 1)
            self._node("PRelu", made, [self._name(given[0]), self._constant(given[1], slopes)])
        elif kind == "ADD":
            _options(operator, tflite.AddOptions)
            self._node("Add", made, [self._name(index) for index in given])
        elif kind == "PAD":
            batch, height, width, channels = self._array(given[1])
            pads = np.array([batch, channels, height, width], np.int64).T.ravel()
            self._node("Pad", made, [self._name(given[0]), self._constant(given[1], pads)])
        else:
            raise ValueError(f"operator {kind}, expected one that convolves, pools, adds or pads")

    def _convolution(
        self, made: int, given: list[int], options: Any, filters: NDArray[Any], *, groups: int
    ) -> None:
        window = list(filters.shape[2:])
        self._node(
            "Conv",
            made,
            [
                self._name(given[0]),
                self._constant(given[1], np.ascontiguousarray(filters)),
                self._constant(given[2], self._array(given[2])),
            ],
            kernel_shape=window,
            group=groups,
            **self._placed(given[0], options, window),
        )

    def _placed(self, index: int, options: Any, window: list[int]) -> dict[str, list[int]]:
        """Give strides and pads, top and left first; "same" padding ends with the odd pixel."""
        strides = [options.StrideH(), options.StrideW()]
        totals = [0, 0]
        if options.Padding() == tflite.Padding.SAME:
            sizes = self._shape(index)[1:3]
            totals = [
                max((-(-size // stride) - 1) * stride + side - size, 0)
                for size, stride, side in zip(sizes, strides, window, strict=True)
            ]
        before = [total // 2 for total in totals]
        after = [total - half for total, half in zip(totals, before, strict=True)]
        return {"strides": strides, "pads": [*before, *after]}

    def _node(self, kind: str, made: int, inputs: list[str], **attributes: Any) -> None:
        self._nodes.append(helper.make_node(kind, inputs, [self._name(made)], **attributes))

    def _constant(self, index: int, value: NDArray[Any]) -> str:
        self._constants.append(numpy_helper.from_array(value, self._name(index)))
        return self._name(index)

    def _name(self, index: int) -> str:
        return self._names.get(index, f"tensor_{index}")

    def _shape(self, index: int) -> list[int]:
        shape: list[int] = self._graph.Tensors(index).ShapeAsNumpy().tolist()
        return shape

    def _array(self, index: int) -> NDArray[Any]:
        tensor = self._graph.Tensors(index)
        if tensor.Type() not in _DTYPES:
            raise ValueError(f"a tensor of type {tensor.Type()}, expected float32 or int32")
        stored = self._model.Buffers(tensor.Buffer()).DataAsNumpy().tobytes()
        return np.frombuffer(stored, _DTYPES[tensor.Type()]).reshape(self._shape(index))


def _options(operator: Any, kind: Any) -> Any:
    """Read an operator's options; those that are ignored must be at their defaults."""
    table = operator.BuiltinOptions()
    options = kind()
    options.Init(table.Bytes, table.Pos)
    for name, expected in (
        ("FusedActivationFunction", tflite.ActivationFunctionType.NONE),
        ("DilationHFactor", 1),
        ("DilationWFactor", 1),
        ("DepthMultiplier", 1),
    ):
        found = getattr(options, name, lambda expected=expected: expected)()
        if found != expected:
            raise ValueError(f"{kind.__name__} with {name} {found}, expected {expected}")
    return options
