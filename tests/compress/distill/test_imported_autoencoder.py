"""Small autoencoders for Stable Diffusion's latents: an eighth of the picture, scaled, masked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from PIL import Image

from edgeswap_compress import Checkpoint, SwapPipeline
from edgeswap_compress.checkpoint.latents import encode_crop
from edgeswap_compress.checkpoint.target_maps import face_pixels
from edgeswap_compress.fit.latent_cache import to_tensor
from edgeswap_compress.importers.tiny.adapters import tiny_adapter
from edgeswap_compress.importers.tiny.backbones import tiny_base, tiny_prompt
from edgeswap_compress.importers.tiny.encoders import tiny_recognizer
from edgeswap_export import ExportConfig, SchedulesConfig, export
from edgeswap_runtime import Swapper
from edgeswap_runtime.cli import main

pytestmark = pytest.mark.filterwarnings("ignore")  # diffusers' own, of versions to come

SIDE = 64


def crops() -> np.ndarray:
    """Twelve crops with smooth faces and backgrounds, two of each person."""
    random, (y, x) = np.random.default_rng(0), np.mgrid[:SIDE, :SIDE] / SIDE
    made = []
    for _ in range(12):
        colors, tilt = random.integers(30, 226, (2, 3)), random.normal(0, 40, (2, 3))
        inside = ((x - 0.5) / 0.25) ** 2 + ((y - 0.6) / 0.3) ** 2 < 1
        shade = x[..., None] * tilt[0] + y[..., None] * tilt[1]
        made.append(np.where(inside[..., None], colors[0], colors[1]) + shade)
    return np.stack(made).clip(0, 255).astype(np.uint8)


@torch.no_grad()
def give_unit_deviation(folder: Path) -> None:
    """Scale the last layer of an encoder: as trained ones, it then has scaled latents around 1."""
    vae = AutoencoderKL.from_pretrained(folder)
    wide = vae.encode(to_tensor(crops())).latent_dist.mean.std() * vae.config.scaling_factor
    vae.quant_conv.weight /= wide
    vae.quant_conv.bias /= wide
    vae.save_pretrained(folder)


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """IP-Adapter FaceID on an inpainting model of Stable Diffusion's form, with random weights."""
    folder = tmp_path_factory.mktemp("imported")
    base, out = tiny_base(folder / "sd9", channels=9), folder / "teacher"
    give_unit_deviation(base / "vae")
    unet = UNet2DConditionModel.from_pretrained(base / "unet")
    line = [
        "import", "faceid", base, out, "--adapter", tiny_adapter(folder / "faceid.bin", unet),
        "--recognizer", tiny_recognizer(folder / "recognizer.onnx"), "--prompt-embeds",
        tiny_prompt(folder), "--size", SIDE, "--steps", 2, "--guidance", 3, "--license", "CC0-1.0",
        "--origin", "random numbers",
    ]  # fmt: skip
    assert main([str(word) for word in line]) == 0
    return out


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("people")
    for number, crop in enumerate(crops()):
        (folder / f"{number // 2}").mkdir(exist_ok=True)
        Image.fromarray(crop).save(folder / f"{number // 2}" / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def small(imported: Path, people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("small") / "small"
    line = ["distill", "autoencoder", imported, out, "--patch-size", 8, "--width", 16,
            "--encoder-blocks", 1, "--decoder-blocks", 1, "--data", people, "--samples", 12 * 60,
            "--batch-size", 12, "--latent-weight", 10, "--learning-rate", 5e-4,
            "--dtype", "float32"]  # fmt: skip
    assert main([str(word) for word in line]) == 0
    return out


@torch.no_grad()
def test_the_small_encoder_has_the_scaled_latents_of_whole_and_masked_crops(
    imported: Path, small: Path
) -> None:
    before, after = Checkpoint.load(imported), Checkpoint.load(small)
    assert before.swap.latents.std == pytest.approx((1 / 0.18215,))
    space = after.swap.latents
    assert (space.size, space.patch_size, space.is_normalized) == (8, 8, True)
    whole = to_tensor(crops())
    masked = whole * (1.0 - face_pixels(after.swap.mask, SIDE))
    for seen in (whole, masked):
        wanted = encode_crop(before.vae, before.swap, seen)
        found = encode_crop(after.vae, after.swap, seen)
        assert float((found - wanted).square().mean()) < 0.5 * float(wanted.square().mean())
    entry = after.swap.history[-1]["config"]
    assert {"latents_gone", "masked_latents_gone"} <= entry["figures"].keys()
    assert entry["macs"]["encoder"] > 0


def test_a_bundle_swaps_with_it_as_torch_does(small: Path, tmp_path: Path) -> None:
    config = ExportConfig(schedules=SchedulesConfig(others=()), detector=False)
    export(small, config, tmp_path / "bundle")
    target, source = crops()[0], crops()[3]
    noise = np.random.default_rng(0).normal(size=(1, 4, 8, 8)).astype(np.float32)
    with Swapper.open(tmp_path / "bundle") as swapper:
        found = swapper.swap_crop(target, swapper.identity_of_crops([source]), noise=noise)
    wanted = SwapPipeline.from_checkpoint(Checkpoint.load(small))(
        to_tensor(target[None]), to_tensor(source[None]), noise=torch.from_numpy(noise)
    ).crops[0]
    apart = (wanted.permute(1, 2, 0).numpy() + 1) * 127.5 - found
    assert np.abs(apart).max() <= 1.0  # the runtime rounds to whole gray levels


def test_a_student_learns_behind_it(
    imported: Path, small: Path, people: Path, tmp_path: Path
) -> None:
    line = ["distill", imported, small, tmp_path / "student", "--data", people, "--steps", 1,
            "--teacher-steps", 2, "--targets", 8, "--samples", 8, "--batch-size", 4,
            "--identity-weight", 0, "--decoder-share", 0.5, "--dtype", "float32"]  # fmt: skip
    assert main([str(word) for word in line]) == 0
    student = Checkpoint.load(tmp_path / "student")
    stages = [entry["stage"] for entry in student.swap.history]
    assert stages[-2:] == ["distill-autoencoder", "distill"]
    assert student.swap.latents.patch_size == 8 and student.swap.default_steps == 1


@pytest.mark.parametrize(("patch", "advice"), [(6, "--patch-size 8"), (16, "--patch-size 8")])
def test_patches_that_do_not_lead_there_are_told(
    patch: int, advice: str, imported: Path, people: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    line = ["distill", "autoencoder", imported, tmp_path / "out", "--patch-size", patch,
            "--data", people]  # fmt: skip
    assert main([str(word) for word in line]) == 2
    error = capsys.readouterr().err
    assert advice in error and len(error.strip().splitlines()) == 1
