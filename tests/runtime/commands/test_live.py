"""`edgeswap live`: what it serves and pipes, and one line and nothing else when it cannot."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import av
import pytest
from PIL import Image

from edgeswap_runtime.cli import main
from edgeswap_runtime.pictures.portraits import packaged_portraits

SOURCE = str(packaged_portraits()[1])
LINE = [sys.executable, "-m", "edgeswap_runtime", "live", "--threads", "1"]


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "camera.mp4"
    with Image.open(packaged_portraits()[3]) as portrait:
        small = portrait.convert("RGB").resize((160, 160))
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream("libx264", rate=10)
        video.width = video.height = 160
        for _ in range(10):
            container.mux(video.encode(av.VideoFrame.from_image(small)))
        container.mux(video.encode(None))
    return path


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "0.0.0.0"], "add --token"),
        (["--token", "short"], "at least 16 letters and digits"),
        (["--port", "70000"], "expected 0 to 65535"),
        (["--out", "-"], "need --camera"),
        (["--format", "raw"], "need --camera"),
        (["--virtual-camera"], "need --camera"),
        (["--map", "a.png=1"], "--map needs --camera"),
        (["--camera", "0"], "needs one of --out - and --virtual-camera"),
        (["--camera", "0", "--out", "-"], "add --source PHOTO"),
        (["--camera", "0", "--out", "a.mp4", "--source", SOURCE], "expected - for standard"),
        (["--camera", "0", "--out", "-", "--source", SOURCE, "--port", "1"], "leave out --camera"),
        (["--camera", "no.mp4", "--out", "-", "--source", SOURCE], "there is no such file"),
        (["--camera", "0", "--out", "-", "--source", SOURCE, "--faces", "x"], "expected 'largest'"),
        (["--source", "none.png", "--port", "0"], "none.png"),
    ],
)
def test_what_is_refused(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["live", *arguments]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.count("\n") == 1 and words in told.err, told.err


def test_a_pipe(film: Path) -> None:
    line = [*LINE, "--camera", str(film), "--out", "-", "--source", SOURCE, "--format", "raw"]
    done = subprocess.run(line, capture_output=True, check=True, timeout=120)
    assert len(done.stdout) % (160 * 160 * 3) == 0 and done.stdout
    told = done.stderr.decode()
    assert "-video_size 160x160, unmarked" in told
    assert re.search(r"(\d+) of \1 pictures swapped, \d+ dropped", told), told


def test_a_reader_that_leaves_ends_it_well(film: Path) -> None:
    line = [*LINE, "--camera", str(film), "--out", "-", "--source", SOURCE]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.read(2) == b"\xff\xd8"
        process.stdout.close()
        assert process.wait(60) == 0
        assert b"Traceback" not in process.stderr.read()


def heed_interrupts() -> None:
    """Undo what a shell does to background jobs: a child inherits that SIGINT is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_the_page() -> None:
    line = [*LINE, "--port", "0", "--source", SOURCE]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        line,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        preexec_fn=heed_interrupts,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        told = process.stdout.readline().decode()
        found = re.match(r"open (http://127\.0\.0\.1:\d+/) in a browser", told)
        assert found, told
        with urlopen(f"{found[1]}api/state", timeout=60) as answer:
            assert b"source-2.png" in answer.read()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr.read() == b"edgeswap: interrupted\n"
