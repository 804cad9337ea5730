"""Norms over many numbers: ONNX Runtime's own sum is wrong, the split one is right."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from edgeswap_export.graphs.to_onnx import check, serialize, to_onnx
from edgeswap_export.graphs.wide_norms import WIDEST, join_wide_norms, split_wide_norms

CHANNELS, EPSILON = 3, 1e-6


def norm(*sizes: int | str) -> onnx.ModelProto:
    """One InstanceNormalization of x (N, CHANNELS, ...), with a scale and a bias."""
    shape = [1, CHANNELS, *sizes]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy")
    node = helper.make_node(
        "InstanceNormalization", ["x", "s", "b"], ["y"], "norm", epsilon=EPSILON
    )
    weights = {"s": [1.0, 0.5, -2.0], "b": [0.0, 1.0, 3.0]}
    stored = [numpy_helper.from_array(np.array(v, np.float32), k) for k, v in weights.items()]
    graph = helper.make_graph([node], "g", [x], [y], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def errors(model: onnx.ModelProto, x: np.ndarray) -> float:
    """Root mean square distance from float64."""
    (found,) = ort.InferenceSession(serialize(model)).run(None, {"x": x})
    exact = x.astype(np.float64)
    axes = tuple(range(2, x.ndim))
    exact -= exact.mean(axes, keepdims=True)
    exact /= np.sqrt(np.square(exact).mean(axes, keepdims=True) + EPSILON)
    weights = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    s, b = (weights[name].reshape(-1, *[1] * len(axes)) for name in "sb")
    return float(np.sqrt(np.square(found - (s * exact + b)).mean()))


@pytest.mark.parametrize("sizes", [(1 << 18,), (512, 512), (1000, 1001)])
def test_split_is_closer_to_float64(sizes: tuple[int, ...]) -> None:
    x = (np.random.default_rng(0).normal(size=(1, CHANNELS, *sizes)) + 3).astype(np.float32)
    model = norm(*sizes)
    plain = errors(model, x)
    split_wide_norms(model)
    check(model, "g")
    assert "InstanceNormalization" not in {node.op_type for node in model.graph.node}
    assert errors(model, x) < min(2e-6, plain / 3)


def test_joined_it_is_what_it_was() -> None:
    model, before = norm(512, 512), serialize(norm(512, 512))
    split_wide_norms(model)
    assert serialize(model) != before
    join_wide_norms(model)
    assert serialize(model) == before


@pytest.mark.parametrize("sizes", [(WIDEST,), (256, 256), ("height", 512)])
def test_narrow_and_unknown_ones_are_left(sizes: tuple[int | str, ...]) -> None:
    model, before = norm(*sizes), serialize(norm(*sizes))
    split_wide_norms(model)
    assert serialize(model) == before


@pytest.mark.parametrize("batch", [None, {"x": {0: "batch"}}])
def test_group_norm_of_torch(batch: dict[str, dict[int, str]] | None) -> None:
    class Once(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.GroupNorm(2, 8, eps=EPSILON)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
            return (self.norm(x),)

    x = torch.randn(2, 8, 160, 160, generator=torch.Generator().manual_seed(0)) + 1
    module = Once().eval()
    nn.init.normal_(module.norm.weight)
    model = to_onnx("g", module, {"x": x}, ("y",), batch)
    split_wide_norms(model)
    check(model, "g")
    assert "InstanceNormalization" not in {node.op_type for node in model.graph.node}
    (found,) = ort.InferenceSession(serialize(model)).run(None, {"x": x.numpy()})
    assert np.abs(found - module(x)[0].detach().numpy()).max() < 1e-5
