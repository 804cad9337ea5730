"""Fixtures of the export tests: tiny seeded models, nothing from outside."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edgeswap_compress.checkpoint._tiny import tiny_checkpoint
from edgeswap_compress.data.assets import PACKAGES
from edgeswap_export import ExportConfig, GraphsConfig, SchedulesConfig, _stage, export
from edgeswap_export.graphs import detector as _detector
from edgeswap_runtime.files import sha256_file

FRESH_EXPORT = """
import sys
from edgeswap_export.graphs import detector as _detector
from edgeswap_runtime.cli import main
_detector.SHA256 = sys.argv[1]
sys.exit(main(["export", *sys.argv[2:]]))
"""


@pytest.fixture
def scheduler_config() -> dict[str, Any]:
    """The default model's scheduler: cosine betas, v-prediction, zero terminal SNR, trailing."""
    return {
        "num_train_timesteps": 1000,
        "beta_schedule": "squaredcos_cap_v2",
        "prediction_type": "v_prediction",
        "rescale_betas_zero_snr": True,
        "timestep_spacing": "trailing",
        "clip_sample": False,
    }


def stand_in_detector(path: Path) -> str:
    """Write a graph with YuNet's tensors and fixed shapes but other insides; returns its sha256."""
    helper, float32 = onnx.helper, onnx.TensorProto.FLOAT
    random = np.random.default_rng(0)
    nodes, weights, outputs = [], [], []
    for kind, width in _detector.WIDTHS.items():
        for stride in _detector.STRIDES:
            name = f"{kind}_{stride}"
            kernel = random.normal(0, 0.01, (width, 3, stride, stride)).astype(np.float32)
            weights.append(onnx.numpy_helper.from_array(kernel, f"{name}.kernel"))
            shape = np.array([1, -1, width], np.int64)
            weights.append(onnx.numpy_helper.from_array(shape, f"{name}.shape"))
            nodes += [
                helper.make_node(
                    "Conv", ["input", f"{name}.kernel"], [f"{name}.maps"], strides=[stride, stride]
                ),
                helper.make_node(
                    "Transpose", [f"{name}.maps"], [f"{name}.last"], perm=[0, 2, 3, 1]
                ),
                helper.make_node("Reshape", [f"{name}.last", f"{name}.shape"], [name]),
            ]
            anchors = (640 // stride) ** 2
            outputs.append(helper.make_tensor_value_info(name, float32, [1, anchors, width]))
    picture = helper.make_tensor_value_info("input", float32, [1, 3, 640, 640])
    graph = helper.make_graph(nodes, "stand-in", [picture], outputs, weights)
    stale = helper.make_tensor_value_info("cls_8.maps", float32, [1, 1, 80, 80])
    graph.value_info.append(stale)
    opset = [helper.make_opsetid("", 11)]
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=6), path)
    return sha256_file(path)


@pytest.fixture(scope="package", autouse=True)
def detector_sha256(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Put a stand-in for the detector into a cache of assets of the tests' own."""
    cache = tmp_path_factory.mktemp("assets")
    package = PACKAGES[_detector.ASSET]
    home = cache / f"{_detector.ASSET}-{package.version}" / package.root
    sha256 = stand_in_detector(home / _detector.FILE_NAME)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGESWAP_CACHE", str(cache))
        patch.setattr(_detector, "SHA256", sha256)
        yield sha256


@dataclass(frozen=True)
class Exported:
    """A tiny checkpoint's folder and the bundle made of it."""

    checkpoint: Path
    bundle: Path
    guidance_scale: float


@pytest.fixture(scope="package")
def plain(tmp_path_factory: pytest.TempPathFactory, detector_sha256: str) -> Exported:
    """A checkpoint without guidance, exported by the command line in a process of its own."""
    folder = tmp_path_factory.mktemp("plain")
    tiny_checkpoint(seed=1).save(folder / "tiny")
    command = [sys.executable, "-c", FRESH_EXPORT, detector_sha256]
    done = subprocess.run(
        [*command, str(folder / "tiny"), str(folder / "bundle"), "--json"],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (folder / "stdout.json").write_text(done.stdout)
    return Exported(folder / "tiny", folder / "bundle", 1.0)


@pytest.fixture(scope="package")
def guided(tmp_path_factory: pytest.TempPathFactory, plain: Exported) -> Exported:
    """The same weights with guidance, exported in this process.

    Only the denoiser knows of guidance: the other graphs are the plain bundle's, to save seconds.
    """
    folder = tmp_path_factory.mktemp("guided")
    tiny_checkpoint(seed=1, guidance_scale=1.5).save(folder / "tiny")
    with graphs_of(plain.bundle, but="denoise"):
        export(folder / "tiny", ExportConfig(), folder / "bundle")
    return Exported(folder / "tiny", folder / "bundle", 1.5)


@contextlib.contextmanager
def graphs_of(bundle: Path, but: str = "") -> Iterator[None]:
    """Let exports take a bundle's graphs, all but one, which are the same, to save seconds."""
    write = _stage.to_onnx

    def reuse(name: str, *graph: Any) -> onnx.ModelProto:
        if name == but:
            return write(name, *graph)
        return onnx.load(bundle / f"{name}.onnx")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_stage, "to_onnx", reuse)
        yield


Reuse = Callable[[Path], contextlib.AbstractContextManager[None]]


@pytest.fixture(scope="package")
def reuse() -> Reuse:
    """Let exports inside `with reuse(bundle):` take that bundle's graphs, to save seconds."""
    return graphs_of


@pytest.fixture(scope="package")
def free(guided: Exported, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The guided checkpoint, its batch free: the hardest case, two evaluations in one batch."""
    config = ExportConfig(
        graphs=GraphsConfig(batch=(1, 2, 3)), schedules=SchedulesConfig(others=()), detector=False
    )
    return export(guided.checkpoint, config, tmp_path_factory.mktemp("free") / "bundle")


@pytest.fixture(scope="package")
def lowered(guided: Exported, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the guided checkpoint in two precisions, with a file of the whole swap."""
    folder = tmp_path_factory.mktemp("lowered")
    for precision in ("fp16", "int8"):
        config = ExportConfig(
            graphs=GraphsConfig(precision=precision, calibration_swaps=2),
            schedules=SchedulesConfig(steps=2, others=()),
            detector=False,
            single_file=True,
        )
        with graphs_of(guided.bundle):
            export(guided.checkpoint, config, folder / precision)
    return folder


@pytest.fixture
def exported(
    request: pytest.FixtureRequest, guidance: float, guided: Exported, plain: Exported
) -> Exported:
    """The bundle with or without guidance, as the test's parameter says."""
    return guided if guidance != 1.0 else plain


@pytest.fixture
def known_graphs(guided: Exported, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Hand out the guided bundle's graphs instead of writing them again, which takes seconds.

    The function takes ``change(name, model)``, called on each before it is handed out.
    """

    def give(change: Callable[[str, onnx.ModelProto], None] = lambda name, model: None) -> None:
        def load(name: str, *_: Any) -> onnx.ModelProto:
            model = onnx.load(guided.bundle / f"{name}.onnx")
            change(name, model)
            return model

        monkeypatch.setattr(_stage, "to_onnx", load)

    return give
