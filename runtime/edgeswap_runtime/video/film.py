"""What a film is, read from its header and first frame, and which films are refused, by name."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from av.stream import Disposition

from edgeswap_runtime.errors import UnreadableFilm, UnsupportedFilm

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_FORMATS = tuple(
    f"yuv{kind}"
    for chroma in ("420p", "422p", "444p")
    for kind in (chroma, f"j{chroma}", f"{chroma}10le", f"{chroma}12le")
)
"""Pixel formats whose planes can be kept bit for bit where nothing is swapped."""
_HDR = {16: "PQ (SMPTE 2084)", 18: "HLG (ARIB STD-B67)"}
_UNSPECIFIED = 2
_MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9}  # AVCOL_SPC_* -> SWS_CS_*
_HD_HEIGHT = 720
_FULL, _LIMITED = 2, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmColors:
    """How a film's numbers mean colors.

    Attributes:
        matrix: swscale's number of the matrix from YUV to RGB; where the film names none, BT.709
            from 720 lines on, BT.601 below, as players take it.
        range: 1 limited (16 to 235), 2 full.
        tags: the film's own color_range, colorspace, color_primaries and color_trc, FFmpeg's
            numbers, to be written again unchanged.
    """

    matrix: int
    range: int
    tags: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetFilm:
    """A film that can be swapped.

    Attributes:
        path: the file.
        stream: index of its video stream.
        width_px: of the stored frame, before `rotation`.
        height_px: the same.
        pixel_format: FFmpeg's name, such as yuv420p.
        time_base: the unit of its timestamps, seconds.
        rate: frames a second, on average.
        rotation: degrees counterclockwise to show a frame upright: 0, 90, 180 or -90.
        aspect: width over height of a pixel.
        colors: how its numbers mean colors.
        duration_s: seconds; None where the file does not tell.
    """

    path: Path
    stream: int
    width_px: int
    height_px: int
    pixel_format: str
    time_base: Fraction
    rate: Fraction
    rotation: int
    aspect: Fraction
    colors: FilmColors
    duration_s: float | None


def open_input(name: str) -> InputContainer:
    """Open a film or device, whatever bytes its title and comment are.

    Before PyAV 19 text that is not UTF-8 raises unless another way is asked for; PyAV 19 has the
    way no more, and gives every such byte as half of a surrogate pair.
    """
    major = int(av.__version__.partition(".")[0])
    settings: dict[str, Any] = {"metadata_errors": "replace"} if major < 19 else {}
    opened: InputContainer = av.open(name, **settings)
    return opened


@contextlib.contextmanager
def opened_film(path: Path) -> Iterator[InputContainer]:
    """Open a film; what goes wrong while it is read becomes UnreadableFilm.

    Raises:
        UnreadableFilm: there is no such file, it is no film, or it is damaged.
    """
    if not path.is_file():
        found = "it is no file" if path.exists() else "there is no such file"
        raise UnreadableFilm(path, found)
    try:
        with open_input(str(path)) as container:
            yield container
    except av.FFmpegError as error:
        raise UnreadableFilm(path, (error.strerror or str(error)).lower()) from error


def video_stream(container: InputContainer, path: Path) -> VideoStream:
    """The film's own video stream; cover pictures are none.

    Raises:
        UnreadableFilm: there is none.
    """
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    raise UnreadableFilm(path, "it has no video stream")


def probe_film(path: Path) -> TargetFilm:
    """Read what a film is, and decode its first frame.

    Raises:
        UnreadableFilm: it is no film, or damaged.
        UnsupportedFilm: it is HDR, interlaced, mirrored, or of another pixel format.
    """
    with opened_film(path) as container:
        stream = video_stream(container, path)
        frame = next(container.decode(stream), None)
        if frame is None or stream.time_base is None:
            raise UnreadableFilm(path, "it holds no frame")
        require_supported(frame, path)
        duration = None
        if stream.duration is not None:
            duration = float(stream.duration * stream.time_base)
        elif container.duration is not None:
            duration = container.duration / av.time_base
        base = stream.time_base
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        aspect = stream.codec_context.sample_aspect_ratio or Fraction(1)
        return TargetFilm(
            path=path,
            stream=stream.index,
            width_px=frame.width,
            height_px=frame.height,
            pixel_format=frame.format.name,
            time_base=Fraction(base.numerator, base.denominator),
            rate=Fraction(rate.numerator, rate.denominator),
            rotation=_rotation(frame, path),
            aspect=Fraction(aspect.numerator, aspect.denominator),
            colors=_colors(frame, path),
            duration_s=duration,
        )


def require_supported(frame: VideoFrame, path: Path) -> None:
    """Check that a frame's pixels can be kept.

    Raises:
        UnsupportedFilm: they cannot; the message names the kind.
    """
    name = frame.format.name
    if frame.color_trc in _HDR:
        raise UnsupportedFilm(
            path,
            f"it is HDR, {_HDR[frame.color_trc]}, expected SDR: convert it first, for example with "
            "ffmpeg's filters zscale and tonemap",
        )
    if name not in _FORMATS:
        raise UnsupportedFilm(path, f"its pixels are {name}, expected one of {', '.join(_FORMATS)}")
    if frame.interlaced_frame:
        raise UnsupportedFilm(
            path, "it is interlaced, expected whole frames: first run ffmpeg -vf bwdif"
        )


def _rotation(frame: VideoFrame, path: Path) -> int:
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return 0
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].astype(np.int64).tolist()
    if a * d - b * c < 0 or frame.rotation % 90:
        raise UnsupportedFilm(
            path,
            f"it is to be shown mirrored or turned by {frame.rotation} degrees, expected turns by "
            "90: first run ffmpeg, which turns it upright",
        )
    return 180 if frame.rotation == -180 else frame.rotation


def _colors(frame: VideoFrame, path: Path) -> FilmColors:
    space = frame.colorspace
    if space == _UNSPECIFIED:
        space = 1 if frame.height >= _HD_HEIGHT else 5
    if space not in _MATRICES:
        raise UnsupportedFilm(
            path, f"its color matrix is FFmpeg's number {space}, expected BT.601, 709 or 2020"
        )
    full = frame.color_range == _FULL or frame.format.name.startswith("yuvj")
    names = ("color_range", "colorspace", "color_primaries", "color_trc")
    return FilmColors(
        matrix=_MATRICES[space],
        range=_FULL if full else _LIMITED,
        tags={name: int(getattr(frame, name)) for name in names},
    )
