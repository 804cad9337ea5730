"""`edgeswap data`: fetch packages, render datasets, draw sheets and portraits, align photos."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING

from edgeswap_compress._checks import THREADS, check_checkpoint, check_out, check_range
from edgeswap_compress.data._options import data_parser
from edgeswap_compress.data.assets import PACKAGES, fetch
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
    return data_parser()


def _fetch(args: argparse.Namespace) -> int:
    found = fetch(
        args.names or list(PACKAGES), args.cache, lambda line: print(line, file=sys.stderr)
    )
    if args.json:
        print(json.dumps({name: str(path) for name, path in found.items()}))
    return 0


def _render(args: argparse.Namespace) -> int:
    from edgeswap_compress.data.dataset_rendering import render_dataset
    from edgeswap_compress.data.grid import GroupSettings
    from edgeswap_compress.progress import stage_progress

    settings = GroupSettings(
        split=args.split,
        seed=args.seed,
        identities=args.identities,
        size_px=args.size,
        renderer=args.renderer,
        light=args.light,
    )
    from edgeswap_compress.data.shards import MANIFEST

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
    from edgeswap_compress.conditioning.crops import crop_of_template
    from edgeswap_compress.data._align_photos import PhotoOutcome, align_photos

    check_out(args.out)

    def tell(outcome: PhotoOutcome) -> None:
        if outcome.why:
            print(f"{outcome.photo}: {outcome.why}", file=sys.stderr)

    if args.checkpoint is None:
        crop = crop_of_template(args.align or "tight", args.size)
    elif args.align is None:
        crop = check_checkpoint(args.checkpoint, velocity=False).model_crop
    else:
        raise InvalidSettings("--align comes from the checkpoint: give one of the two")
    outcomes = align_photos(
        args.photos,
        args.out,
        crop=crop,
        largest=args.largest,
        progress=tell,
    )
    crops = sum(outcome.crop is not None for outcome in outcomes)
    summary = {"out": str(args.out), "photos": len(outcomes), "crops": crops}
    if args.json:
        print(json.dumps({**summary, "left_out": len(outcomes) - crops}))
    else:
        print(f"wrote {crops} crops of {len(outcomes)} photos to {args.out}")
        print(f"next: edgeswap train {args.out} OUT --held-out OTHER_CROPS")
    return 0
