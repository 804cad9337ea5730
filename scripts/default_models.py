#!/usr/bin/env python3
"""Make the default models anew, in slices of some minutes, on any machine: the whole way.

    scripts/default_models.py WORK --minutes 10 --pack state.tar      # as often as it takes
    scripts/default_models.py WORK --unpack state.tar --minutes 10    # on another machine

Every stage is an edgeswap command that goes on where it was stopped. What is made stays; a slice
that ends early costs at most half a minute of work. The packed state leaves out what the commands
make again from nothing but their numbers: renders and cached latents.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path

TEACHER = Path(__file__).parent.parent / "compress" / "edgeswap_compress" / "weights" / "teacher"
SIZE_PX = 128
END_S = 60.0
"""Seconds that a stage may take to end when its slice is over."""
MADE_AGAIN = (".safetensors.partial", "-train.safetensors", "-heldout.safetensors")
"""Ends of the names of cached latents, which a packed state leaves out with the renders."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A command of the way.

    Attributes:
        name: of the folder that it makes.
        words: the command's arguments.
        groups: of a dataset, how many it has when it is whole; 0 for a checkpoint.
    """

    name: str
    words: tuple[str, ...]
    groups: int = 0

    def made(self, work: Path) -> bool:
        """Tell whether its folder is there and whole."""
        folder = work / self.name
        if not self.groups:
            return folder.is_dir()
        manifest = folder / "manifest.json"
        return manifest.is_file() and json.loads(manifest.read_text())["groups"] >= self.groups


def stages(scale: float, workers: int) -> tuple[Stage, ...]:
    """List the stages in order.

    Args:
        scale: of all lengths; 1 is what the default models are meant to have.
        workers: processes that render.
    """

    def n(count: int, least: int = 64) -> str:
        return str(max(least, round(count * scale)))

    groups, held = int(n(6144, 4)), int(n(64, 2))
    render = ("--size", str(SIZE_PX), "--workers", str(workers))
    seen = ("--data", "faces", "--held-out", "heldout")
    return (
        Stage("faces", ("data", "render", "faces", "--groups", str(groups), *render), groups),
        Stage(
            "heldout",
            ("data", "render", "heldout", "--groups", str(held), "--split", "heldout", *render),
            held,
        ),
        Stage(
            "first",
            ("train", "faces", "first", "--held-out", "heldout", "--init", str(TEACHER),
             "--enlarge-crops", "--widen-latents", "--latent-channels", "24",
             "--autoencoder-learning-rate", "3e-4", "--augment", "0.5",
             "--autoencoder-samples", n(400_000), "--identity-samples", n(400_000, 192),
             "--denoiser-samples", n(1_500_000), "--one-step-share", "0",
             "--decoder-samples", n(100_000), "--save-every", "30"),
        ),
        Stage(
            "teacher",
            ("distill", "decoder", "first", "teacher", *seen, "--samples", n(100_000),
             "--save-every", "30"),
        ),
        Stage(
            "pruned",
            ("prune", "first", "pruned", "--macs-ratio", "0.4", "--importance", "taylor", "--mode",
             "both", "--allocation", "best", "--data", "faces"),
        ),
        Stage(
            "small",
            ("distill", "autoencoder", "first", "small", *seen, "--patch-size", "8", "--samples",
             n(400_000), "--fine-weight", "2", "--save-every", "30"),
        ),
        Stage(
            "one-step",
            ("distill", "first", "pruned", "one-step", *seen, "--autoencoder", "small", "--steps",
             "1", "--samples", n(1_000_000), "--truth-weight", "0.75", "--identity-weight", "1",
             "--optimizer", "muon", "--learning-rate", "1e-3", "--decoder-share", "0",
             "--targets", n(2048), "--save-every", "30"),
        ),
        Stage(
            "student",
            ("distill", "decoder", "one-step", "student", *seen, "--samples", n(200_000),
             "--save-every", "30"),
        ),
    )  # fmt: skip


def go_on(work: Path, way: tuple[Stage, ...], command: list[str], minutes: float) -> list[str]:
    """Run the stages that are not made, until the time is over.

    Args:
        work: folder that the stages' folders lie in.
        way: the stages in order.
        command: what runs edgeswap.
        minutes: of this slice.

    Returns:
        Names of the stages that are still to be made.

    Raises:
        SystemExit: a stage failed; what it said stands above.
    """
    end = time.monotonic() + 60.0 * minutes
    for stage in way:
        if stage.made(work):
            continue
        left = end - time.monotonic()
        if left <= 0:
            break
        print(f"{stage.name}: edgeswap {' '.join(stage.words)}", flush=True)
        process = subprocess.Popen([*command, *stage.words], cwd=work)
        try:
            code = process.wait(left)
        except subprocess.TimeoutExpired:
            process.terminate()
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            break
        if code != 0:
            raise SystemExit(f"{stage.name} failed with exit code {code}")
    return [stage.name for stage in way if not stage.made(work)]


def pack(work: Path, file: Path, way: tuple[Stage, ...]) -> None:
    """Write what is made and begun into a tar file, but for renders and cached latents."""
    rendered = {stage.name for stage in way if stage.groups}

    def kept(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        parts = Path(entry.name).parts
        if parts and parts[0] in rendered:
            return None
        return None if entry.name.endswith(MADE_AGAIN) else entry

    partial = file.with_name(file.name + ".partial")
    with tarfile.open(partial, "w") as tar:
        tar.add(work, arcname=".", filter=kept)
    partial.replace(file)


def unpack(work: Path, file: Path) -> None:
    """Take up a packed state; what lies there already is replaced."""
    with tarfile.open(file) as tar:
        tar.extractall(work, filter="data")


def main(argv: list[str] | None = None) -> int:
    """Run a slice; exit code 0 when everything is made, 3 when there is more to do."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("work", type=Path, metavar="WORK", help="folder for all of it; it may exist")
    add("--minutes", type=float, default=10.0, help="of this slice (default %(default)g)")
    add("--scale", type=float, default=1.0, help="of all lengths (default %(default)g)")
    add("--workers", type=int, default=os.cpu_count() or 1, metavar="N",
        help="processes that render (default: all cores)")  # fmt: skip
    add("--pack", type=Path, metavar="FILE", help="afterwards write the state to a .tar")
    add("--unpack", type=Path, metavar="FILE", help="first take up the state of a .tar")
    args = parser.parse_args(argv)
    if (edgeswap := shutil.which("edgeswap")) is None:
        raise SystemExit("no command edgeswap: install the package with its extras first")
    args.work.mkdir(parents=True, exist_ok=True)
    way = stages(args.scale, args.workers)
    if args.unpack is not None:
        unpack(args.work, args.unpack)
    try:
        left = go_on(args.work, way, [edgeswap], args.minutes)
    finally:
        if args.pack is not None:
            pack(args.work, args.pack, way)
    if left:
        print(f"still to make: {', '.join(left)}; the same command goes on")
        return 3
    print(f"made {args.work / 'teacher'} and {args.work / 'student'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
