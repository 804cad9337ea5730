"""How much faster is a batch by two processes than by one?

Copies of the packaged portraits, made larger, are swapped by `edgeswap batch` in turns with one and
with two processes, each with one thread, in a folder of its own. Starting a process is counted.
Wall time is what a user waits for; processor time tells whether other programs took the cores, in
which case the ratio says nothing.

    python benchmarks/studies/batch.py [--pictures 120] [--rounds 3] [--size 1024] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image

from edgeswap_runtime.pictures.portraits import packaged_portraits


def batch(folder: Path, out: Path, processes: int) -> dict[str, float]:
    """One run: wall and processor seconds."""
    line = [
        sys.executable, "-m", "edgeswap_runtime", "batch", str(out), "--target", str(folder),
        "--source", str(packaged_portraits()[0]), "--processes", str(processes), "--threads", "1",
    ]  # fmt: skip
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(line, check=True, capture_output=True)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_s": wall, "processor_s": spent, "cores": spent / wall}


def study(args: argparse.Namespace) -> dict[str, Any]:
    """Time both in turns."""
    runs: dict[str, list[dict[str, float]]] = {"1": [], "2": []}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "in"
        folder.mkdir()
        targets = packaged_portraits()[-3:]
        for number in range(args.pictures):
            picture = Image.open(targets[number % 3]).convert("RGB")
            picture = picture.resize((args.size, args.size), Image.Resampling.BICUBIC)
            picture.save(folder / f"{number:04}.jpg", quality=92)
        for turn in range(args.rounds):
            for processes in (1, 2):
                out = Path(scratch) / f"out-{turn}-{processes}"
                runs[str(processes)].append(batch(folder, out, processes))
    best = {count: min(run["wall_s"] for run in found) for count, found in runs.items()}
    return {
        "pictures": args.pictures,
        "size_px": args.size,
        "runs": runs,
        "speedup_of_best": best["1"] / best["2"],
        "speedups": [
            one["wall_s"] / two["wall_s"] for one, two in zip(runs["1"], runs["2"], strict=True)
        ],
        "load_at_end": os.getloadavg()[0],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pictures", type=int, default=120, help="how many (default: 120)")
    parser.add_argument("--rounds", type=int, default=3, help="turns (default: 3)")
    parser.add_argument("--size", type=int, default=1024, help="side in pixels (default: 1024)")
    parser.add_argument("--json", action="store_true", help="print JSON (default: text)")
    args = parser.parse_args()
    report = study(args)
    if args.json:
        print(json.dumps(report, indent=1))
        return
    for count, runs in report["runs"].items():
        for run in runs:
            print(
                f"{count} process{'es' if count != '1' else ''}: {run['wall_s']:.1f} s, "
                f"{run['processor_s']:.1f} s of processor, {run['cores']:.2f} cores used"
            )
    told = ", ".join(f"{value:.2f}" for value in report["speedups"])
    print(
        f"two processes: {report['speedup_of_best']:.2f} times as fast (best of each; each turn "
        f"{told}); {report['pictures']} pictures of {report['size_px']} px; load "
        f"{report['load_at_end']:.1f}"
    )


if __name__ == "__main__":
    main()
