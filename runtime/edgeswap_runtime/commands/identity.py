"""`edgeswap identity`: read a person's identity from photos into one small file."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from edgeswap_runtime.commands.arguments.run import add_backend_options

if TYPE_CHECKING:
    from edgeswap_runtime.bundle.folder import Bundle
    from edgeswap_runtime.swapper import Swapper


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of `edgeswap identity`."""
    parser = argparse.ArgumentParser(
        prog="edgeswap identity",
        description="Read the identity of a person from one or several photos into one small "
        "file, which --source of the other commands takes instead of photos.",
    )
    parser.add_argument(
        "photos",
        type=Path,
        nargs="+",
        metavar="PHOTO",
        help="photo of the person; the largest face counts, several photos are averaged",
    )
    parser.add_argument(
        "out", type=Path, metavar="OUT", help="file to write, with a name ending in .identity"
    )
    parser.add_argument(
        "--bundle",
        type=Path,
        metavar="FOLDER",
        help="folder of the bundle that is to use it (default: the packaged bundle)",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace an existing file (default: refuse)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object (default: text)")
    add_backend_options(parser)
    return parser


def command(argv: list[str]) -> int:
    """Run `edgeswap identity`."""
    options = build_parser().parse_args(argv)
    bundle = _check(options)
    from edgeswap_runtime.swapper import Swapper

    with Swapper.open(
        bundle,
        backend=options.backend,
        device=options.device,
        threads=options.threads,
        precision=options.precision,
    ) as swapper:
        warnings = _write(options, swapper)
    if options.json:
        report = {
            "out": str(options.out),
            "bytes": options.out.stat().st_size,
            "photos": [str(photo) for photo in options.photos],
            "bundle_sha256": bundle.manifest.manifest_sha256,
            "warnings": warnings,
        }
        print(json.dumps(report, indent=1))
        return 0
    for warning in warnings:
        print(f"warning: {warning}")
    count = len(options.photos)
    print(
        f"{options.out}: the identity in {count} photo{'s' if count > 1 else ''}, "
        f"{options.out.stat().st_size / 1e3:.0f} kB; next: edgeswap swap --source {options.out} "
        "--target PHOTO --out FILE"
    )
    return 0


def _check(options: argparse.Namespace) -> Bundle:
    """Check everything that can be told before a graph is loaded; open the bundle."""
    from edgeswap_runtime.backends.threads import require_threads
    from edgeswap_runtime.bundle.default import default_bundle
    from edgeswap_runtime.bundle.folder import Bundle
    from edgeswap_runtime.errors import InvalidRequest, PictureMissing
    from edgeswap_runtime.identities.file import is_identity_file, require_identity_path

    require_identity_path(options.out, overwrite=options.overwrite)
    require_threads(options.threads)
    bundle = Bundle.open(options.bundle or default_bundle())
    for photo in options.photos:
        if is_identity_file(photo):
            raise InvalidRequest(f"{photo} is an identity already, expected a photo")
        if not photo.exists():
            raise PictureMissing(photo)
    return bundle


def _write(options: argparse.Namespace, swapper: Swapper) -> list[str]:
    """Read the photos, write the file; return what is to be warned of."""
    from edgeswap_runtime.identities.convert import store_identity
    from edgeswap_runtime.identities.file import write_identity

    identity = swapper.identity(options.photos)
    photos = [str(photo) for photo in options.photos]
    stored = store_identity(identity, swapper.bundle, photos=photos)
    write_identity(options.out, stored, overwrite=options.overwrite)
    return _compare(swapper, photos) if len(photos) > 1 else []


def _compare(swapper: Swapper, photos: list[str]) -> list[str]:
    """Where photos disagree, or that it cannot be told."""
    from edgeswap_runtime.errors import InvalidRequest
    from edgeswap_runtime.faces.recognize import require_recognizer
    from edgeswap_runtime.identities.agreement import disagreements

    try:
        threshold = require_recognizer(swapper.bundle)
    except InvalidRequest:
        return ["whether the photos show one person cannot be told with this bundle"]
    vectors = [swapper.identity(photo).named("vector") for photo in photos]
    return [
        f"{line}; do both show the same person?"
        for line in disagreements(vectors, photos, threshold)
    ]
