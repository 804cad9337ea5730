"""dlib's face recognition network as an ONNX graph, from face-api's weights.

Architecture and constants: dlib, `examples/dnn_face_recognition_ex.cpp` (anet_type) and
`dlib/dnn/input.h` (input_rgb_image_sized); names and layout of the weights: @vladmandic/face-api,
`src/faceRecognitionNet`. The weights are dlib's `face_recognition_resnet_model_v1.dat` (public
domain), rounded to 8 bits by face-api.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

CHIP_PX = 150
EMBEDDING_SIZE = 128
_MEAN_RGB = (122.782, 117.001, 104.298)
_DIVISOR = 256.0  # dlib's; face-api divides by 255, which moves an embedding by about 0.002
_OPSET = 13

# Each stage: the block that halves the picture (with how many channels of zeros widen its shortcut
# and whether its sum is padded by a row and a column), then plain residual blocks.
_STAGES: tuple[tuple[tuple[str, int, bool] | None, tuple[str, ...]], ...] = (
    (None, ("conv32_1", "conv32_2", "conv32_3")),
    (("conv64_down", 32, False), ("conv64_1", "conv64_2", "conv64_3")),
    (("conv128_down", 64, False), ("conv128_1", "conv128_2")),
    (("conv256_down", 128, True), ("conv256_1", "conv256_2")),
    (("conv256_down_out", 0, True), ()),
)


def read_weights(data: bytes, entries: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[Any]]:
    """Read the weights of a TensorFlow.js file, 8-bit ones scaled back.

    Args:
        data: the file.
        entries: `weights` of its manifest.

    Returns:
        name -> float32, convolutions as (height, width, in, out).

    Raises:
        ValueError: the file is longer or shorter than its manifest says.
    """
    weights: dict[str, NDArray[Any]] = {}
    offset = 0
    for entry in entries:
        shape, packing = entry["shape"], entry.get("quantization")
        dtype = np.dtype(np.uint8 if packing else "<f4")
        raw = np.frombuffer(data, dtype, int(np.prod(shape)), offset)
        offset += raw.nbytes
        scaled = raw.astype(np.float32)
        if packing:
            scaled = scaled * np.float32(packing["scale"]) + np.float32(packing["min"])
        weights[entry["name"]] = scaled.reshape(shape)
    if offset != len(data):
        raise ValueError(f"{len(data)} bytes of weights, expected {offset}")
    return weights


def build_network(weights: Mapping[str, NDArray[Any]]) -> bytes:
    """Build the network as ONNX.

    Args:
        weights: from `read_weights`.

    Returns:
        a model from `image` (n, 3, 150, 150) float32 RGB 0..255 to `embedding` (n, 128) float32.
    """
    graph = _Graph(weights)
    x = graph.node("Sub", ["image", graph.constant("mean", _channels(_MEAN_RGB))])
    x = graph.node("Div", [x, graph.constant("divisor", np.float32(_DIVISOR))])
    x = graph.convolution(x, "conv32_down", stride=2, relu=True)
    x = graph.node("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2])
    for down, plain in _STAGES:
        if down is not None:
            name, widening, padded = down
            x = graph.halving_block(x, name, widening=widening, padded=padded)
        for name in plain:
            x = graph.residual_block(x, name)
    x = graph.node("ReduceMean", [x], axes=[2, 3], keepdims=0)
    projection = graph.constant("fc", weights["fc"])
    graph.nodes.append(helper.make_node("MatMul", [x, projection], ["embedding"]))
    return graph.model()


def _channels(values: Sequence[float]) -> NDArray[np.float32]:
    return np.array(values, np.float32).reshape(1, -1, 1, 1)


class _Graph:
    """Collects nodes and constants; every method returns the name of its output."""

    def __init__(self, weights: Mapping[str, NDArray[Any]]) -> None:
        self.nodes: list[Any] = []
        self._constants: list[Any] = []
        self._weights = weights

    def node(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        output = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, name: str, value: Any) -> str:
        self._constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def convolution(self, x: str, name: str, *, stride: int, relu: bool) -> str:
        """Add a convolution with the per-channel scale that follows it folded in."""
        weights = self._weights
        scale = weights[f"{name}/scale/weights"]
        filters = weights[f"{name}/conv/filters"].transpose(3, 2, 0, 1) * scale[:, None, None, None]
        bias = weights[f"{name}/conv/bias"] * scale + weights[f"{name}/scale/biases"]
        side = filters.shape[2]
        # dlib pads its halving convolutions not at all, the others to keep the size
        inputs = [
            x,
            self.constant(f"{name}.filters", np.ascontiguousarray(filters)),
            self.constant(f"{name}.bias", bias),
        ]
        pads = [0 if stride == 2 else side // 2] * 4
        y = self.node(
            "Conv", inputs, kernel_shape=[side, side], strides=[stride, stride], pads=pads
        )
        return self.node("Relu", [y]) if relu else y

    def residual_block(self, x: str, name: str) -> str:
        y = self.convolution(x, f"{name}/conv1", stride=1, relu=True)
        y = self.convolution(y, f"{name}/conv2", stride=1, relu=False)
        return self.node("Relu", [self.node("Add", [y, x])])

    def halving_block(self, x: str, name: str, *, widening: int, padded: bool) -> str:
        y = self.convolution(x, f"{name}/conv1", stride=2, relu=True)
        y = self.convolution(y, f"{name}/conv2", stride=1, relu=False)
        if padded:
            y = self._padded(y, f"{name}.border", [0, 0, 0, 0, 0, 0, 1, 1])
        shortcut = self.node("AveragePool", [x], kernel_shape=[2, 2], strides=[2, 2])
        if widening:
            shortcut = self._padded(shortcut, f"{name}.widen", [0, 0, 0, 0, 0, widening, 0, 0])
        return self.node("Relu", [self.node("Add", [y, shortcut])])

    def _padded(self, x: str, name: str, pads: list[int]) -> str:
        return self.node("Pad", [x, self.constant(name, np.array(pads, np.int64))])

    def model(self) -> bytes:
        image = helper.make_tensor_value_info(
            "image", TensorProto.FLOAT, ["n", 3, CHIP_PX, CHIP_PX]
        )
        embedding = helper.make_tensor_value_info(
            "embedding", TensorProto.FLOAT, ["n", EMBEDDING_SIZE]
        )
        graph = helper.make_graph(self.nodes, "dlib", [image], [embedding], self._constants)
        opset = helper.make_opsetid("", _OPSET)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
        onnx.checker.check_model(model)
        data: bytes = model.SerializeToString()
        return data
