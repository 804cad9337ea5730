"""`edgeswap swap` with several targets: one after the other, into a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from numpy.typing import NDArray

    Pair = tuple[Path, Path]
    SwapPair = Callable[[Pair, NDArray[Any]], dict[str, Any]]


def pair_several(options: argparse.Namespace) -> tuple[Pair, ...]:
    """Each target with its output in the folder --out, before any work is done.

    Raises:
        InvalidRequest: --out is named as a picture, or two targets would get one output.
        OutputExists: an output is there, and --overwrite is not given.
        PictureMissing: a target is not there.
    """
    from edgeswap_runtime.batch.targets import list_pictures
    from edgeswap_runtime.errors import InvalidRequest, OutputExists
    from edgeswap_runtime.pictures.write import WRITABLE

    folder = options.out
    if folder.suffix.lower() in WRITABLE or folder.is_file():
        raise InvalidRequest(
            f"--target names several pictures, expected a folder after --out, found {folder}"
        )
    pairs = tuple(
        (picture.target, folder / picture.name)
        for picture in list_pictures(options.target, out=folder)
    )
    for _, out in pairs:
        if out.exists() and not options.overwrite:
            raise OutputExists(out, "name another folder, or add --overwrite")
    return pairs


def swap_several(options: argparse.Namespace, pairs: tuple[Pair, ...], swap: SwapPair) -> int:
    """Swap each target; go on after those that cannot be swapped.

    Returns:
        the exit code: 0 where all were swapped, else 2.
    """
    from edgeswap_runtime._arguments import as_rgb
    from edgeswap_runtime.errors import EdgeswapError

    reports = []
    for target, out in pairs:
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            report = swap((target, out), as_rgb(target))
        except EdgeswapError as error:
            report = {"target": str(target), "failed": str(error)}
        reports.append(report)
        if not options.json:
            print(swap_line(report), flush=True)
    failed = sum("failed" in report for report in reports)
    facts = {"pictures": len(reports), "swapped": len(reports) - failed, "failed": failed}
    if options.json:
        print(json.dumps({"out": str(options.out), **facts, "reports": reports}, indent=1))
    else:
        print(f"{options.out}: {facts['swapped']} of {facts['pictures']} pictures swapped")
    return 2 if failed else 0


def swap_line(report: dict[str, Any]) -> str:
    """One line about one picture."""
    if "failed" in report:
        return f"not swapped: {report['failed']}"
    swapped, found = len(report["faces_swapped"]), report["faces_found"]
    left = [
        f"#{face['number']} {face['why']}"
        for face in report["faces"]
        if face["done"] == "left alone" and face["why"] != "not chosen"
    ]
    aside = f"; left alone: {', '.join(left)}" if left else ""
    return (
        f"{report['out']}: {swapped} of {found} face{'s' if found > 1 else ''} swapped in "
        f"{report['swap_ms']:.0f} ms ({report['schedule']}), marked as generated ("
        f"{', '.join(report['marks'])}){aside}"
    )
