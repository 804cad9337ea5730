"""Do two processes launched by Accelerate train as one does: same curve, one writer, resumable?

The packaged teacher is trained on for some steps on the packaged dataset, by the same command each
time: alone; alone with another seed, which says how much curves differ by chance; in two gloo
processes; and in two processes that are killed (kill -9) on the way and continued. The samples of
each step are the same in number, but the second process draws its own, so the curves of one and two
processes agree within noise; those of the two-process runs agree to the last bit.

    python benchmarks/studies/two_processes.py [--steps 30] [--batch-size 12] [--json]
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from edgeswap_compress import default_checkpoint
from edgeswap_compress.checkpoint.defaults import calibration_dataset
from edgeswap_compress.data import read_dataset
from edgeswap_runtime.pictures.write import RENDERED, save_marked

LAUNCH = (
    "accelerate launch --multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no "
    "--dynamo_backend no --main_process_port 0"
)
IDENTITY_SAMPLES = 384
WINDOW = 5  # steps that a figure of the table is the mean of
HELD_OUT = 4


def main() -> int:
    """Run all, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=30, help="steps of each run (30)")
    parser.add_argument("--batch-size", type=int, default=12, help="triplets a step (12)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = measure(Path(folder), arguments.steps, arguments.batch_size)
    print(json.dumps(report) if arguments.json else text(report))
    return 0 if report["continued_equals_uninterrupted"] and report["one_row_a_step"] else 1


def measure(folder: Path, steps: int, batch_size: int) -> dict[str, Any]:
    """The four runs and what follows from their curves."""
    held_out = few_triplets(folder / "held-out")

    def command(name: str, seed: int) -> list[str]:
        place = folder / name
        options = f"--init {default_checkpoint('teacher')} --identity-samples {IDENTITY_SAMPLES}"
        options += f" --denoiser-samples {steps * batch_size} --batch-size {batch_size}"
        options += f" --seed {seed} --threads 1 --evaluate-every 0 --save-every 1"
        data = f"train {calibration_dataset()} {place} --held-out {held_out} --run {place}-run"
        return shlex.split(f"-m edgeswap_runtime {data} {options}")

    begun = time.monotonic()
    for name, seed in (("one", 0), ("other seed", 1), ("two", 0)):
        run(command(name.replace(" ", "-"), seed), two=name == "two")
    killed_at = run_and_kill(command("killed", 0), folder / "killed-run", steps)
    run(command("killed", 0), two=True)
    rows = {name: curve(folder / f"{name}-run") for name in ("one", "other-seed", "two", "killed")}
    losses = {name: windows([row["loss"] for row in found]) for name, found in rows.items()}
    exact = ("loss", "gradient_norm", "held_out_v_loss")
    return {
        "command": f"{LAUNCH} {shlex.join(command('two', 0))}",
        "seconds": time.monotonic() - begun,
        "losses": losses,
        "held_out_v_loss": {name: found[-1]["held_out_v_loss"] for name, found in rows.items()},
        "samples": {name: found[-1]["samples"] for name, found in rows.items()},
        "images_per_s": {
            name: statistics.median(row["images_per_s"] for row in found)
            for name, found in rows.items()
        },
        "apart_two_and_one": apart(losses["two"], losses["one"]),
        "apart_two_seeds": apart(losses["other-seed"], losses["one"]),
        "killed_at_step": killed_at,
        "continued_equals_uninterrupted": [[row[k] for k in exact] for row in rows["killed"]]
        == [[row[k] for k in exact] for row in rows["two"]],
        "one_row_a_step": all(
            [row["step"] for row in found] == list(range(1, steps + 1)) for found in rows.values()
        ),
    }


def few_triplets(folder: Path) -> Path:
    """Some triplets of the packaged dataset as pictures: every step is judged on them."""
    dataset = read_dataset(calibration_dataset())
    for number, row in enumerate(dataset.triplets()[:: len(dataset.triplets()) // HELD_OUT]):
        for role, place in zip(("source", "target", "truth"), row, strict=True):
            (folder / role).mkdir(parents=True, exist_ok=True)
            picture = dataset.images(0)[place]
            save_marked(folder / role / f"{number}.png", picture, RENDERED, overwrite=True)
    return folder


def run(arguments: list[str], *, two: bool) -> None:
    """One command to its end."""
    launcher = ["-m", "accelerate.commands.launch", *shlex.split(LAUNCH)[2:]] if two else []
    finished = subprocess.run(
        [sys.executable, *launcher, *arguments], capture_output=True, text=True, check=False
    )
    if finished.returncode:
        raise SystemExit(f"{shlex.join(arguments)} failed:\n{finished.stderr}")


def run_and_kill(arguments: list[str], folder: Path, steps: int) -> int:
    """Two processes, killed a third of the way; the number of steps they had logged."""
    launcher = ["-m", "accelerate.commands.launch", *shlex.split(LAUNCH)[2:]]
    process = subprocess.Popen(
        [sys.executable, *launcher, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None and len(curve(folder)) < steps // 3:
        time.sleep(0.05)
    for running in (process, *psutil.Process(process.pid).children(recursive=True)):
        running.kill()
    process.wait()
    return len(curve(folder))


def curve(folder: Path) -> list[dict[str, float]]:
    """The denoiser's rows so far."""
    log = folder / "denoiser" / "metrics.jsonl"
    lines = log.read_text().split("\n")[:-1] if log.exists() else []
    return [json.loads(line) for line in lines]


def windows(values: list[float]) -> list[float]:
    """Means of consecutive steps."""
    return [
        statistics.fmean(values[at : at + WINDOW])
        for at in range(0, len(values) - WINDOW + 1, WINDOW)
    ]


def apart(one: list[float], other: list[float]) -> float:
    """Mean relative difference of two curves."""
    return statistics.fmean(2 * abs(a - b) / (a + b) for a, b in zip(one, other, strict=True))


def text(report: dict[str, Any]) -> str:
    """The report as text."""
    names = {
        "one": "one process",
        "other-seed": "one, another seed",
        "two": "two processes",
        "killed": f"two, killed at step {report['killed_at_step']}, continued",
    }
    count = len(report["losses"]["one"])
    steps = " | ".join(str((at + 1) * WINDOW) for at in range(count))
    lines = [
        report["command"],
        "",
        f"loss, means of {WINDOW} steps, to step",
        "",
        f"| | {steps} | held-out v-loss | samples | images/s |",
        "|---" * (count + 4) + "|",
    ]
    for key, name in names.items():
        losses = " | ".join(f"{loss:.4f}" for loss in report["losses"][key])
        figures = f"{report['held_out_v_loss'][key]:.5f} | {report['samples'][key]}"
        lines.append(f"| {name} | {losses} | {figures} | {report['images_per_s'][key]:.1f} |")
    same = "equal" if report["continued_equals_uninterrupted"] else "DIFFER"
    once = "once" if report["one_row_a_step"] else "NOT once"
    lines += [
        "",
        f"two processes and one: {100 * report['apart_two_and_one']:.1f} % apart; two seeds of one "
        f"process: {100 * report['apart_two_seeds']:.1f} % apart",
        f"killed and continued against uninterrupted: all figures {same} to the last bit",
        f"every step was logged {once}; {report['seconds']:.0f} s in all",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
