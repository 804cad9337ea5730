"""Whole films: what is swapped, and that all else comes out as it went in."""

from __future__ import annotations

import signal
import subprocess
import sys
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
from PIL import Image

from edgeswap_runtime import Swapper
from edgeswap_runtime.errors import InvalidRequest, NoFaceFound, OutputExists
from edgeswap_runtime.pictures.mark import Mark
from edgeswap_runtime.pictures.portraits import packaged_portraits
from edgeswap_runtime.video.encode import EncoderConfig
from edgeswap_runtime.video.film import probe_film
from edgeswap_runtime.video.mark import read_film_mark, with_mark
from edgeswap_runtime.video.mux import FilmTrim
from edgeswap_runtime.video.pipeline import FilmConfig, FilmProgress, swap_film

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edgeswap_runtime import Identity

LOSSLESS = EncoderConfig(name="libx264", quality=0)
VARIABLE = (0, 100, 250, 300, 420, 500, 633, 700)


@pytest.fixture(scope="module")
def identity(packaged: Swapper, source: Path) -> Identity:
    return packaged.identity(source)


@pytest.fixture
def swap(packaged: Swapper, identity: Identity) -> Callable[..., Any]:
    """swap(target, out, resume=..., progress=..., **FilmConfig)."""

    def run(target: Path, out: Path, *, resume: bool = False, progress: Any = None, **config: Any):
        film = probe_film(target)
        made = FilmConfig(**({"encoder": LOSSLESS} | config))
        return swap_film(film, packaged, identity, out, made, resume=resume, progress=progress)

    return run


@pytest.mark.parametrize("name", ["film.mp4", "film.mov", "film.mkv"])
def test_all_but_the_face_comes_out_as_it_went_in(
    make_film: Any, walk: Any, read_film: Any, swap: Any, tmp_path: Path, name: str
) -> None:
    subtitles = name.endswith("mkv")
    target = make_film(name, walk(8), pts=VARIABLE, subtitles=subtitles)
    out = tmp_path / f"out-{name}"
    heard: list[FilmProgress] = []
    report = swap(target, out, progress=heard.append, part_frames=3)
    before, after = read_film(target), read_film(out)
    assert report.frames == report.swapped_frames == len(after.times) == 8 and report.people == 1
    assert before.times == after.times == [Fraction(ms, 1000) for ms in VARIABLE]
    assert after.packets == before.packets
    assert set(after.packets) == {"audio", "subtitle"} if subtitles else {"audio"}
    assert after.metadata.get("title", after.metadata.get("TITLE")) == "a walk"
    mark = read_film_mark(out)
    assert mark is not None and len(mark.bundle_sha256 or "") == 64
    assert read_film_mark(target) is None
    for at, (old, new) in enumerate(zip(before.pictures, after.pictures, strict=True)):
        changed = (old != new).any(-1)
        left, top = 10 + 4 * at, 8 + at
        assert 300 < changed.sum() < 2500
        changed[top : top + 80, left : left + 80] = False
        assert not changed.any()
    assert [p.frames for p in heard] == list(range(1, 9))
    assert heard[-1].left_s is not None and heard[0].fps > 0
    assert not (tmp_path / f"out-{name}.parts").exists()


def test_a_film_whose_title_is_no_text_is_swapped_all_the_same(
    make_film: Any, walk: Any, swap: Any, tmp_path: Path
) -> None:
    """A title in Latin-1: it stopped PyAV before 19, and is half of a character in PyAV 19."""
    target = make_film("a.mp4", walk(2), audio=False)
    stored, title = target.read_bytes(), "à café".encode("latin-1")
    assert stored.count(b"a walk") == 1
    target.write_bytes(stored.replace(b"a walk", title))
    out = tmp_path / "b.mp4"
    assert swap(target, out).swapped_frames == 2
    mark = read_film_mark(out)
    assert mark is not None and mark.software.startswith("edgeswap ")


def test_what_a_mark_says_can_always_be_printed(tmp_path: Path, make_film: Any, walk: Any) -> None:
    target = make_film("a.mp4", walk(2), audio=False)
    comment = with_mark({}, Mark(software="edge\u00e9swap 1"))["comment"]
    with_comment = tmp_path / "b.mp4"
    copied(target, with_comment, comment)
    stored = with_comment.read_bytes()
    assert stored.count("\u00e9".encode()) == 1
    with_comment.write_bytes(stored.replace("\u00e9".encode(), b"\xe9 "))
    mark = read_film_mark(with_comment)
    assert mark is not None and mark.software.encode()


def copied(film: Path, out: Path, comment: str) -> None:
    """Copy a film's video, with a comment."""
    with av.open(str(film)) as old, av.open(str(out), "w") as new:
        new.metadata["comment"] = comment
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(old.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)


def test_people_by_their_places_with_a_finder_beside(
    make_film: Any, packaged: Swapper, identity: Identity, read_film: Any, tmp_path: Path
) -> None:
    """Person 2, from the left, gets the face; person 1 keeps theirs; the same with two swappers."""
    frames = [two_people(at) for at in range(4)]
    target = make_film("a.mp4", frames, audio=False)
    config = FilmConfig(encoder=LOSSLESS)
    made = []
    with Swapper.open(threads=1) as finder:
        for name, beside in (("b.mp4", None), ("c.mp4", finder)):
            out = tmp_path / name
            report = swap_film(
                probe_film(target), packaged, {2: identity}, out, config, finder=beside
            )
            assert report.people == 2 and report.swapped_frames == 4
            made.append(out.read_bytes())
    assert made[0] == made[1]
    for old, new in zip(
        read_film(target).pictures, read_film(tmp_path / "b.mp4").pictures, strict=True
    ):
        changed = (old != new).any(-1)
        assert not changed[:, :100].any() and changed[:, 100:].sum() > 300


def two_people(at: int) -> Any:
    frame = Image.new("RGB", (200, 112), (96, 104, 112))
    for person, left in ((3, 4 + at), (5, 112 - at)):
        with Image.open(packaged_portraits()[person]) as portrait:
            frame.paste(portrait.convert("RGB").resize((80, 80)), (left, 10))
    return np.asarray(frame)


def test_ten_bits_rotation_and_colors_are_kept(
    make_film: Any, walk: Any, read_film: Any, swap: Any, tmp_path: Path
) -> None:
    tags = (("color_range", 1), ("colorspace", 1), ("color_primaries", 1), ("color_trc", 1))
    target = make_film(
        "a.mp4", walk(3), pixel_format="yuv420p10le", rotation=-90, tags=tags, audio=False
    )
    report = swap(target, tmp_path / "b.mp4", encoder=EncoderConfig(name="libx264", quality=10))
    assert report.swapped_frames == 3
    before, after = read_film(target).frame, read_film(tmp_path / "b.mp4").frame
    for name in ("rotation", "color_range", "colorspace", "color_primaries", "color_trc"):
        assert getattr(after, name) == getattr(before, name), name
    assert after.rotation == -90 and after.format.name == "yuv420p10le"


def test_a_part_of_a_film(
    make_film: Any, walk: Any, read_film: Any, swap: Any, tmp_path: Path
) -> None:
    target, out = make_film("a.mp4", walk(10)), tmp_path / "b.mp4"
    assert (
        swap(target, out, trim=FilmTrim(start_s=Fraction(3, 10), end_s=Fraction(8, 10))).frames == 5
    )
    before, after = read_film(target), read_film(out)
    assert after.times == [moment - before.times[3] for moment in before.times[3:8]]
    assert np.abs(after.pictures[0][:, -30:].astype(int) - before.pictures[3][:, -30:]).max() == 0
    kept = [
        data
        for moment, data in before.packets["audio"]
        if Fraction(3, 10) <= moment < Fraction(8, 10)
    ]
    assert [data for _, data in after.packets["audio"]] == kept
    assert 0 <= after.packets["audio"][0][0] < Fraction(1024, 16_000)


KILLED = """
import os, signal, sys
from pathlib import Path
from edgeswap_runtime import Swapper
from edgeswap_runtime.video.encode import EncoderConfig
from edgeswap_runtime.video.film import probe_film
from edgeswap_runtime.video.pipeline import FilmConfig, swap_film
target, source, out = map(Path, sys.argv[1:])
def die(progress):
    if progress.frames == 9:
        os.kill(os.getpid(), signal.SIGKILL)
with Swapper.open(threads=1) as swapper:
    config = FilmConfig(encoder=EncoderConfig(name="libx264", quality=0), part_frames=4)
    swap_film(probe_film(target), swapper, swapper.identity(source), out, config, progress=die)
"""


def test_a_killed_run_goes_on_to_the_same_film(
    make_film: Any, walk: Any, swap: Any, tmp_path: Path, source: Path
) -> None:
    target, out, whole = make_film("a.mp4", walk(11)), tmp_path / "b.mp4", tmp_path / "c.mp4"
    line = [sys.executable, "-c", KILLED, str(target), str(source), str(out)]
    assert subprocess.run(line, check=False).returncode == -signal.SIGKILL
    assert not out.exists() and (tmp_path / "b.mp4.parts").is_dir()
    with pytest.raises(OutputExists, match="--resume"):
        swap(target, out, part_frames=4)
    with pytest.raises(InvalidRequest, match="another encoder"):
        swap(target, out, part_frames=5, resume=True)
    assert swap(target, out, part_frames=4, resume=True).resumed_frames == 8
    assert swap(target, whole, part_frames=4).resumed_frames == 0
    assert out.read_bytes() == whole.read_bytes()


def test_an_interrupted_run_keeps_its_parts(
    make_film: Any, walk: Any, swap: Any, tmp_path: Path
) -> None:
    target, out = make_film("a.mp4", walk(6)), tmp_path / "b.mp4"

    def stop(progress: FilmProgress) -> None:
        if progress.frames == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        swap(target, out, part_frames=2, progress=stop)
    assert swap(target, out, part_frames=2, resume=True).resumed_frames == 4


def test_a_film_without_faces_leaves_nothing(make_film: Any, swap: Any, tmp_path: Path) -> None:
    target = make_film("a.mp4", [np.full((64, 64, 3), 90, np.uint8)] * 4)
    with pytest.raises(NoFaceFound):
        swap(target, tmp_path / "b.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_timestamps_that_a_container_cannot_hold_are_refused(
    make_film: Any, walk: Any, swap: Any, tmp_path: Path
) -> None:
    target = make_film("a.mp4", walk(3), time_base=Fraction(1, 90_000), pts=(0, 3003, 6006))
    with pytest.raises(InvalidRequest, match=r"counts time in 1/1000 s .*ending in \.mp4"):
        swap(target, tmp_path / "b.mkv")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_the_mark_keeps_an_old_comment_and_replaces_an_old_mark(packaged: Swapper) -> None:
    once = with_mark({"COMMENT": "at the sea", "encoder": "x"}, packaged.mark)
    assert once["comment"].endswith(" at the sea") and set(once) == {"comment"}
    assert with_mark(once, packaged.mark) == once
