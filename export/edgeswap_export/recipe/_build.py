"""Run a recipe: one stage after the other, those that are done left out, then the bundle."""

from __future__ import annotations

import itertools
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgeswap_compress.evaluate.report import JUDGED, METRICS, ROWS
from edgeswap_export.recipe._checks import require_assets
from edgeswap_export.recipe._recipe import Recipe, read_recipe
from edgeswap_export.recipe._request import StageRequest
from edgeswap_export.recipe._run import Home, alone_in, home_of, run_stage
from edgeswap_export.recipe._stages import BUNDLE, RECORD, STAGES
from edgeswap_runtime.bundle.manifest import FILE_NAME, read_manifest, write_manifest
from edgeswap_runtime.files import new_folder, write_json
from edgeswap_runtime.strict_json import read_json

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltStage:
    """A stage of a build that is done.

    Attributes:
        request: the stage and its options.
        home: where its result lies.
        seconds: how long it took; None where it had been done before.
    """

    request: StageRequest
    home: Home
    seconds: float | None

    @property
    def report(self) -> Any:
        """What its command printed, a JSON value."""
        return read_json(self.home.report)

    def to_json(self) -> dict[str, Any]:
        """Return what the build's record holds of it: nothing that differs from run to run."""
        return {
            "stage": self.request.stage,
            "arguments": list(self.request.arguments),
            "key": self.home.key,
            "folder": f"{self.home.folder.parent.name}/{self.home.folder.name}",
        }


Finished = Callable[[BuiltStage], None]


def build(
    recipe: Path | str,
    out: Path | str,
    *,
    progress: Progress = lambda line: None,
    finished: Finished = lambda stage: None,
) -> Path:
    """Run a recipe's stages, but for those whose inputs and options have not changed.

    A build may be killed at any moment; the same call then continues, and ends in the same bytes.

    Args:
        recipe: the recipe's file.
        out: the build's folder, new or of an earlier build; it keeps the result of every stage
            under `stages/` and, in the end, `bundle/` and `build.json`.
        progress: called with one line for each stage.
        finished: called with each stage that is done, in order.

    Returns:
        the bundle's folder.

    Raises:
        BadRecipe: a stage does not take what the recipe says; nothing was begun.
        AssetMissing: a stage needs a file that was not fetched; nothing was begun.
        BuildBusy: another build runs in `out`.
        StageRefused: a stage ended early; what was finished before it stays.
        StageFailed: likewise.
    """
    read = read_recipe(recipe)
    require_assets(read.stages)
    folder = Path(os.path.realpath(out))  # which takes a link to itself, unlike `Path.resolve`
    with alone_in(folder, progress) as held:
        done = []
        for stage in _stages(read, folder / "stages", progress, held):
            finished(stage)
            done.append(stage)
        _bundle(done, folder / BUNDLE)
        manifest = read_manifest(folder / BUNDLE)
        record = {
            "bundle": {"folder": BUNDLE, "manifest_sha256": manifest.manifest_sha256},
            "stages": [entry.to_json() for entry in done],
        }
        write_json(folder / RECORD, record)
    return Path(out) / BUNDLE


def _stages(recipe: Recipe, stages: Path, progress: Progress, held: int) -> Iterator[BuiltStage]:
    """Run the stages that are not done, and yield each."""
    given = {"checkpoint": recipe.checkpoint}
    for asked in recipe.stages:
        request = _named(asked, recipe.path.stem)
        source = given.get("bundle", given["checkpoint"])
        read = {"from": source}
        if request.stage == "distill":  # the recipe's checkpoint is the teacher
            read["teacher"] = recipe.checkpoint
        home = home_of(stages, request, read, recipe.folder)
        kind, seconds = STAGES[request.stage], None
        if home.finished(kind.makes):
            progress(f"{request.stage}: nothing has changed")
        else:
            progress(f"{request.stage}: at work")
            places = kind.positions(str(recipe.checkpoint), str(source), str(home.out))
            state = ["--run", str(home.folder / "run")] if kind.runs else []
            begun = time.monotonic()
            arguments = [*places, *state, *request.arguments]
            run_stage(request, arguments, home, recipe.folder, held)
            seconds = time.monotonic() - begun
        shutil.rmtree(home.folder / "run", ignore_errors=True)
        if kind.makes is not None:
            given[kind.makes] = home.out
        yield BuiltStage(request=request, home=home, seconds=seconds)


def _named(request: StageRequest, name: str) -> StageRequest:
    """Name the bundle after the recipe, unless the recipe names it."""
    words = request.arguments
    if request.stage != "export" or any(word.startswith("--name=") for word in words):
        return request
    return replace(request, arguments=(f"--name={name}", *words))


def _bundle(done: list[BuiltStage], out: Path) -> None:
    """Put the last bundle at `out`, with the measured quality in its manifest."""
    last = [entry for entry in done if STAGES[entry.request.stage].makes == "bundle"][-1]
    quality: dict[str, Any] = {}
    for entry in done:
        if entry.request.stage == "evaluate":
            quality = _quality(entry.report)
    old, new = (out.with_name(f".{out.name}.{word}") for word in ("old", "new"))
    for left in (old, new, *out.parent.glob(f".{new.name}.*.partial")):
        shutil.rmtree(left, ignore_errors=True)
    with new_folder(new) as folder:
        for file in sorted(last.home.out.rglob("*")):
            target = folder / file.relative_to(last.home.out)
            if file.is_dir():
                target.mkdir()
            elif file.name != FILE_NAME or file.parent != last.home.out:
                _take(file, target)
        write_manifest(folder, replace(read_manifest(last.home.out), quality=quality))
    if out.exists():
        out.rename(old)
    new.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def _quality(report: dict[str, Any] | list[dict[str, Any]]) -> dict[str, Any]:
    """Take the swaps' figures and every fact of an evaluation; of several step counts the first.

    The figures of other rows, such as those of the truth, are left out.
    """
    first = report[0] if isinstance(report, list) else report
    others = {
        f"{row}_{metric}{end}"
        for row, metric, end in itertools.product(ROWS, METRICS, ("", "_lo", "_hi"))
        if row != JUDGED
    }
    return {k: value for k, value in first.items() if k not in others and value is not None}


def _take(file: Path, target: Path) -> None:
    """Link a file to another place; copy it where the file system cannot link."""
    try:
        target.hardlink_to(file)
    except OSError:
        shutil.copyfile(file, target)
