"""Frame of every fitting command: its options, its checks, and what is printed at its end."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeswap_compress._checks import OPTIMIZERS, check_habits, usual_run
from edgeswap_compress.checkpoint.defaults import calibration_dataset
from edgeswap_compress.errors import InvalidSettings
from edgeswap_compress.fit.config import Config, FitBudget, FitOptions, changed
from edgeswap_compress.fit.dtype import AUTO, DTYPES, dtype_line
from edgeswap_compress.fit.machine.device import DEVICE_FORMS, check_device
from edgeswap_compress.fit.machine.options import MEMORY_LOG

if TYPE_CHECKING:
    from edgeswap_compress.fit.loop import Cadence
    from edgeswap_compress.fit.trackers import Tracker
    from edgeswap_compress.progress import StageProgress

TRACKERS = ("none", "tensorboard", "wandb")

Add = Callable[..., Any]
"""``add_argument`` of a parser or of one of its groups."""


def add_budget(parser: argparse.ArgumentParser, usual: FitBudget) -> None:
    """Add ``--minutes`` and ``--samples``, which exclude each other.

    Args:
        parser: of the command.
        usual: the defaults.
    """
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--minutes",
        type=float,
        default=usual.minutes,
        help="wall time of the fitting, minutes (default %(default)g)",
    )
    length.add_argument(
        "--samples",
        type=int,
        metavar="N",
        help="instead of --minutes: images to learn from, the same work on every machine",
    )


def add_optimization(add: Add, usual: FitOptions, *, of: str = "") -> None:
    """Add batch size, learning rate and optimizer.

    Args:
        add: the parser's or group's ``add_argument``.
        usual: the defaults.
        of: what they are of, for the help, such as " of the denoiser".
    """
    add(
        "--batch-size", type=int, default=usual.batch_size, metavar="N",
        help=f"samples a step{of} (default %(default)s)",
    )  # fmt: skip
    add(
        "--learning-rate", type=float, default=usual.learning_rate, metavar="RATE",
        help=f"largest learning rate{of} (default %(default)g)",
    )  # fmt: skip
    add(
        "--optimizer", choices=OPTIMIZERS, default=usual.optimizer,
        help=f"optimizer{of} (default %(default)s)",
    )  # fmt: skip


def add_dtype(add: Add) -> None:
    """Add ``--dtype``."""
    add(
        "--dtype", choices=DTYPES, default=AUTO,
        help="number format torch computes in (default auto: the fastest on this machine)",
    )  # fmt: skip


def add_device(add: Add, *, of: str = "torch") -> None:
    """Add ``--device``.

    Args:
        add: the parser's or group's ``add_argument``.
        of: what computes there, for the help.
    """
    add(
        "--device", type=_device, default=AUTO, metavar="DEVICE",
        help=f"device {of} computes on: {DEVICE_FORMS} (default auto: the fastest on this machine)",
    )  # fmt: skip


MACHINE_FIELDS = {
    name: f"fit.{name}" for name in ("device", "dtype", "checkpointing", "offload", "compile")
}
"""Option -> field of a config with `FitOptions`."""


def machine_of(args: argparse.Namespace) -> dict[str, Any]:
    """Give the fields of a `FitMachine` that `add_machine` has options for."""
    return {name: getattr(args, name) for name in MACHINE_FIELDS if name in args}


def _device(text: str) -> str:
    """Read the name of a device."""
    try:
        check_device(text)
    except InvalidSettings as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


SAVINGS = {
    "checkpointing": "compute the U-Net's activations twice instead of keeping them: less memory, "
    "more time (default: no)",
    "offload": "keep the teacher and the autoencoder in the host's memory while nothing asks them "
    "(default: no)",
    "compile": "compile the U-Net with torch.compile, for minutes at the start (default: no)",
}
"""Option that saves memory or time -> its help."""


def add_machine(add: Add, *, savings: Sequence[str] = tuple(SAVINGS)) -> None:
    """Add what says where a command computes and how it fits there, see `FitMachine`.

    Args:
        add: the parser's or group's ``add_argument``.
        savings: which of ``SAVINGS`` the command has a use for.
    """
    add_device(add)
    add_dtype(add)
    for name in savings:
        add(f"--{name}", action="store_true", help=SAVINGS[name])


def add_run(add: Add) -> None:
    """Add ``--run``."""
    add(
        "--run", type=Path, metavar="FOLDER",
        help="folder for the state of the run, to continue it (default: OUT.run)",
    )  # fmt: skip


def add_habits(
    add: Add, *, cadence_s: tuple[float, float] | None = None, tracker: bool = True
) -> None:
    """Add what says how a run goes on: seed, threads, tracker, cadence and ``--json``.

    Args:
        add: the parser's or group's ``add_argument``.
        cadence_s: usual seconds between saves and between evaluations; None: not to be chosen.
        tracker: whether the command can write to a tracker.
    """
    add("--seed", type=int, default=0, help="seed of every draw, 0 to 4294967295 (default 0)")
    add("--threads", type=int, metavar="N", help="threads of the processor (default: all cores)")
    if tracker:
        add(
            "--tracker", choices=TRACKERS, default="none",
            help="where the metrics go besides the run folder (default none)",
        )  # fmt: skip
    if cadence_s is not None:
        add(
            "--save-every", type=float, default=cadence_s[0], metavar="SECONDS",
            help="seconds between saves of the state (default %(default)g)",
        )  # fmt: skip
        add(
            "--evaluate-every", type=float, default=cadence_s[1], metavar="SECONDS",
            help="seconds between evaluations (default %(default)g)",
        )  # fmt: skip
    add(
        "--stop-after", type=float, metavar="MINUTES",
        help="stop early after so many minutes of a phase; the same command continues "
        "(default: never)",
    )  # fmt: skip
    add("--json", action="store_true", help="print one JSON object at the end")


def cadence_of(args: argparse.Namespace, **settings: float) -> Cadence:
    """Read the cadence from the options.

    Args:
        args: parsed, with what `add_habits` adds.
        settings: fields of the cadence that the command has no options for.
    """
    from edgeswap_compress.fit.loop import Cadence

    given = {"save_s": "save_every", "evaluate_s": "evaluate_every"}
    read = {field: getattr(args, name) for field, name in given.items() if name in args}
    stop = None if args.stop_after is None else args.stop_after * 60.0
    return Cadence(stop_after_s=stop, **{**settings, **read})


def start_torch(args: argparse.Namespace, *, training: bool = True) -> None:
    """Load torch with the threads asked for; say on stderr on what it computes, and in what.

    Args:
        args: parsed, with ``threads``, ``device`` and ``dtype``.
        training: whether there will be backward passes, or forward passes alone.

    Raises:
        InvalidSettings: the device is not there.
    """
    import torch

    if args.threads:
        torch.set_num_threads(args.threads)
    tell_machine(args.device, args.dtype, training=training)


def tell_machine(device: str, dtype: str, *, training: bool) -> None:
    """Say on stderr on what torch computes, and in what.

    Args:
        device: asked for, see `check_device`.
        dtype: asked for, one of ``DTYPES``.
        training: whether there will be backward passes, or forward passes alone.

    Raises:
        InvalidSettings: the device is not there.
    """
    from edgeswap_compress.fit.machine.device import device_line, resolve_device

    found = resolve_device(device, training=training)
    print(device_line(device, training=training), file=sys.stderr)
    print(dtype_line(dtype, found, training=training), file=sys.stderr)


@dataclass(slots=True)
class Fitting:
    """What a fitting command hands to its stage, and what the stage gives back.

    Attributes:
        tracker: receives the metrics, or None.
        progress: shows how much is done, or None.
        out: the folder that was made; None where the run was stopped early. Set by the command.
        lines: printed before what was made, unless ``--json`` asks for an object alone.
    """

    tracker: Tracker | None
    progress: StageProgress | None
    out: Path | None = None
    lines: list[str] = field(default_factory=list)


@contextmanager
def fitting(
    args: argparse.Namespace, run: Path, *, check: Callable[[], object], then: str
) -> Iterator[Fitting]:
    """Frame a fitting command: check, start torch, watch, and tell at the end what was made.

    Args:
        args: parsed, with what `add_machine` and `add_habits` add.
        run: folder of the run's state.
        check: refuses what is known to be wrong before torch is loaded.
        then: the next command to type; ``{out}`` in it is the folder that was made.

    Yields:
        for the stage; the command sets its ``out``.

    Raises:
        EdgeswapError: an option, a folder or the device is not what the command needs.
    """
    check_habits(args)
    check()
    start_torch(args)
    begun = time.monotonic()
    with watched(args, run) as (tracker, progress), told_memory():
        frame = Fitting(tracker, progress)
        yield frame
    if frame.out is not None and not args.json:
        for line in frame.lines:
            print(line)
    finish(args, frame.out, run, begun, then.format(out=frame.out))


def config_of(args: argparse.Namespace, usual: Config, fields: Mapping[str, str]) -> Config:
    """Make the config of the options.

    Args:
        args: parsed.
        usual: whose other fields are taken.
        fields: option -> field of the config, see `changed`.

    Raises:
        InvalidSettings: the options do not fit together.
    """
    return changed(usual, {path: getattr(args, name) for name, path in fields.items()})


def fit_command(
    args: argparse.Namespace,
    *,
    check: Callable[..., object],
    stage: Callable[..., Path | None],
    then: str,
    lines: Callable[[Path], Sequence[str]] = lambda out: (),
    **cadence: float,
) -> int:
    """Run a command that fits: check its folders, run its stage, tell what was made.

    Args:
        args: parsed, with OUT, ``--data``, ``--run``, perhaps ``--held-out``, and what
            `add_machine` and `add_habits` add.
        check: refuses what is known to be wrong before torch is loaded. Like the stage it is told
            ``data`` and ``run``, and ``held_out`` where the command has it.
        stage: imports torch, and gives the folder that it made, or None. It is told besides
            ``cadence`` and ``progress``, and ``tracker`` where the command has one.
        then: the next command to type; ``{out}`` in it is the folder that was made.
        lines: printed before what was made.
        cadence: fields of the cadence that the command has no options for.

    Returns:
        The exit code.
    """
    run = args.run or usual_run(args.out)
    given = {"run": run, "data": args.data or calibration_dataset()}
    given |= {"held_out": args.held_out} if "held_out" in args else {}
    with fitting(args, run, check=lambda: check(**given), then=then) as frame:
        habits: dict[str, Any] = {"cadence": cadence_of(args, **cadence)}
        habits["progress"] = frame.progress
        habits |= {"tracker": frame.tracker} if "tracker" in args else {}
        frame.out = stage(**given, **habits)
        frame.lines = [] if frame.out is None else list(lines(frame.out))
    return 0


@contextmanager
def told_memory() -> Iterator[None]:
    """Print what the stages say of their memory on stderr, a line for each phase."""
    log = logging.getLogger(MEMORY_LOG)
    handler = logging.StreamHandler(sys.stderr)
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


@contextmanager
def watched(
    args: argparse.Namespace, run: Path
) -> Iterator[tuple[Tracker | None, StageProgress | None]]:
    """Open the tracker and the progress display for the first process; the others show nothing."""
    from edgeswap_compress.fit.processes import processes
    from edgeswap_compress.fit.trackers import open_tracker
    from edgeswap_compress.progress import stage_progress

    if not processes().main:
        yield None, None
        return
    tracker = open_tracker(getattr(args, "tracker", "none"), run / "tracker")
    try:
        with stage_progress() as report:
            yield tracker, report
    finally:
        if tracker is not None:
            tracker.close()


def finish(args: argparse.Namespace, out: Path | None, run: Path, begun: float, then: str) -> None:
    """Print what was made and where, and the next command to type.

    Args:
        args: parsed; with ``--json`` one JSON object is printed instead.
        out: the folder that was made; None where the run was stopped early.
        run: folder of the run's state.
        begun: ``time.monotonic()`` at the start, seconds.
        then: the next command.
    """
    from edgeswap_compress.fit.processes import processes

    if not processes().main:
        return
    seconds = time.monotonic() - begun
    if args.json:
        made = None if out is None else str(out)
        print(json.dumps({"checkpoint": made, "run": str(run), "seconds": seconds}))
    elif out is None:
        print(f"stopped early; the same command continues {run}")
    else:
        print(f"wrote {out} after {seconds / 60:.1f} minutes; {run} can be removed")
        print(f"next: {then}")
