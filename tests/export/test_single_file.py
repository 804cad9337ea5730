"""The one-file swap: what it computes, what it says of itself, and that it stands alone."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_export import ExportConfig, GraphsConfig, ScheduleRequest, SchedulesConfig, export
from edgeswap_export._errors import ParityFailed
from edgeswap_export.graphs.joined.fuse import SINGLE_FILE
from edgeswap_export.graphs.joined.unroll import MOST_STEPS
from edgeswap_export.samplers._ddim import DdimOptions
from edgeswap_runtime import Bundle, Swapper
from edgeswap_runtime.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "one-file.md"


def faces(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two aligned crops of the tiny checkpoint's size."""
    random = np.random.default_rng(seed)
    target, source = random.integers(0, 255, (2, 24, 24, 3), dtype=np.uint8)
    return target, source


def runtime_swap(bundle: Path, target: np.ndarray, source: np.ndarray) -> np.ndarray:
    with Swapper.open(bundle, threads=1) as swapper:
        return swapper.swap_crop(target, swapper.identity_of_crops([source]))


def file_swap(bundle: Path, target: np.ndarray, source: np.ndarray) -> np.ndarray:
    """The swap by the single file, 0..255, not rounded."""
    feed = {
        name: (crop.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)[None]
        for name, crop in (("target", target), ("source", source))
    }
    (crop,) = ort.InferenceSession(bundle / SINGLE_FILE).run(["crop"], feed)
    return (crop[0].transpose(1, 2, 0) + 1) * 127.5


@pytest.fixture(scope="module")
def student(guided: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of one step without guidance, as distillation leaves it."""
    checkpoint = Checkpoint.load(guided.checkpoint)
    checkpoint.swap = checkpoint.swap.sampled(steps=1, guidance_scale=1.0)
    return checkpoint.save(tmp_path_factory.mktemp("student") / "student")


@pytest.fixture(scope="module")
def single(student: Path, plain: Any, reuse: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its bundle, written by the command line, with the file in it; the weights are `plain`'s."""
    out = tmp_path_factory.mktemp("single") / "bundle"
    with reuse(plain.bundle):
        assert main(["export", str(student), str(out), "--single-file", "--no-detector"]) == 0
    return out


def test_the_script_of_the_page_equals_the_runtime(single: Path, tmp_path: Path) -> None:
    """The script of the how-to, in a process that can import nothing of ours, nor torch."""
    (script,) = re.findall(r"```python\n(# swap_crops.*?)```", PAGE.read_text(), re.S)
    assert len([line for line in script.splitlines() if line.strip()]) <= 15
    imports = re.findall(r"^(?:import|from) (\w+)", script, re.M)
    assert set(imports) == {"sys", "numpy", "onnxruntime"}
    (tmp_path / "swap_crops.py").write_text(script)
    target, source = faces()
    for name, crop in (("target", target), ("source", source)):
        np.save(tmp_path / f"{name}.npy", crop)
    line = ["swap_crops.py", str(single / SINGLE_FILE), "target.npy", "source.npy", "swapped.npy"]
    done = subprocess.run(
        [sys.executable, *line], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = np.load(tmp_path / "swapped.npy").astype(int)
    expected = runtime_swap(single, target, source).astype(int)
    # Float sums may fall on either side of a half.
    assert found.shape == (24, 24, 3) and np.abs(found - expected).max() <= 1
    assert (found != expected).mean() < 0.01 and expected.std() > 5


def test_file_is_part_of_the_bundle_and_says_how_to_use_it(single: Path) -> None:
    bundle = Bundle.open(single)
    assert SINGLE_FILE in bundle.manifest.files
    proof = bundle.manifest.parity["single_file"]
    assert proof["schedule"] == "ddim-1" and proof["max_abs"] <= proof["tolerance"]
    model = onnx.load(single / SINGLE_FILE)
    assert [v.name for v in model.graph.input] == ["target", "source"]
    assert [v.name for v in model.graph.output] == ["crop"]
    assert not any(model.graph.value_info) and model.producer_name == "edgeswap"
    session = ort.InferenceSession(single / SINGLE_FILE)
    about = json.loads(session.get_modelmeta().custom_metadata_map["edgeswap"])
    assert about["resolution_px"] == 24
    assert np.allclose(about["landmarks_px"], bundle.manifest.model_crop.landmarks_px)
    assert about["mask"]["radii_px"] == list(bundle.manifest.mask.radii_px)


def test_denoisers_weights_are_stored_once(single: Path) -> None:
    whole = sum((single / f"{n}.onnx").stat().st_size for n in ("identity", "denoise", "decode"))
    # encode is in it once more: the source goes through it too
    assert (single / SINGLE_FILE).stat().st_size < 1.1 * whole + (
        (single / "encode.onnx").stat().st_size
    )


@pytest.mark.parametrize(
    ("sampler", "steps", "options"),
    [
        ("ddim", 3, None),
        ("dpmpp_2m", 3, None),  # history
        pytest.param("euler", 2, None, marks=pytest.mark.slow),  # scaled inputs
        ("lcm", 2, None),  # noise between
        pytest.param("ddim", 2, DdimOptions(eta=0.5), marks=pytest.mark.slow),
    ],
)
def test_steps_guidance_noise_and_history(
    sampler: str,
    steps: int,
    options: Any,
    tmp_path: Path,
    known_graphs: Callable[..., None],
    guided: Any,
) -> None:
    known_graphs()
    config = ExportConfig(
        schedules=SchedulesConfig(sampler=sampler, steps=steps, options=options, others=()),
        detector=False,
        single_file=True,
    )
    export(guided.checkpoint, config, tmp_path / "bundle")
    target, source = faces(1)
    found = np.rint(file_swap(tmp_path / "bundle", target, source)).clip(0, 255)
    assert np.abs(found - runtime_swap(tmp_path / "bundle", target, source)).max() <= 1


def test_free_batch(guided: Any, free: Path, reuse: Any, tmp_path: Path) -> None:
    config = ExportConfig(
        schedules=SchedulesConfig(steps=1, others=()),
        graphs=GraphsConfig(batch=(1, 2, 3)),
        detector=False,
        single_file=True,
    )
    with reuse(free):
        export(guided.checkpoint, config, tmp_path / "bundle")
    session = ort.InferenceSession(tmp_path / "bundle" / SINGLE_FILE)
    random = np.random.default_rng(2)
    feed = {
        name: random.uniform(-1, 1, (3, 3, 24, 24)).astype(np.float32)
        for name in ("target", "source")
    }
    (whole,) = session.run(["crop"], feed)
    for row in range(3):
        (part,) = session.run(["crop"], {k: v[row : row + 1] for k, v in feed.items()})
        assert np.allclose(whole[row : row + 1], part, atol=1e-4)


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_fewer_bits(precision: str, lowered: Path) -> None:
    bundle = lowered / precision
    proof = Bundle.open(bundle).manifest.parity["single_file"]
    target, source = faces(3)
    wrong = file_swap(bundle, target, source) - runtime_swap(bundle, target, source)
    assert proof["tolerance"] < 0.01 and np.sqrt(np.square(wrong).mean()) < 1.5


def test_too_many_steps(
    guided: Any,
    tmp_path: Path,
    known_graphs: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    known_graphs()
    line = ["export", str(guided.checkpoint), str(tmp_path / "b"), "--single-file", "--steps", "8"]
    assert main([*line, "--no-detector", "--schedule", "ddim:8"]) == 2
    *before, last = capsys.readouterr().err.splitlines()
    assert not [line for line in before if line.startswith("writing")]
    assert f"evaluates the denoiser 8 times; one graph holds at most {MOST_STEPS}" in last
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("precision", ["bf16", "fp8"])
def test_precision_that_cannot_be_proven(
    precision: str, guided: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["export", str(guided.checkpoint), str(tmp_path / "b"), "--single-file"]
    assert main([*line, "--precision", precision]) == 2
    assert "cannot be proven here: expected fp32, fp16 or int8" in capsys.readouterr().err


def test_wrong_file_is_found(
    guided: Any, tmp_path: Path, known_graphs: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another seed's noise is another swap."""
    known_graphs()
    from edgeswap_export import _single_file

    monkeypatch.setattr(_single_file, "SEED", 1)
    config = ExportConfig(schedules=SchedulesConfig(others=()), detector=False, single_file=True)
    with pytest.raises(ParityFailed, match=r"swap.onnx differs from the graphs it was made of by"):
        export(guided.checkpoint, config, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_schedule_request_of_the_file_is_the_default_one(single: Path) -> None:
    assert (
        ScheduleRequest(sampler="ddim", steps=1).name
        == (Bundle.open(single).manifest.parity["single_file"]["schedule"])
    )
