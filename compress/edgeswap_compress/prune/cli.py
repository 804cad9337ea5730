"""``edgeswap prune``: make a checkpoint's U-Net smaller."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from edgeswap_compress._pruning_errors import PruningError
from edgeswap_compress.fit.dtype import AUTO, DTYPES, dtype_line
from edgeswap_compress.plan.plan_file import read_plan
from edgeswap_compress.prune._config import (
    BEST,
    IMPORTANCE_NAMES,
    PruneConfig,
    RecoverConfig,
)
from edgeswap_compress.prune._early_checks import check_config, check_folders

MOST = 1024  # threads, and timed runs


def command(argv: list[str]) -> int:
    """Entry point; returns the exit code."""
    parser = _parser()
    args = parser.parse_args(argv)
    _check_used(parser, args)
    _check_early(args)
    import torch

    from edgeswap_compress._progress import stage_progress
    from edgeswap_compress.fit.loop import Cadence
    from edgeswap_compress.prune._compare import compare, table
    from edgeswap_compress.prune.stage import PruneFiles, prune, replay

    if args.threads:
        torch.set_num_threads(args.threads)
    if args.plan is not None:
        replay(args.checkpoint, read_plan(args.plan), args.out)
    else:
        recover = _recover_config(args)
        if recover is not None:
            print(dtype_line(recover.dtype), file=sys.stderr)
        files = PruneFiles(
            data=args.data,
            held_out=args.held_out,
            latencies=args.latency_table,
            run=args.run or args.out.with_name(args.out.name + ".run"),
        )
        stop = None if args.stop_after is None else args.stop_after * 60.0
        with stage_progress() as report:
            done = prune(
                args.checkpoint,
                _config(args),
                args.out,
                files=files,
                recover=recover,
                cadence=Cadence(save_s=60.0, evaluate_s=60.0, stop_after_s=stop),
                progress=report,
            )
        if done is None:
            return _stopped(args, files.run)
    facts = compare(
        args.checkpoint,
        args.out,
        latency_runs=args.latency_runs,
        samples=args.samples,
        data=args.data,
    )
    print(json.dumps(facts) if args.json else "\n".join(table(facts)))
    return 0


def _check_early(args: argparse.Namespace) -> None:
    """Refuses what options, folders and files alone show to be wrong; takes no torch."""
    for option, least in (("latency_runs", 0), ("threads", 1)):
        found = getattr(args, option)
        if found is not None and not least <= found <= MOST:
            name = "--" + option.replace("_", "-")
            raise PruningError(f"{name} must lie between {least} and {MOST}, found {found}")
    if args.stop_after is not None and not 0 < args.stop_after < float("inf"):
        raise PruningError(f"--stop-after must be above 0 minutes, found {args.stop_after:g}")
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


def _stopped(args: argparse.Namespace, run: Path | None) -> int:
    if args.json:
        print(json.dumps({"checkpoint": None, "run": str(run)}))
    else:
        print(f"stopped early; the same command continues {run}")
    return 0


def _check_used(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuses what would be ignored."""
    recovers = args.recover_minutes != 0 or args.recover_samples is not None
    if args.plan is None:
        for option, given, used in (
            ("--latency-table", args.latency_table, args.latency_ratio is not None),
            ("--held-out", args.held_out, recovers),
            ("--stop-after", args.stop_after, recovers),
        ):
            if given is not None and not used:
                need = "--latency-ratio" if option == "--latency-table" else "--recover-minutes"
                parser.error(f"{option} is of no use without {need}")
        for name in ("batch_size", "learning_rate", "optimizer"):
            if getattr(args, name) != parser.get_default(name) and not recovers:
                option = "--" + name.replace("_", "-")
                parser.error(f"{option} is of no use without --recover-minutes")
        return
    # a plan says everything
    chosen = ("importance", "mode", "allocation", "resample", "round_to", "protect", "rounds",
              "recover_minutes", "recover_samples", "latency_table", "held_out",
              "stop_after", "run")  # fmt: skip
    for name in chosen:
        if getattr(args, name) != parser.get_default(name):
            option = "--" + name.replace("_", "-")
            parser.error(f"{option} is of no use with --plan, which replays the file as it is")


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
        macs_ratio=args.macs_ratio,
        params_ratio=args.params_ratio,
        latency_ratio=args.latency_ratio,
        resample=args.resample,
        round_to=args.round_to,
        protect=tuple(args.protect),
        samples=args.samples,
        rounds=args.rounds,
        seed=args.seed,
        **choice,
    )


def _recover_config(args: argparse.Namespace) -> RecoverConfig | None:
    if args.recover_minutes == 0 and args.recover_samples is None:
        return None
    minutes = {} if args.recover_minutes == 0 else {"minutes": args.recover_minutes}
    return RecoverConfig(
        **minutes,
        samples=args.recover_samples,
        batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        optimizer=args.optimizer,
        dtype=args.dtype,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edgeswap prune",
        description="Make a checkpoint's U-Net smaller: channels, heads, feed-forward units and "
        "whole modules that matter least go. Weights are sliced; nothing is trained unless "
        "recovery is asked for.",
    )
    parser.add_argument(
        "checkpoint", type=Path, help="unpruned checkpoint, or a diffusers U-Net or pipeline folder"
    )
    parser.add_argument("out", type=Path, help="folder to write")
    goal = parser.add_mutually_exclusive_group(required=True)
    goal.add_argument("--macs-ratio", type=float, metavar="R", help="U-Net MACs after / before")
    goal.add_argument("--params-ratio", type=float, metavar="R", help="parameters after / before")
    goal.add_argument(
        "--latency-ratio", type=float, metavar="R",
        help="latency after / before, measured on ONNX Runtime on this machine",
    )  # fmt: skip
    goal.add_argument("--plan", type=Path, metavar="FILE", help="replay this pruning.json instead")
    _add_choice(parser)
    _add_recovery(parser)
    parser.add_argument("--seed", type=int, default=0, help="of everything that draws numbers")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all)")
    parser.add_argument(
        "--latency-runs", type=int, metavar="N",
        help="timed runs of each U-Net; 0 to skip (default: 15, or 0 above 50 GMACs)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _add_choice(parser: argparse.ArgumentParser) -> None:
    choice = parser.add_argument_group("what goes")
    choice.add_argument(
        "--importance", help=f"{', '.join(IMPORTANCE_NAMES)} {_default('importance')}"
    )
    choice.add_argument(
        "--mode", help=f"width, depth, or both: the best mixture {_default('mode')}"
    )
    choice.add_argument(
        "--allocation",
        help="how layers compare: share of importance, uniform, global, or best of these "
        f"{_default('allocation')}",
    )
    choice.add_argument(
        "--resample", action=argparse.BooleanOptionalAction, default=False,
        help="resample inner channels as functions of the channel instead of choosing some",
    )  # fmt: skip
    choice.add_argument(
        "--round-to", type=int, default=8, metavar="N", help="widths are multiples (default: 8)"
    )
    choice.add_argument(
        "--protect", action="append", default=[], metavar="PATTERN",
        help="modules that stay as they are, such as 'mid_block' or '*.attn2'; may be repeated",
    )  # fmt: skip
    choice.add_argument("--data", type=Path, metavar="DATASET", help="to judge plans on, and learn")
    choice.add_argument(
        "--samples", type=int, metavar="N",
        help="to judge plans on (default: 64 of the data, 8 of noise for a bare U-Net)",
    )  # fmt: skip
    choice.add_argument(
        "--latency-table", type=Path, metavar="FILE",
        help="block latencies; measured and written where it does not exist",
    )  # fmt: skip


def _default(name: str) -> str:
    plain = PruneConfig.__dataclass_fields__[name].default
    return f"(default: {BEST[name]}; without samples to judge plans on: {plain})"


def _add_recovery(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("rounds and recovery (a swap checkpoint, with --data)")
    group.add_argument(
        "--rounds", type=int, default=1, metavar="N", help="prune in steps (default: 1)"
    )
    length = group.add_mutually_exclusive_group()
    length.add_argument(
        "--recover-minutes", type=float, default=0.0, metavar="M",
        help="train to imitate the unpruned U-Net, in all rounds together (default: 0)",
    )  # fmt: skip
    length.add_argument(
        "--recover-samples", type=int, metavar="N", help="instead: training samples in each round"
    )
    group.add_argument("--held-out", type=Path, metavar="DATASET", help="for the figures")
    group.add_argument("--batch-size", type=int, default=32)
    group.add_argument("--learning-rate", type=float, default=5e-4)
    group.add_argument("--optimizer", choices=("adamw", "muon"), default="adamw")
    group.add_argument(
        "--dtype", choices=DTYPES, default=AUTO,
        help="that torch computes in (default auto: the faster one here)",
    )  # fmt: skip
    group.add_argument("--run", type=Path, metavar="FOLDER", help="state (default: OUT.run)")
    group.add_argument("--stop-after", type=float, metavar="MINUTES", help="continue it later")
