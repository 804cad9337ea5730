"""`edgeswap inspect`: show what a bundle, a checkpoint or a pruning plan holds."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from edgeswap_runtime import cli
from edgeswap_runtime.bundle.folder import Bundle
from edgeswap_runtime.commands._bundle_lines import describe_bundle
from edgeswap_runtime.commands._checkpoints import CHECKPOINT_COMMAND, is_checkpoint
from edgeswap_runtime.errors import InvalidRequest

_PLAN_COMMAND = "edgeswap_compress.plan.inspect:command"


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of `edgeswap inspect`."""
    parser = argparse.ArgumentParser(
        prog="edgeswap inspect",
        description="Show what a bundle, a checkpoint or a pruning plan holds: parts, sizes, "
        "settings, history.",
    )
    parser.add_argument(
        "path",
        type=Path,
        metavar="PATH",
        help="folder of a bundle or a checkpoint, or a pruning plan (a pruning.json file)",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="also check every file of the folder against its hash (default: no)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object (default: text)")
    parser.add_argument(
        "--picture",
        type=Path,
        metavar="FILE",
        help="draw the pruning plan into this new .png file (default: none; plans only)",
    )
    return parser


def command(argv: list[str]) -> int:
    """Run `edgeswap inspect`."""
    options = build_parser().parse_args(argv)
    if options.path.suffix == ".json" and options.path.is_file():
        if options.verify:
            raise InvalidRequest(f"{options.path} states no hashes: leave --verify out")
        return cli.run(_PLAN_COMMAND, argv, name="inspect PLAN", extra="compress")
    if options.picture is not None:
        raise InvalidRequest(
            f"--picture draws a pruning plan, and {options.path} is none: "
            "name a pruned checkpoint's unet/pruning.json"
        )
    if is_checkpoint(options.path):
        return cli.run(CHECKPOINT_COMMAND, argv, name="inspect CHECKPOINT", extra="compress")
    bundle = Bundle.open(options.path, verify=options.verify)
    if options.json:
        print(_as_json(bundle, verified=options.verify))
        return 0
    print("\n".join(describe_bundle(bundle)))
    if options.verify:
        print(f"verified {len(bundle.manifest.files)} files")
    return 0


def _as_json(bundle: Bundle, *, verified: bool) -> str:
    report = {
        "path": str(bundle.path),
        "total_bytes": sum(entry.bytes for entry in bundle.manifest.files.values()),
        "verified": verified,
        "manifest": bundle.manifest.to_json(),
    }
    return json.dumps(report, indent=1, sort_keys=True)
