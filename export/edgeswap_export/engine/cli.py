"""``edgeswap engine BUNDLE NEW_BUNDLE``."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgeswap_export.engine._architectures import ENGINE_BACKENDS, RTX_TARGETS
from edgeswap_export.engine._config import COMPATIBILITIES, EngineConfig, Sizes
from edgeswap_export.engine._errors import UnsupportedEngine
from edgeswap_export.engine._stage import engine
from edgeswap_runtime.bundle.manifest import Manifest, read_manifest


def command(argv: list[str]) -> int:
    """Run the sub-command; errors are the caller's to print.

    Args:
        argv: What follows ``edgeswap engine``.

    Returns:
        0.
    """
    arguments = _parser().parse_args(argv)
    before = time.perf_counter()
    with _stdout_to_stderr():
        out = engine(arguments.bundle, _config(arguments), arguments.out, progress=_tell)
    spent_s = time.perf_counter() - before
    manifest = read_manifest(out)
    report = {"bundle": str(out), "seconds": spent_s, "engines": _summary(manifest)}
    print(json.dumps(report) if arguments.json else _table(out, manifest))
    return 0


@contextlib.contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """TensorRT for RTX prints some warnings past its logger, into what is the report's place."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _config(arguments: argparse.Namespace) -> EngineConfig:
    sizes = dict(_size(text) for text in arguments.size)
    if arguments.batch is not None:
        sizes["batch"] = _size(f"batch={arguments.batch}")[1]
    return EngineConfig(
        backend=arguments.backend,
        targets=tuple(part for part in (arguments.gpu or "").upper().split(",") if part),
        graphs=tuple(part for part in (arguments.graph or "").split(",") if part),
        sizes=sizes,
        hardware_compatibility=arguments.hardware_compatibility,
        refittable=arguments.refittable,
        workspace_mib=arguments.workspace_mib,
        optimization_level=arguments.optimization_level,
        tf32=arguments.tf32,
        timing_cache=not arguments.no_timing_cache,
        refit=None if arguments.refit is None else str(arguments.refit),
    )


def _size(text: str) -> tuple[str, Sizes]:
    """Read NAME=MIN:OPT:MAX.

    Raises:
        UnsupportedEngine: another form.
    """
    name, _, numbers = text.partition("=")
    parts = numbers.split(":")
    if not name or len(parts) != 3 or not all(part.isdecimal() for part in parts):
        raise UnsupportedEngine(f"size '{text}': expected NAME=MIN:OPT:MAX, such as batch=1:4:8")
    least, usual, most = (int(part) for part in parts)
    return name, (least, usual, most)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edgeswap engine",
        description="Build TensorRT engines of a bundle's graphs, into a new bundle.",
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="from edgeswap export")
    parser.add_argument("out", type=Path, metavar="NEW_BUNDLE", help="folder to make")
    parser.add_argument(
        "--backend", required=True, metavar="|".join(ENGINE_BACKENDS),
        help="tensorrt_rtx builds ahead of time on any machine, tensorrt on the device itself",
    )  # fmt: skip
    parser.add_argument(
        "--gpu", metavar="SM86,SM89", help=f"for tensorrt_rtx, of {', '.join(RTX_TARGETS)}"
    )
    parser.add_argument("--graph", metavar="NAME,...", help="these graphs only (default: all)")
    parser.add_argument(
        "--batch", metavar="MIN:OPT:MAX", help="(default: what the bundle was exported for)"
    )
    parser.add_argument(
        "--size", action="append", default=[], metavar="NAME=MIN:OPT:MAX",
        help="of another dynamic axis; again for more",
    )  # fmt: skip
    parser.add_argument(
        "--hardware-compatibility", metavar="|".join(COMPATIBILITIES),
        help="for tensorrt: run on other GPUs than this one, more slowly",
    )  # fmt: skip
    parser.add_argument(
        "--workspace-mib", type=int, metavar="N",
        help="working memory of the builder (default: all; a quarter of a Jetson's)",
    )  # fmt: skip
    parser.add_argument(
        "--optimization-level", type=int, metavar="0..5", help="(default: TensorRT's own)"
    )
    parser.add_argument(
        "--tf32", action="store_true", help="let float32 products be rounded to TensorFloat-32"
    )
    parser.add_argument("--no-timing-cache", action="store_true", help="measure every kernel again")
    parser.add_argument(
        "--refittable", action="store_true", help="let --refit replace the weights later"
    )
    parser.add_argument(
        "--refit", type=Path, metavar="OTHER_BUNDLE",
        help="give its engines this bundle's weights, instead of building",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


def _summary(manifest: Manifest) -> list[dict[str, Any]]:
    return [
        {
            "key": key,
            "graph": entry.graph,
            "backend": entry.inputs.backend,
            "version": entry.inputs.version,
            "architectures": list(entry.inputs.architectures),
            "precision": entry.inputs.precision,
            "file": entry.file,
            "bytes": manifest.files[entry.file].bytes,
            "sha256": manifest.files[entry.file].sha256,
        }
        for key, entry in sorted(manifest.engines.items(), key=lambda item: item[1].graph)
    ]


def _table(out: Path, manifest: Manifest) -> str:
    lines = [f"{out}: {manifest.name}", f"{'graph':<10}{'MB':>8}  engine"]
    lines += [
        f"{row['graph']:<10}{row['bytes'] / 1e6:>8.2f}  {row['backend']} {row['version']} for "
        f"{','.join(row['architectures'])}, {row['precision']}, {row['key'][:12]}"
        for row in _summary(manifest)
    ]
    return "\n".join(lines)
