"""Which engines can be built ahead of time, without a GPU, and are their bytes always the same?

A checkpoint is exported in every precision, with a fixed batch and with a free one. TensorRT for
RTX then builds all of its graphs for every GPU it knows, twice, each time in a fresh process; the
table says how large the plans are, how long one took, and whether both processes wrote the same
bytes. What cannot be is tried too, and stands there with its message. Nothing runs on a GPU.

    python benchmarks/studies/engines.py --folder engines
    python benchmarks/studies/engines.py --folder engines --checkpoint my-student --json

Finished rows are kept in the folder, so that a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

PRECISIONS = ("fp32", "fp16", "bf16", "int8", "fp8")
TARGETS = ("SM75", "SM80", "SM86", "SM89", "SM120", "SM121", "SM87", "SM110")
PROFILES = {"static": None, "batch 1:2:4": "1:2:4"}


def main() -> int:
    """Export where that is missing, build, print the table."""
    arguments = parse()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    checkpoint = arguments.checkpoint or _default_checkpoint()
    rows = []
    for precision in arguments.precision.split(","):
        for shape, batch in PROFILES.items():
            bundle = arguments.folder / f"{precision}-{'free' if batch else 'static'}"
            export(checkpoint, bundle, precision, batch)
            for target in arguments.gpu.split(","):
                rows.append(row(bundle, precision, shape, target))
                if not arguments.json:
                    print(line(rows[-1]), flush=True)
    if arguments.json:
        print(json.dumps(rows))
    same = [found["identical"] for found in rows if "identical" in found]
    return 0 if same and all(same) else 1


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="kept between runs")
    parser.add_argument("--checkpoint", type=Path, help="(default: the packaged student)")
    parser.add_argument("--precision", default=",".join(PRECISIONS), help="of the graphs")
    parser.add_argument("--gpu", default=",".join(TARGETS), help="compute capabilities")
    parser.add_argument("--json", action="store_true", help="print one JSON list")
    return parser.parse_args()


def _default_checkpoint() -> Path:
    import edgeswap_compress

    return Path(edgeswap_compress.__path__[0]) / "weights" / "student"


def export(checkpoint: Path, bundle: Path, precision: str, batch: str | None) -> None:
    """A bundle for aligned crops, where it is not there yet."""
    if bundle.is_dir():
        return
    free = ["--batch", batch] if batch else []
    options = ["--precision", precision, "--no-detector", "--json", *free]
    done = edgeswap("export", str(checkpoint), str(bundle), *options)
    if done.returncode:
        raise SystemExit(f"no bundle, no engines: {done.stderr.strip()}")


def row(bundle: Path, precision: str, shape: str, target: str) -> dict[str, Any]:
    """Build twice, each time in a process of its own; read the row again where it is there."""
    kept = bundle.parent / f"{bundle.name}-{target}.json"
    if kept.is_file():
        again: dict[str, Any] = json.loads(kept.read_text())
        return again
    found: dict[str, Any] = {"precision": precision, "shape": shape, "target": target}
    reports = []
    for turn in range(2):
        out = bundle.parent / f"{bundle.name}-{target}-{turn}"
        shutil.rmtree(out, ignore_errors=True)
        options = ["--backend", "tensorrt_rtx", "--gpu", target, "--json"]
        done = edgeswap("engine", str(bundle), str(out), *options)
        shutil.rmtree(out, ignore_errors=True)
        if done.returncode:
            told = [text for text in done.stderr.splitlines() if text.startswith("edgeswap: ")]
            message = told[-1].removeprefix("edgeswap: ") if told else done.stderr[-300:]
            found |= {"exit_code": done.returncode, "refused": message}
            break
        reports.append(json.loads(done.stdout))
    if len(reports) == 2:
        plans = [{e["graph"]: e["sha256"] for e in report["engines"]} for report in reports]
        found |= {
            "version": reports[0]["engines"][0]["version"],
            "plans": len(plans[0]),
            "bytes": sum(e["bytes"] for e in reports[0]["engines"]),
            "seconds": min(report["seconds"] for report in reports),
            "identical": plans[0] == plans[1],
            "differ": sorted(name for name in plans[0] if plans[0][name] != plans[1][name]),
        }
    kept.write_text(json.dumps(found))
    return found


def edgeswap(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one command of this project."""
    return subprocess.run(
        [sys.executable, "-m", "edgeswap_runtime", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def line(found: dict[str, Any]) -> str:
    """One line of the table."""
    head = f"{found['precision']:<5} {found['shape']:<12} {found['target']:<6}"
    if "refused" in found:
        return f"{head} refused ({found['exit_code']}): {found['refused'][:160]}"
    same = "identical" if found["identical"] else f"DIFFERENT: {', '.join(found['differ'])}"
    size = found["bytes"] / 1e6
    return (
        f"{head} {found['plans']} plans {size:7.2f} MB {found['seconds']:6.1f} s  {same}, "
        f"RTX {found['version']}"
    )


if __name__ == "__main__":
    raise SystemExit(main())
