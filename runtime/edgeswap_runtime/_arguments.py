"""Check callers' arguments, so that a mistake is told in one line."""

from __future__ import annotations

import operator
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgeswap_runtime._crop_swapper import Identity
from edgeswap_runtime.errors import InvalidRequest
from edgeswap_runtime.faces.detect import Face
from edgeswap_runtime.pictures.read import read_picture

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_SEED = 2**64 - 1


def whole_number(value: object, name: str, least: int, most: int) -> int:
    """Return a whole number of Python or numpy as an int, if it is within bounds.

    Raises:
        InvalidRequest: it is none, or out of bounds; `name` says which argument.
    """
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = least - 1
    if isinstance(value, bool | np.bool_) or not least <= number <= most:
        bounds = f"{least} to {most}" if most < MAX_SEED else f"{least} to 2**64 - 1"
        raise InvalidRequest(f"{name} is {_short(value)}, expected a whole number, {bounds}")
    return number


def require_seed(seed: object) -> int:
    """Return a seed, 0 to 2**64 - 1, as a Python int; raise InvalidRequest otherwise."""
    return whole_number(seed, "seed", 0, MAX_SEED)


def require_word(value: object, name: str) -> None:
    """Raise InvalidRequest unless an optional name is a str or None."""
    if not isinstance(value, str | None):
        raise InvalidRequest(f"{name} is {_short(value)}, expected a name")


def as_path(value: object, name: str) -> Path:
    """Return a str or path as a Path; raise InvalidRequest otherwise."""
    if isinstance(value, str | os.PathLike) and isinstance(os.fspath(value), str):
        return Path(value)
    raise InvalidRequest(f"{name} is {_short(value)}, expected a path")


def is_path(value: object) -> bool:
    """Return whether a value is a str or path that `as_path` takes."""
    return isinstance(value, str | os.PathLike) and isinstance(os.fspath(value), str)


def as_rgb(picture: object) -> NDArray[np.uint8]:
    """Return a picture as an array; read it from its file if it is a path.

    Returns:
        (H, W, 3) uint8, RGB; of an array that was given, the array itself.

    Raises:
        InvalidRequest: it is neither a path nor such an array.
        UnreadablePicture: the file cannot be read.
    """
    if is_path(picture):
        return read_picture(as_path(picture, "the picture"))
    if not isinstance(picture, np.ndarray):
        raise InvalidRequest(
            f"the picture is {_short(picture)}, expected a path or an array (height, width, 3) "
            "uint8, RGB; numpy.asarray(image.convert('RGB')) makes one of Pillow's"
        )
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or not picture.size:
        raise InvalidRequest(
            f"the picture is {picture.shape} {picture.dtype}, "
            "expected (height, width, 3) uint8, RGB"
        )
    return picture


def several_pictures(source: object) -> list[object]:
    """Return one picture, or a sequence of them, as a list of at least one.

    Raises:
        InvalidRequest: it is an empty sequence.
    """
    if is_path(source) or isinstance(source, np.ndarray | bytes | bytearray):
        return [source]
    pictures = list(source) if isinstance(source, Sequence) else [source]
    if not pictures:
        raise InvalidRequest("identity needs at least one picture, found none")
    return pictures


def require_several(crops: object) -> list[NDArray[np.uint8]]:
    """Return a sequence of at least one crop as a list; raise InvalidRequest otherwise."""
    stacked = isinstance(crops, np.ndarray) and crops.ndim == 4
    several = list(crops) if stacked or isinstance(crops, list | tuple) else []  # type: ignore[call-overload]
    if not several:
        raise InvalidRequest(
            f"the crops are {_short(crops)}, expected a list of at least one array"
        )
    return several


def require_faces(faces: object, picture: NDArray[np.uint8]) -> tuple[Face, ...]:
    """Check faces that a caller gives to `swap`, and return them as a tuple.

    Raises:
        InvalidRequest: not a sequence of `Face`, or one whose landmarks are not (5, 2) or lie
            farther outside of the picture than it is large.
    """
    if not isinstance(faces, Sequence) or not all(isinstance(face, Face) for face in faces):
        raise InvalidRequest(
            f"faces is {_short(faces)}, expected 'largest', 'all', a number from 1, or faces from "
            "detect"
        )
    height, width = picture.shape[:2]
    for face in faces:
        points = np.asarray(face.landmarks_px)
        if points.shape != (5, 2) or points.dtype.kind not in "fiu":
            raise InvalidRequest(f"a face has landmarks of shape {points.shape}, expected (5, 2)")
        size = np.array([width, height])
        # Not finite is for `similarity` to tell.
        if np.isfinite(points).all() and ((points < -size) | (points > 2 * size)).any():
            raise InvalidRequest(
                f"a face has landmarks {points.round(1).tolist()}, far outside of a picture of "
                f"{width} x {height}"
            )
    return tuple(faces)


def require_identity(identity: object) -> Identity:
    """Return an `Identity` as it is; raise InvalidRequest for anything else."""
    if isinstance(identity, Identity):
        return identity
    raise InvalidRequest(
        f"the identity is {_short(identity)}, expected what Swapper.identity gives"
    )


def is_choice(faces: object) -> bool:
    """Return whether a value is a word or number that chooses faces, not faces themselves."""
    return not isinstance(faces, Sequence) or isinstance(faces, str)


def name_of(picture: object) -> str:
    """Return how to call a picture in messages."""
    return str(picture) if is_path(picture) else "the picture"


def _short(value: object) -> str:
    """Return a short value as text, a long one by its type."""
    if value is None or isinstance(value, str | int | float | np.generic):
        return repr(value)[:60]
    return f"of type {type(value).__module__}.{type(value).__qualname__}"
