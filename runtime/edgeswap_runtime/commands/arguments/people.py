"""Options of `edgeswap swap` that say whose face goes where, and what they choose in a picture."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeswap_runtime.commands.arguments.run import add_source
from edgeswap_runtime.errors import InvalidRequest, NoFaceFound

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgeswap_runtime.bundle.folder import Bundle
    from edgeswap_runtime.faces.detect import Face
    from edgeswap_runtime.faces.judge import JudgedFace
    from edgeswap_runtime.swapper import Swapper


def add_people(parser: argparse.ArgumentParser) -> None:
    """Add --source, --map, --faces, --like and --force."""
    source = parser.add_mutually_exclusive_group(required=True)
    add_source(source, required=False)
    source.add_argument(
        "--map",
        type=place_mapping,
        action="append",
        metavar="PHOTO=K",
        help="put the face of this photo into the K-th face from the left, from 1; give it again "
        "for other faces (instead of --source and --faces)",
    )
    who = parser.add_mutually_exclusive_group()
    add_faces(who)
    who.add_argument(
        "--like",
        type=Path,
        metavar="PHOTO",
        help="swap the face that is surely the person in this photo, or none (default: see "
        "--faces)",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="swap also what the model cannot do well: profiles, and faces that are cut off, "
        "blurred, unclear or tiny (default: leave them alone and say so)",
    )


def add_faces(parser: argparse._ActionsContainer) -> None:
    """Add --faces for photos."""
    parser.add_argument(
        "--faces",
        type=face_choice,
        default="largest",
        metavar="largest|all|N|#K",
        help="faces of the target to swap: the largest, all, the N largest, or the K-th from the "
        "left (default: largest)",
    )


def add_followed_faces(parser: argparse._ActionsContainer) -> None:
    """Add --faces for moving pictures."""
    parser.add_argument(
        "--faces",
        type=face_choice,
        default="largest",
        metavar="largest|all|N",
        help="people to swap: the largest, all, or the N largest, decided when a face appears and "
        "kept while it is followed (default: largest)",
    )


def sources_of(options: argparse.Namespace) -> list[tuple[list[Path], int]]:
    """The photos of each source, and the place it is for; 0 where the choice is --faces or --like.

    Raises:
        InvalidRequest: --map beside a choice of faces, or two sources for one place.
    """
    if options.map is None:
        return [(options.source, 0)]
    places = [place for _, place in options.map]
    twice = sorted({place for place in places if places.count(place) > 1})
    if twice:
        raise InvalidRequest(f"--map names face {twice[0]} twice, expected one source for each")
    if options.like is not None or options.faces != "largest":
        raise InvalidRequest("--map chooses the faces: leave out --faces and --like")
    return [([photo], place) for photo, place in options.map]


def require_identities(sources: list[list[Path]], bundle: Bundle) -> None:
    """Check the identity files among the sources before a graph is loaded.

    Raises:
        BadIdentity: one is missing, damaged, or another bundle's.
        InvalidRequest: one stands beside photos.
    """
    from edgeswap_runtime.identities.convert import identity_file_of, load_identity

    for source in sources:
        if (file := identity_file_of(source)) is not None:
            load_identity(file, bundle)


def choose_people(
    swapper: Swapper,
    options: argparse.Namespace,
    target: NDArray[Any],
    places: list[int],
    name: str,
) -> tuple[tuple[JudgedFace, ...], list[tuple[Face, ...]]]:
    """All faces of the target, called `name` in messages, and for each source those to swap.

    Raises:
        NothingSwapped: there is none to swap.
        NoFaceFound: there are fewer than asked for.
    """
    from edgeswap_runtime.faces.judge import swappable

    if places == [0]:
        choice = options.faces
        if options.like is not None:
            choice = f"#{find_like(swapper, target, options.like)}"
        judged = swapper.judge(target, choice, name=name)
        return judged, [swappable(judged, name, force=options.force)]
    judged = swapper.judge(target, "all", name=name)
    if len(judged) < max(places):
        raise NoFaceFound(name, found=len(judged), wanted=max(places))
    judged = tuple(
        one if one.number in places else replace(one, chosen=False, problem=None) for one in judged
    )
    usable = {id(face) for face in swappable(judged, name, force=options.force)}
    by_place = {one.number: one.face for one in judged}
    faces = [by_place[place] for place in places]
    return judged, [(face,) if id(face) in usable else () for face in faces]


def find_like(swapper: Swapper, picture: NDArray[Any], reference: Path | str) -> int:
    """Find who of a picture is the person of a reference photo.

    Args:
        swapper: finds the faces, and reads their identity.
        picture: (H, W, 3) uint8, RGB.
        reference: a photo; its largest face counts.

    Returns:
        the face's number from left to right, from 1.

    Raises:
        InvalidRequest: the bundle's identity graph was not measured to recognize people.
        NobodyAlike: nobody is alike enough, or two are.
        NoFaceFound: in one of the pictures.
    """
    from edgeswap_runtime.faces.recognize import likeness, nearest, require_recognizer

    threshold = require_recognizer(swapper.bundle)
    wanted = swapper.identity(reference).named("vector")
    found = [
        likeness(swapper.identity_of_face(picture, judged.face).named("vector"), wanted)
        for judged in swapper.judge(picture, "all")
    ]
    return 1 + nearest(found, threshold, "the picture", str(reference))


def face_report(one: JudgedFace, *, swapped: bool) -> dict[str, Any]:
    """What was done with one face, and why."""
    left = one.problem if one.chosen else "not chosen"
    return {
        "number": one.number,
        "box_px": one.face.box,
        "score": one.face.score,
        "yaw_deg": one.yaw_deg,
        "done": "swapped" if swapped else "left alone",
        "why": one.problem if swapped else left,
    }


def place_mapping(text: str) -> tuple[Path, int]:
    """A photo and a place, from PHOTO=K."""
    photo, _, place = text.rpartition("=")
    if not photo or not place.isascii() or not place.isdigit() or not 1 <= int(place) <= 999_999:
        raise argparse.ArgumentTypeError(f"found {text}, expected PHOTO=K with K from 1")
    return Path(photo), int(place)


def face_choice(text: str) -> str | int:
    """Read --faces: a number of faces, or a word."""
    return int(text) if text.lstrip("-").isdigit() else text
