"""Encode frames by an encoder that is asked for by name; nothing else takes its place."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import av
from av.codec import Codec, CodecContext
from av.codec.codec import UnknownCodecError
from av.codec.context import Flags

from edgeswap_runtime.errors import EncoderNotGranted, InvalidRequest

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext

    from edgeswap_runtime.video.film import TargetFilm

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
"""Suffix of a film that can be written -> FFmpeg's name of the container."""
_USUAL = {"webm": "libvpx-vp9"}
_QUALITY_OPTION = {
    "libx264": "crf",
    "libx265": "crf",
    "libsvtav1": "crf",
    "libaom-av1": "crf",
    "libvpx-vp9": "crf",
    "h264_nvenc": "cq",
    "hevc_nvenc": "cq",
    "av1_nvenc": "cq",
    "h264_qsv": "global_quality",
    "hevc_qsv": "global_quality",
    "av1_qsv": "global_quality",
    "h264_vaapi": "qp",
    "hevc_vaapi": "qp",
    "h264_videotoolbox": "q",
    "hevc_videotoolbox": "q",
}
"""Encoder -> its option for a constant quality."""
_FIXED = {"libvpx-vp9": {"b": "0", "row-mt": "1"}, "libx265": {"x265-params": "log-level=none"}}


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderConfig:
    """How the new film is encoded.

    Attributes:
        name: FFmpeg's name of the encoder, such as libx264 or h264_nvenc.
        quality: the encoder's own scale, lower is better; its own default when None.
    """

    name: str
    quality: int | None = None

    def options(self) -> dict[str, str]:
        """The encoder's options.

        Raises:
            InvalidRequest: it has no scale of quality.
        """
        options = dict(_FIXED.get(self.name, {}))
        if self.quality is None:
            return options
        if self.name not in _QUALITY_OPTION:
            raise InvalidRequest(
                f"encoder '{self.name}' takes no --quality: expected one of "
                f"{', '.join(_QUALITY_OPTION)}"
            )
        return options | {_QUALITY_OPTION[self.name]: str(self.quality)}


def usual_encoder(container_format: str) -> str:
    """The encoder of a container where none is named."""
    return _USUAL.get(container_format, "libx264")


def open_encoder(film: TargetFilm, config: EncoderConfig) -> VideoCodecContext:
    """Open an encoder for a film's frames.

    Raises:
        EncoderNotGranted: it is unknown, not on this machine, or does not take such frames.
    """
    try:
        codec = Codec(config.name, "w")
    except UnknownCodecError as error:
        raise EncoderNotGranted(
            config.name,
            "there is none of that name in this FFmpeg: name another, such as libx264",
        ) from error
    if codec.type != "video":
        raise EncoderNotGranted(config.name, f"it encodes {codec.type}, expected video")
    formats = [known.name for known in codec.video_formats or ()]
    if formats and film.pixel_format not in formats:
        raise EncoderNotGranted(
            config.name,
            f"the film's pixels are {film.pixel_format}, it takes {', '.join(formats)}: "
            "name another encoder, such as libx264",
        )
    context = cast("VideoCodecContext", CodecContext.create(codec, "w"))
    configure(context, film, config)
    try:
        context.open()
    except (av.FFmpegError, OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise EncoderNotGranted(
            config.name,
            f"it does not open for {film.width_px} x {film.height_px} {film.pixel_format} on this "
            f"machine ({why}): name another encoder, such as libx264",
        ) from error
    return context


def configure(context: VideoCodecContext, film: TargetFilm, config: EncoderConfig) -> None:
    """Tell an encoder, not opened yet, what its frames are like."""
    context.width, context.height = film.width_px, film.height_px
    context.pix_fmt = film.pixel_format
    context.time_base = film.time_base
    context.framerate = Fraction(film.rate).limit_denominator(1 << 16)
    context.sample_aspect_ratio = film.aspect
    context.flags |= Flags.global_header
    for name, number in film.colors.tags.items():
        setattr(context, name, number)
    context.options = config.options()
