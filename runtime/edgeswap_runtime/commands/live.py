"""`edgeswap live`: put faces into what a camera sees, on a page or into a pipe."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeswap_runtime.commands.arguments.people import add_followed_faces
from edgeswap_runtime.commands.arguments.places import add_sources, read_people, require_places
from edgeswap_runtime.commands.arguments.run import add_backend_options, add_schedule, add_seed
from edgeswap_runtime.errors import CameraNotGranted, InvalidRequest

if TYPE_CHECKING:
    from edgeswap_runtime.live.headless import LiveReport
    from edgeswap_runtime.live.outputs import PictureOutput
    from edgeswap_runtime.swapper import Swapper

_LINE_EVERY_S = 2.0
_FORMATS = ("mjpeg", "raw")


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of `edgeswap live`."""
    parser = argparse.ArgumentParser(
        prog="edgeswap live",
        description="Put faces into what a camera sees. Without --camera it serves a page on this "
        "machine, where one drops photos, starts the browser's camera and clicks people; with "
        "--camera it swaps a camera of this machine into a pipe or a virtual camera.",
    )
    parser.add_argument(
        "bundle",
        type=Path,
        nargs="?",
        metavar="BUNDLE",
        help="folder of a bundle, made by edgeswap export (default: the packaged bundle)",
    )
    add_sources(parser, required=False)
    _add_page(parser.add_argument_group("the page"))
    _add_camera(parser.add_argument_group("without a page"))
    add_schedule(parser)
    add_seed(parser)
    add_backend_options(parser)
    return parser


def _add_page(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--host",
        metavar="NAME",
        help="name or address to listen at; any but this machine's own needs --token (default: "
        "127.0.0.1)",
    )
    group.add_argument(
        "--port", type=int, metavar="N", help="port, 0 to 65535, 0 for a free one (default: 8765)"
    )
    group.add_argument(
        "--token",
        metavar="WORD",
        help="word that the page's address must end in, at least 16 letters and digits (default: "
        "none, and this machine alone is let in)",
    )


def _add_camera(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--camera",
        metavar="N|FILE",
        help="camera of this machine, from 0, or a film that is played as if it were one (default: "
        "the page)",
    )
    add_followed_faces(group)
    group.add_argument(
        "--out",
        metavar="-",
        help="where to write the new pictures: - for standard output (default: none)",
    )
    group.add_argument(
        "--format",
        choices=_FORMATS,
        help="what --out writes: mjpeg, JPEG after JPEG, each marked as generated; or raw, bare "
        "RGB bytes, unmarked (default: mjpeg)",
    )
    group.add_argument(
        "--virtual-camera",
        action="store_true",
        help="show the new pictures, unmarked, as a camera that other programs can choose "
        "(default: no)",
    )


def command(argv: list[str]) -> int:
    """Run `edgeswap live`."""
    options = build_parser().parse_args(argv)
    _check(options)
    from edgeswap_runtime.bundle.default import default_bundle
    from edgeswap_runtime.bundle.folder import Bundle

    bundle = Bundle.open(options.bundle or default_bundle())
    how: dict[str, Any] = {
        "backend": options.backend,
        "device": options.device,
        "schedule": options.schedule,
        "seed": options.seed,
        "threads": options.threads,
        "precision": options.precision,
    }
    if options.camera is not None:
        _run_camera(options, bundle, how)
    else:
        _run_page(options, bundle, how)
    return 0


def _check(options: argparse.Namespace) -> None:
    """Check everything that can be told before a graph is loaded."""
    from edgeswap_runtime._arguments import require_seed
    from edgeswap_runtime.backends.threads import require_threads
    from edgeswap_runtime.faces.detect import as_choice

    require_seed(options.seed)
    require_threads(options.threads)
    require_places(options)
    options.faces = as_choice(options.faces)
    outputs = (options.out is not None) + options.virtual_camera
    if options.out not in (None, "-"):
        raise InvalidRequest(
            f"--out is {options.out}, expected - for standard output; edgeswap video writes films"
        )
    if options.camera is None:
        _check_page(options, outputs)
        return
    if outputs != 1:
        raise InvalidRequest("--camera needs one of --out - and --virtual-camera")
    if options.source is None and options.map is None:
        raise InvalidRequest("--camera needs a face to put in: add --source PHOTO")
    if (options.host, options.port, options.token) != (None, None, None):
        raise InvalidRequest("--host, --port and --token are the page's: leave out --camera")
    if options.out == "-" and sys.stdout.isatty():
        raise InvalidRequest("--out - would write pictures into the terminal: add | and a program")


def _check_page(options: argparse.Namespace, outputs: int) -> None:
    from edgeswap_runtime.live.guard import require_token

    if outputs or options.format is not None:
        raise InvalidRequest("--out, --format and --virtual-camera need --camera")
    if options.map is not None:
        raise InvalidRequest("--map needs --camera; on the page one clicks the people")
    if options.port is not None and not 0 <= options.port <= 65_535:
        raise InvalidRequest(f"--port is {options.port}, expected 0 to 65535")
    options.host = options.host or "127.0.0.1"
    require_token(options.host, options.token)


def _run_page(options: argparse.Namespace, bundle: Any, how: dict[str, Any]) -> None:
    from edgeswap_runtime.live.app import make_app
    from edgeswap_runtime.live.serve import address_of, listen, serve
    from edgeswap_runtime.live.shelf import SourceShelf
    from edgeswap_runtime.swapper import Swapper

    port = 8765 if options.port is None else options.port
    with listen(options.host, port) as opened, Swapper.open(bundle, **how) as swapper:
        shelf = SourceShelf(swapper)
        if options.source is not None:
            shelf.add(options.source, options.source[0].name)
        where = address_of(opened, options.host, options.token)
        print(f"open {where} in a browser; Ctrl-C ends it", flush=True)
        serve(make_app(swapper, shelf, token=options.token), opened)


def _run_camera(options: argparse.Namespace, bundle: Any, how: dict[str, Any]) -> None:
    from edgeswap_runtime.live.camera import LiveCamera
    from edgeswap_runtime.live.headless import swap_camera
    from edgeswap_runtime.swapper import Swapper

    with LiveCamera(options.camera) as camera, Swapper.open(bundle, **how) as swapper:
        people = read_people(swapper, options)
        output = _open_output(options, camera.size_px, camera.fps, swapper)
        try:
            report = swap_camera(
                camera, swapper, people, output, faces=options.faces, progress=_Line()
            )
        except BrokenPipeError:  # who reads has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return
        finally:
            output.close()
    if report.pictures == 0:
        raise CameraNotGranted(options.camera, "it gave no picture")
    print(_words(report), file=sys.stderr)


def _open_output(
    options: argparse.Namespace, size_px: tuple[int, int], fps: float, swapper: Swapper
) -> PictureOutput:
    from edgeswap_runtime.live.outputs import PipeOutput, VirtualCamera

    width, height = size_px
    if options.virtual_camera:
        camera = VirtualCamera(size_px, fps)
        print(f"{camera.device}: {width} x {height}, unmarked", file=sys.stderr)
        return camera
    kind = options.format or "mjpeg"
    told = f"-f rawvideo -pix_fmt rgb24 -video_size {width}x{height}, unmarked"
    print(f"-: {told if kind == 'raw' else '-f mjpeg'}, for ffmpeg and others", file=sys.stderr)
    return PipeOutput(sys.stdout.buffer, kind, swapper.mark)


class _Line:
    """Tells on stderr now and then how fast it goes."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, report: LiveReport) -> None:
        if time.monotonic() - self._last >= _LINE_EVERY_S:
            self._last = time.monotonic()
            print(_words(report), file=sys.stderr)


def _words(report: LiveReport) -> str:
    fps = report.pictures / max(report.seconds, 1e-9)
    return (
        f"{report.swapped} of {report.pictures} pictures swapped, {report.dropped} dropped, "
        f"{report.latency_ms:.0f} ms each, {fps:.1f} a second"
    )
