"""Options that say who is put where in moving pictures: films and cameras."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeswap_runtime.backends.threads import usable_cores
from edgeswap_runtime.commands.arguments.people import place_mapping
from edgeswap_runtime.commands.arguments.run import add_source
from edgeswap_runtime.errors import InvalidRequest

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from edgeswap_runtime.swapper import Swapper
    from edgeswap_runtime.video.cast import People


def add_sources(parser: argparse._ActionsContainer, *, required: bool) -> None:
    """Add --source and --map, of which one alone may be given."""
    group = parser.add_mutually_exclusive_group(required=required)
    add_source(group, required=False, usual=None if required else "drop photos on the page")
    group.add_argument(
        "--map",
        type=place_mapping,
        action="append",
        metavar="PHOTO=K",
        help="put the face of this photo into person K, from 1: people are counted as they appear, "
        "left to right where several do at once; one who comes later takes the least free number; "
        "give it again for other people (instead of --source)",
    )


def require_places(options: argparse.Namespace) -> None:
    """Check --map before anything slow.

    Raises:
        InvalidRequest: two sources for one person, or a choice of faces beside it.
    """
    if options.map is None:
        return
    places = [place for _, place in options.map]
    twice = sorted({place for place in places if places.count(place) > 1})
    if twice:
        raise InvalidRequest(f"--map names person {twice[0]} twice, expected one source for each")
    if getattr(options, "faces", "largest") != "largest":
        raise InvalidRequest("--map chooses the faces: leave out --faces")


def sources_of(options: argparse.Namespace) -> list[list[Path]]:
    """List the files of each person who is put in."""
    if options.map is None:
        return [options.source] if options.source else []
    return [[photo] for photo, _ in options.map]


def read_people(swapper: Swapper, options: argparse.Namespace) -> People:
    """Read who is put in: one person, or for each place one.

    Raises:
        EdgeswapError: as `Swapper.identity`.
    """
    if options.map is None:
        return swapper.identity(options.source)
    return {place: swapper.identity(photo) for photo, place in options.map}


def half_the_threads(threads: int | None) -> int:
    """Threads for each of two swappers that work side by side.

    Args:
        threads: for both together; one for each core when None.
    """
    return max(1, (usable_cores() if threads is None else threads) // 2)
