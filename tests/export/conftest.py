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

from edgeswap_compress.checkpoint.tiny import tiny_checkpoint
from edgeswap_compress.data.assets import PACKAGES
from edgeswap_export import ExportConfig, GraphsConfig, SchedulesConfig, export, stage
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


@dataclass(frozen=True)
class StandIn:
    """A cache of assets of the tests' own, with a stand-in for the detector in it."""

    cache: Path
    sha256: str

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Let exports find it."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("EDGESWAP_CACHE", str(self.cache))
            patch.setattr(_detector, "SHA256", self.sha256)
            yield


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> StandIn:
    """The stand-in for the detector."""
    cache = tmp_path_factory.mktemp("assets")
    package = PACKAGES[_detector.ASSET]
    home = cache / f"{_detector.ASSET}-{package.version}" / package.root
    return StandIn(cache, stand_in_detector(home / _detector.FILE_NAME))


@pytest.fixture(scope="package", autouse=True)
def detector_sha256(stand_in: StandIn) -> Iterator[str]:
    """Use the stand-in for the detector in all tests here."""
    with stand_in.in_use():
        yield stand_in.sha256


@dataclass(frozen=True)
class Exported:
    """A tiny checkpoint's folder and the bundle made of it."""

    checkpoint: Path
    bundle: Path
    guidance_scale: float


MadeOnce = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def plain(made_once: MadeOnce, stand_in: StandIn) -> Exported:
    """A checkpoint without guidance, exported by the command line in a process of its own."""

    def build(folder: Path) -> None:
        tiny_checkpoint(seed=1).save(folder / "tiny")
        command = [sys.executable, "-c", FRESH_EXPORT, stand_in.sha256]
        with stand_in.in_use():
            done = subprocess.run(
                [*command, str(folder / "tiny"), str(folder / "bundle"), "--json"],
                capture_output=True,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                check=False,
            )
        assert done.returncode == 0, done.stderr
        (folder / "stdout.json").write_text(done.stdout)

    folder = made_once("plain", build)
    return Exported(folder / "tiny", folder / "bundle", 1.0)


@pytest.fixture(scope="session")
def guided(made_once: MadeOnce, plain: Exported, stand_in: StandIn) -> Exported:
    """The same weights with guidance, exported in this process.

    Only the denoiser knows of guidance: the other graphs are the plain bundle's, to save seconds.
    """

    def build(folder: Path) -> None:
        tiny_checkpoint(seed=1, guidance_scale=1.5).save(folder / "tiny")
        with stand_in.in_use(), graphs_of(plain.bundle, but="denoise"):
            export(folder / "tiny", ExportConfig(), folder / "bundle")

    folder = made_once("guided", build)
    return Exported(folder / "tiny", folder / "bundle", 1.5)


@contextlib.contextmanager
def graphs_of(bundle: Path, but: str = "") -> Iterator[None]:
    """Let exports take a bundle's graphs, all but one, which are the same, to save seconds."""
    write = stage.to_onnx

    def reuse(name: str, *graph: Any) -> onnx.ModelProto:
        if name == but:
            return write(name, *graph)
        return onnx.load(bundle / f"{name}.onnx")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "to_onnx", reuse)
        yield


Reuse = Callable[[Path], contextlib.AbstractContextManager[None]]


@pytest.fixture(scope="session")
def reuse() -> Reuse:
    """Let exports inside `with reuse(bundle):` take that bundle's graphs, to save seconds."""
    return graphs_of


@pytest.fixture(scope="session")
def free(made_once: MadeOnce, guided: Exported) -> Path:
    """The guided checkpoint, its batch free: the hardest case, two evaluations in one batch."""
    config = ExportConfig(
        graphs=GraphsConfig(batch=(1, 2, 3)), schedules=SchedulesConfig(others=()), detector=False
    )
    folder = made_once("free", lambda home: export(guided.checkpoint, config, home / "bundle"))
    return folder / "bundle"


@pytest.fixture(scope="session")
def lowered(made_once: MadeOnce, guided: Exported) -> Path:
    """A folder with the guided checkpoint in two precisions, with a file of the whole swap."""

    def build(folder: Path) -> None:
        for precision in ("fp16", "int8"):
            config = ExportConfig(
                graphs=GraphsConfig(precision=precision, calibration_swaps=2),
                schedules=SchedulesConfig(steps=2, others=()),
                detector=False,
                single_file=True,
            )
            with graphs_of(guided.bundle):
                export(guided.checkpoint, config, folder / precision)

    return made_once("lowered", build)


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

        monkeypatch.setattr(stage, "to_onnx", load)

    return give
