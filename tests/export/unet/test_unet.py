"""Bare diffusers U-Nets become one proven graph."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from diffusers import UNet2DConditionModel, UNet2DModel

from edgeswap_compress.plan.folder import load_unet, write_unet_folder
from edgeswap_export import ExportConfig, GraphsConfig
from edgeswap_export._errors import ParityFailed, UnsupportedExport
from edgeswap_export.graphs import values as _values
from edgeswap_export.unet.stage import _example, export_unet, is_unet_folder
from edgeswap_runtime.cli import main
from edgeswap_runtime.files import sha256_file

SIZES: dict[str, Any] = {
    "sample_size": 8,
    "block_out_channels": (16, 32),
    "norm_num_groups": 8,
    "layers_per_block": 1,
}
INPAINTING: dict[str, Any] = {
    **SIZES,
    "in_channels": 9,
    "out_channels": 4,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "cross_attention_dim": 16,
    "attention_head_dim": 4,
}
FAMILIES: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "inpainting": (UNet2DConditionModel, INPAINTING),
    "labels": (UNet2DConditionModel, {**INPAINTING, "num_class_embeds": 10}),
    "xl": (
        UNet2DConditionModel,
        {
            **INPAINTING,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 64,
        },
    ),
    "pixels": (
        UNet2DModel,
        {
            **SIZES,
            "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
            "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
            "attention_head_dim": 8,
        },
    ),
}


def unet(family: str = "inpainting") -> Any:
    kind, config = FAMILIES[family]
    torch.manual_seed(0)
    return kind(**config).eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_unet_folder(tmp_path_factory.mktemp("folder") / "unet", unet(), None)


@pytest.fixture(scope="module")
def whole(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder's export in float32."""
    return export_unet(folder, ExportConfig(), tmp_path_factory.mktemp("whole") / "out")


def run(out: Path, feed: dict[str, np.ndarray]) -> np.ndarray:
    (found,) = ort.InferenceSession(out / "denoise.onnx").run(["output"], feed)
    return found


@pytest.mark.parametrize(
    ("family", "precision"),
    [
        ("inpainting", "fp32"),
        ("xl", "fp16"),
        ("pixels", "fp16"),
        *(
            pytest.param(family, precision, marks=pytest.mark.slow)
            for family, precision in (
                ("inpainting", "fp16"),
                ("labels", "fp32"),
                ("labels", "fp16"),
                ("xl", "fp32"),
                ("pixels", "fp32"),
            )
        ),
    ],
)
def test_graph_equals_torch_on_other_inputs(family: str, precision: str, tmp_path: Path) -> None:
    model = unet(family)
    write_unet_folder(tmp_path / "unet", model, None)
    export_unet(
        tmp_path / "unet", ExportConfig(graphs=GraphsConfig(precision=precision)), tmp_path / "out"
    )
    stated = json.loads((tmp_path / "out" / "denoise.json").read_text())
    example = {k: v.flip(-1) for k, v in _example(model.config).items()}
    example["timestep"] = torch.tensor([977.0])
    assert [t["name"] for t in stated["inputs"]] == list(example)
    found = run(tmp_path / "out", {k: v.numpy() for k, v in example.items()})
    plain = dict(example)
    added = {k: plain.pop(k) for k in ("text_embeds", "time_ids") if k in plain}
    if added:
        plain["added_cond_kwargs"] = added
    with torch.no_grad():
        expected = model(**plain).sample.numpy()
    error = float(np.sqrt(np.square(found - expected).mean()) / expected.std())
    assert error < (1e-5 if precision == "fp32" else 5e-3)
    assert precision == "fp32" or error > 1e-6
    onnx.checker.check_model(tmp_path / "out" / "denoise.onnx", full_check=True)


def test_command_states_what_it_wrote(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["export", str(folder), str(tmp_path / "out"), "--precision", "fp16", "--name", "paint"]
    assert main([*line, "--json"]) == 0
    stated = json.loads(capsys.readouterr().out)
    assert stated == json.loads((tmp_path / "out" / "denoise.json").read_text())
    assert stated["kind"] == "edgeswap-unet" and stated["name"] == "paint"
    assert (stated["license"], stated["origin"]) == ("unknown", "unknown")
    assert stated["inputs"][0]["shape"] == [1, 9, 8, 8]
    assert stated["inputs"][2] == {
        "name": "encoder_hidden_states",
        "dtype": "float32",
        "shape": [1, 77, 16],
        "axes": ["batch", "token", "channel"],
    }
    (entry,) = stated["files"].values()
    assert entry["sha256"] == sha256_file(tmp_path / "out" / "denoise.onnx")
    model = onnx.load(tmp_path / "out" / "denoise.onnx")
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 18)]
    halves = [t for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT16]
    assert sum(np.prod(t.dims) for t in halves) > 0.99 * sum(
        p.numel() for p in load_unet(folder).parameters()
    )
    floats = {v.type.tensor_type.elem_type for v in (*model.graph.input, *model.graph.output)}
    assert floats == {onnx.TensorProto.FLOAT}


def test_pruned_and_inside_a_pipeline(folder: Path, whole: Path, tmp_path: Path) -> None:
    (tmp_path / "pipeline").mkdir()
    line = ["prune", str(folder), str(tmp_path / "pipeline" / "unet"), "--macs-ratio", "0.6"]
    assert main([*line, "--latency-runs", "0"]) == 0
    assert is_unet_folder(tmp_path / "pipeline")
    export_unet(tmp_path / "pipeline", ExportConfig(), tmp_path / "out")
    stated = json.loads((tmp_path / "out" / "denoise.json").read_text())
    assert len(stated["source"]["plan_sha256"]) == 64
    sizes = [(out / "denoise.onnx").stat().st_size for out in (tmp_path / "out", whole)]
    assert sizes[0] < 0.85 * sizes[1]


@pytest.mark.slow
def test_same_bytes_in_two_processes(folder: Path, tmp_path: Path) -> None:
    options = ["--precision", "fp16", "--name", "x"]
    assert main(["export", str(folder), str(tmp_path / "a"), *options]) == 0
    line = ["export", str(folder), str(tmp_path / "b"), *options]
    done = subprocess.run(
        [sys.executable, "-m", "edgeswap_runtime", *line],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    hashes = [[sha256_file(p) for p in sorted((tmp_path / n).iterdir())] for n in ("a", "b")]
    assert hashes[0] == hashes[1] and len(hashes[0]) == 2


def test_weights_beside_the_graph_where_one_file_cannot_hold_them(
    folder: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_values, "MAX_BYTES", 1000)
    export_unet(folder, ExportConfig(), tmp_path / "out")
    stated = json.loads((tmp_path / "out" / "denoise.json").read_text())
    assert sorted(stated["files"]) == ["denoise.onnx", "denoise.onnx.data"]
    feed = {k: v.numpy() for k, v in _example(FAMILIES["inpainting"][1]).items()}
    assert np.array_equal(run(tmp_path / "out", feed), run(whole, feed))


def test_free_batch(folder: Path, tmp_path: Path) -> None:
    export_unet(folder, ExportConfig(graphs=GraphsConfig(batch=(1, 2, 4))), tmp_path / "out")
    stated = json.loads((tmp_path / "out" / "denoise.json").read_text())
    assert stated["dynamic_axes"] == {"batch": [1, 2, 4]}
    assert stated["inputs"][0]["shape"] == ["batch", 9, 8, 8]
    feed = {k: v.numpy() for k, v in _example(FAMILIES["inpainting"][1]).items()}
    three = {k: np.concatenate([v, 0.5 * v, -v]).astype(v.dtype) for k, v in feed.items()}
    three["timestep"] = np.array([1, 500, 999], np.float32)
    whole = run(tmp_path / "out", three)
    for row in range(3):
        part = run(tmp_path / "out", {k: v[row : row + 1] for k, v in three.items()})
        assert np.allclose(whole[row : row + 1], part, atol=1e-5)


def test_layers_that_float16_cannot_hold_stay_float32(tmp_path: Path) -> None:
    """A time embedding of huge numbers, made small again by the layer behind it."""
    model = unet()
    with torch.no_grad():
        model.conv_in.weight *= 400.0  # the norms behind it take sums of squares
        model.conv_in.bias *= 400.0
    write_unet_folder(tmp_path / "unet", model, None)
    export_unet(
        tmp_path / "unet", ExportConfig(graphs=GraphsConfig(precision="fp16")), tmp_path / "out"
    )
    stated = json.loads((tmp_path / "out" / "denoise.json").read_text())
    kept = stated["float32_nodes"]["overflow"]
    assert kept and all("norm" in name for name in kept)
    graph = onnx.load(tmp_path / "out" / "denoise.onnx").graph
    types = {t.name: t.data_type for t in graph.initializer}
    assert any(t == onnx.TensorProto.FLOAT for t in types.values())


def test_values_too_large_for_float16_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = unet()
    with torch.no_grad():
        model.conv_in.weight *= 1e6
    write_unet_folder(tmp_path / "unet", model, None)
    line = ["export", str(tmp_path / "unet"), str(tmp_path / "out"), "--precision", "fp16"]
    assert main(line) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert "is given values up to" in last and last.endswith("export with --precision fp32")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--precision", "int8"], "a bare U-Net in int8 cannot be calibrated or proven here"),
        (["--steps", "4"], "steps is of no use for a bare U-Net"),
        (["--single-file"], "single_file is of no use for a bare U-Net"),
    ],
)
def test_settings_without_a_use(
    options: list[str],
    words: str,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["export", str(folder), str(tmp_path / "out"), *options]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_wrong_graph_is_found(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeswap_export.unet import stage

    write = stage.write_onnx

    def spoil(home: Path, name: str, model: onnx.ModelProto) -> None:
        weight = next(t for t in model.graph.initializer if t.name.endswith("conv_out.weight"))
        values = onnx.numpy_helper.to_array(weight) * np.float32(1.01)
        weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
        write(home, name, model)

    monkeypatch.setattr(stage, "write_onnx", spoil)
    with pytest.raises(ParityFailed, match="graph 'denoise', output 'output': onnxruntime differs"):
        export_unet(folder, ExportConfig(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_models_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae" / "config.json").write_text('{"_class_name": "AutoencoderKL"}')
    assert main(["export", str(tmp_path / "vae"), str(tmp_path / "out")]) == 2
    assert "describes a AutoencoderKL" in capsys.readouterr().err
    with pytest.raises(UnsupportedExport):
        ExportConfig(graphs=GraphsConfig(precision="fp4"))
