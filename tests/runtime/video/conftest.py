"""Tiny films: packaged portraits moved across a plain background, with a tone and subtitles."""

from __future__ import annotations

import io
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
from PIL import Image

from edgeswap_runtime.pictures.portraits import packaged_portraits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from edgeswap_runtime import Swapper


RATE = 10
WIDTH, HEIGHT, FACE_PX = 160, 112, 80
SRT = "1\n00:00:00,200 --> 00:00:00,700\nhello\n\n"


def paint(places: Sequence[tuple[int, int, int]]) -> NDArray[np.uint8]:
    """One frame: (portrait, left, top) for each person, later ones in front."""
    frame = Image.new("RGB", (WIDTH, HEIGHT), (96, 104, 112))
    portraits = packaged_portraits()
    for person, left, top in places:
        with Image.open(portraits[person]) as portrait:
            small = portrait.convert("RGB").resize((FACE_PX, FACE_PX), Image.Resampling.LANCZOS)
        frame.paste(small, (left, top))
    return np.asarray(frame)


@pytest.fixture(scope="session")
def walk() -> Callable[[int], list[NDArray[np.uint8]]]:
    """Frames of one person who moves by 4 px to the right and 1 px downwards: walk(count)."""
    return lambda count: [paint([(3, 10 + 4 * at, 8 + at)]) for at in range(count)]


@dataclass(frozen=True, kw_only=True)
class FilmRecipe:
    """How a film is made; its timestamps are in milliseconds unless `time_base` says otherwise."""

    pixel_format: str = "yuv420p"
    codec: str = "libx264"
    pts: tuple[int, ...] | None = None
    time_base: Fraction = Fraction(1, 1000)
    rotation: int = 0
    audio: bool = True
    subtitles: bool = False
    tags: tuple[tuple[str, int], ...] = ()


@pytest.fixture
def make_film(tmp_path: Path) -> Callable[..., Path]:
    """make_film("a.mp4", frames, pts=...) -> its path; see FilmRecipe."""

    def make(name: str, frames: Sequence[NDArray[np.uint8]], **recipe: Any) -> Path:
        return write(tmp_path / name, frames, FilmRecipe(**recipe))

    return make


def write(path: Path, frames: Sequence[NDArray[np.uint8]], recipe: FilmRecipe) -> Path:
    options = {}
    if path.suffix in (".mp4", ".mov"):
        options["video_track_timescale"] = str(recipe.time_base.denominator)
    with av.open(str(path), "w", options=options) as container:
        container.metadata["title"] = "a walk"
        video = container.add_stream(recipe.codec, rate=RATE, options={"crf": "12"})
        height, width = np.rot90(frames[0], -recipe.rotation // 90).shape[:2]
        video.width, video.height, video.pix_fmt = width, height, recipe.pixel_format
        video.codec_context.time_base = video.time_base = recipe.time_base
        for tag, number in recipe.tags:
            setattr(video.codec_context, tag, number)
        if recipe.rotation:
            video.set_display_rotation(recipe.rotation)
        audio = container.add_stream("aac", rate=16_000, layout="mono") if recipe.audio else None
        subtitles, lines = None, None
        if recipe.subtitles:
            lines = av.open(io.BytesIO(SRT.encode()), format="srt")
            subtitles = container.add_stream_from_template(lines.streams[0])
        for packet in lines.demux() if lines is not None else ():
            if packet.dts is not None:
                packet.stream = subtitles
                container.mux(packet)
        tick = int(Fraction(1, RATE) / recipe.time_base)
        pts = recipe.pts or tuple(at * tick for at in range(len(frames)))
        for moment, picture in zip(pts, frames, strict=True):
            turned = np.ascontiguousarray(np.rot90(picture, -recipe.rotation // 90))
            rgb = av.VideoFrame.from_ndarray(turned, format="rgb24")
            frame = rgb.reformat(format=recipe.pixel_format)
            frame.pts, frame.time_base = moment, recipe.time_base
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if audio is not None:
            length_s = float(pts[-1] * recipe.time_base) + 1 / RATE
            for chunk in tone(length_s):
                container.mux(audio.encode(chunk))
            container.mux(audio.encode(None))
    return path


def tone(length_s: float, rate: int = 16_000) -> Iterator[Any]:
    """A tone of 440 Hz, 1024 samples a piece."""
    wave = 0.4 * np.sin(2 * np.pi * 440 * np.arange(int(length_s * rate)) / rate)
    for at in range(0, len(wave) - 1024, 1024):
        chunk = av.AudioFrame.from_ndarray(
            wave[None, at : at + 1024].astype(np.float32), format="fltp", layout="mono"
        )
        chunk.sample_rate, chunk.pts = rate, at
        yield chunk


@dataclass(frozen=True, kw_only=True)
class FilmContent:
    """What a film holds, as PyAV reads it."""

    times: list[Fraction]
    pictures: list[NDArray[np.uint8]]
    planes: list[list[bytes]]
    frame: Any
    packets: dict[str, list[tuple[Fraction, bytes]]]
    metadata: dict[str, str]
    formats: set[str]


@pytest.fixture
def read_film() -> Callable[[Path], FilmContent]:
    """Read a whole film: timestamps, frames, and the packets of sound and subtitles."""

    def read(path: Path) -> FilmContent:
        with av.open(str(path)) as container:
            frames = list(container.decode(video=0))
            metadata = dict(container.metadata)
        packets: dict[str, list[tuple[Fraction, bytes]]] = {}
        with av.open(str(path)) as container:
            for packet in container.demux():
                if packet.stream.type != "video" and packet.dts is not None:
                    base = packet.time_base
                    moment = packet.pts * Fraction(base.numerator, base.denominator)
                    packets.setdefault(packet.stream.type, []).append((moment, bytes(packet)))
        return FilmContent(
            times=[
                f.pts * Fraction(f.time_base.numerator, f.time_base.denominator) for f in frames
            ],
            pictures=[frame.to_ndarray(format="rgb24") for frame in frames],
            planes=[[bytes(plane) for plane in frame.planes] for frame in frames],
            frame=frames[0],
            packets=packets,
            metadata=metadata,
            formats={frame.format.name for frame in frames},
        )

    return read


@pytest.fixture(scope="session")
def packaged() -> Iterator[Swapper]:
    """A swapper of the packaged bundle, one thread."""
    from edgeswap_runtime import Swapper

    with Swapper.open(threads=1) as opened:
        yield opened


@pytest.fixture(scope="session")
def source() -> Path:
    """A photo of somebody else."""
    return packaged_portraits()[1]
