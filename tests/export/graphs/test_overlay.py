"""A checkpoint whose decoder sees the target: its bundle and its single file swap as torch does."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from edgeswap_compress import Checkpoint, SwapPipeline
from edgeswap_compress.autoencoders import TargetOverlay, laid_over
from edgeswap_compress.checkpoint.tiny import tiny_checkpoint
from edgeswap_compress.fit.latent_cache import to_tensor
from edgeswap_export import ExportConfig, GraphsConfig, SchedulesConfig, export
from edgeswap_export.triton import TritonConfig, triton
from edgeswap_runtime import Swapper
from edgeswap_runtime.bundle.folder import Bundle


@pytest.fixture(scope="module")
def model() -> Checkpoint:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        overlay = TargetOverlay(patch_size=3, widths=(8, 8, 16)).eval()
        torch.nn.init.normal_(overlay.write.weight, std=0.8)
    torch.nn.Module.to(torch.nn.Module.to(overlay, torch.float16), torch.float32)
    return dataclasses.replace(tiny_checkpoint(), overlay=overlay)


@pytest.fixture(scope="module")
def bundle(model: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("overlay")
    config = ExportConfig(
        schedules=SchedulesConfig(steps=1, others=()), detector=False, single_file=True
    )
    export(model.save(folder / "model"), config, folder / "bundle")
    return folder / "bundle"


@pytest.fixture
def crops() -> tuple[np.ndarray, np.ndarray]:
    target, source = np.random.default_rng(0).integers(0, 255, (2, 24, 24, 3), dtype=np.uint8)
    return target, source


def test_the_manifest_says_where_alpha_comes_from(bundle: Path) -> None:
    decode = Bundle.open(bundle).manifest.graphs["decode"]
    assert [tensor.name for tensor in decode.outputs] == ["crop", "alpha"]
    assert {tensor.role for tensor in decode.inputs} >= {"sample", "crop:model/target"}


def test_a_bundle_swaps_as_torch_does(
    model: Checkpoint, bundle: Path, crops: tuple[np.ndarray, np.ndarray]
) -> None:
    target, source = crops
    noise = np.random.default_rng(1).normal(size=(1, 4, 4, 4)).astype(np.float32)
    found = SwapPipeline.from_checkpoint(model)(
        to_tensor(target[None]), to_tensor(source[None]), noise=torch.from_numpy(noise),
        num_inference_steps=1,
    )  # fmt: skip
    assert found.alpha is not None and float(found.alpha.std()) > 0.05
    wanted = {
        False: found.crops,
        True: laid_over(found.crops, found.alpha, to_tensor(target[None])),
    }
    with Swapper.open(bundle) as swapper:
        identity = swapper.identity_of_crops([source])
        for keep, expected in wanted.items():
            swapped = swapper.swap_crop(target, identity, noise=noise, keep_occluders=keep)
            levels = (expected[0].permute(1, 2, 0).numpy() + 1) * 127.5
            assert np.abs(levels - swapped).max() <= 1.0  # whole gray levels


@pytest.mark.slow
def test_triton_serves_alpha_too(model: Checkpoint, tmp_path: Path) -> None:
    graphs = GraphsConfig(batch=(1, 2, 4))
    config = ExportConfig(
        schedules=SchedulesConfig(steps=1, others=()), detector=False, graphs=graphs
    )
    export(model.save(tmp_path / "model"), config, tmp_path / "bundle")
    out = triton(tmp_path / "bundle", TritonConfig(), tmp_path / "repository")
    for name in ("swap", "swap_known"):
        told = (out / name / "config.pbtxt").read_text()
        assert '"alpha"' in told.partition("output")[2]


def test_the_single_file_gives_alpha_too(
    bundle: Path, crops: tuple[np.ndarray, np.ndarray]
) -> None:
    session = onnxruntime.InferenceSession(bundle / "swap.onnx", providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == ["crop", "alpha"]
    feed = {
        name: to_tensor(crop[None]).contiguous().numpy()
        for name, crop in zip(("target", "source"), crops, strict=True)
    }
    crop, alpha = session.run(None, feed)
    assert crop.shape == (1, 3, 24, 24) and alpha.shape == (1, 1, 24, 24)
    assert 0 <= alpha.min() < alpha.max() <= 1
