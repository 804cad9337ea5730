"""How much faster is the student in the runtime than its teacher, whole swaps of aligned crops?

In turns, one crop at a time on the CPU: the teacher in the reference torch pipeline at its default
steps, in bfloat16 and in float32 (the faster counts); the teacher exported and run by our runtime
on ONNX Runtime; the student exported and run there, which is what counts, and what int8 and
OpenVINO make of it. Once with the source new at every swap, as the pipeline has it, and once with
the source known, as in a video. And the share of encoder and decoder in the student's swap.

    python benchmarks/studies/end_to_end.py --teacher T --student S
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from distillation_timing import Run, SwapTiming, bundle_of, time_swaps

from edgeswap_compress import Checkpoint, SwapPipeline, default_checkpoint
from edgeswap_compress.fit.latent_cache import to_tensor
from edgeswap_compress.prune.latency.timing import interleaved_medians_ms
from edgeswap_runtime import Swapper
from edgeswap_runtime.errors import PrecisionNotGranted

TORCH = ("teacher, torch bfloat16", "teacher, torch float32")
EXPORTED, STUDENT = "teacher, runtime", "student, runtime"
INT8 = "student, int8"
OPENVINO = "student, OpenVINO float32"
OPENVINO_BF16 = "student, OpenVINO bfloat16"
OPENVINO_INT8 = "student, OpenVINO int8"


def torch_swap(
    path: Path, dtype: str, target: np.ndarray, source: np.ndarray
) -> Callable[[], object]:
    """One swap in the reference pipeline, at the checkpoint's default steps."""
    checkpoint = Checkpoint.load(path).to(getattr(torch, dtype))
    pipeline = SwapPipeline.from_checkpoint(checkpoint)
    crops = to_tensor(target[None]), to_tensor(source[None])
    generator = torch.Generator().manual_seed(0)
    return lambda: pipeline(*crops, generator=generator)


def runtime_swap(swapper: Swapper, target: np.ndarray, source: np.ndarray) -> Callable[[], object]:
    """One swap in the runtime of a source it has not seen."""
    return lambda: swapper.swap_crop(target, swapper.identity_of_crops([source]))


def measure(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Medians in milliseconds, ratios, and the share of the ends."""
    steps = {
        path: Checkpoint.load(path).swap.default_steps for path in (args.teacher, args.student)
    }
    runs, refused = granted(runs_of(args, steps, folder), args.threads)
    size = Checkpoint.load(args.teacher).swap.resolution_px
    target, source = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    with contextlib.ExitStack() as stack:
        swaps = {name: torch_swap(args.teacher, name.split()[-1], target, source) for name in TORCH}
        for name, run in runs.items():
            swapper = stack.enter_context(run.open(args.threads))
            swaps[name] = runtime_swap(swapper, target, source)
        new = interleaved_medians_ms(swaps, runs=args.rounds)
    known = time_swaps(runs, args.rounds, args.threads)
    fastest = min(new[name] for name in TORCH)
    return {
        "refused": refused,
        "rounds": args.rounds,
        "threads": args.threads or torch.get_num_threads(),
        "steps": {"teacher": steps[args.teacher], "student": steps[args.student]},
        "new_source_ms": new,
        "known_source_ms": {name: timing.swap_ms for name, timing in known.items()},
        "times_torch": {name: fastest / new[name] for name in runs},
        "times_torch_known": {name: fastest / known[name].swap_ms for name in runs},
        "times_exported": new[EXPORTED] / new[STUDENT],
        "times_exported_known": known[EXPORTED].swap_ms / known[STUDENT].swap_ms,
        "student_stages_ms": stages(known[STUDENT]),
        "share_of_ends": known[STUDENT].ends_ms / new[STUDENT],
        "share_of_ends_known": known[STUDENT].share_of_ends,
    }


def runs_of(args: argparse.Namespace, steps: dict[Path, int], folder: Path) -> dict[str, Run]:
    """What is run by our runtime."""
    student = bundle_of(args.student, steps[args.student], folder / "student")
    int8 = bundle_of(args.student, steps[args.student], folder / "student-int8", "int8")
    return {
        EXPORTED: Run(bundle=bundle_of(args.teacher, steps[args.teacher], folder / "teacher")),
        STUDENT: Run(bundle=student),
        INT8: Run(bundle=int8),
        OPENVINO: Run(bundle=student, backend="openvino", precision="fp32"),
        OPENVINO_BF16: Run(bundle=student, backend="openvino", precision="bf16"),
        OPENVINO_INT8: Run(bundle=int8, backend="openvino", precision="fp32"),
    }


def granted(runs: dict[str, Run], threads: int | None) -> tuple[dict[str, Run], dict[str, str]]:
    """Those that this processor can run, and why it cannot run the others."""
    refused = {name: why for name, run in runs.items() if (why := why_not(run, threads))}
    return {name: run for name, run in runs.items() if name not in refused}, refused


def why_not(run: Run, threads: int | None) -> str | None:
    """Why this processor cannot run it; None where it can."""
    try:
        run.open(threads).close()
    except PrecisionNotGranted as error:
        return str(error)
    return None


def stages(timing: SwapTiming) -> dict[str, float]:
    """The parts of a swap."""
    return {name: getattr(timing, f"{name}_ms") for name in ("encode", "denoise", "decode")}


def main() -> int:
    """Measure and print."""
    args = _arguments()
    if args.threads:
        torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as scratch:
        found = measure(args, args.keep or Path(scratch))
    if args.json:
        print(json.dumps(found, indent=1))
        return 0
    new, known = found["new_source_ms"], found["known_source_ms"]
    print(
        f"{'median ms of a swap':28}{'new source':>12}{'times':>8}{'known source':>14}{'times':>8}"
    )
    for name, ms in new.items():
        more = ""
        if name in known:
            more = (f"{found['times_torch'][name]:8.1f}{known[name]:14.2f}"
                    f"{found['times_torch_known'][name]:8.1f}")  # fmt: skip
        print(f"{name:28}{ms:12.2f}{more}")
    for name, reason in found["refused"].items():
        print(f"{name:28} not run: {reason}")
    print("times: as fast as the faster torch pipeline (wanted of the student: 100)")
    print(f"student, times the exported teacher: {found['times_exported']:.1f}, "
          f"source known {found['times_exported_known']:.1f} (wanted: 40)")  # fmt: skip
    parts = ", ".join(f"{k} {v:.2f} ms" for k, v in found["student_stages_ms"].items())
    print(f"student: {parts}; encoder + decoder {100 * found['share_of_ends']:.1f} % of a swap, "
          f"{100 * found['share_of_ends_known']:.1f} % where the source is known "
          "(wanted: 35)")  # fmt: skip
    print(f"{found['rounds']} rounds in turns, {found['threads']} threads, steps {found['steps']}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("teacher", "student"):
        parser.add_argument(
            f"--{name}",
            type=Path,
            default=default_checkpoint(name),
            help="checkpoint (the packaged)",
        )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the exported bundles here")
    parser.add_argument("--rounds", type=int, default=50, help="swaps of each row, in turns (50)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
