"""Options of ``edgeswap prune``, and which of them go together."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgeswap_compress._checks import check_range
from edgeswap_compress.fit.cli import add_machine, add_optimization
from edgeswap_compress.fit.config import FitOptions
from edgeswap_compress.prune.config import BEST, IMPORTANCE_NAMES, PruneChoice

MOST_RUNS = 1024
LARGE_GMACS = 50
"""A U-Net above this cost is not timed or evaluated on samples unless that is asked for."""

OF_THE_PLAN = ("importance", "mode", "allocation", "resample", "round_to", "protect", "rounds",
               "recover_minutes", "recover_samples", "latency_table", "held_out", "stop_after",
               "run")  # fmt: skip
"""What a replayed plan has settled."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add all options of ``edgeswap prune`` to a parser."""
    parser.add_argument(
        "checkpoint", type=Path, metavar="CHECKPOINT",
        help="unpruned checkpoint folder, or a diffusers U-Net or pipeline folder",
    )  # fmt: skip
    parser.add_argument(
        "out", type=Path, metavar="OUT", help="folder to make, of the same kind as CHECKPOINT"
    )
    _add_target(parser)
    _add_choice(parser)
    _add_recovery(parser)
    _add_habits(parser)


def _add_target(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("target (one of these)")
    target = group.add_mutually_exclusive_group(required=True)
    between = "between 0 and 1; met within 5 %%"
    target.add_argument(
        "--macs-ratio", type=float, metavar="R",
        help=f"multiply-accumulates of the U-Net after / before, {between}",
    )  # fmt: skip
    target.add_argument(
        "--params-ratio", type=float, metavar="R",
        help=f"parameters of the U-Net after / before, {between}",
    )  # fmt: skip
    target.add_argument(
        "--latency-ratio", type=float, metavar="R",
        help="latency of the U-Net after / before, measured in ONNX Runtime on this machine, "
        f"{between}",
    )  # fmt: skip
    target.add_argument(
        "--plan", type=Path, metavar="FILE", help="apply this plan (a pruning.json) instead"
    )


def _add_choice(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("what is removed").add_argument
    add(
        "--importance", metavar="NAME",
        help=f"how channels are ranked: {', '.join(IMPORTANCE_NAMES)} {_default('importance')}",
    )  # fmt: skip
    add(
        "--mode", metavar="NAME",
        help="remove channels (width), whole modules (depth), or the best mixture (both) "
        f"{_default('mode')}",
    )  # fmt: skip
    add(
        "--allocation", metavar="NAME",
        help="how layers compare: each loses the same share of its importance (share) or of its "
        "width (uniform), or the least importance for its cost wherever it is (global); best "
        f"tries all three {_default('allocation')}",
    )  # fmt: skip
    add(
        "--resample", action=argparse.BooleanOptionalAction, default=False,
        help="interpolate inner channels to the new width instead of keeping the best ones "
        "(default: no)",
    )  # fmt: skip
    add(
        "--round-to", type=int, default=PruneChoice.__dataclass_fields__["round_to"].default,
        metavar="N", help="new widths are multiples of N, 1 to 16384 (default %(default)s)",
    )  # fmt: skip
    add(
        "--protect", action="append", default=[], metavar="PATTERN",
        help="modules that stay as they are, such as 'mid_block' or '*.attn2'; may be repeated "
        "(default: none)",
    )  # fmt: skip
    add(
        "--data", type=Path, metavar="DATASET",
        help="dataset to compare plans on and to learn from: rendered, triplets, or aligned crops "
        "(default: the packaged one where its crops have the checkpoint's size)",
    )  # fmt: skip
    add(
        "--samples", type=int, metavar="N",
        help="samples to compare plans on, 0 for none (default: 64 of the dataset; 8 of noise for "
        f"a bare U-Net of at most {LARGE_GMACS} GMACs)",
    )  # fmt: skip
    add(
        "--latency-table", type=Path, metavar="FILE",
        help="latencies of the U-Net's blocks, for --latency-ratio; measured and written where "
        "the file is missing (default: measured and not kept)",
    )  # fmt: skip


def _default(name: str) -> str:
    plain = PruneChoice.__dataclass_fields__[name].default
    return f"(default: {BEST[name]}; {plain} where there are no samples to compare plans on)"


def _add_recovery(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("training after pruning (a swap checkpoint, with --data)")
    group.add_argument(
        "--rounds", type=int, default=1, metavar="N",
        help="prune in N steps, 1 to 100, and train after each (default %(default)s)",
    )  # fmt: skip
    length = group.add_mutually_exclusive_group()
    length.add_argument(
        "--recover-minutes", type=float, default=0.0, metavar="MINUTES",
        help="wall time of the training, minutes for all rounds together (default 0: none)",
    )  # fmt: skip
    length.add_argument(
        "--recover-samples", type=int, metavar="N",
        help="instead of --recover-minutes: images to learn from in each round",
    )  # fmt: skip
    add = group.add_argument
    add(
        "--held-out", type=Path, metavar="DATASET",
        help="dataset of the same kind for the figures (default: a part of --data)",
    )  # fmt: skip
    add_optimization(add, FitOptions())
    add_machine(add, savings=("checkpointing", "offload"))
    add(
        "--run", type=Path, metavar="FOLDER",
        help="folder for the state of the run, to continue it (default: OUT.run)",
    )  # fmt: skip
    add(
        "--stop-after", type=float, metavar="MINUTES",
        help="stop early after so many minutes of a round; the same command continues "
        "(default: never)",
    )  # fmt: skip


def _add_habits(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--seed", type=int, default=0, help="seed of every draw, 0 to 4294967295 (default 0)")
    add("--threads", type=int, metavar="N", help="threads of the processor (default: all cores)")
    add(
        "--latency-runs", type=int, metavar="N",
        help=f"timed runs of each U-Net for the report, 0 to {MOST_RUNS} (default 15, or 0 above "
        f"{LARGE_GMACS} GMACs)",
    )  # fmt: skip
    add("--json", action="store_true", help="print one JSON object at the end")


def check_used(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse options that would be ignored, with the parser's own message and exit code 2.

    Raises:
        InvalidSettings: the number of timed runs is out of its range.
    """
    check_range("--latency-runs", args.latency_runs, 0, MOST_RUNS)
    recovers = args.recover_minutes != 0 or args.recover_samples is not None
    if args.plan is not None:
        for name in OF_THE_PLAN:
            if getattr(args, name) != parser.get_default(name):
                parser.error(
                    f"{_option(name)} is of no use with --plan, which replays the file as it is"
                )
        return
    if args.latency_table is not None and args.latency_ratio is None:
        parser.error("--latency-table is of no use without --latency-ratio")
    for name in (
        "held_out",
        "stop_after",
        "batch_size",
        "learning_rate",
        "optimizer",
        "checkpointing",
        "offload",
    ):
        if getattr(args, name) != parser.get_default(name) and not recovers:
            parser.error(f"{_option(name)} is of no use without --recover-minutes")


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
