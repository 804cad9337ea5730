"""Does `edgeswap bench` tell a figure that can be trusted from one that cannot?

The same bundle is measured again and again, in fresh processes: on the machine as it is, and with
a load generator beside it. On an idle machine every report should be settled and all medians lie
within 5 % of their own median; under load every report should be flagged. Whatever else the
machine does counts as load: run the idle half when nothing else runs.

    python benchmarks/studies/trust.py BUNDLE --trials 20
    python benchmarks/studies/trust.py BUNDLE --trials 20 --half load
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_LOAD = "import math\nwhile True: math.sqrt(2.0)"


def main() -> int:
    """Measure and print; exit code 1 where a bar is missed."""
    options = _arguments()
    halves = ("idle", "load") if options.half == "both" else (options.half,)
    found = {half: [trial(options, half) for _ in range(options.trials)] for half in halves}
    print(json.dumps(found) if options.json else table(found))
    return 0 if all(misses(half, trials) == 0 for half, trials in found.items()) else 1


def trial(options: argparse.Namespace, half: str) -> dict[str, Any]:
    """One report: its median, its verdict, and the cores that others kept busy."""
    command = [sys.executable, "-m", "edgeswap_runtime", "bench", str(options.bundle), "--json",
               "--task", options.task, "--starts", str(options.starts), "--runs", "20",
               "--seconds", str(options.seconds)]  # fmt: skip
    if options.threads:
        command += ["--threads", str(options.threads)]
    with load(options.busy if half == "load" else 0):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    (task,) = report["subjects"][0]["tasks"]
    row = {"median_ms": task["end_to_end"]["median"], "n": task["end_to_end"]["n"],
           **report["verdict"], "others_cores": report["conditions"]["others_cores"]}  # fmt: skip
    print(f"{half}: {row['median_ms']:.2f} ms, {row['state']}", file=sys.stderr)
    return row


@contextlib.contextmanager
def load(processes: int) -> Iterator[None]:
    """Keep so many cores busy."""
    started = [subprocess.Popen([sys.executable, "-c", _LOAD]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def misses(half: str, trials: list[dict[str, Any]]) -> int:
    """Reports that say the wrong thing: settled under load, or settled and off the median."""
    settled = [row for row in trials if row["state"] == "settled"]
    if half == "load":
        return len(settled)
    middle = statistics.median(row["median_ms"] for row in trials)
    off = [row for row in settled if abs(row["median_ms"] / middle - 1) > 0.05]
    return len(trials) - len(settled) + len(off)


def table(found: dict[str, list[dict[str, Any]]]) -> str:
    """A line a half."""
    lines = []
    for half, trials in found.items():
        medians = [row["median_ms"] for row in trials]
        middle = statistics.median(medians)
        flagged = sum(row["state"] != "settled" for row in trials)
        spread = max(abs(value / middle - 1) for value in medians)
        lines.append(
            f"{half}: {flagged} of {len(trials)} flagged (wanted: {'all' if half == 'load' else 0})"
            f"; medians within ±{100 * spread:.1f} % of {middle:.2f} ms"
        )
    return "\n".join(lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path, help="a bundle folder")
    parser.add_argument("--trials", type=int, default=20, help="reports a half (default 20)")
    parser.add_argument(
        "--half", choices=("idle", "load", "both"), default="both", help="what to try (both)"
    )
    parser.add_argument("--busy", type=int, default=1, help="load processes (default 1)")
    parser.add_argument("--task", default="crop", help="what to time (default crop)")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each report (default 3)")
    parser.add_argument("--starts", type=int, default=2, help="pairs of fresh processes (2)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
