"""Rendering of datasets in several processes: resumable, extendable, never half-written."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL

from edgeswap_compress.data.assets import PACKAGES, RENDERING, asset
from edgeswap_compress.data.grid import GroupSettings
from edgeswap_compress.data.group_rendering import render_group
from edgeswap_compress.data.people.head import load_head
from edgeswap_compress.data.render.studio import Studio
from edgeswap_compress.data.render3.gl import open_context
from edgeswap_compress.data.render3.renderer import Renderer
from edgeswap_compress.data.shard_files import shard_name, write_shard
from edgeswap_compress.data.shards import (
    KIND,
    MANIFEST,
    SCHEMA,
    Dataset,
    read_dataset,
    read_manifest,
)
from edgeswap_compress.errors import DatasetMismatch, InvalidSettings, RenderWorkerDied
from edgeswap_runtime.backends.threads import usable_cores
from edgeswap_runtime.files import sha256_file, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
    from multiprocessing.process import BaseProcess

    Progress = Callable[[int, bool], None]

GROUPS_PER_SHARD = 16
# One thread each: the processes already use all cores. Read when the libraries are loaded.
_ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "LP_NUM_THREADS")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shard:
    """A shard to render: its number and the groups it holds."""

    index: int
    first: int
    count: int


Event = int | tuple[_Shard, dict[str, str]]
"""1 for a finished group; a finished shard with the environment that rendered it."""


def render_dataset(
    out: Path,
    settings: GroupSettings,
    groups: int,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """Render a dataset, or what is missing of it.

    Args:
        out: its folder; one that holds a dataset of the same settings is resumed or extended.
        settings: what decides every pixel.
        groups: how many groups there shall be in all.
        workers: rendering processes, one for each usable core when None; 0 renders in this one.
        progress: called with a number of groups and whether they were rendered just now (True)
            or found finished (False).

    Raises:
        InvalidSettings: no groups, or a negative number of workers.
        DatasetMismatch: the folder holds a dataset of other settings.
        AssetMissing, NoOffscreenRendering: rendering is not possible here.
        RenderWorkerDied: a process was killed; what is finished is kept.
    """
    workers = usable_cores() if workers is None else workers
    if groups < 1 or workers < 0:
        raise InvalidSettings(f"groups {groups}, workers {workers}: expected at least 1 and 0")
    settings.check_renderer()
    for name in RENDERING:
        asset(name)
    open_context().release()  # so that a machine without EGL is told so before a folder is made
    out = Path(out)
    manifest = _start(out, settings)
    say = progress or (lambda count, rendered: None)
    plan = _plan(max(groups, manifest["groups"]))
    todo = [shard for shard in plan if not _is_done(out, manifest, shard)]
    say(sum(shard.count for shard in plan) - sum(shard.count for shard in todo), False)
    with contextlib.closing(_render(out, settings, todo, workers)) as events:
        for event in events:
            if isinstance(event, int):
                say(event, True)
            else:
                _record(out, manifest, *event)
    return read_dataset(out)


def _start(out: Path, settings: GroupSettings) -> dict[str, Any]:
    """Give the folder's manifest, checked against the settings, or a new one."""
    fixed = {
        "settings": settings.to_json(),
        "groups_per_shard": GROUPS_PER_SHARD,
        "renderer_version": settings.renderer,
        "assets": {name: PACKAGES[name].sha256 for name in RENDERING},
    }
    manifest = read_manifest(out)
    if manifest is None:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise InvalidSettings(f"{out} is not empty and holds no dataset: name another folder")
        manifest = {"schema": SCHEMA, "kind": KIND, "groups": 0, "pictures": 0, "shards": []}
        manifest |= {"environments": [], **fixed}
        write_json(out / MANIFEST, manifest)
    for field, value in fixed.items():
        found = manifest.get(field)
        if isinstance(value, dict) and isinstance(found, dict):
            for key in value:
                if found.get(key) != value[key]:
                    raise DatasetMismatch(out, key, expected=value[key], found=found.get(key))
        elif found != value:
            raise DatasetMismatch(out, field, expected=value, found=found)
    for leftover in out.glob(".shard-*.partial"):
        leftover.unlink(missing_ok=True)
    return manifest


def _plan(groups: int) -> list[_Shard]:
    return [
        _Shard(index=k, first=first, count=min(GROUPS_PER_SHARD, groups - first))
        for k, first in enumerate(range(0, groups, GROUPS_PER_SHARD))
    ]


def _is_done(out: Path, manifest: dict[str, Any], shard: _Shard) -> bool:
    """Tell whether the manifest lists this shard with this many groups and the file is there."""
    listed = {entry["file"]: entry for entry in manifest["shards"]}
    entry = listed.get(shard_name(shard.index))
    path = out / shard_name(shard.index)
    return (
        entry is not None
        and entry["groups"] == shard.count
        and path.is_file()
        and path.stat().st_size == entry["bytes"]
    )


def _record(
    out: Path, manifest: dict[str, Any], shard: _Shard, environment: dict[str, str]
) -> None:
    """Enter a finished shard into the manifest.

    Shards finish out of order; `groups` counts only those before the first gap, so that readers
    never meet a missing one.
    """
    path = out / shard_name(shard.index)
    entry = {
        "file": path.name,
        "groups": shard.count,
        "bytes": path.stat().st_size,
        "sha256": sha256_file(path),
    }
    others = [known for known in manifest["shards"] if known["file"] != path.name]
    manifest["shards"] = sorted([*others, entry], key=lambda known: known["file"])
    if environment not in manifest["environments"]:
        manifest["environments"].append(environment)
    counts = {known["file"]: known["groups"] for known in manifest["shards"]}
    index = groups = 0
    while (count := counts.get(shard_name(index), 0)) > 0:
        groups, index = groups + count, index + 1
        if count < GROUPS_PER_SHARD:
            break
    manifest["groups"] = groups
    manifest["pictures"] = (
        groups * GroupSettings.recorded(manifest["settings"], manifest["renderer_version"]).pictures
    )
    write_json(out / MANIFEST, manifest)


def _render(
    out: Path, settings: GroupSettings, todo: list[_Shard], workers: int
) -> Generator[Event, None, None]:
    """Yield 1 for each finished group and (shard, environment) for each finished shard."""
    if not todo:
        return
    if workers == 0:
        yield from _render_here(out, settings, todo)
        return
    context = multiprocessing.get_context("spawn")
    tasks, results = context.Queue(), context.Queue()
    for shard in todo:
        tasks.put(shard)
    count = min(workers, len(todo))
    for _ in range(count):
        tasks.put(None)
    with _single_threaded():
        processes = [
            context.Process(target=_work, args=(out, settings, tasks, results), daemon=True)
            for _ in range(count)
        ]
        for process in processes:
            process.start()
    try:
        yield from _collect(processes, results, len(todo))
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _collect(processes: Sequence[BaseProcess], results: Any, shards: int) -> Iterator[Event]:
    while shards:
        try:
            event = results.get(timeout=1)
        except queue.Empty:
            for process in processes:
                if process.exitcode not in (None, 0):
                    raise RenderWorkerDied(process.exitcode) from None
            continue
        if isinstance(event, BaseException):
            raise event
        yield event
        shards -= isinstance(event, tuple)


def _work(out: Path, settings: GroupSettings, tasks: Any, results: Any) -> None:
    """Render shards from the queue until None."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    parent = multiprocessing.parent_process()
    try:
        for event in _render_here(out, settings, iter(tasks.get, None)):
            if parent is not None and not parent.is_alive():
                return  # killed: nobody collects what this process would still render
            results.put(event)
    except Exception as error:  # noqa: BLE001 - handed to the parent, which raises it
        results.put(error)


def _render_here(
    out: Path, settings: GroupSettings, shards: Iterable[_Shard]
) -> Generator[Event, None, None]:
    with open_renderer(settings) as renderer:
        environment = {"numpy": np.__version__, "gl": renderer.device}
        if settings.renderer > 3:  # its camera compresses
            environment["pillow"] = PIL.__version__
        for shard in shards:
            groups = []
            for number in range(shard.first, shard.first + shard.count):
                groups.append(render_group(renderer, settings, number))
                yield 1
            write_shard(out / shard_name(shard.index), groups)
            yield shard, environment


def open_renderer(settings: GroupSettings) -> Renderer | Studio:
    """The renderer of the settings' version."""
    opened = Renderer if settings.renderer == 3 else Studio
    return opened(
        load_head(version=settings.renderer),
        size_px=settings.size_px,
        supersampling=settings.supersampling,
    )


@contextlib.contextmanager
def _single_threaded() -> Iterator[None]:
    """Keep libraries to one thread in the processes that are started within."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
