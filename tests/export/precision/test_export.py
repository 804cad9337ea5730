"""A bundle in fewer bits: proven like any other, and it says what it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_export import ExportConfig, GraphsConfig, ScheduleRequest, SchedulesConfig, export
from edgeswap_export._errors import ParityFailed, UnsupportedExport, UnsupportedSchedule
from edgeswap_export.calibration import feeds_of_swaps, rendered_examples, usual_swaps
from edgeswap_export.graphs import values as _values
from edgeswap_export.graphs.swap_graphs import swap_graphs
from edgeswap_export.parity.compare import SWAP_RMS, open_graphs
from edgeswap_export.precision import PRECISIONS, convert
from edgeswap_export.samplers._ddim import DdimOptions
from edgeswap_runtime import Bundle, Swapper
from edgeswap_runtime.cli import main
from edgeswap_runtime.faces.align import to_uint8

GRAPHS = ("encode", "identity", "denoise", "decode")


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_bundle_runs_and_states_its_precision(
    precision: str, tmp_path: Path, known_graphs: Callable[..., None], guided: Any
) -> None:
    known_graphs()
    arguments = ["--precision", precision, "--calibration-swaps", "6", "--schedule", "ddim:2"]
    out = tmp_path / "bundle"
    assert main(["export", str(guided.checkpoint), str(out), *arguments]) == 0
    manifest = Bundle.open(out).manifest
    assert {n: g.precision for n, g in manifest.graphs.items()} == {
        **dict.fromkeys(GRAPHS, precision),
        "detector": "fp32",
    }
    if precision == "fp16":
        assert "phase" in manifest.graphs["denoise"].float32_nodes
    parity = manifest.parity
    assert set(parity["graphs"]) == set(GRAPHS) == set(parity["float32"]["graphs"])
    for swap in parity["swaps"].values():
        assert swap["tolerance"] == SWAP_RMS[precision] and swap["psnr_db"] > 34
    assert parity["calibration"]["swaps"] == 6
    assert parity["float32"]["swaps"]["ddim-4"]["max_abs"] < 1e-4
    (face,) = rendered_examples(Checkpoint.load(guided.checkpoint).swap, 1, "parity", 1)
    crop = to_uint8((face.target[0].permute(1, 2, 0).numpy() + 1) * 127.5)
    found = []
    for bundle in (guided.bundle, out):
        with Swapper.open(bundle, threads=1) as swapper:
            found.append(swapper.swap_crop(crop, swapper.identity_of_crops([crop])).astype(float))
    assert 0 < np.sqrt(np.square(found[0] - found[1]).mean()) < 6
    assert (out / "denoise.onnx").stat().st_size < (guided.bundle / "denoise.onnx").stat().st_size


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_checkpoint_too_large_for_one_protobuf(
    precision: str,
    tmp_path: Path,
    known_graphs: Callable[..., None],
    guided: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With the limit lowered to 20 kB its graphs' weights lie beside them, and it is proven."""
    known_graphs()
    monkeypatch.setattr(_values, "MAX_BYTES", 20_000)
    arguments = ["--precision", precision, "--calibration-swaps", "2", "--schedule", "ddim:2"]
    out = tmp_path / "bundle"
    assert main(["export", str(guided.checkpoint), str(out), *arguments, "--steps", "2"]) == 0
    files = Bundle.open(out).manifest.files
    assert "denoise.onnx.data" in files
    size = (files["denoise.onnx"].bytes + files["denoise.onnx.data"].bytes) / 1e6
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line[:8] == "denoise "]
    assert row.split()[1] == f"{size:.2f}"
    with Swapper.open(out, threads=1) as swapper:
        crop = np.full((swapper.resolution_px,) * 2 + (3,), 128, np.uint8)
        assert swapper.swap_crop(crop, swapper.identity_of_crops([crop])).shape == crop.shape


@pytest.mark.parametrize("precision", ["bf16", "fp8"])
def test_bundle_that_this_processor_cannot_run_is_proven_in_emulation(
    precision: str, tmp_path: Path, known_graphs: Callable[..., None], guided: Any
) -> None:
    known_graphs()
    config = ExportConfig(
        graphs=GraphsConfig(precision=precision, calibration_swaps=2),
        schedules=SchedulesConfig(others=()),
        detector=False,
    )
    export(guided.checkpoint, config, tmp_path / "bundle")
    manifest = Bundle.open(tmp_path / "bundle").manifest
    assert "emulation" in manifest.parity["swaps_backend"]
    model = onnx.load(tmp_path / "bundle" / "denoise.onnx")
    kinds = {t.data_type for t in model.graph.initializer}
    wanted = {"bf16": onnx.TensorProto.BFLOAT16, "fp8": onnx.TensorProto.FLOAT8E4M3FN}
    assert wanted[precision] in kinds
    assert model.opset_import[0].version == {"bf16": 22, "fp8": 19}[precision]


def test_failure_names_the_first_layer_and_leaves_nothing(
    tmp_path: Path, known_graphs: Callable[..., None], guided: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A conversion that spoils one weight is traced to the layer that reads it."""
    known_graphs()
    lowered = convert.lower
    spoiled: list[str] = []

    def spoil(model: onnx.ModelProto, *rest: Any) -> onnx.ModelProto:
        low = lowered(model, *rest)
        if low.graph.name == "decode":
            convs = [n for n in low.graph.node if n.op_type == "Conv"]
            spoiled.append(convs[3].name)
            name = convs[3].input[1]
            weight = next(t for t in low.graph.initializer if t.name == name)
            values = onnx.numpy_helper.to_array(weight) * np.float16(1.5)
            weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
        return low

    monkeypatch.setattr(convert, "lower", spoil)
    with pytest.raises(ParityFailed) as caught:
        config = ExportConfig(
            graphs=GraphsConfig(precision="fp16", calibration_swaps=2),
            schedules=SchedulesConfig(others=()),
        )
        export(guided.checkpoint, config, tmp_path / "bundle")
    assert f"the first layer that differs is '{spoiled[0]}' (Conv, by" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_float32_failure_names_the_layer_too(
    tmp_path: Path, known_graphs: Callable[..., None], guided: Any
) -> None:
    """Against torch's own intermediate values, which the file names alike."""
    named: list[str] = []

    def nudge(name: str, model: onnx.ModelProto) -> None:
        if name == "decode":
            conv = [n for n in model.graph.node if n.op_type == "Conv"][2]
            named.append(conv.name)
            weight = next(t for t in model.graph.initializer if t.name == conv.input[1])
            values = onnx.numpy_helper.to_array(weight) + np.float32(0.02)
            weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))

    known_graphs(nudge)
    with pytest.raises(ParityFailed) as caught:
        export(
            guided.checkpoint,
            ExportConfig(schedules=SchedulesConfig(others=())),
            tmp_path / "bundle",
        )
    assert f"the first layer that differs is '{named[0]}' (Conv, by" in str(caught.value)


def test_feeds_come_from_the_sampler_over_all_schedules(guided: Any) -> None:
    bundle, checkpoint = Bundle.open(guided.bundle), Checkpoint.load(guided.checkpoint)
    tables = [bundle.manifest.schedules[name] for name in ("ddim-1", "ddim-25")]
    backend = open_graphs(guided.bundle, {name: f"{name}.onnx" for name in GRAPHS})
    examples = rendered_examples(checkpoint.swap, 3, "calibration", 0)
    first = examples[0]
    graphs = swap_graphs(checkpoint, first.target, first.source, first.noise)
    feeds = feeds_of_swaps(backend, checkpoint, graphs, examples, tables)
    steps = [float(feed["timestep"][0]) for feed in feeds["denoise"]]
    assert [len(feeds[name]) for name in GRAPHS] == [3, 3, 6, 3]
    assert steps[0] == steps[-1] == 999.0  # one step, and the third swap is by ddim-1 again
    assert steps[1] == 999.0 and min(steps) < 100
    assert set(feeds["denoise"][0]) >= {"guidance", "tokens", "sample"}


def test_calibration_and_parity_share_no_picture(guided: Any) -> None:
    swap = Checkpoint.load(guided.checkpoint).swap
    parts = {
        part: {
            crop.numpy().tobytes()
            for example in rendered_examples(swap, 40, part, 0)
            for crop in (example.target, example.source)
        }
        for part in ("calibration", "parity")
    }
    assert not parts["calibration"] & parts["parity"]
    again = rendered_examples(swap, 2, "parity", 0)
    assert again[1].noise.equal(rendered_examples(swap, 2, "parity", 0)[1].noise)


def test_larger_crops_take_fewer_swaps_of_as_many_pixels() -> None:
    assert [usual_swaps(24, size, 2) for size in (64, 96, 128, 192, 512)] == [24, 24, 14, 6, 2]
    assert [usual_swaps(4, size) for size in (96, 192, 512)] == [4, 1, 1]


def test_config_goes_to_json_and_back() -> None:
    config = ExportConfig(
        schedules=SchedulesConfig(
            sampler="ddim",
            steps=3,
            options=DdimOptions(eta=0.5),
            others=(ScheduleRequest(sampler="lcm", steps=2), ScheduleRequest.parse("ddim:4:eta=1")),
        ),
        graphs=GraphsConfig(precision="int8"),
    )
    assert ExportConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    assert ExportConfig.from_json({}) == ExportConfig()
    assert ExportConfig().graphs.precision == PRECISIONS[0]


@pytest.mark.parametrize(
    ("raw", "kind", "words"),
    [
        ({"precison": "fp16"}, UnsupportedExport, "no setting 'precison'"),
        ({"precision": "fp4"}, UnsupportedExport, "expected one of fp32, fp16"),
        ({"steps": "4"}, UnsupportedExport, "export.steps is '4', expected int"),
        ({"options": ["eta=1"]}, UnsupportedExport, "name it too"),
        ({"sampler": "ddim", "options": ["eta=x"]}, UnsupportedSchedule, "found 'x'"),
        ({"sampler": "ddim", "options": ["nu=1"]}, UnsupportedSchedule, "expected eta=..."),
        ({"others": [{"steps": 1}]}, UnsupportedSchedule, "a schedule is"),
        ({"calibration_swaps": 0}, UnsupportedExport, "at least 1"),
    ],
)
def test_bad_settings_are_named(raw: dict[str, Any], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        ExportConfig.from_json(raw)


def test_sampler_option_on_the_command_line(
    tmp_path: Path, known_graphs: Callable[..., None], guided: Any
) -> None:
    known_graphs()
    line = ["export", str(guided.checkpoint), str(tmp_path / "b"), "--sampler", "ddim"]
    assert main([*line, "--steps", "2", "--option", "eta=0.25", "--schedule", "lcm:2"]) == 0
    manifest = Bundle.open(tmp_path / "b").manifest
    assert manifest.default_schedule == "ddim-2-eta=0.25"
    assert set(manifest.schedules) == {"ddim-2-eta=0.25", "lcm-2"}
    assert manifest.schedules["ddim-2-eta=0.25"].rows[0].noise > 0
    assert main([*line[:2], str(tmp_path / "c"), "--schedule", "lcm"]) == 2
