"""`edgeswap swap`: two pictures and a bundle in, one picture out."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeswap_runtime._arguments import as_rgb, require_seed
from edgeswap_runtime._clock import StageClock
from edgeswap_runtime.backends import BACKENDS
from edgeswap_runtime.backends.threads import require_threads
from edgeswap_runtime.bundle.folder import Bundle
from edgeswap_runtime.bundle.default import default_bundle
from edgeswap_runtime.errors import InvalidRequest
from edgeswap_runtime.faces.detect import check_choice
from edgeswap_runtime.pictures.picture import require_writable
from edgeswap_runtime.swapper import Swapper

if TYPE_CHECKING:
    from edgeswap_runtime.bundle.manifest import Manifest


def command(argv: list[str]) -> int:
    """Swap the face of the source into the target, and mark the result as generated."""
    options = _parser().parse_args(argv)
    require_writable(options.out, overwrite=options.overwrite)
    check_choice(options.faces)
    require_seed(options.seed)
    require_threads(options.threads)
    bundle = Bundle.open(options.bundle or default_bundle())
    schedule = choose_schedule(bundle.manifest, options.schedule, options.steps)
    target = as_rgb(options.target)
    clock = StageClock()
    with Swapper.open(
        bundle,
        backend=options.backend,
        device=options.device,
        schedule=schedule,
        seed=options.seed,
        threads=options.threads,
        precision=options.precision,
    ) as swapper:
        identity = swapper.identity(options.source)
        start_ns = time.perf_counter_ns()
        with clock.stage("detect"):
            chosen, found = swapper.choose(target, options.faces, name=str(options.target))
        swapped = swapper.swap(target, identity, faces=chosen, clock=clock)
        total_ns = time.perf_counter_ns() - start_ns
        swapper.save(swapped, options.out, overwrite=options.overwrite)
    report: dict[str, Any] = {
        "out": str(options.out),
        "width_px": swapped.shape[1],
        "height_px": swapped.shape[0],
        "faces_found": found,
        "faces_swapped": [{"box_px": face.box, "score": face.score} for face in chosen],
        "schedule": schedule,
        "seed": options.seed,
        "backend": options.backend,
        "device": options.device,
        "bundle_sha256": bundle.manifest.manifest_sha256,
        "stages_ms": {name: spent / 1e6 for name, spent in clock.lap().items()},
        "swap_ms": total_ns / 1e6,
    }
    _print(report, as_json=options.json)
    return 0


def choose_schedule(manifest: Manifest, name: str | None, steps: int | None) -> str:
    """Which schedule of a bundle is meant.

    Args:
        manifest: of the bundle.
        name: the schedule itself, or None.
        steps: a number of steps, or None; among several schedules of that many, the one with the
            default's sampler, else the first by name.

    Raises:
        InvalidRequest: there is none.
    """
    if name is not None or steps is None:
        return manifest.default_schedule if name is None else name
    fitting = sorted(key for key, value in manifest.schedules.items() if value.steps == steps)
    if not fitting:
        offered = ", ".join(f"{k} ({v.steps})" for k, v in sorted(manifest.schedules.items()))
        raise InvalidRequest(f"the bundle has no schedule of {steps} steps: expected of {offered}")
    usual = manifest.schedules[manifest.default_schedule].sampler
    alike = [key for key in fitting if manifest.schedules[key].sampler == usual]
    return (alike or fitting)[0]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="edgeswap swap", description=command.__doc__)
    parser.add_argument(
        "bundle",
        type=Path,
        nargs="?",
        help="a bundle folder, from edgeswap export (default: the packaged one)",
    )
    parser.add_argument(
        "--source",
        type=Path,
        required=True,
        action="append",
        metavar="PHOTO",
        help="who shall appear; again for more photos of the same person, which are averaged",
    )
    parser.add_argument("--target", type=Path, required=True, metavar="PHOTO", help="where")
    parser.add_argument(
        "--out", type=Path, required=True, help="the new picture: .png (exact), .jpg or .webp"
    )
    parser.add_argument(
        "--faces",
        type=_face_choice,
        default="largest",
        metavar="largest|all|N",
        help="which faces of the target: the largest (default), all, or the N largest",
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--schedule", metavar="NAME", help="one that edgeswap inspect lists")
    length.add_argument("--steps", type=int, help="the schedule with this many steps")
    parser.add_argument("--seed", type=int, default=0, help="of the noise (default 0)")
    parser.add_argument("--backend", default="ort", help=f"{', '.join(BACKENDS)} (default ort)")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, tensorrt or gpu")
    parser.add_argument("--threads", type=int, help="CPU threads, from 1 (default: the cores)")
    parser.add_argument("--precision", help="what openvino is to compute in: fp32, bf16 or fp16")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing --out")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _face_choice(text: str) -> str | int:
    return int(text) if text.lstrip("-").isdigit() else text


def _print(report: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(report, indent=1))
        return
    swapped, found = len(report["faces_swapped"]), report["faces_found"]
    print(
        f"{report['out']}: {swapped} of {found} face{'s' if found > 1 else ''} swapped in "
        f"{report['swap_ms']:.0f} ms ({report['schedule']}), marked as generated"
    )
