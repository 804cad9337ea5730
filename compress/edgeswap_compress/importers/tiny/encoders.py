"""Write tiny ONNX recognizers and image encoders with random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Ints = tuple[int, ...]


def _weights(random: np.random.Generator, name: str, shape: Ints) -> onnx.TensorProto:
    fan = int(np.prod(shape[1:])) or 1
    return numpy_helper.from_array(
        (random.standard_normal(shape) / fan**0.5).astype(np.float32), name
    )


def _write(
    file: Path, nodes: list[onnx.NodeProto], weights: list[onnx.TensorProto], side: int, out: Ints
) -> Path:
    picture = helper.make_tensor_value_info("input.1", TensorProto.FLOAT, ["n", 3, side, side])
    answer = helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["n", *out[1:]])
    graph = helper.make_graph(nodes, "encoder", [picture], [answer], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, file)
    return file


def tiny_recognizer(file: Path, *, size: int = 512, side: int = 112, seed: int = 7) -> Path:
    """Write a recognizer: a picture (N, 3, side, side) to an embedding (N, size).

    Args:
        file: to write.
        size: of the embedding.
        side: of the picture, pixels.
        seed: of the weights.
    """
    random = np.random.default_rng(seed)
    weights = [
        _weights(random, "conv", (16, 3, 8, 8)),
        _weights(random, "dense", (16 * 49, size)),
    ]
    pooled = side // 8 // 7
    nodes = [
        helper.make_node("Conv", ["input.1", "conv"], ["maps"], strides=[8, 8]),
        helper.make_node("Relu", ["maps"], ["positive"]),
        helper.make_node(
            "AveragePool", ["positive"], ["small"], kernel_shape=[pooled] * 2, strides=[pooled] * 2
        ),
        helper.make_node("Flatten", ["small"], ["flat"]),
        helper.make_node("MatMul", ["flat", "dense"], ["answer"]),
    ]
    return _write(file, nodes, weights, side, (1, size))


def tiny_image_encoder(file: Path, *, width: int = 48, side: int = 224, seed: int = 8) -> Path:
    """Write an image encoder: a picture to hidden states (N, tokens, width) of 56 px patches.

    Args:
        file: to write.
        width: of the states.
        side: of the picture, pixels.
        seed: of the weights.
    """
    random = np.random.default_rng(seed)
    weights = [
        _weights(random, "conv", (width, 3, 56, 56)),
        _weights(random, "dense", (width, width)),
        numpy_helper.from_array(random.standard_normal(width).astype(np.float32), "bias"),
        numpy_helper.from_array(np.array([0, width, -1], np.int64), "shape"),
    ]
    nodes = [
        helper.make_node("Conv", ["input.1", "conv"], ["maps"], strides=[56, 56]),
        helper.make_node("Reshape", ["maps", "shape"], ["rows"]),
        helper.make_node("Transpose", ["rows"], ["states"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["states", "dense"], ["mixed"]),
        helper.make_node("Add", ["mixed", "bias"], ["shifted"]),
        helper.make_node("Tanh", ["shifted"], ["answer"]),
    ]
    return _write(file, nodes, weights, side, (1, (side // 56) ** 2, width))
