"""`edgeswap evaluate` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeswap_compress.checkpoint.tiny import tiny_checkpoint
from edgeswap_compress.data.grid import Group, GroupSettings
from edgeswap_compress.data.shard_files import shard_name, write_shard
from edgeswap_compress.data.shards import KIND, MANIFEST, SCHEMA
from edgeswap_runtime.cli import main
from edgeswap_runtime.files import sha256_file, write_json

GROUPS = 6


def write_dataset(folder: Path, noise_dataset: Any, split: str) -> Path:
    """The dataset of noise as a rendered one would lie on disk."""
    folder.mkdir()
    shape = (noise_dataset.pictures, 5, 2)
    groups = [
        Group(
            images=noise_dataset.images(g),
            masks=np.array(noise_dataset.masks(g)),
            landmarks=np.zeros(shape, np.float32),
        )
        for g in range(GROUPS)
    ]
    shard = folder / shard_name(0)
    write_shard(shard, groups)
    settings = GroupSettings(split=split, identities=2, size_px=24)
    names = ("split", "seed", "identities", "size_px", "supersampling")
    entry = {"file": shard.name, "groups": GROUPS, "bytes": shard.stat().st_size}
    manifest = {
        "schema": SCHEMA,
        "kind": KIND,
        "renderer_version": 0,
        "assets": {},
        "settings": {name: getattr(settings, name) for name in names},
        "groups": GROUPS,
        "groups_per_shard": GROUPS,
        "shards": [{**entry, "sha256": sha256_file(shard)}],
    }
    write_json(folder / MANIFEST, manifest)
    return folder


@pytest.fixture(autouse=True)
def plain_judges(
    monkeypatch: pytest.MonkeyPatch, color_judge: Any, brightness_landmarker: Any
) -> None:
    """The real ones see faces; noise is judged by its color and brightness."""
    evaluation = "edgeswap_compress.evaluate.stage.Evaluation"
    monkeypatch.setattr("edgeswap_compress.evaluate.cli.JUDGES", ())
    monkeypatch.setattr(f"{evaluation}._dlib", lambda _: color_judge)
    monkeypatch.setattr(f"{evaluation}._face_mesh", lambda _: brightness_landmarker)


@pytest.fixture
def data(tmp_path: Path, noise_dataset: Any) -> Path:
    return write_dataset(tmp_path / "data", noise_dataset, "heldout")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint().save(tmp_path_factory.mktemp("models") / "model")


def run(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[int, str, str]:
    code = main(["evaluate", *map(str, argv)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_json_is_one_flat_object(
    capsys: pytest.CaptureFixture[str], model: Path, data: Path
) -> None:
    options = ["--steps", 1, "--limit", 5, "--batch-size", 2, "--json"]
    code, out, _ = run(capsys, model, "--data", data, *options)
    assert code == 0
    found = json.loads(out)
    assert out.count("\n") == 1
    promised = {
        *("psnr_face_db", "ssim_face", "psnr_outside_db", "hf_ratio", "nearer_to_source"),
        *("id_cosine_source", "id_cosine_target", "id_top1", "id_top5", "truth_id_top1"),
        *("n", "steps", "guidance", "pairs_sha256", "evaluator_sha256", "dataset_digest"),
    }
    assert promised <= set(found)
    assert (found["n"], found["steps"], found["guidance"]) == (5, 1, 1.0)
    assert found["truth_id_top1"] == 1.0
    assert {"psnr_face_db_lo", "psnr_face_db_hi", "autoencoder_ssim_face_hi"} <= set(found)


def test_the_same_command_gives_the_same_bytes(
    capsys: pytest.CaptureFixture[str], model: Path, data: Path
) -> None:
    outs = {run(capsys, model, "--data", data, "--limit", 3, "--json")[1] for _ in range(2)}
    assert len(outs) == 1


def test_the_table_and_the_sheet(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, model: Path, data: Path
) -> None:
    sheet = tmp_path / "sheet.png"
    options = ["--steps", 1, "--dtype", "bfloat16", "--sheet", sheet]
    code, out, _ = run(capsys, model, "--data", data, *options)
    assert code == 0
    assert out.splitlines()[1].startswith("psnr_face_db")
    assert "precision: bfloat16" in out and "target: the target, left as it is" in out
    assert sheet.read_bytes().startswith(b"\x89PNG")


def test_the_hash_of_another_evaluation_is_demanded(
    capsys: pytest.CaptureFixture[str], model: Path, data: Path
) -> None:
    first = ["--steps", 1, "--limit", 3, "--json"]
    sha256 = json.loads(run(capsys, model, "--data", data, *first)[1])["pairs_sha256"]
    assert run(capsys, model, "--data", data, *first, "--pairs-sha256", sha256)[0] == 0
    longer = ["--limit", 4, "--pairs-sha256", sha256]
    code, out, err = run(capsys, model, "--data", data, *longer)
    assert (code, out) == (2, "")
    assert f"expected {sha256}: the scores would not be comparable" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--limit", 13], "a limit of 13 pairs: expected 1 to 12"),
        (["--steps", 0], "steps 0: expected 1 to 1000"),
        (["--guidance", 0.1], "guidance 0.1: expected 1.0"),
        (["--batch-size", 0], "batch_size 0: expected 1 to 65536"),
        (["--threads", 0], "threads 0: expected 1 to 256"),
        (["--sheet", "sheet.jpg"], "expected a name ending in .png"),
    ],
)
def test_impossible_options(
    capsys: pytest.CaptureFixture[str], model: Path, data: Path, options: list[Any], message: str
) -> None:
    code, out, err = run(capsys, model, "--data", data, *options)
    assert (code, out) == (2, "")
    assert message in err and err.count("\n") == 1


def test_no_model(capsys: pytest.CaptureFixture[str], tmp_path: Path, data: Path) -> None:
    code, out, err = run(capsys, tmp_path / "nothing", "--data", data)
    assert (code, out) == (2, "")
    assert "is no model: expected a folder with swap.json or manifest.json" in err
    assert err.count("\n") == 1


def test_no_dataset(capsys: pytest.CaptureFixture[str], tmp_path: Path, model: Path) -> None:
    code, out, err = run(capsys, model, "--data", tmp_path / "nothing")
    assert (code, out) == (2, "")
    assert "is no dataset" in err and err.count("\n") == 1


def test_people_who_were_trained_on(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, model: Path, noise_dataset: Any
) -> None:
    data = write_dataset(tmp_path / "train", noise_dataset, "train")
    code, out, err = run(capsys, model, "--data", data)
    assert (code, out) == (2, "")
    assert "is of split 'train', expected 'heldout'" in err and err.count("\n") == 1


def test_a_changed_picture_is_noticed(
    capsys: pytest.CaptureFixture[str], model: Path, data: Path
) -> None:
    shard = data / shard_name(0)
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    code, out, err = run(capsys, model, "--data", data)
    assert (code, out) == (2, "")
    assert "is damaged: expected sha256" in err


def test_an_existing_sheet_is_kept(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, model: Path, data: Path
) -> None:
    sheet = tmp_path / "sheet.png"
    sheet.write_bytes(b"mine")
    code, out, err = run(capsys, model, "--data", data, "--sheet", sheet)
    assert (code, out) == (2, "")
    assert "sheet.png already exists" in err
    assert sheet.read_bytes() == b"mine"
