"""Run `edgeswap engine BUNDLE OUT`."""

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

from edgeswap_export.engine._architectures import ENGINE_BACKENDS, RTX_GPUS
from edgeswap_export.engine._config import COMPATIBILITIES, BuilderOptions, EngineConfig, Sizes
from edgeswap_export.engine._errors import UnsupportedEngine
from edgeswap_export.engine._stage import engine
from edgeswap_runtime.bundle.manifest import Manifest, read_manifest


def command(argv: list[str]) -> int:
    """Run the command.

    Args:
        argv: the arguments after `edgeswap engine`.

    Returns:
        the exit code, 0.

    Raises:
        EdgeswapError: as `engine`, for the caller to print.
    """
    arguments = build_parser().parse_args(argv)
    before = time.perf_counter()
    with _stdout_to_stderr():
        out = engine(arguments.bundle, _config(arguments), arguments.out, progress=_tell)
    spent_s = time.perf_counter() - before
    manifest = read_manifest(out)
    report = {"bundle": str(out), "seconds": spent_s, "engines": _summary(manifest)}
    print(json.dumps(report) if arguments.json else _table(out, manifest, arguments.backend))
    return 0


@contextlib.contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """Send what TensorRT for RTX prints past its logger to standard error."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def check_options(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Refuse options that do not fit together; looks at no folder and loads no graph or torch."""
    _config(arguments)


def _config(arguments: argparse.Namespace) -> EngineConfig:
    sizes = dict(_size(text) for text in arguments.size)
    if arguments.batch is not None:
        sizes["batch"] = _size(f"batch={arguments.batch}")[1]
    return EngineConfig(
        backend=arguments.backend,
        gpus=tuple(part for part in (arguments.gpu or "").split(",") if part),
        graphs=tuple(part for part in (arguments.graph or "").split(",") if part),
        sizes=sizes,
        builder=BuilderOptions(
            refittable=arguments.refittable,
            hardware_compatibility=arguments.hardware_compatibility,
            workspace_mib=arguments.workspace_mib,
            optimization_level=arguments.optimization_level,
            tf32=arguments.tf32,
            timing_cache=not arguments.no_timing_cache,
        ),
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


def build_parser() -> argparse.ArgumentParser:
    """Make the parser of `edgeswap engine`."""
    parser = argparse.ArgumentParser(
        prog="edgeswap engine",
        description="Build TensorRT engines of a bundle's graphs, into a new bundle.",
    )
    parser.add_argument(
        "bundle", type=Path, metavar="BUNDLE", help="folder that edgeswap export has made"
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to make, the new bundle")
    parser.add_argument(
        "--backend", required=True, metavar="|".join(ENGINE_BACKENDS),
        help="TensorRT to build with: tensorrt_rtx ahead of time on any machine, tensorrt on the "
        "device itself (required)",
    )  # fmt: skip
    parser.add_argument(
        "--gpu", metavar="GPU,...",
        help="GPUs to build for, such as sm86,sm89, required for tensorrt_rtx; of "
        f"{', '.join(RTX_GPUS)} (default: none, for tensorrt, which takes this machine's)",
    )  # fmt: skip
    parser.add_argument(
        "--graph", metavar="NAME,...", help="graphs to build engines of (default: all)"
    )
    parser.add_argument(
        "--batch", metavar="MIN:OPT:MAX",
        help="batch sizes, at least 1, such as 1:4:8 (default: those of the export)",
    )  # fmt: skip
    parser.add_argument(
        "--size", action="append", default=[], metavar="NAME=MIN:OPT:MAX",
        help="sizes of another dynamic axis, at least 1; may be repeated (default: those of the "
        "export)",
    )  # fmt: skip
    _add_builder_options(parser)
    parser.add_argument(
        "--refit", type=Path, metavar="OTHER_BUNDLE",
        help="bundle whose engines take this bundle's weights, instead of building (default: "
        "build)",
    )  # fmt: skip
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object instead of a table"
    )
    return parser


def _add_builder_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--hardware-compatibility", metavar="|".join(COMPATIBILITIES),
        help="other GPUs that the engines of tensorrt run on too, more slowly (default: only the "
        "GPU of this machine)",
    )  # fmt: skip
    parser.add_argument(
        "--workspace-mib", type=int, metavar="N",
        help="memory that a layer may use, MiB, at least 1 (default: all; a quarter of it where "
        "GPU and CPU share it)",
    )  # fmt: skip
    parser.add_argument(
        "--optimization-level", type=int, metavar="N",
        help="0 (fastest build) to 5 (fastest engine) (default: TensorRT's own)",
    )  # fmt: skip
    parser.add_argument(
        "--tf32", action="store_true",
        help="round float32 products to TensorFloat-32, 10 bits (default: do not)",
    )  # fmt: skip
    parser.add_argument(
        "--no-timing-cache", action="store_true",
        help="time every kernel again (default: keep the times for the next build)",
    )  # fmt: skip
    parser.add_argument(
        "--refittable", action="store_true",
        help="let --refit replace the weights later (default: do not)",
    )  # fmt: skip


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


def _summary(manifest: Manifest) -> list[dict[str, Any]]:
    return [
        {
            "key": key,
            "graph": entry.graph,
            "backend": entry.inputs.backend,
            "version": entry.inputs.version,
            "gpus": [name.lower() for name in entry.inputs.architectures],
            "precision": entry.inputs.precision,
            "file": entry.file,
            "bytes": manifest.files[entry.file].bytes,
            "sha256": manifest.files[entry.file].sha256,
        }
        for key, entry in sorted(manifest.engines.items(), key=lambda item: item[1].graph)
    ]


def _table(out: Path, manifest: Manifest, backend: str) -> str:
    lines = [f"{out}: {manifest.name}", f"{'graph':<10}{'MB':>8}  engine"]
    lines += [
        f"{row['graph']:<10}{row['bytes'] / 1e6:>8.2f}  {row['backend']} {row['version']} for "
        f"{','.join(row['gpus'])}, {row['precision']}, {row['key'][:12]}"
        for row in _summary(manifest)
    ]
    lines += [
        f"wrote {out}",
        f"next: edgeswap bench {out} --backend {backend}",
    ]
    return "\n".join(lines)
