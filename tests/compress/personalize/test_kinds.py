"""A person is learned by checkpoints of every kind: noise prediction, adapters, masks, starts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from edgeswap_compress import Checkpoint, SwapPipeline
from edgeswap_compress.checkpoint._tiny_kinds import KINDS, tiny_kind
from edgeswap_compress.checkpoint.tiny import tiny_checkpoint
from edgeswap_compress.fit.config import changed
from edgeswap_compress.fit.latent_cache import to_tensor
from edgeswap_compress.fit.loop import Draw
from edgeswap_compress.personalize import PersonalizeConfig
from edgeswap_compress.personalize.photos import PersonPictures, person_pictures, sees_face
from edgeswap_compress.personalize.stage import personalize
from edgeswap_runtime.cli import main
from edgeswap_runtime.strict_json import read_json

CONSENT = "Nobody (random pixels), 2026-01-01, a test"
CONFIG = changed(
    PersonalizeConfig(consent=CONSENT, others=2, rank=4, prior_weight=0.5),
    {
        "budget.samples": 8 * 24,
        "fit.batch_size": 8,
        "fit.learning_rate": 1e-2,
        "fit.dtype": "float32",
        "fit.device": "cpu",
        "identity.weight": 0.0,
    },
)


def crops_of(count: int) -> np.ndarray:
    """Crops of 32 px with one color of face."""
    crops = np.random.default_rng(0).integers(0, 255, (count, 32, 32, 3), dtype=np.uint8)
    crops[:, 8:26, 7:25] = (200, 40, 90)
    return crops


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, crop in enumerate(crops_of(3)):
        Image.fromarray(crop).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("person-kinds")
    return {k: tiny_kind(k, folder / f"{k}-files").save(folder / k) for k in KINDS}


@pytest.mark.parametrize(
    "kind",
    [pytest.param(k, marks=pytest.mark.slow) if k in ("faceid", "img2img") else k for k in KINDS],
)
def test_every_kind_learns_a_person(
    kind: str, kinds: dict[str, Path], photos: Path, people: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    out = personalize(kinds[kind], CONFIG, tmp_path / "person", photos=photos, data=people,
                      run=run, aligned=True)  # fmt: skip
    assert out is not None
    figures = read_json(run / "fit" / "figures.json")
    assert figures["fixed_person"] < 0.95 * figures["fixed_person_before"]
    before, after = Checkpoint.load(kinds[kind]), Checkpoint.load(out)
    assert after.swap.sampling == before.swap.sampling  # as many steps, and as much guidance
    entry = after.swap.history[-1]["config"]
    assert entry["consent"] == CONSENT and entry["photos"] == 3
    assert (run / "disguises.safetensors").exists() == (kind in ("img2img", "instantid"))
    changes = [name for name, t in after.unet.state_dict().items()
               if not torch.equal(t, before.unet.state_dict()[name])]  # fmt: skip
    assert changes and all(name.endswith("weight") for name in changes)


@pytest.mark.parametrize(("kind", "seen"), [("faceid", False), ("one_token", False),
                                            ("img2img", True), ("instantid", True)])  # fmt: skip
def test_a_face_that_is_not_seen_needs_no_disguise(
    kind: str, seen: bool, kinds: dict[str, Path], tmp_path: Path
) -> None:
    model = Checkpoint.load(kinds[kind])
    assert sees_face(model.swap) == seen and sees_face(tiny_checkpoint().swap)
    crops, others = crops_of(2), crops_of(3)[::-1].copy()
    pipeline = SwapPipeline.from_checkpoint(model)
    found = person_pictures(pipeline, crops, others, 0, tmp_path / "worn.safetensors")
    assert np.array_equal(found.crops[:2], crops) and found.photos == 4
    drawn = found.draw(np.random.default_rng(0), 32).places
    if not seen:
        assert found.worn == 0 and np.array_equal(drawn.target, drawn.truth)
        return
    assert found.worn == 3 and len(found) == 4 * (1 + 3)
    assert np.array_equal((drawn.target - 4) // 3, drawn.truth)
    worn = found.crops[4:].reshape(4, 3, 32, 32, 3)
    outside = found.masks(0)[0] == 0
    assert np.array_equal(worn[:, 0][:, outside], found.crops[:4][:, outside])
    noise = Draw.of(0, 0).normal(torch.empty(4, 4, 8, 8))
    target = to_tensor(found.crops[:4])
    swap = pipeline(target, to_tensor(others[:1]).expand_as(target), noise=noise)
    inside = found.masks(0)[0] == 255
    shown = (swap.crops.permute(0, 2, 3, 1).numpy() + 1) * 127.5
    assert np.abs(shown[:, inside] - worn[:, 0][:, inside]).max() <= 1.0
    kept = person_pictures(pipeline, crops, others[:0], 0, tmp_path / "worn.safetensors")
    assert np.array_equal(kept.crops, found.crops)  # read, not made again


def test_disguises_are_pictures() -> None:
    pictures = PersonPictures(crops_of(6), 2, tiny_checkpoint().swap.mask)
    assert (pictures.worn, len(pictures), pictures.images(5).shape) == (2, 6, (1, 32, 32, 3))
    assert pictures.digest != PersonPictures(crops_of(5), 1, pictures.face).digest


def test_what_it_needs_is_told_in_one_line(
    kinds: dict[str, Path], photos: Path, people: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    line = ["personalize", str(kinds["faceid"]), str(tmp_path / "out"), "--photos", str(photos),
            "--aligned", "--consent", CONSENT]  # fmt: skip
    for more, message in (
        (["--data", str(people)], "expected --identity-weight 0"),
        (["--identity-weight", "0"], "expected 32"),  # the packaged people are 96 px
    ):
        assert main([*line, *more]) == 2
        error = capsys.readouterr().err
        assert message in error and len(error.strip().splitlines()) == 1
