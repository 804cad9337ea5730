"""Swap faces in a whole film: decode, find, swap and encode run beside each other, bounded."""

from __future__ import annotations

import dataclasses
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgeswap_runtime.errors import EdgeswapError, InvalidRequest, NoFaceFound, UnreadableFilm
from edgeswap_runtime.files import sha256_file
from edgeswap_runtime.video.ahead import ahead
from edgeswap_runtime.video.cast import Cast
from edgeswap_runtime.video.encode import EncoderConfig, open_encoder
from edgeswap_runtime.video.film import opened_film, require_supported, video_stream
from edgeswap_runtime.video.mux import FilmTrim, writable_time_base, write_film
from edgeswap_runtime.video.parts import EncodedFrame, FilmParts, open_parts
from edgeswap_runtime.video.planes import to_picture, with_picture
from edgeswap_runtime.video.tracks import FaceTracker

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from fractions import Fraction
    from pathlib import Path

    import numpy as np
    from av.video.frame import VideoFrame
    from numpy.typing import NDArray

    from edgeswap_runtime.swapper import Swapper
    from edgeswap_runtime.video.cast import Chosen, People
    from edgeswap_runtime.video.film import TargetFilm

    ShowProgress = Callable[["FilmProgress"], None]

PART_FRAMES = 240
"""Frames in a part: what is lost at most when a run is ended."""
_WAITING = 4  # frames between two stages


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmConfig:
    """How a film is swapped.

    Attributes:
        faces: "largest", "all" or how many; decided when a face appears, and kept. Without a
            meaning where people are named by their places.
        trim: which part of the film.
        encoder: how it is encoded.
        part_frames: frames in a part that `--resume` keeps.
    """

    faces: str | int = "largest"
    trim: FilmTrim = dataclasses.field(default_factory=FilmTrim)
    encoder: EncoderConfig = dataclasses.field(
        default_factory=lambda: EncoderConfig(name="libx264")
    )
    part_frames: int = PART_FRAMES


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmProgress:
    """How far a film is.

    Attributes:
        frames: encoded so far, those of earlier runs too.
        expected: in all, from the film's length; None where it does not tell.
        fps: frames a second in this run.
        left_s: seconds to go; None where `expected` is.
    """

    frames: int
    expected: int | None
    fps: float
    left_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmReport:
    """What was done to a film.

    Attributes:
        frames: written.
        swapped_frames: of them with a swapped face.
        people: tracks of faces that were followed.
        resumed_frames: of them made by earlier runs.
        seconds: time this run took.
    """

    frames: int
    swapped_frames: int
    people: int
    resumed_frames: int
    seconds: float


@dataclass(slots=True, kw_only=True, eq=False)
class _Frame:
    """A frame on its way; `faces` and `state` come with the search, `after` with the swap."""

    frame: VideoFrame
    pts: int
    picture: NDArray[np.uint8]
    faces: Chosen = ()
    after: NDArray[np.uint8] | None = None
    state: dict[str, Any] | None = None


def swap_film(
    film: TargetFilm,
    swapper: Swapper,
    people: People,
    out: Path,
    config: FilmConfig,
    *,
    finder: Swapper | None = None,
    resume: bool = False,
    progress: ShowProgress | None = None,
) -> FilmReport:
    """Swap faces in a film; the new one appears whole or not at all.

    Args:
        film: from `probe_film`.
        swapper: does the swaps; it may be used by others meanwhile.
        people: who is put in, or for each place (from 1, see `Track.place`) who.
        out: the new film; replaced if it exists.
        config: which faces, which part, which encoder.
        finder: finds the faces, with buffers of its own, while `swapper` swaps those of the frame
            before; the same one, in turns, when None.
        resume: go on from the parts that an ended run left beside `out`.
        progress: called after every encoded frame.

    Raises:
        NoFaceFound: in no frame; nothing is kept.
        UnsupportedFilm: the film changes to a kind that cannot be kept.
        EncoderNotGranted: the encoder does not open.
        InvalidRequest: the container cannot hold the streams or the timestamps, or the parts are of
            another command.
        OutputExists: there are parts and `resume` is False.
    """
    open_encoder(film, config.encoder)
    base = writable_time_base(out, film, config.encoder, swapper.mark)
    cast = Cast(swapper, finder, people)
    parts = open_parts(out, _job(film, cast, config), resume=resume)
    start = time.perf_counter()
    try:
        before = parts.state() or {"frames": 0, "swapped": 0, "last_pts": None}
        _encode_all(film, cast, config, parts, before, (out, base), progress)
        state = parts.state()
        if state is None or state["swapped"] == 0:
            raise NoFaceFound(str(film.path))
        write_film(out, film, parts, config.encoder, config.trim, swapper.mark)
    except EdgeswapError:
        parts.remove()
        raise
    parts.remove()
    return FilmReport(
        frames=state["frames"],
        swapped_frames=state["swapped"],
        people=state["tracker"]["count"],
        resumed_frames=before["frames"],
        seconds=time.perf_counter() - start,
    )


def read_frames(film: TargetFilm, trim: FilmTrim) -> Generator[VideoFrame, None, None]:
    """Decode the frames of a part of a film, in the order they are shown.

    Raises:
        UnreadableFilm: the film is damaged.
        UnsupportedFilm: a frame is of another kind or size than the first.
    """
    with opened_film(film.path) as container:
        stream = video_stream(container, film.path)
        stream.thread_type = "AUTO"
        if trim.start_s:
            container.seek(int(trim.start_s / film.time_base), stream=stream)
        last = None
        for frame in container.decode(stream):
            if frame.pts is None or (last is not None and frame.pts <= last):
                raise UnreadableFilm(film.path, f"its timestamps do not rise after {last}")
            last = frame.pts
            seconds = frame.pts * film.time_base
            if trim.end_s is not None and seconds >= trim.end_s:
                return
            if not trim.holds(seconds):
                continue
            _require_same(frame, film)
            yield frame


def _require_same(frame: VideoFrame, film: TargetFilm) -> None:
    require_supported(frame, film.path)
    seconds = float((frame.pts or 0) * film.time_base)
    found = (frame.width, frame.height, frame.format.name)
    if found != (film.width_px, film.height_px, film.pixel_format):
        raise UnreadableFilm(
            film.path,
            f"at {seconds:.2f} s it changes to {found[0]} x {found[1]} "
            f"{found[2]}, expected one size and format: cut it there with --end",
        )


def _encode_all(
    film: TargetFilm,
    cast: Cast,
    config: FilmConfig,
    parts: FilmParts,
    before: dict[str, Any],
    written: tuple[Path, Fraction],
    progress: ShowProgress | None,
) -> None:
    """Run the stages: each in its own thread, the encoder in this one."""
    decoded = _decode(film, config.trim, before["last_pts"], written)
    found = _find(ahead(decoded, _WAITING), film, cast, config, before)
    swapped = _swap(ahead(found, _WAITING), cast)
    meter = _Meter(film, config.trim, before["frames"], progress)
    with closing(ahead(swapped, _WAITING)) as items:
        _encode(items, film, config, parts, meter)


def _decode(
    film: TargetFilm, trim: FilmTrim, last_pts: int | None, written: tuple[Path, Fraction]
) -> Generator[_Frame, None, None]:
    """Decode all from the beginning, so that a resumed run sees the same; skip what is done."""
    out, base = written
    for frame in read_frames(film, trim):
        pts = int(frame.pts or 0)
        if last_pts is not None and pts <= last_pts:
            continue
        if (pts * film.time_base / base).denominator != 1:
            raise InvalidRequest(
                f"{out} counts time in {base} s and cannot keep the timestamp "
                f"{pts * film.time_base} s: name a film ending in {film.path.suffix}"
            )
        yield _Frame(frame=frame, pts=pts, picture=to_picture(frame, film))


def _find(
    items: Iterator[_Frame],
    film: TargetFilm,
    cast: Cast,
    config: FilmConfig,
    before: dict[str, Any],
) -> Generator[_Frame, None, None]:
    """Detect and follow; note what the next part depends on."""
    tracker = FaceTracker(config.faces)
    if "tracker" in before:
        tracker.restore(before["tracker"])
    frames, swapped = before["frames"], before["swapped"]
    for item in items:
        seconds = float(item.pts * film.time_base)
        item.faces = cast.choose(tracker.find(item.picture, cast.finder.detect, seconds))
        frames, swapped = frames + 1, swapped + bool(item.faces)
        counts = {"frames": frames, "swapped": swapped, "last_pts": item.pts}
        item.state = counts | {"tracker": tracker.to_json()}
        yield item


def _swap(items: Iterator[_Frame], cast: Cast) -> Generator[_Frame, None, None]:
    for item in items:
        item.after = cast.swap(item.picture, item.faces)
        yield item


def _encode(
    items: Iterator[_Frame], film: TargetFilm, config: FilmConfig, parts: FilmParts, meter: _Meter
) -> None:
    """Encode, and keep each part when it is full."""
    encoder = open_encoder(film, config.encoder)
    packets: list[Any] = []
    durations: dict[int, int] = {}
    state: dict[str, Any] | None = None

    def finish() -> None:
        frames = [*packets, *encoder.encode(None)]
        parts.add([_encoded(packet, durations) for packet in frames], state or {})
        packets.clear()
        durations.clear()

    for item in items:
        if len(durations) == config.part_frames:
            finish()
            encoder = open_encoder(film, config.encoder)
        frame = item.frame
        if item.after is not None:
            frame = with_picture(frame, item.picture, item.after, film)
        frame.pict_type = 0  # the encoder decides; the old film's choice would be obeyed
        durations[item.pts], state = frame.duration or 0, item.state
        packets += encoder.encode(frame)
        meter.count()
    if durations:
        finish()


def _encoded(packet: Any, durations: dict[int, int]) -> EncodedFrame:
    pts = int(packet.pts)
    return EncodedFrame(
        data=bytes(packet), pts=pts, duration=durations[pts], is_key=packet.is_keyframe
    )


class _Meter:
    """Counts frames and tells how many are left."""

    def __init__(
        self, film: TargetFilm, trim: FilmTrim, done: int, progress: ShowProgress | None
    ) -> None:
        end = film.duration_s if trim.end_s is None else float(trim.end_s)
        if end is not None and film.duration_s is not None:
            end = min(end, film.duration_s)
        length = None if end is None else max(0.0, end - float(trim.start_s or 0))
        self._expected = None if length is None else max(1, round(length * film.rate))
        self._before, self._new, self._progress = done, 0, progress
        self._start = time.perf_counter()

    def count(self) -> None:
        """One more frame."""
        self._new += 1
        if self._progress is None:
            return
        fps = self._new / max(time.perf_counter() - self._start, 1e-9)
        done = self._before + self._new
        left = None if self._expected is None else max(0, self._expected - done) / fps
        self._progress(FilmProgress(frames=done, expected=self._expected, fps=fps, left_s=left))


def _job(film: TargetFilm, cast: Cast, config: FilmConfig) -> dict[str, Any]:
    """Everything that the packets depend on."""
    swapper = cast.swapper
    return {
        "target": sha256_file(film.path),
        "source": cast.digests(),
        "bundle": swapper.bundle.manifest.manifest_sha256,
        "schedule": swapper.schedule_name,
        "seed": swapper.seed,
        "watermark": swapper.watermark is not None,
        "keep detail": swapper.keep_detail,
        "faces": str(config.faces),
        "start and end": [str(config.trim.start_s), str(config.trim.end_s)],
        "encoder": [config.encoder.name, config.encoder.quality, config.part_frames],
        "edgeswap version": swapper.mark.software,
    }
