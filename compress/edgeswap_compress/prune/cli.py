"""``edgeswap prune``: remove channels and blocks from a checkpoint's U-Net."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from edgeswap_compress._checks import check_habits, usual_run
from edgeswap_compress.fit.cli import machine_of, start_torch, told_memory
from edgeswap_compress.fit.config import FitBudget, FitOptions
from edgeswap_compress.plan.plan_file import read_plan
from edgeswap_compress.prune._early_checks import check_config, check_folders
from edgeswap_compress.prune._options import add_options, check_used
from edgeswap_compress.prune.config import (
    BEST,
    PruneChoice,
    PruneConfig,
    PruneTarget,
    RecoverConfig,
)


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of ``edgeswap prune``."""
    parser = argparse.ArgumentParser(
        prog="edgeswap prune",
        description="Make a checkpoint's U-Net smaller: the channels, heads, feed-forward units "
        "and whole modules that matter least are removed. The weights that stay are kept as they "
        "are, unless --recover-minutes or --recover-samples asks for training.",
    )
    add_options(parser)
    return parser


def command(argv: list[str]) -> int:
    """Run ``edgeswap prune``.

    Args:
        argv: arguments after the command's name.

    Returns:
        The exit code.
    """
    parser = build_parser()
    args = parser.parse_args(argv)
    check_used(parser, args)
    _check_early(args)
    start_torch(args)
    from edgeswap_compress.prune.compare import compare, table

    if not _pruned(args):
        return _stopped(args)
    facts = compare(
        args.checkpoint,
        args.out,
        latency_runs=args.latency_runs,
        samples=args.samples,
        data=args.data,
        device=args.device,
    )
    print(json.dumps(facts) if args.json else "\n".join([*table(facts), _next(args)]))
    return 0


def _pruned(args: argparse.Namespace) -> bool:
    """Prune; False where the recovery was stopped early."""
    from edgeswap_compress.fit.loop import Cadence
    from edgeswap_compress.progress import stage_progress
    from edgeswap_compress.prune.stage import PruneFiles, prune, replay

    if args.plan is not None:
        replay(args.checkpoint, read_plan(args.plan), args.out)
        return True
    recover = _recover_config(args)
    files = PruneFiles(
        data=args.data, held_out=args.held_out, latencies=args.latency_table, run=_run(args)
    )
    stop_s = None if args.stop_after is None else args.stop_after * 60.0
    with stage_progress() as report, told_memory():
        done = prune(
            args.checkpoint,
            _config(args),
            args.out,
            files=files,
            recover=recover,
            device=args.device,
            cadence=Cadence(save_s=60.0, evaluate_s=60.0, stop_after_s=stop_s),
            progress=report,
        )
    return done is not None


def _run(args: argparse.Namespace) -> Path:
    return Path(args.run or usual_run(args.out))


def _stopped(args: argparse.Namespace) -> int:
    if args.json:
        print(json.dumps({"checkpoint": None, "run": str(_run(args))}))
    else:
        print(f"stopped early; the same command continues {_run(args)}")
    return 0


def _next(args: argparse.Namespace) -> str:
    if (args.out / "swap.json").exists():
        return f"next: edgeswap distill {args.checkpoint} {args.out} STUDENT"
    return f"next: edgeswap export {args.out} BUNDLE"


def _check_early(args: argparse.Namespace) -> None:
    """Refuse what options, folders and files alone show to be wrong; takes no torch."""
    check_habits(args)
    if args.plan is not None:
        read_plan(args.plan)
        check_folders(args.checkpoint, args.out)
        return
    given = {name: getattr(args, name) for name in BEST if getattr(args, name) is not None}
    config, recover = _make_config(args, given), _recover_config(args)
    check_folders(args.checkpoint, args.out)
    check_config(
        config,
        recover,
        args.checkpoint,
        data=args.data,
        held_out=args.held_out,
        table=args.latency_table,
    )


def check_options(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse options that do not fit together; needs neither the checkpoint nor torch."""
    check_used(parser, args)
    given = {name: getattr(args, name) for name in BEST if getattr(args, name) is not None}
    _make_config(args, given)
    _recover_config(args)


def _config(args: argparse.Namespace) -> PruneConfig:
    from edgeswap_compress.prune._samples import default_choice
    from edgeswap_compress.prune.model import open_model

    choice: dict[str, Any] = {n: getattr(args, n) for n in BEST if getattr(args, n) is not None}
    if len(choice) < len(BEST):  # only the model can say what the rest should be
        model = open_model(args.checkpoint)
        choice = default_choice(model, samples=args.samples, data=args.data) | choice
    return _make_config(args, choice)


def _make_config(args: argparse.Namespace, choice: dict[str, Any]) -> PruneConfig:
    return PruneConfig(
        target=PruneTarget(
            macs_ratio=args.macs_ratio,
            params_ratio=args.params_ratio,
            latency_ratio=args.latency_ratio,
        ),
        choice=PruneChoice(
            resample=args.resample,
            round_to=args.round_to,
            protect=tuple(args.protect),
            **choice,
        ),
        samples=args.samples,
        rounds=args.rounds,
        seed=args.seed,
    )


def _recover_config(args: argparse.Namespace) -> RecoverConfig | None:
    if args.recover_minutes == 0 and args.recover_samples is None:
        return None
    minutes = {} if args.recover_minutes == 0 else {"minutes": args.recover_minutes}
    return RecoverConfig(
        budget=FitBudget(**minutes, samples=args.recover_samples),
        fit=FitOptions(
            batch_size=args.batch_size,
            learning_rate=args.learning_rate,
            optimizer=args.optimizer,
            **machine_of(args),
            seed=args.seed,
        ),
    )
