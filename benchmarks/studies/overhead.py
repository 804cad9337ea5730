"""How much does a swap cost beyond its graphs: in processor time, at the start, in memory?

1. Overhead: the processor time of `Swapper.swap` over that of the same graph calls made with bare
   onnxruntime sessions on the same inputs, one thread, in turns. Pictures of 512 px, 1080p and 4K
   in which the face fills a third of the height, and the same with a face that fills the frame.
2. Cold start: processor time from the process's start to the picture written, `edgeswap swap`.
3. Memory: the process's largest resident set for that.

    python benchmarks/studies/overhead.py [--rounds 15] [--json]
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image

from edgeswap_runtime import StageClock, Swapper, read_picture
from edgeswap_runtime.bundle.default import default_bundle
from edgeswap_runtime.bundle.folder import Bundle
from edgeswap_runtime.pictures.portraits import packaged_portraits

Pixels = NDArray[np.uint8]
Call = tuple[str, dict[str, NDArray[Any]]]

SIZES = {"512 px": (512, 512), "1080p": (1920, 1080), "4K": (3840, 2160)}
LAUNCHER = """
import os, sys
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, used = os.wait4(pid, 0)
print(os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss)
"""
SHARES = {1 / 3: "a third of the height", 0.95: "the whole height"}
BARS = {"512 px": 1.15, "1080p": 1.25, "4K": 1.35}


def scene(size: tuple[int, int], share: float) -> Pixels:
    """A portrait whose face (the detector's box) fills a share of the height, before noise."""
    width, height = size
    portrait = Image.fromarray(np.asarray(read_picture(packaged_portraits()[-1])))
    with Swapper.open(threads=1) as swapper:
        left, top, right, bottom = swapper.detect(np.asarray(portrait))[0].box
    scale = share * height / (bottom - top)
    size_px = (round(portrait.width * scale), round(portrait.height * scale))
    larger = portrait.resize(size_px, Image.Resampling.BICUBIC)
    picture = Image.new("RGB", size, (96, 104, 112))
    center = ((left + right) / 2 * scale, (top + bottom) / 2 * scale)
    picture.paste(larger, (round(width / 2 - center[0]), round(height / 2 - center[1])))
    return np.asarray(picture)


def recorded(swapper: Swapper, picture: Pixels, identity: Any) -> list[Call]:
    """The graph calls of one swap, with their inputs."""
    backend: Any = swapper._backend
    calls: list[tuple[str, dict[str, NDArray[Any]]]] = []
    run = backend.run

    def note(graph: str, inputs: Any) -> Any:
        calls.append((graph, {name: backend.download(value) for name, value in inputs.items()}))
        return run(graph, inputs)

    backend.run = note
    try:
        swapper.swap(picture, identity)
    finally:
        del backend.run
    return [(graph, {k: v.copy() for k, v in inputs.items()}) for graph, inputs in calls]


def sessions(bundle: Bundle) -> dict[str, onnxruntime.InferenceSession]:
    """A bare session for each graph, one thread, as the backend opens them."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return {
        name: onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        for name, path in bundle.graph_paths().items()
    }


def processor_s(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def measured(
    swapper: Swapper,
    bare: dict[str, onnxruntime.InferenceSession],
    picture: Pixels,
    identity: Any,
    rounds: int,
) -> dict[str, Any]:
    """A picture's swap and its graphs, in turns."""
    calls = recorded(swapper, picture, identity)
    clock = StageClock()

    def graphs() -> None:
        for graph, inputs in calls:
            bare[graph].run(None, inputs)

    def swap() -> None:
        swapper.swap(picture, identity, clock=clock)

    swap()
    graphs()
    clock.lap()
    pairs = [(processor_s(swap), processor_s(graphs)) for _ in range(rounds)]
    return {
        "swap_ms": statistics.median(pair[0] for pair in pairs) * 1e3,
        "graphs_ms": statistics.median(pair[1] for pair in pairs) * 1e3,
        "ratio": statistics.median(one / other for one, other in pairs),
        "calls": [graph for graph, _ in calls],
        "stages_ms": {name: spent / 1e6 / rounds for name, spent in clock.lap().items()},
    }


def overhead(rounds: int) -> dict[str, Any]:
    bundle = Bundle.open(default_bundle())
    bare = sessions(bundle)
    rows: dict[str, Any] = {}
    with Swapper.open(bundle, threads=1) as swapper:
        identity = swapper.identity(packaged_portraits()[0])
        for (share, words), (name, size) in itertools.product(SHARES.items(), SIZES.items()):
            row = measured(swapper, bare, scene(size, share), identity, rounds)
            row["bar"] = BARS[name] if share < 0.5 else None
            rows[f"{name}, face {words}"] = row
    return rows


def cold_start(rounds: int) -> dict[str, float]:
    """Processor seconds and resident bytes of whole processes."""
    spent, resident = [], []
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "target.jpg"
        Image.fromarray(scene(SIZES["512 px"], 1 / 3)).save(target, quality=95)
        for number in range(rounds):
            line = [
                sys.executable, "-m", "edgeswap_runtime", "swap", "--threads", "1", "--source",
                str(packaged_portraits()[0]), "--target", str(target), "--out",
                str(Path(scratch) / f"{number}.png"), "--no-credentials",
            ]  # fmt: skip
            # Started by a small process: a child's largest resident set begins with its parent's.
            done = subprocess.run(
                [sys.executable, "-S", "-c", LAUNCHER, *line], capture_output=True, check=True
            )
            code, seconds, kilobytes = done.stdout.split()[-3:]
            if int(code):
                raise SystemExit(f"edgeswap swap ended with {int(code)}: {done.stderr.decode()}")
            spent.append(float(seconds))
            resident.append(int(kilobytes) * 1024)
    return {
        "processor_s_least": min(spent),
        "processor_s_median": statistics.median(spent),
        "rss_bytes_median": statistics.median(resident),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=15, help="turns of each (default: 15)")
    parser.add_argument("--json", action="store_true", help="print JSON (default: text)")
    args = parser.parse_args()
    report: dict[str, Any] = {"overhead": overhead(args.rounds)}
    report["cold_start"] = cold_start(max(3, args.rounds // 3))
    if args.json:
        print(json.dumps(report, indent=1))
        return
    for name, row in report["overhead"].items():
        bar = f" (bar {row['bar']})" if row["bar"] else ""
        stages = ", ".join(f"{k} {v:.1f}" for k, v in row["stages_ms"].items())
        print(
            f"{name}: {row['ratio']:.2f}{bar}; swap {row['swap_ms']:.1f} ms, its "
            f"{len(row['calls'])} graph calls {row['graphs_ms']:.1f} ms; wall: {stages}"
        )
    cold = report["cold_start"]
    print(
        f"cold start: {cold['processor_s_median']:.2f} s of processor (least "
        f"{cold['processor_s_least']:.2f}, bar 0.9), {cold['rss_bytes_median'] / 1e6:.0f} MB "
        "resident (bar 150)"
    )


if __name__ == "__main__":
    main()
