"""`edgeswap verify`: check a folder's files against their hashes, or read a picture's marks."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from edgeswap_runtime import cli
from edgeswap_runtime.bundle.folder import Bundle
from edgeswap_runtime.commands._checkpoints import CHECKPOINT_COMMAND, is_checkpoint


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of `edgeswap verify`."""
    parser = argparse.ArgumentParser(
        prog="edgeswap verify",
        description="Check that a bundle or a checkpoint holds exactly the files it lists, "
        "unchanged; or read the marks of a picture or film: metadata, signed content credentials "
        "and the invisible watermark.",
    )
    parser.add_argument(
        "path",
        type=Path,
        metavar="PATH",
        help="folder of a bundle or a checkpoint, or a picture or film",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object (default: text)")
    return parser


def command(argv: list[str]) -> int:
    """Run `edgeswap verify`."""
    options = build_parser().parse_args(argv)
    json_option = ["--json"] if options.json else []
    if options.path.is_file() and options.path.suffix:
        from edgeswap_runtime.commands._file_marks import verify_file

        return verify_file(options.path, as_json=options.json)
    if is_checkpoint(options.path):
        rest = [str(options.path), "--verify", *json_option]
        return cli.run(CHECKPOINT_COMMAND, rest, name="verify CHECKPOINT", extra="compress")
    bundle = Bundle.open(options.path)
    if options.json:
        report = {
            "path": str(bundle.path),
            "verified": True,
            "files": len(bundle.manifest.files),
            "manifest_sha256": bundle.manifest.manifest_sha256,
        }
        print(json.dumps(report))
    else:
        print(f"{bundle.path} is whole: {len(bundle.manifest.files)} files verified")
    return 0
