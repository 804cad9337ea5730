"""A case: one mutation, the command line that meets it, and the verdict on what came of it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from edgeswap_runtime import EdgeswapError
from fuzzing.sandbox import TRACEBACK, USUAL, Limits, Outcome

PACKAGED_RSS_BYTES = 2_000_000_000
_USAGE = re.compile(r"^(usage: |\s)")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_LONGEST_LINE = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One command line on one mutated input.

    Attributes:
        kind: of mutation, a name in `kinds.KINDS`.
        seed: what reproduces it within its kind.
        description: what was changed.
        argv: the arguments after `edgeswap`.
        must_refuse: the change is no harmless one: exit 0 is a fault.
        limits: when to stop it.
    """

    kind: str
    seed: int
    description: str
    argv: tuple[str, ...]
    must_refuse: bool = False
    limits: Limits = USUAL

    @property
    def name(self) -> str:
        """What --only takes."""
        return f"{self.kind}:{self.seed}"


def out_folder(folder: Path) -> Path:
    """Where a case's command writes, in the case's own folder."""
    return folder / "out"


def faults(case: Case, outcome: Outcome, folder: Path) -> list[str]:
    """What is wrong with an outcome, most serious first; empty where nothing is."""
    found = []
    if outcome.stopped:
        found.append(f"hang: {outcome.stopped}")
    elif outcome.code < 0:
        found.append(f"ended by signal {-outcome.code}")
    elif outcome.code == TRACEBACK or "Traceback (most recent call last)" in outcome.stderr:
        found.append(f"traceback: {_last_line(outcome.stderr)}")
    elif outcome.code not in (0, 2):
        found.append(f"exit {outcome.code}: {_last_line(outcome.stderr)}")
    elif outcome.code == 2:
        found += _refusal_faults(case, outcome, folder)
    else:
        found += _success_faults(case, outcome, folder)
    if outcome.peak_rss_bytes > PACKAGED_RSS_BYTES:
        found.append(f"memory: {outcome.peak_rss_bytes / 1e9:.2f} GB")
    return found


def _refusal_faults(case: Case, outcome: Outcome, folder: Path) -> list[str]:
    """A refusal is one line, and leaves nothing; a build alone keeps what it had finished."""
    found = []
    lines = [line for line in outcome.stderr.splitlines() if not _USAGE.match(line)]
    if not lines or not re.match(r"edgeswap[\w ]*: ", lines[-1]):
        found.append(f"words: the last line is {_last_line(outcome.stderr)!r}")
    elif len(lines) > 1 and "Warning" in outcome.stderr:
        found.append(f"words: a warning besides: {lines[0][:200]}")
    elif len(lines[-1]) > _LONGEST_LINE:
        found.append(f"words: a line of {len(lines[-1])} characters: {lines[-1][:120]}")
    elif _CONTROL.search(lines[-1]):
        found.append(f"words: control characters: {lines[-1][:200]!r}")
    left = sorted(path.name for path in out_folder(folder).iterdir())
    if left and case.argv[0] != "build":
        found.append(f"left behind: {', '.join(left)[:200]}")
    return found


def _success_faults(case: Case, outcome: Outcome, folder: Path) -> list[str]:
    """What was accepted must have given something sane."""
    found = []
    if case.must_refuse:
        found.append("accepted")
    if "Warning:" in outcome.stderr:
        found.append(f"words: a warning: {_last_line(outcome.stderr)}")
    if "--json" in case.argv:
        try:
            json.loads(outcome.stdout, parse_constant=_refuse)
        except ValueError as error:
            found.append(f"output: --json is no JSON: {error}")
    if case.argv[0] == "swap":
        found += _picture_faults(out_folder(folder))
    if case.argv[0] == "video":
        found += _film_faults(out_folder(folder))
    temporary = [path.name for path in out_folder(folder).iterdir() if path.name.startswith(".")]
    if temporary:
        found.append(f"left behind: {', '.join(temporary)[:200]}")
    return found


def _film_faults(out: Path) -> list[str]:
    from edgeswap_runtime.video.mark import read_film_mark

    files = list(out.iterdir())
    if len(files) != 1:
        return [f"output: expected one film, found {len(files)} files"]
    try:
        mark = read_film_mark(files[0])
    except EdgeswapError as error:
        return [f"output: the film cannot be opened: {error}"]
    return [] if mark is not None else ["output: the film is not marked"]


def _picture_faults(out: Path) -> list[str]:
    files = list(out.iterdir())
    if len(files) != 1:
        return [f"output: expected one picture, found {len(files)} files"]
    try:
        with Image.open(files[0]) as picture:
            picture.load()
    except (OSError, SyntaxError, ValueError) as error:
        return [f"output: the picture cannot be opened: {error}"]
    marked = b"trainedAlgorithmicMedia" in files[0].read_bytes() or b"iptc.org" in (
        files[0].read_bytes()
    )
    return [] if marked else ["output: the picture is not marked"]


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not a number")


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "(nothing)"
