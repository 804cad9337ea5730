"""What does each way from twenty-five steps to one cost in quality, and what does it gain?

Rows: the teacher at 25 and at 4 steps; students of its own size and pruned ones, at 1, 2 and 4
steps, by each method; a pruned one-step student behind a small autoencoder; and that one without
each of its loss terms. Every row is distilled for the same minutes, judged on the same held-out
pairs from the same noise, and timed in turns with the others. A finished row is kept in the folder
and not made again; a stopped one goes on.

    python benchmarks/studies/distillation.py OUT --teacher T --pruned P --data faces \\
        --held-out faces-heldout --minutes 10
    python benchmarks/studies/distillation.py OUT ... --rows 'pruned*-1' --table
"""

from __future__ import annotations

import argparse
import dataclasses
import fnmatch
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from distillation_timing import Run, bundle_of, macs_per_swap, time_swaps

from edgeswap_compress.data import read_dataset
from edgeswap_compress.distill.autoencoder.config import SmallAutoencoderConfig
from edgeswap_compress.distill.autoencoder.stage import shrink_autoencoder
from edgeswap_compress.distill.config import METHODS, DistillConfig
from edgeswap_compress.distill.stage import distill
from edgeswap_compress.evaluate import EvaluateConfig, Evaluation, Sampling, open_model
from edgeswap_compress.fit.config import changed
from edgeswap_compress.fit.dtype import AUTO
from edgeswap_compress.progress import stage_progress
from edgeswap_runtime.files import write_json

QUALITY = ("psnr_face_db", "id_top1", "id_margin", "fid_identity", "hf_ratio", "diversity")
TEACHER = "teacher-25"
TERMS: dict[str, dict[str, Any]] = {
    "truth": {"losses.truth_weight": 0.0},
    "identity": {"losses.identity.weight": 0.0},
    "decoder": {"decoder.share": 0.0},
    "metric": {"losses.metric_share": 0.0},
}
"""Loss term -> what leaves it out."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """A row: which checkpoint learns (None: the teacher as it is), and how."""

    start: str | None
    steps: int
    method: str = "trajectory"
    changes: tuple[tuple[str, Any], ...] = ()


def ways() -> dict[str, Way]:
    """All rows, by name."""
    found = {TEACHER: Way(start=None, steps=25), "teacher-4": Way(start=None, steps=4)}
    for start in ("unpruned", "pruned"):
        for method in METHODS:
            for steps in (1, 2, 4):
                found[f"{start}-{method}-{steps}"] = Way(start=start, steps=steps, method=method)
    features = (("losses.feature_weight", 0.1),)
    found["pruned-trajectory-features-1"] = Way(start="pruned", steps=1, changes=features)
    found["small-trajectory-1"] = Way(start="small", steps=1)
    for term, change in TERMS.items():
        changes = tuple(change.items())
        found[f"small-without-{term}-1"] = Way(start="small", steps=1, changes=changes)
    return found


class Study:
    """The folder with the finished rows."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.folder: Path = args.out
        self._evaluation: Evaluation | None = None

    def make(self, name: str, way: Way) -> None:
        """Distill, judge and keep one row."""
        file = self.folder / name / "row.json"
        if file.exists():
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        checkpoint = self._checkpoint(name, way)
        dtype = AUTO if way.start is None else "float32"
        with open_model(checkpoint, Sampling(steps=way.steps, dtype=dtype)) as model:
            report = self._judge().judge(model)
        quality = {k: v for k, v in report.to_json().items() if k.startswith(QUALITY)}
        facts = {k: report.facts[k] for k in ("n", "pairs_sha256", "seed", "seeds", "precision")}
        write_json(file, {**dataclasses.asdict(way), **facts, **quality,
                          **macs_per_swap(checkpoint, way.steps)})  # fmt: skip

    def _judge(self) -> Evaluation:
        if self._evaluation is None:
            config = EvaluateConfig(limit=self.args.limit, seeds=self.args.seeds)
            self._evaluation = Evaluation(read_dataset(self.args.held_out), config)
        return self._evaluation

    def _checkpoint(self, name: str, way: Way) -> Path:
        """The row's checkpoint, distilled now unless it was before."""
        teacher: Path = self.args.teacher
        out = self.folder / name / "student"
        if way.start is None:
            return teacher
        if out.exists():
            return out
        start = {"unpruned": teacher, "pruned": self.args.pruned}.get(way.start)
        if start is None:
            start = self._small()
        config = changed(
            DistillConfig(method=way.method, steps=way.steps),
            {
                "budget.minutes": self.args.minutes,
                "budget.samples": self.args.samples,
                "teacher.targets": self.args.targets,
                "teacher.steps": max(METHODS[way.method], 2 * way.steps),
            },
        )
        config = changed(config, dict(way.changes))
        run = self.folder / name / "run"
        data = {"data": self.args.data, "held_out": self.args.held_out}
        with stage_progress() as report:
            distill(teacher, config, out, student=start, run=run, progress=report, **data)
        return out

    def _small(self) -> Path:
        """The pruned checkpoint with a small autoencoder."""
        out = self.folder / "small"
        if not out.exists():
            config = changed(
                SmallAutoencoderConfig(),
                {"budget.minutes": self.args.minutes, "budget.samples": self.args.samples},
            )
            data = {"data": self.args.data, "held_out": self.args.held_out}
            with stage_progress() as report:
                shrink_autoencoder(
                    self.args.pruned, config, out, run=self.folder / "small.run", progress=report,
                    **data,
                )  # fmt: skip
        return out

    def time(self, rows: dict[str, Way]) -> dict[str, dict[str, float]]:
        """Every row's swap on ONNX Runtime, in turns; kept for this set of rows."""
        file = self.folder / "timing.json"
        found = json.loads(file.read_text()) if file.exists() else {}
        if set(found) == set(rows):
            return found
        runs = {name: Run(bundle=self._bundle(name, way)) for name, way in rows.items()}
        timings = time_swaps(runs, self.args.rounds, self.args.threads)
        found = {name: t.to_json() for name, t in timings.items()}
        write_json(file, found)
        return found

    def _bundle(self, name: str, way: Way) -> Path:
        return bundle_of(self._checkpoint(name, way), way.steps, self.folder / name / "bundle")

    def rows(self) -> dict[str, dict[str, Any]]:
        """What is finished, timed."""
        known = {n: p for n, p in ways().items() if (self.folder / n / "row.json").exists()}
        timing = self.time(known)
        return {
            name: {**json.loads((self.folder / name / "row.json").read_text()), **timing[name]}
            for name in known
        }


def table(rows: dict[str, dict[str, Any]]) -> str:
    """One line a row; diversity beside the teacher's."""
    columns = ("PSNR dB", "Top-1", "margin", "Fréchet", "hf", "diversity", "/teacher", "eval",
               "GMACs", "ms", "ends %")  # fmt: skip
    lines = [f"{'row':30}" + "".join(f"{title:>10}" for title in columns)]
    reference = (rows.get(TEACHER) or {}).get("diversity")
    for name, row in rows.items():
        relative = row["diversity"] / reference if reference and row.get("diversity") else None
        values = [row.get(key) for key in QUALITY]
        values += [relative, row["evaluations"], row["macs"] / 1e9, row["swap_ms"],
                   100 * row["share_of_ends"]]  # fmt: skip
        cells = "".join(f"{'–' if v is None else format(v, '.3f'):>10}" for v in values)
        lines.append(f"{name:30}{cells}")
    first = next(iter(rows.values()))
    lines.append(
        f"n = {first['n']} pairs {first['pairs_sha256'][:12]}, noise seed {first['seed']}; "
        f"ms: median of {first['n_swaps']} swaps of a known source, in turns"
    )
    return "\n".join(lines)


def main() -> int:
    """Make the rows asked for, then print all finished ones."""
    args = _arguments()
    if args.threads:
        torch.set_num_threads(args.threads)
    study, wanted = Study(args), ways()
    asked = [name for name in wanted if any(fnmatch.fnmatch(name, p) for p in args.rows)]
    if not asked:
        print(f"no row is called {args.rows}: expected one of {', '.join(wanted)}", file=sys.stderr)
        return 2
    for name in [] if args.table else asked:
        print(f"row {name}", file=sys.stderr)
        study.make(name, wanted[name])
    rows = study.rows()
    if not rows:
        print("no row is finished yet", file=sys.stderr)
        return 2
    print(json.dumps(rows, indent=1) if args.json else table(rows))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder of the finished rows")
    parser.add_argument("--teacher", type=Path, required=True, help="checkpoint")
    parser.add_argument("--pruned", type=Path, required=True, help="checkpoint pruned from it")
    parser.add_argument("--data", type=Path, required=True, help="rendered dataset to learn from")
    parser.add_argument("--held-out", type=Path, required=True, help="dataset to be judged on")
    parser.add_argument("--rows", nargs="+", default=["*"], help="patterns of rows to make")
    parser.add_argument("--minutes", type=float, default=10.0, help="of distilling, a row")
    parser.add_argument("--samples", type=int, help="instead: training samples a row")
    parser.add_argument("--targets", type=int, default=1024, help="trajectories of the teacher")
    parser.add_argument("--limit", type=int, default=256, help="held-out pairs")
    parser.add_argument("--seeds", type=int, default=16, help="noises, for the diversity")
    parser.add_argument("--rounds", type=int, default=50, help="timed swaps of each row")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all)")
    parser.add_argument("--table", action="store_true", help="print what is finished")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
