"""The build: one stage after the other, each only if it has not been done, then the bundle."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgeswap_compress.evaluate.report import JUDGED, METRICS, ROWS
from edgeswap_export.recipe._checks import require_assets
from edgeswap_export.recipe._recipe import Recipe, StageRequest, read_recipe
from edgeswap_export.recipe._run import Home, alone_in, home_of, run_stage
from edgeswap_export.recipe._stages import STAGES
from edgeswap_runtime.bundle.manifest import FILE_NAME, read_manifest, write_manifest
from edgeswap_runtime.files import new_folder, write_json

BUNDLE = "bundle"
RECORD = "build.json"
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """One stage of a build that has come to its end.

    Attributes:
        request: what was asked.
        home: where its result lies.
        seconds: it took now; None where it had been done before.
    """

    request: StageRequest
    home: Home
    seconds: float | None

    @property
    def report(self) -> Any:
        """What its command printed."""
        return json.loads(self.home.report.read_text(encoding="utf-8"))

    def to_json(self) -> dict[str, Any]:
        """For the build's record, which holds nothing that differs from run to run."""
        return {
            "stage": self.request.stage,
            "arguments": list(self.request.arguments),
            "key": self.home.key,
            "folder": f"{self.home.folder.parent.name}/{self.home.folder.name}",
        }


def build(
    recipe_path: Path | str, out: Path | str, progress: Progress = lambda line: None
) -> list[Done]:
    """Run a recipe's stages, skipping those whose inputs and options have not changed.

    Killed at any moment, the same call goes on and ends in the same bytes.

    Args:
        recipe_path: the recipe.
        out: the build's folder; it keeps every stage's result under `stages/` and, in the end,
            `bundle/` and `build.json`. An existing one is gone on with.
        progress: called with one line per stage.

    Returns:
        The stages, in order.

    Raises:
        BadRecipe, AssetMissing: the recipe is not one, or a stage would miss an asset; nothing was
            begun.
        BuildBusy: another build is at work in `out`.
        StageRefused, StageFailed: a stage ended early; what was finished before stays.
    """
    recipe = read_recipe(recipe_path)
    require_assets(recipe.stages)
    folder = Path(os.path.realpath(out))  # which takes a link to itself, unlike `Path.resolve`
    with alone_in(folder, progress) as held:
        done = _stages(recipe, folder / "stages", progress, held)
        _bundle(done, folder / BUNDLE)
        manifest = read_manifest(folder / BUNDLE)
        record = {
            "bundle": {"folder": BUNDLE, "manifest_sha256": manifest.manifest_sha256},
            "stages": [entry.to_json() for entry in done],
        }
        write_json(folder / RECORD, record)
    return done


def _stages(recipe: Recipe, stages: Path, progress: Progress, held: int) -> list[Done]:
    given = {"checkpoint": recipe.checkpoint}
    done: list[Done] = []
    for asked in recipe.stages:
        request = _named(asked, recipe.path.stem)
        source = given.get("bundle", given["checkpoint"])
        read = {"from": source}
        if request.stage == "distill":  # the teacher is what the recipe begins with
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
        done.append(Done(request=request, home=home, seconds=seconds))
    return done


def _named(request: StageRequest, name: str) -> StageRequest:
    """A bundle is called like the recipe, where that says nothing else, and not like a folder."""
    words = request.arguments
    if request.stage != "export" or any(word.startswith("--name=") for word in words):
        return request
    return replace(request, arguments=(f"--name={name}", *words))


def _bundle(done: list[Done], out: Path) -> None:
    """Put the last bundle, with the quality that was measured, where it is looked for."""
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
    """The swaps' figures and all that the evaluation says of itself; of several step counts the
    first. What is left out are the figures of other rows, such as the truth's own."""
    first = report[0] if isinstance(report, list) else report
    others = {
        f"{row}_{metric}{end}"
        for row, metric, end in itertools.product(ROWS, METRICS, ("", "_lo", "_hi"))
        if row != JUDGED
    }
    return {k: value for k, value in first.items() if k not in others and value is not None}


def _take(file: Path, target: Path) -> None:
    """The same bytes at another place, without a copy where the file system can."""
    try:
        target.hardlink_to(file)
    except OSError:
        shutil.copyfile(file, target)
