"""A teacher from end to end on a toy dataset, stopped and continued."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgeswap_compress import Checkpoint
from edgeswap_compress.checkpoint.latents import encode_crop
from edgeswap_compress.checkpoint.tiny import tiny_checkpoint
from edgeswap_compress.errors import InvalidCheckpoint, TrainingStopped
from edgeswap_compress.fit.config import FitConfig, changed
from edgeswap_compress.fit.latent_cache import draw_triplets, held_out_triplets, to_tensor
from edgeswap_compress.fit.loop import Cadence
from edgeswap_compress.fit.losses import decoder_metric
from edgeswap_compress.train import _teacher
from edgeswap_compress.train._teacher import TeacherRun
from edgeswap_compress.train.config import (
    AutoencoderConfig,
    AutoencoderShape,
    DenoiserConfig,
    DenoiserShape,
    IdentityConfig,
    StartConfig,
    TeacherConfig,
    UsualSampling,
)
from edgeswap_runtime.errors import OutputExists


def fit_config(samples: int, batch_size: int) -> FitConfig:
    return FitConfig(samples=samples, batch_size=batch_size, warmup_steps=2, learning_rate=2e-3)


CONFIG = TeacherConfig(
    autoencoder=AutoencoderConfig(
        fit=fit_config(80, 8),
        shape=AutoencoderShape(widths=(8, 8), norm_num_groups=4, latent_channels=4),
    ),
    identity=IdentityConfig(fit=fit_config(40, 8), widths=(8, 8), vector_size=8),
    denoiser=DenoiserConfig(
        fit=fit_config(48, 8),
        shape=DenoiserShape(
            block_out_channels=(8, 8), attention_heads=2, time_embedding_dim=8, norm_num_groups=4
        ),
        sampling=UsualSampling(default_steps=4),
    ),
    dtype="float32",
)


@pytest.fixture
def datasets(noise_dataset: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(_teacher, "open_pictures", lambda path: noise_dataset)
    return noise_dataset


def train(
    folder: Path,
    config: TeacherConfig = CONFIG,
    stop_after_s: float | None = None,
    init: Path | None = None,
) -> Any:
    run = TeacherRun(Path("train"), Path("heldout"), config, folder / "run", init)
    return run.execute(
        folder / "checkpoint", cadence=Cadence(save_s=0.0, stop_after_s=stop_after_s)
    )


def test_stopped_and_continued_training_gives_the_same_checkpoint(
    datasets: Any, tmp_path: Path
) -> None:
    whole = train(tmp_path / "whole")
    parts, stops = None, 0
    while parts is None:
        parts = train(tmp_path / "parts", stop_after_s=0.02)
        stops += 1
    assert stops > 2
    first, second = Checkpoint.load(whole), Checkpoint.load(parts)
    for name in ("unet", "vae", "conditioner"):
        a, b = getattr(first, name).state_dict(), getattr(second, name).state_dict()
        assert all(torch.equal(a[key], b[key]) for key in a), name
    first_curves, second_curves = (
        model.swap.history[0]["config"].pop("curves") for model in (first, second)
    )
    assert first.swap == second.swap
    assert first_curves["denoiser"][-1] == second_curves["denoiser"][-1]
    assert first_curves["denoiser"][-1]["samples"] == 48
    assert first.swap.history[0]["stage"] == "train"
    assert not np.allclose(first.swap.residual_std, 1.0)


def test_other_settings_in_the_same_folder_are_refused(datasets: Any, tmp_path: Path) -> None:
    train(tmp_path, stop_after_s=0.0)
    other = TeacherConfig(
        autoencoder=CONFIG.autoencoder,
        identity=CONFIG.identity,
        denoiser=CONFIG.denoiser,
        dtype="float32",
        start=StartConfig(seed=1),
    )
    with pytest.raises(TrainingStopped, match="another training: expected the same settings"):
        train(tmp_path, other)


def test_a_run_goes_on_in_another_dtype(datasets: Any, tmp_path: Path) -> None:
    other = dataclasses.replace(CONFIG, dtype="bfloat16")
    assert train(tmp_path, other, stop_after_s=0.0) is None
    history = Checkpoint.load(train(tmp_path)).swap.history[0]["config"]
    assert history["dtype"] == "bfloat16, float32"


def test_a_run_goes_on_from_a_checkpoint(datasets: Any, tmp_path: Path) -> None:
    first = train(tmp_path / "first")
    config = changed(CONFIG, {"denoiser.fit.learning_rate": 0.0, "start.seed": 1})
    second = train(tmp_path / "second", config, init=first)
    assert not (tmp_path / "second" / "run" / "autoencoder").exists()
    before, after = Checkpoint.load(first), Checkpoint.load(second)
    for name in (
        "unet",
        "vae",
        "conditioner",
    ):  # all begin, and with no steps to speak of end, there
        a, b = getattr(before, name).state_dict(), getattr(after, name).state_dict()
        assert all(torch.allclose(a[key], b[key], atol=1e-3) for key in a), name
    assert before.swap.residual_std == after.swap.residual_std
    assert [entry["stage"] for entry in after.swap.history] == ["train", "train"]
    with pytest.raises(TrainingStopped, match="another training: expected the same settings"):
        TeacherRun(Path("train"), Path("heldout"), config, tmp_path / "second" / "run")


def test_a_run_grows_the_latents_of_a_checkpoint(datasets: Any, tmp_path: Path) -> None:
    first = train(tmp_path / "first")
    config = changed(CONFIG, {"autoencoder.shape.latent_channels": 6, "start.widen_latents": True})
    second = Checkpoint.load(train(tmp_path / "second", config, init=first))
    assert second.swap.latent_channels == len(second.swap.residual_std) == 6
    assert (tmp_path / "second" / "run" / "autoencoder").exists()
    assert len(second.swap.latents.std) == len(second.swap.latents.mean) == 6
    assert not np.allclose(second.swap.residual_std[4:], 1.0)


def test_a_decoder_is_trained_on_while_latents_stay(datasets: Any, tmp_path: Path) -> None:
    plain = Checkpoint.load(train(tmp_path / "plain"))
    config = changed(CONFIG, {"decoders.decoder": fit_config(40, 8)})
    sharp = Checkpoint.load(train(tmp_path / "sharp", config))
    for part, same in (("encoder", True), ("decoder", False)):
        before, after = (getattr(model.vae, part).state_dict() for model in (plain, sharp))
        assert all(torch.equal(before[key], after[key]) for key in before) is same, part
    assert sharp.swap.history[0]["config"]["curves"]["decoder"][-1]["samples"] == 40


def test_a_decoder_is_trained_on_predictions(datasets: Any, tmp_path: Path) -> None:
    plain = Checkpoint.load(train(tmp_path / "plain"))
    config = changed(CONFIG, {"decoders.swap_decoder": fit_config(40, 8)})
    sharp = Checkpoint.load(train(tmp_path / "sharp", config))
    for name, same in (("unet", True), ("conditioner", True), ("vae", False)):
        before, after = (getattr(model, name).state_dict() for model in (plain, sharp))
        assert all(torch.equal(before[key], after[key]) for key in before) is same, name
    assert sharp.swap.history[0]["config"]["curves"]["swap-decoder"][-1]["samples"] == 40


def test_the_decoder_metric_is_what_pixels_see(noise_dataset: Any) -> None:
    checkpoint = tiny_checkpoint()
    pictures, masks = zip(
        *((noise_dataset.images(g), noise_dataset.masks(g)) for g in range(4)), strict=True
    )
    crops = to_tensor(np.concatenate(pictures))
    latents = encode_crop(checkpoint.vae, checkpoint.swap, crops).detach()
    pooled = torch.nn.functional.interpolate(
        torch.from_numpy(np.concatenate(masks)).float()[:, None] / 255, (4, 4), mode="area"
    )
    metric = decoder_metric(checkpoint.vae, checkpoint.swap, latents, pooled)
    assert float(metric.diagonal().mean()) == pytest.approx(1.0)
    assert torch.allclose(metric, metric.T)
    assert float(torch.linalg.eigvalsh(metric).min()) > -1e-4
    with torch.no_grad():  # a decoder that does not read a channel gives it no weight
        checkpoint.vae.post_quant_conv.weight[:, 2] = 0.0
        blind = decoder_metric(checkpoint.vae, checkpoint.swap, latents, pooled)
        assert float(blind[2].abs().max()) < 1e-6
        checkpoint.vae.post_quant_conv.weight[:] = 0.0
    with pytest.raises(InvalidCheckpoint, match="pictures that follow the latents"):
        decoder_metric(checkpoint.vae, checkpoint.swap, latents, pooled)


def test_existing_output_is_refused_before_any_work(datasets: Any, tmp_path: Path) -> None:
    (tmp_path / "checkpoint").mkdir()
    with pytest.raises(OutputExists):
        train(tmp_path)
    assert not (tmp_path / "run" / "autoencoder").exists()


def test_triplets_are_consistent() -> None:
    """Truth wears the source's identity in the target's scene; the source is another scene."""
    k = 4
    t = draw_triplets(np.random.default_rng(0), 10, k, 2000)
    scene, worn = np.divmod(t.target - k, k)
    truth_scene, truth_face = np.divmod(t.truth - k, k)
    assert (scene == truth_scene).all()
    assert (truth_face == t.identity).all()
    assert 0.01 < (worn == truth_face).mean() < 0.1
    in_grid = t.source >= k
    source_scene, source_face = np.divmod(t.source - k, k)
    assert (source_face[in_grid] == t.identity[in_grid]).all()
    assert (t.source[~in_grid] == t.identity[~in_grid]).all()
    assert (source_scene[in_grid] != scene[in_grid]).all()


def test_held_out_triplets_are_every_untouched_pair() -> None:
    t = held_out_triplets(2, 3)
    assert len(t.group) == 2 * 3 * 2
    scene, worn = np.divmod(t.target - 3, 3)
    assert (scene == worn).all()
    assert (t.identity != scene).all()
    assert (t.source == t.identity).all()
