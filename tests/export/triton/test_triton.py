"""The model repository: configs that Triton's own protobufs read, graphs that equal the runtime."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from google.protobuf import text_format

from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_export import ExportConfig, GraphsConfig, SchedulesConfig, export
from edgeswap_export._errors import UnsupportedExport
from edgeswap_export.triton import TritonConfig, docker_line, triton
from edgeswap_runtime import Bundle, Swapper
from edgeswap_runtime.cli import main
from edgeswap_runtime.errors import InvalidRequest

protobufs = pytest.importorskip("tritonclient.grpc.model_config_pb2")

MODELS = ("encode", "identity", "denoise", "decode")
ENSEMBLES = ("swap", "swap_known")


@pytest.fixture(scope="module")
def bundle(guided: Any, free: Path, reuse: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Guided, two steps and a free batch: everything that a sampler's graph can have."""
    config = ExportConfig(
        schedules=SchedulesConfig(sampler="dpmpp_2m", steps=2),
        graphs=GraphsConfig(batch=(1, 2, 4)),
        detector=False,
    )
    with reuse(free):
        return export(guided.checkpoint, config, tmp_path_factory.mktemp("served") / "bundle")


@pytest.fixture(scope="module")
def repository(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("repository") / "models"
    return triton(bundle, TritonConfig(), out)


def read_config(repository: Path, name: str) -> Any:
    text = (repository / name / "config.pbtxt").read_text()
    return text_format.Parse(text, protobufs.ModelConfig())


def test_configs_are_read_by_tritons_protobufs(repository: Path) -> None:
    assert sorted(p.name for p in repository.iterdir()) == sorted((*MODELS, *ENSEMBLES))
    for name in (*MODELS, *ENSEMBLES):
        config = read_config(repository, name)
        assert config.name == name and config.max_batch_size == 4
        assert (repository / name / "1").is_dir()
        assert all(t.data_type == protobufs.TYPE_FP32 for t in (*config.input, *config.output))
    denoise = read_config(repository, "denoise")
    assert denoise.backend == "onnxruntime"
    assert list(denoise.dynamic_batching.preferred_batch_size) == [2]
    assert denoise.dynamic_batching.max_queue_delay_microseconds == 1000
    assert not denoise.optimization.execution_accelerators.gpu_execution_accelerator
    assert list((repository / "swap" / "1").iterdir()) == []


@pytest.mark.parametrize("name", MODELS)
def test_configs_state_the_graphs_tensors(name: str, repository: Path) -> None:
    config = read_config(repository, name)
    model = onnx.load(repository / name / "1" / config.default_model_filename)
    for stated, values in (
        (config.input, model.graph.input),
        (config.output, model.graph.output),
    ):
        assert sorted(t.name for t in stated) == sorted(v.name for v in values)
        shapes = {v.name: v.type.tensor_type.shape.dim for v in values}
        for tensor in stated:
            batch, *rest = shapes[tensor.name]
            assert batch.dim_param and list(tensor.dims) == [d.dim_value for d in rest]


def serve(repository: Path, ensemble: str, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Run an ensemble as the server does: step by step along its maps."""
    values = dict(given)
    for step in read_config(repository, ensemble).ensemble_scheduling.step:
        session = ort.InferenceSession(repository / step.model_name / "1" / "model.onnx")
        feed = {key: values[name] for key, name in step.input_map.items()}
        names = list(step.output_map)
        found = session.run(names, feed)
        values |= {step.output_map[n]: v for n, v in zip(names, found, strict=True)}
    return values


def pictures(seed: int, count: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.integers(0, 255, (count, 24, 24, 3), dtype=np.uint8)


def tensors(crops: np.ndarray) -> np.ndarray:
    return (crops.astype(np.float32) / 127.5 - 1).transpose(0, 3, 1, 2)


def test_ensembles_equal_the_runtime_for_every_request_of_a_batch(
    repository: Path, bundle: Path
) -> None:
    targets, sources = pictures(0, 3), pictures(1, 3)
    given = {"target": tensors(targets), "source": tensors(sources)}
    found = serve(repository, "swap", given)
    kept = {name: found[name] for name in ("tokens", "vector", "source_latents")}
    again = serve(repository, "swap_known", {"target": given["target"], **kept})
    assert np.array_equal(found["crop"], again["crop"])
    crops = np.rint((found["crop"].transpose(0, 2, 3, 1) + 1) * 127.5).clip(0, 255)
    with Swapper.open(bundle, threads=1) as swapper:
        for crop, target, source in zip(crops, targets, sources, strict=True):
            expected = swapper.swap_crop(target, swapper.identity_of_crops([source]))
            assert np.abs(crop - expected).max() <= 1 and expected.std() > 5


def test_every_input_of_an_ensemble_is_declared(repository: Path) -> None:
    for name in ENSEMBLES:
        config = read_config(repository, name)
        made = {t.name for t in config.input}
        for step in config.ensemble_scheduling.step:
            assert set(step.input_map.values()) <= made
            made |= set(step.output_map.values())
        assert {t.name for t in config.output} == {"crop"} <= made


def test_command(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["triton", str(bundle), str(tmp_path / "models"), "--accelerator", "tensorrt"]
    assert main([*line, "--queue-delay-us", "50", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["models"] == sorted((*MODELS, *ENSEMBLES))
    assert f"-v {tmp_path / 'models'}:/models" in told["docker"]
    assert told["docker"] == docker_line(tmp_path / "models")
    config = read_config(tmp_path / "models", "encode")
    assert config.dynamic_batching.max_queue_delay_microseconds == 50
    (accelerator,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert accelerator.name == "tensorrt"
    assert main(line) == 2
    assert "already exists" in capsys.readouterr().err


def test_export_writes_it_besides(
    guided: Any, free: Path, reuse: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = Checkpoint.load(guided.checkpoint)
    checkpoint.swap = checkpoint.swap.sampled(steps=1)
    checkpoint.save(tmp_path / "student")
    line = ["export", str(tmp_path / "student"), str(tmp_path / "bundle"), "--no-detector"]
    assert main([*line, "--triton", str(tmp_path / "models")]) == 2
    assert "--triton needs a dynamic batch: add --batch" in capsys.readouterr().err
    (tmp_path / "taken").mkdir()
    assert main([*line, "--batch", "1:2:2", "--triton", str(tmp_path / "taken")]) == 2
    assert "already exists" in capsys.readouterr().err
    assert not (tmp_path / "bundle").exists()
    with reuse(free):
        assert main([*line, "--batch", "1:2:2", "--triton", str(tmp_path / "models")]) == 0
    assert "docker run" in capsys.readouterr().out
    assert read_config(tmp_path / "models", "swap").max_batch_size == 2
    assert Bundle.open(tmp_path / "bundle").manifest.default_schedule == "ddim-1"


def test_fixed_batch_is_refused(guided: Any, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedExport, match="export the checkpoint with --batch"):
        triton(guided.bundle, TritonConfig(), tmp_path / "models")
    assert list(tmp_path.iterdir()) == []


def test_too_many_steps_and_unknown_schedules_are_refused(
    bundle: Path, tmp_path: Path, known_graphs: Callable[..., None]
) -> None:
    with pytest.raises(UnsupportedExport, match="evaluates the denoiser 25 times"):
        triton(bundle, TritonConfig(schedule="ddim-25"), tmp_path / "models")
    with pytest.raises(InvalidRequest, match="has no schedule 'lcm-9': expected one of ddim-1"):
        triton(bundle, TritonConfig(schedule="lcm-9"), tmp_path / "models")
    assert list(tmp_path.iterdir()) == []


def test_bad_settings() -> None:
    with pytest.raises(UnsupportedExport, match="at least 0"):
        TritonConfig(delay_us=-1)
    with pytest.raises(UnsupportedExport, match="accelerator 'openvino': expected tensorrt"):
        TritonConfig(accelerator="openvino")
