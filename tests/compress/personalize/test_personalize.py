"""A student learns a person from photos, and keeps what it knew of others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from edgeswap_compress import Checkpoint
from edgeswap_compress.checkpoint.tiny import tiny_checkpoint
from edgeswap_compress.errors import InvalidSettings, UnusablePictures
from edgeswap_compress.fit.config import changed
from edgeswap_compress.fit.loop import Cadence
from edgeswap_compress.personalize import checks, stage
from edgeswap_compress.personalize import photos as person_photos
from edgeswap_compress.personalize._lora import adapt, fuse
from edgeswap_compress.personalize.config import PersonalizeConfig
from edgeswap_compress.personalize.stage import personalize
from edgeswap_runtime.cli import main
from edgeswap_runtime.errors import BadFolder, OutputExists

CONSENT = "Nobody (rendered), 2026-01-01, a test"
CONFIG = changed(
    PersonalizeConfig(consent=CONSENT, others=4, rank=4, prior_weight=1.0),
    {"budget.samples": 16 * 40, "fit.learning_rate": 5e-3, "fit.dtype": "float32"},
)


@pytest.fixture(autouse=True)
def dataset(noise_dataset: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "open_pictures", lambda path, loose: noise_dataset)
    monkeypatch.setattr(checks, "check_pictures", lambda path, swap: noise_dataset)


@pytest.fixture
def student(tmp_path: Path) -> Path:
    model = tiny_checkpoint()
    model.swap = model.swap.sampled(steps=1)
    return model.save(tmp_path / "student")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three crops of one color of face."""
    folder, rng = tmp_path / "photos", np.random.default_rng(0)
    folder.mkdir()
    for i in range(3):
        crop = rng.integers(0, 255, (24, 24, 3), dtype=np.uint8)
        crop[6:20, 5:19] = (200, 40, 90)
        Image.fromarray(crop).save(folder / f"{i}.png")
    return folder


def learn(
    student: Path, photos: Path, folder: Path, config: PersonalizeConfig = CONFIG, **more: Any
) -> Path | None:
    return personalize(
        student, config, folder / "person", photos=photos, data=Path(), run=folder / "run",
        aligned=True, **more,
    )  # fmt: skip


def last(folder: Path) -> dict[str, float]:
    lines = (folder / "run" / "fit" / "metrics.jsonl").read_text().splitlines()
    found: dict[str, float] = json.loads(lines[-1])
    return found


def test_a_run_goes_on_in_another_dtype(student: Path, photos: Path, tmp_path: Path) -> None:
    config = changed(CONFIG, {"budget.samples": 16 * 2, "fit.dtype": "bfloat16"})
    assert learn(student, photos, tmp_path, config, cadence=Cadence(stop_after_s=0.0)) is None
    out = learn(student, photos, tmp_path, changed(config, {"fit.dtype": "float32"}))
    assert out is not None
    history = Checkpoint.load(out).swap.history[-1]["config"]
    assert history["fit"]["dtype"] == "bfloat16, float32"


def test_adapters_change_nothing_until_they_learn_and_are_fused_exactly() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(16, 32, 3), nn.ReLU(), nn.Conv2d(32, 4, 1))
    names, x = [name for name, _ in module.named_parameters()], torch.randn(2, 16, 5, 5)
    before = module(x)
    assert adapt(module, 4, 0) == ["0"]  # the last has too few outputs
    assert torch.equal(module(x), before)
    learning = [name for name, p in module.named_parameters() if p.requires_grad]
    assert learning == ["0.parametrizations.weight.0.down", "0.parametrizations.weight.0.up"]
    with torch.no_grad():
        module.get_parameter(learning[1]).normal_()
    adapted = module(x)
    assert not torch.allclose(adapted, before)
    fuse(module, ["0"])
    assert sorted(name for name, _ in module.named_parameters()) == sorted(names)
    assert torch.allclose(module(x), adapted, atol=1e-5)


def test_the_person_is_learned_and_the_consent_kept(
    student: Path, photos: Path, tmp_path: Path
) -> None:
    out = learn(student, photos, tmp_path)
    assert out is not None
    figures = last(tmp_path)
    assert figures["fixed_person"] < 0.8 * figures["fixed_person_before"]
    before, after = Checkpoint.load(student), Checkpoint.load(out)
    entry = after.swap.history[-1]
    assert entry["stage"] == "personalize"
    assert entry["config"]["consent"] == CONSENT and entry["config"]["photos"] == 3
    first, second = before.unet.state_dict(), after.unet.state_dict()
    assert list(first) == list(second)  # fused: no adapter is left
    untouched = [key for key in first if key.endswith("bias")]  # adapters are of weights
    assert all(torch.equal(first[key], second[key]) for key in untouched)
    changes = [
        torch.linalg.matrix_rank((second[key] - first[key]).flatten(1), rtol=1e-2)
        for key in first
        if first[key].ndim == 2 and not torch.equal(first[key], second[key])
    ]
    assert changes and max(changes) <= CONFIG.rank
    for name in ("vae", "conditioner"):
        first, second = (getattr(c, name).state_dict() for c in (before, after))
        assert all(torch.equal(first[key], second[key]) for key in first)


def test_prior_preservation_keeps_the_others(student: Path, photos: Path, tmp_path: Path) -> None:
    for name, weight in (("kept", 1.0), ("forgotten", 0.0)):
        learn(
            student,
            photos,
            tmp_path / name,
            changed(CONFIG, {"prior_weight": weight, "budget.samples": 16 * 20}),
        )
    moved = {name: last(tmp_path / name)["fixed_others_moved"] for name in ("kept", "forgotten")}
    assert moved["kept"] < 0.5 * moved["forgotten"]


def test_a_stopped_run_goes_on_to_the_same_weights(
    student: Path, photos: Path, tmp_path: Path
) -> None:
    config = changed(CONFIG, {"budget.samples": 16 * 4})
    whole = learn(student, photos, tmp_path / "whole", config)
    stop = Cadence(stop_after_s=0.0)
    assert learn(student, photos, tmp_path / "parts", config, cadence=stop) is None
    again = learn(student, photos, tmp_path / "parts", config)
    assert whole is not None and again is not None
    first, second = (Checkpoint.load(path).unet.state_dict() for path in (whole, again))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_the_bundle_tells_the_consent(student: Path, photos: Path, tmp_path: Path) -> None:
    from edgeswap_export import ExportConfig, SchedulesConfig, export
    from edgeswap_runtime import Bundle

    out = learn(student, photos, tmp_path, changed(CONFIG, {"budget.samples": 16}))
    assert out is not None
    export(
        out, ExportConfig(schedules=SchedulesConfig(others=()), detector=False), tmp_path / "bundle"
    )
    history = Bundle.open(tmp_path / "bundle").manifest.history
    assert [e["config"]["consent"] for e in history if e["stage"] == "personalize"] == [CONSENT]


def test_photos_are_cut_by_the_detector_unless_they_are_crops(
    student: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    wanted = tiny_checkpoint().swap.model_crop

    def cut(folder: Path, out: Path, *, crop: Any) -> None:
        assert crop == wanted
        asked.append(folder)
        out.mkdir(parents=True)
        Image.new("RGB", (crop.size_px, crop.size_px)).save(out / "a.png")

    monkeypatch.setattr(person_photos, "align_photos", cut)
    crops = person_photos.read_crops(photos, wanted, False, tmp_path / "run")
    assert asked == [photos] and crops.shape == (1, 24, 24, 3)
    person_photos.read_crops(photos, wanted, False, tmp_path / "run")
    assert asked == [photos]  # they are kept
    (photos / "0.png").unlink()
    person_photos.read_crops(photos, wanted, False, tmp_path / "run")
    assert asked == [photos, photos]
    Image.new("RGB", (24, 24)).save(photos / "0.png")
    assert person_photos.read_crops(photos, wanted, True, tmp_path / "run").shape == (3, 24, 24, 3)


@pytest.mark.parametrize("consent", ["", "yes", "Jane Doe, 2026"])
def test_without_consent_there_is_none(consent: str) -> None:
    with pytest.raises(InvalidSettings, match="who agreed, when, and to what"):
        PersonalizeConfig(consent=consent)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rank": 0}, "rank 0: expected 1 to 4096"),
        ({"prior_weight": -1.0}, "prior_weight -1.0: expected 0 to 1000000"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSettings, match=message):
        PersonalizeConfig(consent=CONSENT, **settings)


def test_what_cannot_be_used_is_refused(student: Path, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(BadFolder, match="is no folder of photos"):
        learn(student, tmp_path / "none", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnusablePictures, match="about five of one person"):
        learn(student, tmp_path / "empty", tmp_path)
    Image.new("RGB", (30, 20)).save(photos / "large.png")
    with pytest.raises(UnusablePictures, match="30 x 20 px: expected aligned crops of 24 x 24"):
        learn(student, photos, tmp_path)
    (tmp_path / "person").mkdir()
    with pytest.raises(OutputExists):
        learn(student, photos, tmp_path)


def test_the_command_asks_for_consent_and_says_what_to_remove(
    student: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["personalize", str(student), "--photos", str(photos), "--aligned",
               str(tmp_path / "person"), "--samples", "32", "--dtype", "float32"]  # fmt: skip
    assert main(command) == 2
    assert "required: --consent" in capsys.readouterr().err
    assert main([*command, "--consent", "me"]) == 2
    error = capsys.readouterr().err
    assert "who agreed, when, and to what" in error and len(error.strip().splitlines()) == 1
    assert main([*command, "--consent", CONSENT]) == 0
    assert "remove it when you are done" in capsys.readouterr().out
