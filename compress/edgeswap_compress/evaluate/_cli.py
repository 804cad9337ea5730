"""``edgeswap evaluate``: how good a checkpoint's or a bundle's swaps are."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from edgeswap_compress.evaluate._errors import InvalidEvaluation, NotHeldOut
from edgeswap_compress.evaluate._models import DTYPES, Sampling
from edgeswap_compress.evaluate._report import METRICS, ROWS, Report


def command(argv: list[str]) -> int:
    """Entry point; returns the exit code."""
    args = _parser().parse_args(argv)
    import torch

    from edgeswap_compress._progress import stage_progress
    from edgeswap_compress.data import Dataset, read_dataset
    from edgeswap_compress.evaluate._evaluate import EvaluateConfig, evaluate
    from edgeswap_compress.evaluate._sheet import require_new_png, write_sheet

    config = EvaluateConfig(
        sampling=Sampling(
            steps=args.steps, guidance=args.guidance, dtype=args.dtype, threads=args.threads
        ),
        limit=args.limit,
        batch_size=args.batch,
        seed=args.seed,
        pairs_sha256=args.pairs_sha256,
    )
    if args.threads is not None:
        if args.threads < 1:
            raise InvalidEvaluation(f"threads {args.threads}: expected 1 or more")
        torch.set_num_threads(args.threads)
    if args.sheet is not None:
        require_new_png(args.sheet)
    dataset: Dataset = read_dataset(args.data)
    if dataset.settings.split != "heldout":
        raise NotHeldOut(args.data, dataset.settings.split)
    dataset.verify()
    with stage_progress() as report_progress:

        def progress(done: int, total: int, text: str) -> None:
            report_progress("evaluate", done, total, text)

        report = evaluate(args.model, dataset, config, progress=progress)
    if args.sheet is not None:
        write_sheet(args.sheet, dataset, report)
    _print(report, as_json=args.json)
    return 0


def _print(report: Report, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(report.to_json(), allow_nan=False))
        return
    print(report.table())
    print()
    for name in report.rows:
        print(f"{name}: {ROWS[name]}")
    print()
    for name, value in report.facts.items():
        print(f"{name}: {value}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edgeswap evaluate",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="metrics:\n" + "\n".join(f"  {name:29}{text}" for name, text in METRICS.items()),
        description="Judge swaps of people a model was never trained on: against the exact truth, "
        "and by a face recogniser that no model has seen. 95 %% intervals in brackets.",
    )
    parser.add_argument("model", type=Path, help="folder of a checkpoint or of a bundle")
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="DATASET",
        help="folder made by edgeswap data render --split heldout",
    )
    parser.add_argument("--steps", type=int, help="of the sampler (default: the model's)")
    parser.add_argument("--guidance", type=float, help="scale, 1 is none (default: the model's)")
    parser.add_argument("--limit", type=int, help="judge the first so many pairs (default: all)")
    parser.add_argument("--pairs-sha256", metavar="SHA256", help="refuse any other pair list")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="write a contact sheet, .png")
    parser.add_argument("--batch", type=int, default=16, help="pairs at a time (default 16)")
    parser.add_argument(
        "--dtype", choices=DTYPES, help="of a checkpoint's computation (default float32)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of noise and bootstrap (default 0)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all)")
    parser.add_argument("--json", action="store_true", help="print one flat JSON object")
    return parser
