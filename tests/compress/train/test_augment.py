"""Augmentation: alike on target and truth, of its own on the source, a function of the draw."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from edgeswap_compress.checkpoint.tiny import tiny_checkpoint
from edgeswap_compress.fit.config import FitConfig
from edgeswap_compress.fit.latent_cache import encode_dataset
from edgeswap_compress.fit.loop import Cadence, Draw
from edgeswap_compress.fit.pairing import pairing_of
from edgeswap_compress.train import _teacher, augment
from edgeswap_compress.train._teacher import TeacherRun
from edgeswap_compress.train.augment import (
    Look,
    apply_look,
    augment_example,
    draw_look,
    draw_occluder,
)
from edgeswap_compress.train.config import (
    AutoencoderConfig,
    AutoencoderShape,
    DenoiserConfig,
    DenoiserShape,
    ExampleConfig,
    IdentityConfig,
    TeacherConfig,
)
from edgeswap_compress.train.examples import Examples
from edgeswap_compress.train.online import OnlineEncoder

SIDE = 48


def face(seed: int = 0) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A smooth picture with an edge, so that blur, noise and compression each show."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE
    base = 80 + 60 * rows[..., None] + 50 * columns[..., None] * rng.random(3)
    base[10:30, 12:36] += 40
    return base.astype(np.uint8)


def test_the_plain_look_keeps_every_byte() -> None:
    assert (apply_look(Look(), face()) == face()).all()


def fine(picture: Any) -> float:
    return float(np.abs(np.diff(picture.astype(float), axis=1)).mean())


def test_each_change_does_what_it_says() -> None:
    plain = face()
    brighter = apply_look(Look(gains=(1.3, 1.0, 1.0)), plain).astype(int) - plain
    assert brighter[..., 0].min() > 0 == np.abs(brighter[..., 1:]).max()
    gray = apply_look(Look(saturation=0.0), plain).astype(int)
    assert np.ptp(gray, axis=2).max() <= 1
    flat = apply_look(Look(contrast=0.5), plain)
    assert flat.std() == pytest.approx(plain.std() / 2, rel=0.02)
    dark = apply_look(Look(gamma=1.5), plain)
    assert (dark <= plain).all()
    assert dark.mean() < plain.mean() - 5
    for softer in (Look(blur=0.03), Look(shrink=3.0)):
        changed = apply_look(softer, plain)
        assert np.abs(changed.astype(int) - plain).max() > 8  # the edge
        assert np.abs(np.diff(changed.astype(int), axis=1)).max() < 30
    noisy = apply_look(Look(noise=4.0, noise_seed=3), plain).astype(int) - plain
    assert noisy.std() == pytest.approx(4.0, rel=0.1)
    assert np.abs(apply_look(Look(quality=30), plain).astype(int) - plain).max() > 3


def test_noise_is_one_field_for_all_pictures_of_a_look() -> None:
    look = Look(noise=4.0, noise_seed=3)
    one, other = (np.full((SIDE, SIDE, 3), level, np.uint8) for level in (100, 120))
    assert (apply_look(look, one) + 20 == apply_look(look, other)).all()


def test_target_and_truth_stay_alike_where_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pointwise changes and occluders keep target and truth equal, byte for byte, outside."""
    monkeypatch.setattr(augment, "_CHANCE", 0.0)
    target = face()
    truth = target.copy()
    truth[14:30, 14:34] = face(1)[14:30, 14:34] // 2
    outside = (target == truth).all(2)
    changed = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        source, new_target, new_truth = augment_example(rng, target, target, truth)
        assert ((new_target == new_truth).all(2) | ~outside).all()
        changed += not (new_target == target).all()
        if not (new_target == target).all():
            assert not (source == new_target).all()  # the source is another photograph
    assert changed > 10


def test_an_occluder_hides_target_and_truth_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augment, "draw_look", lambda rng: Look())
    monkeypatch.setattr(augment, "_CHANCE", 1.0)
    target, truth, source = face(), face() // 2, face(1)
    hidden = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        seen, new_target, new_truth = augment_example(rng, source, target, truth)
        assert (seen == source).all()
        alike = (new_target == new_truth).all(2)
        assert not (target == truth).all(2).any()
        hidden += bool(alike.any())  # where it is opaque only the occluder is seen
        assert ((new_target == target).all(2) | (new_truth != truth).any(2)).all()
    assert hidden >= 28


def test_occluders_leave_most_of_a_face() -> None:
    covers = [
        float(draw_occluder(np.random.default_rng(seed), SIDE).cover.mean()) for seed in range(200)
    ]
    assert 0.05 < float(np.mean(covers)) < 0.25
    assert max(covers) < 0.5


def test_looks_are_drawn_over_the_range_and_repeat() -> None:
    looks = [draw_look(np.random.default_rng(seed)) for seed in range(300)]
    assert draw_look(np.random.default_rng(5)) == looks[5]
    for shown in (
        [look.gains != (1.0, 1.0, 1.0) for look in looks],
        [look.quality is not None for look in looks],
        [look.noise > 0 for look in looks],
        [look.blur > 0 for look in looks],
        [look.shrink > 1 for look in looks],
        [max(look.gains) < 0.5 for look in looks],  # dim
        [max(look.gains) > 1.7 * min(look.gains) for look in looks],  # in a colored light
    ):
        assert 0.05 < np.mean(shown) < 0.9
    for look in looks:
        assert apply_look(look, face()).shape == (SIDE, SIDE, 3)


@pytest.fixture
def parts(noise_dataset: Any, tmp_path: Path) -> Any:
    tiny = tiny_checkpoint()
    tiny.vae.eval().requires_grad_(False)
    groups = encode_dataset(tiny.vae, tiny.swap, noise_dataset, tmp_path / "cache", "key")
    return noise_dataset, tiny, groups


def examples(parts: Any, share: float) -> Examples:
    dataset, tiny, groups = parts
    online = OnlineEncoder(tiny.vae, tiny.swap, dataset, share) if share else None
    return Examples(groups, pairing_of(dataset, 0.3), online)


def test_unchanged_pictures_encode_to_what_is_cached(
    parts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Positions, mirrored groups and roles are read as the cache wrote them."""
    monkeypatch.setattr(augment, "draw_look", lambda rng: Look())
    monkeypatch.setattr("edgeswap_compress.train.online.draw_look", lambda rng: Look())
    monkeypatch.setattr(augment, "_CHANCE", 0.0)
    plain, online = examples(parts, 0.0), examples(parts, 1.0)
    one, other = plain.batch(Draw.of(0, 1), 16), online.batch(Draw.of(0, 1), 16)
    for name in ("source", "target", "truth"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=2e-3, atol=2e-3)
    pairs = plain.same_person(Draw.of(0, 1), 8), online.same_person(Draw.of(0, 1), 8)
    for cached, fresh in zip(*pairs, strict=True):
        torch.testing.assert_close(cached, fresh, rtol=2e-3, atol=2e-3)


def test_a_share_of_the_batch_is_encoded_anew(parts: Any) -> None:
    plain, online = examples(parts, 0.0), examples(parts, 0.25)
    counts = []
    for step in range(40):
        one, other = plain.batch(Draw.of(0, step), 10), online.batch(Draw.of(0, step), 10)
        same = (one.target == other.target).flatten(1).all(1) & (
            one.source == other.source
        ).flatten(1).all(1)
        counts.append(int((~same).sum()))
        assert torch.equal(one.mask, other.mask)
        assert torch.equal(online.cached(Draw.of(0, step), 10).target, one.target)
    assert set(counts) <= {1, 2, 3}
    assert 1.8 < np.mean(counts) < 2.9


def test_the_same_draw_gives_the_same_batch(parts: Any) -> None:
    online = examples(parts, 0.5)
    one, other = (online.batch(Draw.of(3, 7), 8) for _ in range(2))
    assert torch.equal(one.target, other.target)
    assert not torch.equal(one.target, online.batch(Draw.of(3, 8), 8).target)
    assert not torch.equal(one.target, online.batch(Draw.of(3, 7, rank=1), 8).target)


def fit_config(samples: int) -> FitConfig:
    return FitConfig(samples=samples, batch_size=8, warmup_steps=2, learning_rate=2e-3)


CONFIG = TeacherConfig(
    autoencoder=AutoencoderConfig(
        fit=fit_config(48),
        shape=AutoencoderShape(widths=(8, 8), norm_num_groups=4, latent_channels=4),
    ),
    identity=IdentityConfig(fit=fit_config(40), widths=(8, 8), vector_size=8),
    denoiser=DenoiserConfig(
        fit=fit_config(64),
        shape=DenoiserShape(
            block_out_channels=(8, 8), attention_heads=2, time_embedding_dim=8, norm_num_groups=4
        ),
    ),
    dtype="float32",
)


def train(
    folder: Path,
    share: float,
    config: TeacherConfig = CONFIG,
    stop_after_s: float | None = None,
) -> Path | None:
    examples = ExampleConfig(augment_share=share)
    run = TeacherRun(Path("a"), Path("b"), config, folder / "run", examples=examples)
    cadence = Cadence(save_s=0.0, stop_after_s=stop_after_s)
    return run.execute(folder / "checkpoint", cadence=cadence)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "checkpoint" / "unet" / "diffusion_pytorch_model.safetensors")


def test_an_augmented_run_continues_on_the_same_curve(
    noise_dataset: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_teacher, "open_pictures", lambda path: noise_dataset)
    whole, parts, plain = (tmp_path / name for name in ("whole", "parts", "plain"))
    train(whole, 0.5)
    stops = 0
    while train(parts, 0.5, stop_after_s=0.02) is None:
        stops += 1
    assert stops > 2
    first, second = weights(whole), weights(parts)
    assert all(torch.equal(first[name], second[name]) for name in first)
    train(plain, 0.0)
    assert any(not torch.equal(first[name], other) for name, other in weights(plain).items())


@pytest.mark.parametrize("share", [pytest.param(0.0, marks=pytest.mark.slow), 0.5])
def test_two_runs_of_fifty_iterations_agree_bit_for_bit(
    share: float, noise_dataset: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every stage; weights, moments, averages and the means of all losses."""
    monkeypatch.setattr(_teacher, "open_pictures", lambda path: noise_dataset)
    stages = ("autoencoder", "identity", "denoiser")
    fit = fit_config(400)
    config = dataclasses.replace(
        CONFIG, **{name: dataclasses.replace(getattr(CONFIG, name), fit=fit) for name in stages}
    )
    for name in ("one", "other"):
        train(tmp_path / name, share, config)
    for stage in stages:
        one, other = (tmp_path / name / "run" / stage for name in ("one", "other"))
        rows = [json.loads((place / "metrics.jsonl").read_text()) for place in (one, other)]
        for row in rows:
            del row["images_per_s"]
        assert rows[0] == rows[1]
        assert rows[0]["step"] == 50
        states = [load_file(place / "state.safetensors") for place in (one, other)]
        assert states[0].keys() == states[1].keys()
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_augmentation_is_off_by_default() -> None:
    assert ExampleConfig().augment_share == 0.0
    assert dataclasses.asdict(ExampleConfig()) == {
        "augment_share": 0.0,
        "self_share": 0.3,
        "structure_weight": 0.5,
    }
