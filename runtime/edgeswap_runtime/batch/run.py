"""Run a batch: every picture once, whatever ends in between."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgeswap_runtime.batch.folder import opened_folder
from edgeswap_runtime.batch.pool import swap_all

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from edgeswap_runtime.batch.pool import OpenWorker
    from edgeswap_runtime.batch.settings import BatchSettings
    from edgeswap_runtime.batch.targets import BatchPicture

    ShowBatch = Callable[["BatchReport"], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchReport:
    """How far a batch is, or what became of it.

    Attributes:
        pictures: in all.
        swapped: of them written, by this run and earlier ones.
        failed: of them that could not be swapped, in this run.
        earlier: of `swapped` written by earlier runs.
        seconds: time this run took.
    """

    pictures: int
    swapped: int
    failed: int
    earlier: int
    seconds: float

    @property
    def per_second(self) -> float:
        """Pictures that this run finished a second."""
        return (self.swapped + self.failed - self.earlier) / max(self.seconds, 1e-9)


def run_batch(
    pictures: Sequence[BatchPicture],
    settings: BatchSettings,
    out: Path,
    *,
    open_worker: OpenWorker,
    workers: int,
    resume: bool = False,
    progress: ShowBatch | None = None,
) -> BatchReport:
    """Swap the pictures of a batch into a folder.

    Args:
        pictures: from `list_pictures` or `read_parquet`.
        settings: how each is swapped.
        out: the folder; it holds the pictures, `batch.json` (what they depend on), `report.jsonl`
            (a line for each picture) and, where there are any, `failures.jsonl`.
        open_worker: opens a worker; `open_process` or `RayWorkers.open`.
        workers: how many at once.
        resume: go on in a folder that an earlier run left. Pictures that are there are not swapped
            again; failures are tried again.
        progress: called after every picture.

    Raises:
        OutputExists: the folder holds something and `resume` is False.
        InvalidRequest: the folder is another batch's, or another run writes into it now.
        EdgeswapError: the workers cannot be opened.
    """
    start = time.perf_counter()
    with opened_folder(out, settings.what_matters(), pictures, resume=resume) as folder:
        entries: dict[str, dict[str, Any]] = dict(folder.done)
        earlier = len(entries)
        waiting = [picture for picture in pictures if str(picture.name) not in entries]
        failed = 0

        def report() -> BatchReport:
            return BatchReport(
                pictures=len(pictures),
                swapped=len(entries) - failed,
                failed=failed,
                earlier=earlier,
                seconds=time.perf_counter() - start,
            )

        with closing(swap_all(waiting, out, open_worker, workers)) as results:  # type: ignore[type-var]
            for picture, result in results:
                entry = {"target": str(picture.target), "out": str(picture.name), **result}
                folder.add(entry)
                entries[entry["out"]] = entry
                failed += result["done"] == "failed"
                if progress is not None:
                    progress(report())
        folder.finish(
            {"target": str(picture.target), "out": str(picture.name), **entries[str(picture.name)]}
            for picture in pictures
        )
        return report()
