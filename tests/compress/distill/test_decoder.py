"""A decoder that sees the target learns what stands before the face, and leaves it alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from edgeswap_compress import Checkpoint
from edgeswap_compress.checkpoint.tiny import tiny_checkpoint
from edgeswap_compress.distill.decoder import checks
from edgeswap_compress.distill.decoder import stage as decoder_stage
from edgeswap_compress.distill.decoder.config import TargetDecoderConfig, check_side
from edgeswap_compress.distill.decoder.stage import train_target_decoder
from edgeswap_compress.distill.decoder.target_decoder import read_scenes
from edgeswap_compress.errors import InvalidSettings, TrainingStopped
from edgeswap_compress.fit.config import changed
from edgeswap_compress.fit.latent_cache import held_out_triplets
from edgeswap_compress.fit.loop import Cadence, Draw
from edgeswap_runtime.cli import main

CONFIG = changed(
    TargetDecoderConfig(),
    {
        "size.patch_size": 3,
        "size.width": 8,
        "budget.samples": 16 * 60,
        "fit.dtype": "float32",
        "fit.learning_rate": 5e-3,
        "augment_share": 0.0,
        "losses.adversarial_weight": 0.0,
    },
)
BAR = slice(8, 14)  # rows of white before every face


class BarredDataset:
    """Colored faces in gray scenes, a white bar before half of each; masks leave the bar out."""

    identities, pictures, size = 2, 6, 24
    digest = "b" * 64

    def __init__(self, groups: int = 4) -> None:
        rng = np.random.default_rng(0)
        order = [(0, 0), (1, 1), (2, 0), (2, 1), (3, 0), (3, 1)]
        faces = rng.integers(30, 200, (groups, 2, 3))
        scenes = rng.integers(0, 90, (groups, 4))
        self._images = np.empty((groups, 6, 24, 24, 3), np.uint8)
        self._images[:] = scenes[:, [s for s, _ in order], None, None, None]
        self._images[:, :, 6:20, 5:19] = faces[:, [a for _, a in order], None, None]
        self._images[:, :, BAR] = 255
        self._mask = np.zeros((24, 24), np.uint8)
        self._mask[6:20, 5:19] = 255
        self._occluder = np.zeros_like(self._mask)
        self._occluder[BAR, 5:19] = 255
        self._mask[BAR] = 0

    def __len__(self) -> int:
        return len(self._images)

    def images(self, group: int) -> NDArray[np.uint8]:
        return self._images[group]

    def masks(self, group: int) -> NDArray[np.uint8]:
        return np.broadcast_to(self._mask, (6, 24, 24))

    def occluders(self, group: int) -> NDArray[np.uint8]:
        return np.broadcast_to(self._occluder, (6, 24, 24))


@pytest.fixture(autouse=True)
def dataset(monkeypatch: pytest.MonkeyPatch) -> BarredDataset:
    found = BarredDataset()
    monkeypatch.setattr(decoder_stage, "read_dataset", lambda path: found)
    monkeypatch.setattr(checks, "check_dataset", lambda path, swap: found)
    return found


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return tiny_checkpoint().save(tmp_path / "model")


def teach(path: Path, folder: Path, config: TargetDecoderConfig = CONFIG, **more: Any) -> Any:
    paths = {"data": Path(), "run": folder / "run", **more}
    return train_target_decoder(path, config, folder / "taught", **paths)


def test_it_learns_to_leave_the_bar_alone(checkpoint: Path, tmp_path: Path) -> None:
    out = teach(checkpoint, tmp_path)
    taught, before = Checkpoint.load(out), Checkpoint.load(checkpoint)
    assert taught.overlay is not None
    for name in ("unet", "conditioner"):
        first, second = (getattr(c, name).state_dict() for c in (before, taught))
        assert all(torch.equal(first[key], second[key]) for key in first)
    first, second = (c.vae.state_dict() for c in (before, taught))
    changed_names = {key.split(".")[0] for key in first if not torch.equal(first[key], second[key])}
    assert changed_names == {"decoder"}
    entry = taught.swap.history[-1]
    assert entry["stage"] == "distill-decoder"
    figures = entry["config"]["figures"]
    assert figures["alpha_error"] < 0.1
    assert figures["psnr_occluded_db"] > 30


def test_a_frozen_decoder_stays_as_it_is(checkpoint: Path, tmp_path: Path) -> None:
    config = changed(CONFIG, {"budget.samples": 16 * 2, "freeze_decoder": True})
    out = teach(checkpoint, tmp_path, config)
    first, second = (Checkpoint.load(p).vae.state_dict() for p in (checkpoint, out))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_stopped_run_goes_on_to_the_same_weights(checkpoint: Path, tmp_path: Path) -> None:
    config = changed(CONFIG, {"budget.samples": 16 * 3, "losses.adversarial_weight": 0.02})
    whole = teach(checkpoint, tmp_path / "whole", config)
    parts = tmp_path / "parts"
    assert teach(checkpoint, parts, config, cadence=Cadence(stop_after_s=0.0)) is None
    again = teach(checkpoint, parts, config)
    first, second = (Checkpoint.load(path) for path in (whole, again))
    assert first.overlay is not None and second.overlay is not None
    kept = second.overlay.state_dict()
    assert all(torch.equal(value, kept[key]) for key, value in first.overlay.state_dict().items())
    with pytest.raises(TrainingStopped, match="decoder's training"):
        teach(checkpoint, parts / "other", changed(config, {"steps": 2}), run=parts / "run")


def test_a_taught_decoder_learns_on(checkpoint: Path, tmp_path: Path) -> None:
    short = changed(CONFIG, {"budget.samples": 16 * 2})
    once = teach(checkpoint, tmp_path, short)
    twice = teach(once, tmp_path / "more", short)
    stages = [entry["stage"] for entry in Checkpoint.load(twice).swap.history]
    assert stages == ["tiny", "distill-decoder", "distill-decoder"]


def test_mirrored_and_augmented_scenes_stay_exact(dataset: BarredDataset) -> None:
    triplets = held_out_triplets(2 * len(dataset), 2)
    for share in (0.0, 1.0):
        scenes = read_scenes(dataset, triplets, Draw.of(0, 0), share)  # type: ignore[arg-type]
        untouched = (scenes.alpha == 0).expand_as(scenes.target)
        if share == 0:
            assert torch.equal(scenes.target[untouched], scenes.truth[untouched])
            wanted = dataset.occluders(0)[0][:, ::-1].copy() >= 128
            assert torch.equal(scenes.occluded[-1, 0], torch.from_numpy(wanted).float())
        else:  # compression and blur reach a little over the mask's edge
            apart = (scenes.target - scenes.truth).abs()[untouched]
            assert float(apart.mean()) < 0.02
        assert float(scenes.alpha[scenes.occluded == 1].max()) <= 0.5


def test_sides_that_do_not_fit_are_refused() -> None:
    check_side(TargetDecoderConfig(), 128)
    with pytest.raises(InvalidSettings, match="--patch-size 6"):
        check_side(TargetDecoderConfig(), 72)
    with pytest.raises(InvalidSettings, match="render crops of another size"):
        check_side(TargetDecoderConfig(), 97)


def test_the_command(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["distill", "decoder", str(checkpoint), str(tmp_path / "taught"), "--samples", "32",
                 "--patch-size", "3", "--width", "8", "--dtype", "float32"]  # fmt: skip
    assert main([*arguments, "--stop-after", "0"]) == 0
    assert "the same command continues" in capsys.readouterr().out
    assert main(arguments) == 0
    assert "next: edgeswap evaluate" in capsys.readouterr().out
    assert main(arguments) == 2
    assert "exists" in capsys.readouterr().err
    assert main([*arguments[:3], str(tmp_path / "x"), "--patch-size", "5"]) == 2
    assert "try --patch-size 6" in capsys.readouterr().err
