"""Put encoded frames, and the film's own sound and subtitles, into a new file, marked."""

from __future__ import annotations

import heapq
import io
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from av.packet import Packet
from av.stream import Disposition

from edgeswap_runtime.errors import EdgeswapFailure, InvalidRequest, OutputExists
from edgeswap_runtime.files import new_file, require_name
from edgeswap_runtime.video.encode import FORMATS, EncoderConfig, configure, usual_encoder
from edgeswap_runtime.video.film import TargetFilm, opened_film
from edgeswap_runtime.video.mark import with_mark

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from av.container import InputContainer, OutputContainer
    from av.stream import Stream

    from edgeswap_runtime.pictures.mark import Mark
    from edgeswap_runtime.video.parts import FilmParts

    TimedPacket = tuple[Fraction, Packet[Any]]

_COPIED = ("audio", "subtitle")


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmTrim:
    """The part of a film that is kept.

    Attributes:
        start_s: seconds from the film's beginning; the first frame kept becomes time 0 unless None.
        end_s: seconds; None to the end.
    """

    start_s: Fraction | None = None
    end_s: Fraction | None = None

    def holds(self, time_s: Fraction) -> bool:
        """Tell whether a moment is kept."""
        after = self.start_s is None or time_s >= self.start_s
        return after and (self.end_s is None or time_s < self.end_s)

    def require_within(self, film: TargetFilm) -> None:
        """Raise InvalidRequest unless it holds some of a film."""
        start = self.start_s or Fraction(0)
        if self.end_s is not None and self.end_s <= start:
            raise InvalidRequest(f"--end {float(self.end_s)} is not after --start {float(start)}")
        if film.duration_s is not None and start >= film.duration_s:
            raise InvalidRequest(
                f"--start {float(start)} is after the end of {film.path}: "
                f"it lasts {film.duration_s:.2f} s"
            )


def require_film_path(out: Path, *, overwrite: bool) -> str:
    """Check where a film is to be written, before any work.

    Returns:
        the encoder that is usual for such a file.

    Raises:
        InvalidRequest: the suffix names no container that can be written, or there is no such
            folder.
        OutputExists: the path is taken and `overwrite` is False.
    """
    require_name(out)
    if out.suffix.lower() not in FORMATS:
        raise InvalidRequest(f"cannot write {out}: expected a name ending in {', '.join(FORMATS)}")
    if not out.parent.is_dir():
        raise InvalidRequest(f"cannot write {out}: there is no folder {out.parent}, make it first")
    if out.is_dir() or (out.exists() and not overwrite):
        raise OutputExists(out, "name another path, or add --overwrite")
    return usual_encoder(FORMATS[out.suffix.lower()])


def writable_time_base(out: Path, film: TargetFilm, config: EncoderConfig, mark: Mark) -> Fraction:
    """Try in memory whether a container takes all streams of a film.

    Returns:
        the unit in which it will count the video's timestamps, seconds.

    Raises:
        InvalidRequest: it does not.
    """
    with opened_film(film.path) as source:
        try:
            with av.open(io.BytesIO(), "w", format=FORMATS[out.suffix.lower()]) as container:
                streams = _add_streams(container, source, film, config, mark)
                container.start_encoding()
                return _fraction(streams[film.stream].time_base)
        except (av.FFmpegError, ValueError) as error:
            raise InvalidRequest(
                f"{out} cannot hold {config.name} together with the film's sound and subtitles "
                f"({getattr(error, 'strerror', None) or error}): name a film ending in "
                f"{film.path.suffix}, as the target's, or another encoder"
            ) from error


def write_film(
    out: Path, film: TargetFilm, parts: FilmParts, config: EncoderConfig, trim: FilmTrim, mark: Mark
) -> None:
    """Write the new film, whole or not at all.

    Args:
        out: ends in one of `FORMATS`; replaced if it exists.
        film: whose sound, subtitles, chapters, metadata and rotation are copied.
        parts: all encoded frames.
        config: how they were encoded.
        trim: which part of the film they are.
        mark: goes into the metadata.

    Raises:
        EdgeswapFailure: FFmpeg refuses a packet.
        OSError: as the system reports it.
    """
    with opened_film(film.path) as source, new_file(out) as temporary:
        first = min((int(pts.min()) for pts in parts.timestamps()), default=0)
        shift = first if trim.start_s is not None else 0
        scale = str(film.time_base.denominator)
        container_format = FORMATS[out.suffix.lower()]
        options = {"video_track_timescale": scale} if container_format in ("mp4", "mov") else {}
        try:
            with av.open(str(temporary), "w", format=container_format, options=options) as made:
                streams = _add_streams(made, source, film, config, mark)
                if trim == FilmTrim():
                    made.set_chapters(source.chapters())
                made.start_encoding()
                packets = heapq.merge(
                    _video_packets(parts, film, streams[film.stream], shift),
                    _copied_packets(film, streams, trim, shift * film.time_base),
                    key=lambda timed: timed[0],
                )
                for _, packet in packets:
                    made.mux(packet)
        except OSError:
            raise
        except av.FFmpegError as error:
            raise EdgeswapFailure(f"{out} could not be written: {error}") from error


def left_out(film: TargetFilm) -> list[str]:
    """Streams that are not copied, such as data or a second picture, in words."""
    with opened_film(film.path) as source:
        return [
            f"#{stream.index} {stream.type}"
            for stream in source.streams
            if stream.index != film.stream and stream.type not in (*_COPIED, "attachment")
        ]


def _add_streams(
    container: OutputContainer,
    source: InputContainer,
    film: TargetFilm,
    config: EncoderConfig,
    mark: Mark,
) -> dict[int, Stream]:
    """Index in the source -> stream in the new film, in the source's order."""
    streams: dict[int, Stream] = {}
    for old in source.streams:
        new: Stream
        if old.index == film.stream:
            video: Any = container.add_stream(config.name, rate=film.rate)
            configure(video.codec_context, film, config)
            video.time_base = film.time_base
            if film.rotation:
                video.set_display_rotation(film.rotation)
            new = video
        elif old.type in _COPIED:
            new = container.add_stream_from_template(old)
        elif old.type == "attachment":
            attached: Any = old
            name = attached.metadata.get("filename", "attachment")
            kind = attached.mimetype or "application/octet-stream"
            container.add_attachment(name, kind, attached.data)
            continue
        else:
            continue
        new.metadata.update(old.metadata)
        new.disposition = Disposition(old.disposition)
        streams[old.index] = new
    container.metadata.update(with_mark(dict(source.metadata), mark))
    return streams


def _video_packets(
    parts: FilmParts, film: TargetFilm, stream: Stream, shift: int
) -> Iterator[TimedPacket]:
    """The encoded frames as packets; decoding timestamps run through all parts."""
    timestamps = parts.timestamps()
    order = np.sort(np.concatenate(timestamps))
    delay = max(_delay(part) for part in timestamps)
    step = max(1, int(order[1] - order[0])) if len(order) > 1 else 1
    for at, frame in enumerate(parts.frames()):
        dts = int(order[at - delay]) if at >= delay else int(order[0]) - (delay - at) * step
        packet: Packet[Any] = Packet(frame.data)
        packet.pts, packet.dts, packet.duration = frame.pts - shift, dts - shift, frame.duration
        packet.is_keyframe, packet.stream = frame.is_key, stream
        packet.time_base = film.time_base
        yield (dts - shift) * film.time_base, packet


def _delay(pts: np.ndarray[Any, np.dtype[np.int64]]) -> int:
    """How many frames ahead of its turn an encoder sends a frame."""
    rank = np.empty(len(pts), np.int64)
    rank[np.argsort(pts)] = np.arange(len(pts))
    return int((np.arange(len(pts)) - rank).max())


def _copied_packets(
    film: TargetFilm, streams: dict[int, Stream], trim: FilmTrim, shift_s: Fraction
) -> Iterator[TimedPacket]:
    """The packets of sound and subtitles, as they are."""
    with opened_film(film.path) as source:
        wanted = [source.streams[at] for at in streams if at != film.stream]
        if not wanted:
            return
        for packet in source.demux(wanted):
            if packet.dts is None or packet.pts is None:
                continue  # the end of a stream
            base = _fraction(packet.time_base)
            if not trim.holds(packet.pts * base):
                continue
            shift = round(shift_s / base)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            packet.stream = streams[packet.stream_index]
            yield packet.dts * base, packet


def _fraction(rational: Any) -> Fraction:
    return Fraction(rational.numerator, rational.denominator)
