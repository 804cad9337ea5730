"""Which way of pruning the teacher costs least, before and after a recovery of equal length?

Rows: four importances; how layers are compared; whole modules dropped, alone and mixed with
widths; integral resampling; several rounds. Each is pruned to the same share of the teacher's
MACs, judged as it is, then recovered for the same minutes and judged again: PSNR inside the face
against the exact truth and the judge's Top-1 retrieval of the source person, on the same held-out
pairs from the same noise as the teacher, at equal steps. Latencies are medians in turns with the
teacher's. Finished rows are kept in the folder and not made again; a stopped recovery goes on.

    python benchmarks/studies/pruning.py CHECKPOINT --data faces --held-out faces-heldout \\
        --macs-ratio 0.5 --recover-minutes 20 --limit 256 --out OUT
    python benchmarks/studies/pruning.py CHECKPOINT ... --rows taylor 'taylor-both*' --out OUT
    python benchmarks/studies/pruning.py CHECKPOINT ... --out OUT --table    # what is there so far
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import sys
from pathlib import Path
from typing import Any

import torch

from edgeswap_compress.data import read_dataset
from edgeswap_compress.evaluate import EvaluateConfig, Evaluation, Sampling, open_model
from edgeswap_compress.fit.config import FitBudget, FitOptions
from edgeswap_compress.fit.dtype import AUTO, DTYPES
from edgeswap_compress.progress import stage_progress
from edgeswap_compress.prune import UnreachableTarget
from edgeswap_compress.prune.compare import compare
from edgeswap_compress.prune.config import PruneConfig, RecoverConfig, RecoverLosses
from edgeswap_compress.prune.stage import PruneFiles, prune
from edgeswap_runtime.files import write_json

TEACHER = "teacher"
VARIANTS = ("none", "recovery")
QUALITY = ("psnr_face_db", "ssim_face", "id_top1", "id_margin", "fine_energy")
ROWS: dict[str, dict[str, Any]] = {
    "random": {"importance": "random"},
    "magnitude": {"importance": "magnitude"},
    "taylor": {"importance": "taylor"},
    "diff-pruning": {"importance": "diff-pruning"},
    "magnitude-resample": {"importance": "magnitude", "resample": True},
    "taylor-resample": {"importance": "taylor", "resample": True},
    "taylor-uniform": {"importance": "taylor", "allocation": "uniform"},
    "taylor-global": {"importance": "taylor", "allocation": "global"},
    "taylor-depth": {"importance": "taylor", "mode": "depth"},
    "taylor-both": {"importance": "taylor", "mode": "both"},
    "magnitude-best": {"importance": "magnitude", "allocation": "best"},
    "taylor-best": {"importance": "taylor", "allocation": "best"},
    "taylor-both-best": {"importance": "taylor", "mode": "both", "allocation": "best"},
    "taylor-both-best-3-rounds": {
        "importance": "taylor", "mode": "both", "allocation": "best", "rounds": 3,
    },
}  # fmt: skip
"""Row -> what of a `PruneConfig` it sets; everything else is the same in all."""

BARS = {"psnr_face_db": 1.0, "id_top1": 0.05}
"""What the best row may lose against the teacher."""


class Study:
    """The folder with the finished rows."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.folder = args, args.out
        self._evaluation: Evaluation | None = None

    def make(self, row: str) -> None:
        """Prune, judge, recover and judge again, as far as it is not done."""
        for variant in VARIANTS:
            if variant == "recovery" and self.args.recover is None:
                continue
            if variant == "none" and ROWS[row].get("rounds", 1) > 1:
                continue  # rounds without recovery between them are another question
            file = self.folder / row / f"{variant}.json"
            if not file.exists():
                file.parent.mkdir(parents=True, exist_ok=True)
                write_json(file, self._made(row, variant, file.parent / variant))

    def make_teacher(self) -> None:
        """Judge what the rows are compared with."""
        file = self.folder / f"{TEACHER}.json"
        if not file.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json(file, self._judged(self.args.checkpoint))

    def _made(self, row: str, variant: str, out: Path) -> dict[str, Any]:
        config = PruneConfig.from_json(
            {
                "macs_ratio": self.args.macs_ratio,
                "round_to": self.args.round_to,
                "samples": self.args.samples,
                **ROWS[row],
            }
        )
        files = PruneFiles(
            data=self.args.data, held_out=self.args.held_out, run=out.with_suffix(".run")
        )
        recover = self.args.recover if variant == "recovery" else None
        if not out.exists():
            try:
                with stage_progress() as report:
                    prune(self.args.checkpoint, config, out, files=files, recover=recover,
                          progress=report)  # fmt: skip
            except UnreachableTarget as error:
                return {"row": row, "recovery": variant, "failed": str(error)}
        facts = compare(self.args.checkpoint, out, latency_runs=self.args.latency_runs, samples=0)
        stats = facts["plan"] or {}
        return {
            "row": row,
            "recovery": variant,
            "recover": None if recover is None else recover.to_json(),
            "macs_ratio": facts["ratio"]["macs"],
            "params_ratio": facts["ratio"]["parameters"],
            "torch_ratio": facts["ratio"]["latency_torch_ms"],
            "ort_ratio": facts["ratio"]["latency_ort_ms"],
            "predicted_loss": stats.get("predicted_loss"),
            **self._judged(out),
        }

    def _judged(self, checkpoint: Path) -> dict[str, Any]:
        sampling = Sampling(steps=self.args.steps, dtype=self.args.judge_dtype)
        with open_model(checkpoint, sampling) as model:
            report = self._judge().judge(model)
        facts = report.to_json()
        kept = ("n", "steps", "guidance", "precision", "pairs_sha256", "evaluator", "seed")
        return {k: v for k, v in facts.items() if k in kept or k.startswith(QUALITY)}

    def _judge(self) -> Evaluation:
        if self._evaluation is None:
            config = EvaluateConfig(limit=self.args.limit, seeds=1)
            self._evaluation = Evaluation(read_dataset(self.args.held_out), config)
        return self._evaluation

    def results(self) -> dict[str, Any]:
        """Everything that is finished, beside the teacher."""
        teacher = _read(self.folder / f"{TEACHER}.json")
        rows = [
            found
            for row in ROWS
            for variant in VARIANTS
            if (found := _read(self.folder / row / f"{variant}.json"))
        ]
        return {"teacher": teacher, "rows": rows, "best": best(teacher, rows)}


def best(teacher: dict[str, Any] | None, rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The row with the least loss of both figures over their bars, and whether it meets them."""
    judged = [row for row in rows if "failed" not in row]
    if teacher is None or not judged:
        return None

    def excess(row: dict[str, Any]) -> float:
        return max((teacher[key] - row[key]) / bar for key, bar in BARS.items())

    chosen = min(judged, key=excess)
    lost = {key: teacher[key] - chosen[key] for key in BARS}
    return {
        "row": chosen["row"],
        "recovery": chosen["recovery"],
        "lost": lost,
        "bars": BARS,
        "met": all(lost[key] <= bar for key, bar in BARS.items()),
    }


def table(results: dict[str, Any]) -> str:
    """The results as text; differences are to the teacher."""
    teacher = results["teacher"]
    lines = [
        f"{'row':<27}{'recovery':<10}{'MACs':>7}{'params':>8}{'torch':>7}{'ORT':>7}"
        f"{'predicted':>11}{'PSNR face':>11}{'diff':>8}{'Top-1':>8}{'diff':>8}"
    ]
    if teacher is not None:
        lines.append(
            f"{TEACHER:<27}{'-':<10}{1:>7.3f}{1:>8.3f}{1:>7.3f}{1:>7.3f}{'-':>11}"
            f"{teacher['psnr_face_db']:>8.2f} dB{'':>8}{teacher['id_top1']:>8.3f}"
        )
    for row in results["rows"]:
        head = f"{row['row']:<27}{row['recovery']:<10}"
        if "failed" in row:
            lines.append(f"{head}failed: {row['failed']}")
            continue
        ratios = (row["macs_ratio"], row["params_ratio"], row["torch_ratio"], row["ort_ratio"])
        cells = [_cell(value, width) for value, width in zip(ratios, (7, 8, 7, 7), strict=True)]
        cells.append(_cell(row["predicted_loss"], 11, "+.4f"))
        lines.append(
            f"{head}{''.join(cells)}{row['psnr_face_db']:>8.2f} dB"
            f"{row['psnr_face_db'] - teacher['psnr_face_db']:>+8.2f}{row['id_top1']:>8.3f}"
            f"{row['id_top1'] - teacher['id_top1']:>+8.3f}"
        )
    found = results["best"]
    if found is not None:
        lost = found["lost"]
        lines.append(
            f"best: {found['row']}, recovery {found['recovery']}: {-lost['psnr_face_db']:+.2f} dB "
            f"and {-100 * lost['id_top1']:+.1f} points; bars -{BARS['psnr_face_db']:.1f} dB and "
            f"-{100 * BARS['id_top1']:.0f} points {'met' if found['met'] else 'missed'}"
        )
    if teacher is not None:
        lines.append(
            f"n {teacher['n']}, {teacher['steps']} steps, guidance {teacher['guidance']}, "
            f"{teacher['precision']}, judge {teacher['evaluator']}"
        )
    return "\n".join(lines)


def _cell(value: float | None, width: int, style: str = ".3f") -> str:
    return f"{'-' if value is None else format(value, style):>{width}}"


def _read(file: Path) -> dict[str, Any] | None:
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None


def main(argv: list[str] | None = None) -> int:
    """Make the rows asked for and print the table of all that are there."""
    args = _parser().parse_args(argv)
    rows = [row for row in ROWS if any(fnmatch.fnmatch(row, p) for p in args.rows)]
    if not rows:
        print(f"no row is named {' or '.join(args.rows)}: {', '.join(ROWS)}", file=sys.stderr)
        return 2
    if args.threads:
        torch.set_num_threads(args.threads)
    args.recover = None
    if args.recover_minutes > 0 or args.recover_samples:
        minutes = {"minutes": args.recover_minutes} if args.recover_minutes > 0 else {}
        args.recover = RecoverConfig(
            budget=FitBudget(**minutes, samples=args.recover_samples),
            fit=FitOptions(optimizer=args.optimizer, learning_rate=args.learning_rate),
            losses=RecoverLosses(feature_weight=args.feature_weight),
        )
    study = Study(args)
    if not args.table:
        study.make_teacher()
        for row in rows:
            study.make(row)
            print(f"finished {row}", file=sys.stderr)
    results = study.results()
    print(json.dumps(results) if args.json else table(results))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path, help="unpruned teacher")
    parser.add_argument("--data", type=Path, required=True, help="to judge plans on and recover")
    parser.add_argument("--held-out", type=Path, required=True, help="to judge swaps on")
    parser.add_argument("--out", type=Path, required=True, help="folder of finished rows")
    parser.add_argument("--rows", nargs="+", default=["*"], metavar="PATTERN", help="(all)")
    parser.add_argument(
        "--macs-ratio", type=float, default=0.5, help="share of the MACs to keep (0.5)"
    )
    parser.add_argument("--round-to", type=int, default=8, help="widths are multiples of it (8)")
    parser.add_argument("--samples", type=int, help="to judge plans on (default 64)")
    parser.add_argument("--recover-minutes", type=float, default=0.0, help="0: no recovery")
    parser.add_argument("--recover-samples", type=int, help="instead of minutes, each round")
    parser.add_argument(
        "--optimizer", choices=("adamw", "muon"), default="adamw", help="of the recovery (adamw)"
    )
    parser.add_argument("--learning-rate", type=float, default=5e-4, help="of the recovery (5e-4)")
    parser.add_argument(
        "--feature-weight", type=float, default=1.0, help="of the teacher's block outputs (1)"
    )
    parser.add_argument("--limit", type=int, default=256, help="held-out triplets")
    parser.add_argument("--steps", type=int, help="of the sampler (default: the checkpoint's)")
    parser.add_argument(
        "--judge-dtype", choices=DTYPES, default=AUTO, help="to judge swaps in (auto)"
    )
    parser.add_argument("--latency-runs", type=int, default=30, help="evaluations of each (30)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all)")
    parser.add_argument("--table", action="store_true", help="make nothing, print what is there")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


if __name__ == "__main__":
    sys.exit(main())
