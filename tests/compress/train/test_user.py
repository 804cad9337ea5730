"""Training on a user's own folders: each kind runs to a checkpoint, and continues when stopped."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from edgeswap_compress import Checkpoint
from edgeswap_compress.data import open_pictures
from edgeswap_compress.errors import InvalidSettings, TrainingStopped
from edgeswap_compress.fit.config import FitConfig, changed
from edgeswap_compress.fit.latent_cache import LatentGroups
from edgeswap_compress.fit.loop import Cadence, Draw
from edgeswap_compress.fit.pairing import LabeledPairing, TripletPairing, pairing_of
from edgeswap_compress.train._teacher import TeacherRun
from edgeswap_compress.train._unpaired import structure_loss, unpaired_figures
from edgeswap_compress.train.config import (
    AutoencoderConfig,
    AutoencoderShape,
    DenoiserConfig,
    DenoiserShape,
    ExampleConfig,
    IdentityConfig,
    TeacherConfig,
)
from edgeswap_compress.train.examples import (
    ExampleBatch,
    Examples,
    residual_deviation,
)

WEIGHTS = "diffusion_pytorch_model.safetensors"


def fit_config(samples: int, batch_size: int) -> FitConfig:
    return FitConfig(samples=samples, batch_size=batch_size, warmup_steps=2, learning_rate=2e-3)


CONFIG = TeacherConfig(
    autoencoder=AutoencoderConfig(
        fit=fit_config(64, 8),
        shape=AutoencoderShape(widths=(8, 8), norm_num_groups=4, latent_channels=4),
    ),
    identity=IdentityConfig(fit=fit_config(40, 8), widths=(8, 8), vector_size=8),
    denoiser=DenoiserConfig(
        fit=fit_config(96, 8),
        shape=DenoiserShape(
            block_out_channels=(8, 8), attention_heads=2, time_embedding_dim=8, norm_num_groups=4
        ),
    ),
    dtype="float32",
)


def save(picture: Any, *names: str | Path) -> None:
    path = Path(*names)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)


def triplet_folder(dataset: Any, folder: Path) -> Path:
    k = dataset.identities
    for group in range(len(dataset)):
        images = dataset.images(group)
        roles = {"source": 0, "target": k + k + 1, "truth": k + k}
        for role, place in roles.items():
            save(images[place], folder, role, f"{group}.png")
    return folder


def labeled_folder(dataset: Any, folder: Path) -> Path:
    k = dataset.identities
    for group in range(len(dataset)):
        for face in range(k):
            for number, place in enumerate((face, k + face, 2 * k + face)):
                save(dataset.images(group)[place], folder, f"p{group}-{face}", f"{number}.png")
    return folder


FOLDERS = {"triplets": triplet_folder, "labeled": labeled_folder}


@pytest.fixture(params=sorted(FOLDERS))
def folder(request: pytest.FixtureRequest, noise_dataset: Any, tmp_path: Path) -> Path:
    return FOLDERS[request.param](noise_dataset, tmp_path / request.param)


def train(
    data: Path,
    place: Path,
    config: TeacherConfig = CONFIG,
    stop_after_s: float | None = None,
    held_out: Path | None = None,
    examples: ExampleConfig | None = None,
) -> Path | None:
    run = TeacherRun(data, held_out or data, config, place / "run", examples=examples)
    cadence = Cadence(save_s=0.0, evaluate_s=0.0, stop_after_s=stop_after_s)
    return run.execute(place / "checkpoint", cadence=cadence)


def curve(place: Path, stage: str) -> list[dict[str, float]]:
    lines = (place / "run" / stage / "metrics.jsonl").read_text().splitlines()
    rows: list[dict[str, float]] = [json.loads(line) for line in lines]
    return [{k: v for k, v in row.items() if k != "images_per_s"} for row in rows]


def assert_same_run(first: Path, second: Path) -> None:
    for stage in ("autoencoder", "identity", "denoiser"):
        assert curve(first, stage) == curve(second, stage), stage
    for part in ("unet", "vae", "conditioner"):
        one, two = (
            (place / "checkpoint" / part / WEIGHTS).read_bytes() for place in (first, second)
        )
        assert one == two, part


def test_a_stopped_run_continues_on_the_same_curve(folder: Path, tmp_path: Path) -> None:
    train(folder, tmp_path / "whole")
    stops = 0
    while train(folder, tmp_path / "parts", stop_after_s=0.02) is None:
        stops += 1
    assert stops > 2
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_a_killed_run_continues_on_the_same_curve(noise_dataset: Any, tmp_path: Path) -> None:
    folder = labeled_folder(noise_dataset, tmp_path / "labeled")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    train(folder, tmp_path / "whole")
    torch.set_num_threads(threads)
    place = tmp_path / "killed"
    command = [sys.executable, __file__, str(folder), str(place)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    log = place / "run" / "denoiser" / "metrics.jsonl"
    while process.poll() is None and not (log.exists() and log.read_text().count("\n") >= 3):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (place / "checkpoint").exists()
    load_file(place / "run" / "denoiser" / "state.safetensors")  # readable after the kill
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert_same_run(tmp_path / "whole", place)


def test_triplets_may_be_judged_on_a_folder_of_another_kind(
    noise_dataset: Any, tmp_path: Path
) -> None:
    data = triplet_folder(noise_dataset, tmp_path / "triplets")
    other = labeled_folder(noise_dataset, tmp_path / "labeled")
    out = train(data, tmp_path, held_out=other)
    assert out is not None
    figures = curve(tmp_path, "denoiser")[-1]
    assert {"v_loss", "identity_loss", "held_out_identity_margin"} <= figures.keys()
    assert "structure_loss" not in figures  # every training pair has its truth
    assert Checkpoint.load(out).swap.default_steps == CONFIG.denoiser.sampling.default_steps


def test_labeled_crops_train_one_step(noise_dataset: Any, tmp_path: Path) -> None:
    out = train(labeled_folder(noise_dataset, tmp_path / "labeled"), tmp_path)
    assert out is not None
    swap = Checkpoint.load(out).swap
    assert swap.default_steps == 1
    assert swap.history[-1]["config"]["examples"]["self_share"] == 0.3
    last = swap.history[-1]["config"]["curves"]["denoiser"][-1]
    assert {"held_out_v_loss", "held_out_identity_margin", "held_out_outside_rms"} <= last.keys()
    assert "held_out_one_step_gain_db" not in last  # there is no truth that differs


def test_identity_moves_to_the_source_where_no_truth_is_known(
    noise_dataset: Any, tmp_path: Path
) -> None:
    """Longer training brings the swap nearer to the source, and the target outside is kept."""
    fit = dataclasses.replace(
        CONFIG.denoiser.fit, samples=960, learning_rate=5e-3, weight_decay=0.0
    )
    denoiser = changed(CONFIG.denoiser, {"fit": fit, "losses.identity.weight": 2.0})
    identity = dataclasses.replace(CONFIG.identity, fit=fit_config(960, 16))
    config = dataclasses.replace(CONFIG, denoiser=denoiser, identity=identity)
    data = labeled_folder(noise_dataset, tmp_path / "labeled")
    few = labeled_folder(dataclasses.replace(noise_dataset, groups=2), tmp_path / "few")
    train(data, tmp_path, config, held_out=few, examples=ExampleConfig(self_share=0.1))
    rows = curve(tmp_path, "denoiser")
    margins = [row["held_out_identity_margin"] for row in rows]
    assert margins[0] < -0.1  # it begins as the target
    assert margins[-1] > margins[0] + 0.12
    assert rows[-1]["held_out_outside_rms"] < 0.5


def test_other_example_settings_in_the_same_folder_are_refused(
    noise_dataset: Any, tmp_path: Path
) -> None:
    data = labeled_folder(noise_dataset, tmp_path / "labeled")
    train(data, tmp_path, stop_after_s=0.0)
    with pytest.raises(TrainingStopped, match="another training: expected the same settings"):
        train(data, tmp_path, examples=ExampleConfig(self_share=0.4))


def test_sizes_that_do_not_fit_are_refused(noise_dataset: Any, tmp_path: Path) -> None:
    data = labeled_folder(noise_dataset, tmp_path / "labeled")
    for person in ("a", "b"):
        for number in range(2):
            save(np.zeros((36, 36, 3), np.uint8), tmp_path, "larger", person, f"{number}.png")
            save(np.zeros((32, 32, 3), np.uint8), tmp_path, "odd", person, f"{number}.png")
    with pytest.raises(TrainingStopped, match=r"of 36 px, .* of 24 px: expected one size"):
        train(data, tmp_path, held_out=tmp_path / "larger")
    with pytest.raises(TrainingStopped, match=r"of 32 px: expected a multiple of 12.* --size 36"):
        train(tmp_path / "odd", tmp_path)


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_shares_beyond_one_are_refused(share: float) -> None:
    with pytest.raises(InvalidSettings, match=r"self_share .*: expected 0 to 1"):
        ExampleConfig(self_share=share)


def numbered(groups: int, pictures: int) -> LatentGroups:
    """Latents that say which picture they are of."""
    numbers = torch.arange(groups * pictures).view(groups, pictures, 1, 1, 1)
    latents = numbers.expand(groups, pictures, 1, 2, 2).half()
    return LatentGroups(latents, torch.ones(groups, pictures, 2, 2).half(), 1)


def read(latents: Tensor) -> np.ndarray[Any, Any]:
    return latents[:, 0, 0, 0].numpy().astype(int)


def test_a_labeled_plan_pairs_people() -> None:
    people = np.array([0, 0, 1, 1, 1, 2, 2])
    examples = Examples(numbered(14, 1), LabeledPairing(people, 0.3))  # the last 7 mirrored
    batch = examples.batch(Draw.of(0, 0), 2000)
    source, target, truth = (read(x) for x in (batch.source, batch.target, batch.truth))
    exact = batch.exact.numpy()
    assert 0.25 < exact.mean() < 0.35
    assert (truth == target).all()
    same = people[source % 7] == people[target % 7]
    assert (same == exact).all()
    assert (source != target).all()
    assert ((source >= 7) == (target >= 7)).all()  # both mirrored, or neither
    assert np.bincount(people[target % 7]).min() > 550  # each person as often
    assert torch.equal(batch.wanted()[~batch.exact], batch.source[~batch.exact])


@pytest.mark.parametrize("kind", ["labeled", "triplets"])
def test_pairs_for_the_identity_encoder_are_one_person_each(kind: str) -> None:
    people = np.array([0, 0, 1, 1, 1, 2, 2])
    plan = LabeledPairing(people, 0.3) if kind == "labeled" else TripletPairing(people)
    pictures = 1 if kind == "labeled" else 3
    examples = Examples(numbered(14, pictures), plan)
    for step in range(20):
        first, second = (read(x) for x in examples.same_person(Draw.of(0, step), 64))
        one, two = (people[(x // pictures) % 7] for x in (first, second))
        assert (one == two).all()
        assert sorted(one) == [0, 1, 2]
        assert (first % 7 != second % 7).all() if kind == "labeled" else (second % 3 == 2).all()


def test_retrieval_asks_for_the_right_person() -> None:
    people = np.array([0, 0, 1, 1, 1, 2, 2])
    gallery, queries, answers = Examples(numbered(7, 1), LabeledPairing(people, 0.3)).likeness()
    assert read(gallery).tolist() == [0, 2, 5]
    assert people[read(queries)].tolist() == answers.tolist() == [0, 1, 1, 2]
    gallery, queries, answers = Examples(numbered(7, 3), TripletPairing(people)).likeness()
    assert read(gallery).tolist() == [0, 6, 15]
    assert read(queries).tolist() == [2, 5, 8, 11, 14, 17, 20]
    assert answers.tolist() == people.tolist()


def test_triplets_of_one_person_are_refused(noise_dataset: Any, tmp_path: Path) -> None:
    folder = triplet_folder(noise_dataset, tmp_path)
    lines = [f"source/{g}.png,target/{g}.png,truth/{g}.png,anna" for g in range(6)]
    (folder / "triplets.csv").write_text("source,target,truth,identity\n" + "\n".join(lines))
    with pytest.raises(InvalidSettings, match="6 triplets of 1 person: expected at least 2"):
        pairing_of(open_pictures(folder), 0.3)


def test_truths_equal_to_their_targets_are_refused() -> None:
    groups = LatentGroups(torch.ones(4, 3, 2, 2, 2).half(), torch.ones(4, 3, 2, 2).half(), 2)
    with pytest.raises(TrainingStopped, match="no truth differs from its target"):
        residual_deviation(Examples(groups, TripletPairing(np.arange(4))))


def batch_of(exact: list[bool]) -> ExampleBatch:
    n = len(exact)
    mask = torch.zeros(n, 1, 4, 4)
    mask[:, :, 1:3, 1:3] = 1
    generator = torch.Generator().manual_seed(0)
    source, target, truth = (torch.randn(n, 2, 4, 4, generator=generator) for _ in range(3))
    return ExampleBatch(source, target, truth, mask, torch.tensor(exact))


def test_the_inside_of_a_face_without_truth_weighs_nothing() -> None:
    batch = batch_of([True, False])
    weights = batch.weights(3.0)
    assert float(weights.mean()) == pytest.approx(1.0)
    known, unknown = weights[0, 0], weights[1, 0]
    assert float(known[1, 1] / known[0, 0]) == pytest.approx(13.0)
    assert float(unknown[1, 1]) == 0.0 < float(unknown[0, 0])


def test_structure_sees_light_and_not_detail() -> None:
    target = torch.zeros(2, 1, 8, 8)
    unknown = torch.tensor([False, False])
    detail = target.clone()
    detail[..., ::2] += 1
    detail[..., 1::2] -= 1
    assert float(structure_loss(detail, target, unknown)) == 0.0
    assert float(structure_loss(target + 0.5, target, unknown)) == pytest.approx(0.25)
    assert float(structure_loss(target + 0.5, target, ~unknown)) == 0.0  # truths decide there


def test_what_changes_outside_is_told() -> None:
    mask = torch.zeros(1, 1, 2, 2)
    mask[..., 0] = 1
    residual = torch.zeros(1, 1, 2, 2)
    residual[..., 0] = 5.0
    one, other = torch.tensor([0.75]), torch.tensor([0.25])
    figures = unpaired_figures(residual, mask, one, other)
    assert figures == {"held_out_identity_margin": 0.5, "held_out_outside_rms": 0.0}
    residual[..., 1] = 2.0
    assert unpaired_figures(residual, mask, one, other)["held_out_outside_rms"] == 2.0


if __name__ == "__main__":
    torch.set_num_threads(1)
    train(Path(sys.argv[1]), Path(sys.argv[2]))
