"""Run `edgeswap web BUNDLE OUT`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edgeswap_runtime.bundle.default import default_bundle
from edgeswap_runtime.errors import InvalidRequest, OutputExists


def command(argv: list[str]) -> int:
    """Run the command.

    Args:
        argv: the arguments after `edgeswap web`.

    Returns:
        the exit code, 0.

    Raises:
        EdgeswapError: as `web` and `open_page_server`, for the caller to print.
    """
    options = build_parser().parse_args(argv)
    if options.port is not None and not (options.serve and 0 <= options.port <= 65_535):
        raise InvalidRequest("--port takes 0 to 65535, and needs --serve")
    from edgeswap_export.web import open_page_server, web

    is_there = options.out.exists()
    if is_there and (options.bundle is not None or not options.serve):
        raise OutputExists(options.out, "name another folder, or add --serve alone")
    if not is_there:
        web(options.bundle or default_bundle(), options.out, progress=_tell)
        size = sum(path.stat().st_size for path in options.out.rglob("*") if path.is_file())
        print(f"wrote {options.out}: {size / 1e6:.0f} MB, for any server of files")
    if not options.serve:
        print(f"next: edgeswap web {options.out} --serve")
        return 0
    with open_page_server(options.out, 8766 if options.port is None else options.port) as server:
        where = f"http://127.0.0.1:{server.server_address[1]}/"
        print(f"open {where} in a browser; Ctrl-C ends it", flush=True)
        server.serve_forever()
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Make the parser of `edgeswap web`."""
    parser = argparse.ArgumentParser(
        prog="edgeswap web",
        description="Write a page that swaps faces in the browser itself, in WebAssembly: camera, "
        "photos and films never leave the machine.",
    )
    parser.add_argument(
        "bundle", type=Path, nargs="?", metavar="BUNDLE",
        help="folder of a bundle, made by edgeswap export (default: the packaged bundle)",
    )  # fmt: skip
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to make, the page")
    parser.add_argument(
        "--serve", action="store_true",
        help="serve the page to this machine's browsers, also one made before (default: write it "
        "only)",
    )  # fmt: skip
    parser.add_argument(
        "--port", type=int, metavar="N",
        help="port to serve at, 0 to 65535, 0 for a free one (default: 8766)",
    )  # fmt: skip
    return parser


def _tell(line: str) -> None:
    print(line, file=sys.stderr)
