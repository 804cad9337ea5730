"""What is written is valid, plain ONNX that tells nothing of the machine it was written on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_export._errors import GraphNotExported
from edgeswap_export.graphs import values as _values
from edgeswap_export.graphs.example import seeded_example
from edgeswap_export.graphs.swap_graphs import _ConstantNull, torch_graphs
from edgeswap_export.graphs.to_onnx import OPSET, check, serialize, to_onnx, write_onnx
from edgeswap_export.graphs.torch_graph import axes_of
from edgeswap_export.parity.compare import open_graphs
from edgeswap_runtime import Bundle

GRAPHS = ("encode", "identity", "denoise", "decode")


class Double(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (x * 2.0,)


class Branches(nn.Module):
    """What a value decides cannot be written down as one graph."""

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (x if x.sum() > 0 else -x,)


@pytest.mark.parametrize("name", GRAPHS)
def test_files_are_plain(name: str, guided: Any) -> None:
    path = guided.bundle / f"{name}.onnx"
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", OPSET)]
    assert model.graph.name == name
    assert not model.functions and not model.metadata_props and not model.graph.value_info
    content = path.read_bytes()
    for trace in (b"site-packages", b".py", b"stack_trace", torch.__version__.encode()):
        assert trace not in content


@pytest.mark.parametrize("name", GRAPHS)
def test_manifest_states_the_graphs_tensors(name: str, guided: Any) -> None:
    model = onnx.load(guided.bundle / f"{name}.onnx")
    stated = Bundle.open(guided.bundle).manifest.graphs[name]
    for tensors, values in (
        (stated.inputs, model.graph.input),
        (stated.outputs, model.graph.output),
    ):
        assert [t.name for t in tensors] == [v.name for v in values]
        for tensor, value in zip(tensors, values, strict=True):
            kind = value.type.tensor_type
            assert tensor.shape == tuple(d.dim_value for d in kind.shape.dim)
            assert tensor.dtype == "float32" and kind.elem_type == onnx.TensorProto.FLOAT
            assert tensor.axes == axes_of(tensor.shape)


def test_null_condition_is_constant(guided: Any) -> None:
    """No weight of the conditioner but its null condition goes into the denoiser's file."""
    model = onnx.load(guided.bundle / "denoise.onnx")
    names = [i.name for i in model.graph.initializer if i.name.startswith("conditioner")]
    assert all(name.rpartition(".")[2] in ("tokens", "vector", "source_latents") for name in names)
    checkpoint = Checkpoint.load(guided.checkpoint)
    null = _ConstantNull(checkpoint.conditioner.null(1))
    truth = checkpoint.conditioner.null(1)
    assert torch.equal(null.null(1).tokens, truth.tokens)
    pair = null.null(2)
    assert pair.tokens.shape[0] == 2 and torch.equal(pair.tokens[1:], truth.tokens)


@pytest.mark.parametrize(
    "name", ["denoise", "encode", *(pytest.param(n, marks=pytest.mark.slow) for n in GRAPHS[1::2])]
)
def test_same_bytes_again(name: str, plain: Any) -> None:
    """Written again here, after other exports, against the bundle of the fresh process."""
    checkpoint = Checkpoint.load(plain.checkpoint)
    tried = seeded_example(checkpoint.swap, seed=5)  # the example's values must not matter
    graph = torch_graphs(checkpoint, tried.target, tried.source, tried.noise)[name]
    model = to_onnx(name, graph.module, graph.inputs, tuple(graph.outputs))
    assert serialize(model) == (plain.bundle / f"{name}.onnx").read_bytes()


def test_other_weights_give_other_bytes() -> None:
    written = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        layer = nn.Conv2d(2, 2, 3).eval()
        model = to_onnx("layer", layer, {"x": torch.ones(1, 2, 4, 4)}, ("y",))
        written.append(serialize(model))
    assert written[0] == written[1] != written[2]


def test_graph_that_cannot_be_written() -> None:
    with pytest.raises(GraphNotExported) as caught:
        to_onnx("branches", Branches().eval(), {"x": torch.ones(1, 3)}, ("y",))
    assert str(caught.value).startswith("torch could not write graph 'branches': ")
    assert "\n" not in str(caught.value)


def test_large_graph_keeps_its_weights_outside(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Above what one protobuf holds; the limit is lowered here to what a test can write."""
    torch.manual_seed(0)
    layer, x = nn.Linear(64, 64).eval(), torch.ones(1, 64)
    model = to_onnx("wide", layer, {"x": x}, ("y",))
    write_onnx(tmp_path, "whole", model)
    monkeypatch.setattr(_values, "MAX_BYTES", 1000)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        again = onnx.ModelProto()
        again.CopyFrom(model)
        write_onnx(tmp_path / folder, "wide", again)
    names = ["wide.onnx", "wide.onnx.data"]
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == names
    assert (tmp_path / "a" / "wide.onnx").stat().st_size < 4096
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    backend = open_graphs(tmp_path, {"whole": "whole.onnx", "wide": "a/wide.onnx"})
    whole, wide = (
        backend.download(backend.run(name, {"x": backend.upload(x.numpy())})["y"])
        for name in ("whole", "wide")
    )
    assert np.array_equal(whole, wide) and whole.std() > 0


def test_invalid_graph_is_named(tmp_path: Path) -> None:
    model = to_onnx("double", Double().eval(), {"x": torch.ones(1, 3)}, ("y",))
    assert np.prod([d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]) == 3
    model.graph.node[0].op_type = "Triple"
    with pytest.raises(GraphNotExported, match=r"graph 'double' is not valid ONNX: .*Triple"):
        check(model, "double")
