"""The options of `edgeswap bench`."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgeswap_bench.measure.config import TASKS
from edgeswap_bench.predict.devices import DEVICES
from edgeswap_runtime.commands.arguments.run import add_backend_options, add_schedule, add_seed

DESCRIPTION = """\
Time a bundle: stages, graphs and whole swaps, with intervals and a verdict on every figure.

A figure is settled, noisy, throttled, or from too few runs. `edgeswap bench compare A.json B.json`
compares two stored reports.
"""


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of `edgeswap bench BUNDLE`."""
    made = argparse.ArgumentParser(
        prog="edgeswap bench",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "bundle", type=Path, metavar="BUNDLE", help="folder of a bundle, made by edgeswap export"
    )
    _add_amount(made)
    _add_swapper(made)
    _add_pictures(made)
    _add_output(made)
    return made


def _add_amount(made: argparse.ArgumentParser) -> None:
    group = made.add_argument_group("how much")
    group.add_argument(
        "--runs",
        type=int,
        metavar="N",
        help="least number of timed runs (default: 50, or 6 with --seconds)",
    )
    group.add_argument(
        "--seconds",
        type=float,
        default=0.0,
        metavar="S",
        help="least time of all timed runs, seconds (default: 0)",
    )
    group.add_argument(
        "--warmup", type=int, metavar="N",
        help="untimed runs before (default: until the figures settle, 60 runs or 20 s at most)",
    )  # fmt: skip
    group.add_argument(
        "--task", nargs="+", default=None, choices=TASKS,
        help="what to time (default: identity and picture; crop too with a checkpoint)",
    )  # fmt: skip
    group.add_argument(
        "--batch", nargs="+", type=int, default=[], metavar="N",
        help="measure throughput at these batch sizes too (default: none)",
    )  # fmt: skip
    group.add_argument(
        "--starts", type=int, default=3, metavar="N",
        help="cold starts in fresh processes, with an empty and with a filled cache; memory is "
        "measured in such processes too, and figures on which they disagree are noisy; 0 leaves "
        "all that out (default: 3)",
    )  # fmt: skip
    group.add_argument(
        "--against", nargs="+", default=[], metavar="WHAT",
        help="time these in turns with the bundle: bundle folders, checkpoint folders, or stored "
        "reports; a bundle may say how it is run: DIR,backend=openvino,precision=bf16 (default: "
        "nothing)",
    )  # fmt: skip


def _add_swapper(made: argparse.ArgumentParser) -> None:
    group = made.add_argument_group("how it is run")
    add_backend_options(group)
    add_schedule(group)
    add_seed(group)


def _add_pictures(made: argparse.ArgumentParser) -> None:
    group = made.add_argument_group("pictures")
    group.add_argument(
        "--source",
        type=Path,
        metavar="PHOTO",
        help="photo of the face to put in (default: a packaged portrait)",
    )
    group.add_argument(
        "--target",
        type=Path,
        metavar="PHOTO",
        help="photo to put the face into (default: a packaged portrait)",
    )
    group.add_argument(
        "--size", nargs="+", default=[], metavar="WIDTHxHEIGHT",
        help="picture sizes in pixels, such as 1280x720 (default: the target's own)",
    )  # fmt: skip


def _add_output(made: argparse.ArgumentParser) -> None:
    group = made.add_argument_group("what comes out")
    group.add_argument(
        "--explain", action="store_true",
        help="profile every layer, measure this machine's ceilings, and say what the limit is "
        "(backends ort on the CPU, and openvino)",
    )  # fmt: skip
    group.add_argument(
        "--predict", metavar="DEVICES",
        help=f"estimate latencies on devices that are not here, such as orin-nano,rtx4090; "
        f"known: {', '.join(DEVICES)} (default: none)",
    )  # fmt: skip
    group.add_argument(
        "--json", action="store_true", help="print one JSON object, unrounded (default: text)"
    )
    group.add_argument(
        "--html", type=Path, metavar="FILE", help="write a page of charts, .html (default: none)"
    )
    group.add_argument(
        "--overwrite", action="store_true", help="replace the --html file if it exists"
    )
    group.add_argument(
        "--acceptance", nargs="?", type=Path, const=Path("acceptance.json"), metavar="FILE",
        help="on a machine with an NVIDIA GPU: build engines, check every backend against the CPU, "
        "refit, time, and write one report (default: do not; without FILE: acceptance.json)",
    )  # fmt: skip
    group.add_argument(
        "--require-settled", action="store_true",
        help="exit with 3 where an end-to-end figure is not settled",
    )  # fmt: skip
