"""`edgeswap video`: put the face of a photo into a film."""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import sys
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeswap_runtime.commands._progress_line import ProgressLine
from edgeswap_runtime.commands.arguments.marks import add_marks, marks_from
from edgeswap_runtime.commands.arguments.people import add_followed_faces, require_identities
from edgeswap_runtime.commands.arguments.places import (
    add_sources,
    half_the_threads,
    read_people,
    require_places,
    sources_of,
)
from edgeswap_runtime.commands.arguments.run import add_bundle, add_run

if TYPE_CHECKING:
    from edgeswap_runtime.bundle.folder import Bundle
    from edgeswap_runtime.swapper import Swapper
    from edgeswap_runtime.video.film import TargetFilm
    from edgeswap_runtime.video.pipeline import FilmConfig, FilmProgress, FilmReport


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of `edgeswap video`."""
    parser = argparse.ArgumentParser(
        prog="edgeswap video",
        description="Put the face of the source into a film, and mark the new film as generated. "
        "Sound, subtitles, timestamps, rotation and colors stay as they are.",
    )
    add_bundle(parser)
    add_sources(parser, required=True)
    parser.add_argument(
        "--target", type=Path, required=True, metavar="FILM", help="film to put the face into"
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="the new film: .mp4, .m4v, .mov, .mkv or .webm; the target's own ending keeps most",
    )
    add_followed_faces(parser)
    _add_film(parser)
    add_run(parser)
    add_marks(parser)
    return parser


def _add_film(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--start",
        type=_seconds,
        metavar="TIME",
        help="first moment to keep, seconds or H:MM:SS (default: the film's beginning)",
    )
    parser.add_argument(
        "--end",
        type=_seconds,
        metavar="TIME",
        help="first moment to leave out, seconds or H:MM:SS (default: the film's end)",
    )
    parser.add_argument(
        "--encoder",
        metavar="NAME",
        help="FFmpeg's name of the encoder, such as libx264, libx265, libsvtav1 or h264_nvenc "
        "(default: libx264; libvpx-vp9 for .webm)",
    )
    parser.add_argument(
        "--quality",
        type=int,
        metavar="N",
        help="constant quality on the encoder's own scale, 0 to 63, lower is better (default: the "
        "encoder's own)",
    )
    parser.add_argument(
        "--preview",
        type=int,
        metavar="N",
        help="write a sheet of N frames, 1 to 24, before and after, beside --out, and stop "
        "(default: swap the film)",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on where the same command was ended (default: refuse if parts are there)",
    )


def command(argv: list[str]) -> int:
    """Run `edgeswap video`."""
    options = build_parser().parse_args(argv)
    bundle, schedule, film, config = _check(options)
    from edgeswap_runtime.swapper import Swapper

    how: dict[str, Any] = {
        "backend": options.backend,
        "device": options.device,
        "schedule": schedule,
        "seed": options.seed,
        "precision": options.precision,
    }
    marks = marks_from(options)
    if options.preview is not None:
        with Swapper.open(bundle, threads=options.threads, **how) as swapper:
            marks.apply(swapper)
            swapper.keep_detail = options.keep_detail
            _preview(options, swapper, film, config)
        return 0
    how["threads"] = half_the_threads(options.threads)
    with Swapper.open(bundle, **how) as swapper, Swapper.open(bundle, **how) as finder:
        marks.apply(swapper)
        swapper.keep_detail = options.keep_detail
        _swap(options, (swapper, finder), film, config)
    return 0


def _check(options: argparse.Namespace) -> tuple[Bundle, str, TargetFilm, FilmConfig]:
    """Check everything that can be told before a graph is loaded; read the film's header."""
    from edgeswap_runtime._arguments import require_seed
    from edgeswap_runtime.backends.threads import require_threads
    from edgeswap_runtime.bundle.default import default_bundle
    from edgeswap_runtime.bundle.folder import Bundle
    from edgeswap_runtime.bundle.schedules import choose_schedule
    from edgeswap_runtime.faces.detect import as_choice
    from edgeswap_runtime.pictures.mark import Mark, software
    from edgeswap_runtime.video.encode import EncoderConfig, open_encoder
    from edgeswap_runtime.video.film import probe_film
    from edgeswap_runtime.video.mux import FilmTrim, require_film_path, writable_time_base
    from edgeswap_runtime.video.parts import require_resumable
    from edgeswap_runtime.video.pipeline import FilmConfig
    from edgeswap_runtime.video.preview import require_count

    usual = require_film_path(options.out, overwrite=options.overwrite)
    require_resumable(options.out, resume=options.resume or options.preview is not None)
    require_places(options)
    require_seed(options.seed)
    require_threads(options.threads)
    marks_from(options)
    if options.preview is not None:
        require_count(options.preview)
    config = FilmConfig(
        faces=as_choice(options.faces),
        trim=FilmTrim(start_s=options.start, end_s=options.end),
        encoder=EncoderConfig(name=options.encoder or usual, quality=options.quality),
    )
    bundle = Bundle.open(options.bundle or default_bundle())
    require_identities(sources_of(options), bundle)
    schedule = choose_schedule(bundle.manifest, options.schedule, options.steps)
    film = probe_film(options.target)
    config.trim.require_within(film)
    open_encoder(film, config.encoder)
    mark = Mark(software=software(), bundle_sha256=bundle.manifest.manifest_sha256)
    writable_time_base(options.out, film, config.encoder, mark)
    return bundle, schedule, film, config


def _preview(
    options: argparse.Namespace, swapper: Swapper, film: TargetFilm, config: FilmConfig
) -> None:
    from edgeswap_runtime.pictures.write import require_writable
    from edgeswap_runtime.video.preview import preview_film

    path = options.out.with_name(f"{options.out.stem}.preview.png")
    require_writable(path, overwrite=options.overwrite)
    people = read_people(swapper, options)
    sheet = preview_film(film, swapper, people, config, options.preview)
    swapper.save(sheet, path, overwrite=options.overwrite)
    if options.json:
        print(json.dumps({"preview": str(path)}))
    else:
        print(f"{path}: look at it, then give the same command without --preview")


def _swap(
    options: argparse.Namespace,
    swappers: tuple[Swapper, Swapper],
    film: TargetFilm,
    config: FilmConfig,
) -> None:
    from edgeswap_runtime.pictures.credentials import SIGNABLE
    from edgeswap_runtime.pictures.marks import marks_of
    from edgeswap_runtime.video.mux import left_out
    from edgeswap_runtime.video.pipeline import swap_film

    swapper, finder = swappers
    people = read_people(swapper, options)
    line = _ProgressLine(30.0)
    try:
        report = swap_film(
            film,
            swapper,
            people,
            options.out,
            config,
            finder=finder,
            resume=options.resume,
            progress=line,
        )
    finally:
        line.end()
    if swapper.signer is not None and options.out.suffix.lower() in SIGNABLE:
        swapper.signer.sign_file(options.out, swapper.mark)
    elif swapper.signer is not None:
        swapper.signer = None
        words = f"note: {options.out.suffix} cannot carry content credentials, .mp4 and .mov can"
        print(words, file=sys.stderr)
    _print(options, report, config, left_out(film), marks_of(swapper))


def _print(
    options: argparse.Namespace,
    report: FilmReport,
    config: FilmConfig,
    missing: list[str],
    marks: list[str],
) -> None:
    fps = (report.frames - report.resumed_frames) / report.seconds
    if options.json:
        facts: dict[str, Any] = {"out": str(options.out), **dataclasses.asdict(report)}
        facts |= {"fps": fps, "encoder": config.encoder.name, "streams_left_out": missing}
        facts["marks"] = marks
        print(json.dumps(facts, indent=1))
        return
    print(
        f"{options.out}: {report.swapped_frames} of {report.frames} frames swapped, "
        f"{report.people} face{'s' if report.people != 1 else ''} followed, {fps:.1f} frames a "
        f"second ({config.encoder.name}), marked as generated ({', '.join(marks)})"
    )
    if missing:
        print(f"not copied: {', '.join(missing)}")


class _ProgressLine(ProgressLine):
    """Tells on stderr how far a film is: one line that changes in a terminal, else a few lines."""

    def __call__(self, progress: FilmProgress) -> None:
        if not self.due():
            return
        of = "" if progress.expected is None else f" of about {progress.expected}"
        left = "" if progress.left_s is None else f", {_clock(progress.left_s)} left"
        words = f"frame {progress.frames}{of}, {progress.fps:.1f} frames a second{left}"
        self.show(words)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _seconds(text: str) -> Fraction:
    """Seconds, or hours, minutes and seconds with colons between, exactly."""
    if not re.fullmatch(r"(\d{1,6}:){0,2}\d{1,9}(\.\d{1,9})?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no time: expected 12.5 or 0:01:30")
    total = Fraction(0)
    for part in text.split(":"):
        total = total * 60 + Fraction(part)
    return total
