"""Batches with real processes: each picture once, whatever is killed in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgeswap_runtime.batch.folder import opened_folder
from edgeswap_runtime.batch.processes import ProcessWorker
from edgeswap_runtime.batch.run import BatchReport, run_batch
from edgeswap_runtime.batch.settings import BatchSettings, WorkerEngine
from edgeswap_runtime.batch.targets import BatchPicture, list_pictures
from edgeswap_runtime.bundle.folder import Bundle
from edgeswap_runtime.errors import BatchRefused, InvalidRequest, OutputExists

COUNT = 12


@pytest.fixture
def inputs(tmp_path: Path, photo: Any) -> Path:
    """A folder of pictures, one of them black: the detector sees no face in it."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(COUNT):
        Image.fromarray(photo(number + 1)).save(folder / f"{number:02}.png")
    Image.new("RGB", (64, 64)).save(folder / "black.png")
    return folder


@pytest.fixture
def settings(bundle_folder: Path, tmp_path: Path, photo: Any) -> BatchSettings:
    source = tmp_path / "source.png"
    Image.fromarray(photo(99)).save(source)
    return BatchSettings(
        engine=WorkerEngine(bundle=str(bundle_folder)),
        bundle_sha256=Bundle.open(bundle_folder).manifest.manifest_sha256,
        sources=(str(source),),
        schedule="one",
    )


class Opened:
    """Opens processes and remembers them."""

    def __init__(self, settings: BatchSettings) -> None:
        self.settings = settings
        self.workers: list[ProcessWorker] = []

    def __call__(self, _: threading.Event) -> ProcessWorker:
        worker = ProcessWorker(self.settings)
        self.workers.append(worker)
        return worker


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _assert_complete(out: Path) -> None:
    told = _lines(out / "report.jsonl")
    names = [line["out"] for line in told]
    assert names == sorted({f"{n:02}.png" for n in range(COUNT)} | {"black.png"})
    assert {path.name for path in out.glob("*.png")} == {f"{n:02}.png" for n in range(COUNT)}
    (failure,) = _lines(out / "failures.jsonl")
    assert (failure["out"], failure["kind"]) == ("black.png", "NoFaceFound")
    for path in out.glob("*.png"):
        with Image.open(path) as image:
            assert np.asarray(image).shape == (64, 64, 3)
    assert not list(out.rglob(".*.partial"))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_batch_and_its_resumption(
    inputs: Path, settings: BatchSettings, tmp_path: Path, workers: int
) -> None:
    out = tmp_path / "out"
    pictures = list_pictures([inputs], out=out)
    opened = Opened(settings)
    report = run_batch(pictures, settings, out, open_worker=opened, workers=workers)
    assert (report.pictures, report.swapped, report.failed) == (COUNT + 1, COUNT, 1)
    assert len(opened.workers) == workers
    _assert_complete(out)
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("*.png")}
    (out / "03.png").unlink()
    again = run_batch(pictures, settings, out, open_worker=opened, workers=workers, resume=True)
    assert (again.swapped, again.earlier, again.failed) == (COUNT, COUNT - 1, 1)
    _assert_complete(out)
    after = {path.name: path.stat().st_mtime_ns for path in out.glob("*.png")}
    assert {name for name in after if after[name] != before[name]} == {"03.png"}


def test_killed_workers_lose_and_double_nothing(
    inputs: Path, settings: BatchSettings, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    opened, killed = Opened(settings), []

    def kill_some(report: BatchReport) -> None:
        if report.swapped >= 2 and len(killed) < 2:
            victim = opened.workers[len(killed)]
            os.kill(victim.pid, signal.SIGKILL)
            killed.append(victim.pid)

    pictures = list_pictures([inputs], out=out)
    report = run_batch(pictures, settings, out, open_worker=opened, workers=2, progress=kill_some)
    assert len(killed) == 2 and len(opened.workers) >= 3
    assert (report.swapped, report.failed) == (COUNT, 1)
    _assert_complete(out)


def test_after_the_whole_run_was_killed(
    inputs: Path, settings: BatchSettings, tmp_path: Path
) -> None:
    """`kill -9` of the parent mid-way; its workers end by themselves, and the rest is done."""
    out = tmp_path / "out"
    line = [
        sys.executable, "-m", "edgeswap_runtime", "batch", str(out), "--target", str(inputs),
        "--source", settings.sources[0], "--bundle", settings.engine.bundle, "--processes", "1",
    ]  # fmt: skip
    process = subprocess.Popen(line, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while len(list(out.glob("*.png"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    (out / ".99.png.0123abcd.partial").write_bytes(b"cut")
    with (out / "report.jsonl").open("ab") as file:
        file.write(b'{"out": "cut sho')
    while True:  # a worker that outlived its parent may finish one more picture
        count = len(list(out.glob("*.png")))
        time.sleep(0.3)
        if len(list(out.glob("*.png"))) == count:
            break
    done = subprocess.run([*line, "--resume", "--json"], capture_output=True, check=False)
    assert done.returncode == 2, "a picture without a face was listed as a failure"
    assert json.loads(done.stdout)["swapped"] == COUNT
    _assert_complete(out)


def test_two_runs_in_one_folder(inputs: Path, settings: BatchSettings, tmp_path: Path) -> None:
    pictures = list_pictures([inputs], out=tmp_path / "out")
    what = settings.what_matters()
    with (
        opened_folder(tmp_path / "out", what, pictures, resume=False),
        pytest.raises(InvalidRequest, match="another run writes"),
        opened_folder(tmp_path / "out", what, pictures, resume=True),
    ):
        pass


def test_another_batch_s_folder(inputs: Path, settings: BatchSettings, tmp_path: Path) -> None:
    out = tmp_path / "out"
    pictures = list_pictures([inputs], out=out)
    what = settings.what_matters()
    with opened_folder(out, what, pictures, resume=False):
        pass
    with (
        pytest.raises(OutputExists, match="--resume"),
        opened_folder(out, what, pictures, resume=False),
    ):
        pass
    with (
        pytest.raises(InvalidRequest, match="begun with other seed"),
        opened_folder(out, what | {"seed": 1}, pictures, resume=True),
    ):
        pass
    with (
        pytest.raises(InvalidRequest, match="no batch to resume"),
        opened_folder(tmp_path / "in", what, pictures, resume=True),
    ):
        pass
    with (
        pytest.raises(OutputExists, match="another folder"),
        opened_folder(tmp_path / "in", what, pictures, resume=False),
    ):
        pass


def test_a_source_without_a_face_ends_it(
    inputs: Path, settings: BatchSettings, tmp_path: Path
) -> None:
    body = settings.to_json() | {"sources": [str(inputs / "black.png")]}
    with pytest.raises(BatchRefused, match=r"no face found in .*black\.png"):
        ProcessWorker(BatchSettings.from_json(body))


def test_each_row_s_own_source(settings: BatchSettings, tmp_path: Path, photo: Any) -> None:
    """The tiny bundle's swap shows the source: two sources give two pictures."""
    for seed in (1, 2, 3):
        Image.fromarray(photo(seed)).save(tmp_path / f"{seed}.png")
    pictures = [
        BatchPicture(
            target=tmp_path / "3.png", name=PurePosixPath(f"{n}.png"), source=tmp_path / f"{n}.png"
        )
        for n in (1, 2)
    ]
    none = BatchSettings.from_json(settings.to_json() | {"sources": []})
    out = tmp_path / "out"
    run_batch(pictures, none, out, open_worker=Opened(none), workers=1)
    one, two = (np.asarray(Image.open(out / f"{n}.png")) for n in (1, 2))
    assert (one != two).any()
