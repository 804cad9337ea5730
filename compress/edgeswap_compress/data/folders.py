"""A user's own training pictures: triplets with a truth, or aligned crops sorted by person.

Both look to training as a rendered dataset does: groups of equally many pictures and their masks
(`Pictures`). Three layouts of a folder are understood, told apart by what lies in it:

    manifest.json                     a rendered dataset (`_shards`)
    triplets.csv                      source,target,truth[,mask][,identity]: paths beside the file
    source/ target/ truth/ [mask/]    pictures of equal names are a triplet
    anna/ bert/ …                     one sub-folder of aligned crops for each person
    a.png b.png …                     aligned crops, each of another person (distillation alone)

Every picture is decoded once when the folder is opened, so that a bad one is found at the start
and not hours later.
"""

from __future__ import annotations

import csv
import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from edgeswap_compress.checkpoint.swap_parts import FaceMask
from edgeswap_compress.data.shards import MANIFEST, read_dataset
from edgeswap_compress.errors import UnusablePictures
from edgeswap_runtime.bundle.manifest import Mask
from edgeswap_runtime.faces.paste import mask_weights
from edgeswap_runtime.files import canonical_json, sha256_file
from edgeswap_runtime.pictures.read import read_picture

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

ROLES = ("source", "target", "truth")
TABLE = "triplets.csv"
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
_COLUMNS = (*ROLES, "mask", "identity")


class Pictures(Protocol):
    """What training reads pixels from: groups of equally many aligned crops."""

    def __len__(self) -> int:
        """Count the groups."""
        ...

    @property
    def pictures(self) -> int:
        """Count the pictures of a group, P."""
        ...

    @property
    def identities(self) -> int:
        """Count the people of a group."""
        ...

    @property
    def digest(self) -> str:
        """Hash everything that decides the pixels."""
        ...

    def images(self, group: int) -> NDArray[np.uint8]:
        """Read the pictures of a group: (P, S, S, 3) RGB."""
        ...

    def masks(self, group: int) -> NDArray[np.uint8]:
        """Read the masks of a group: (P, S, S), where a swap may change the picture, 0 .. 255."""
        ...


@dataclass(frozen=True, slots=True)
class Triplet:
    """Files of one example.

    Attributes:
        mask: gray picture, white where the swap may change the target; None: the usual one.
        person: number of the source's person; other numbers are other people.
    """

    source: Path
    target: Path
    truth: Path
    mask: Path | None
    person: int


class TripletFolder:
    """A user's triplets: a group is source, target, truth."""

    pictures = 3
    identities = 2

    def __init__(self, path: Path, rows: Sequence[Triplet]) -> None:
        self.rows = rows
        files = [file for row in rows for file in (row.source, row.target, row.truth)]
        masks = [row.mask for row in rows if row.mask is not None]
        self.size_px = _check_pictures([*files, *masks])
        people = [row.person for row in rows]
        self.digest = _digest("triplets", path, [*files, *masks], people)

    def __len__(self) -> int:
        return len(self.rows)

    def images(self, group: int) -> NDArray[np.uint8]:
        """Read source, target and truth: (3, S, S, 3) RGB."""
        row = self.rows[group]
        return np.stack([read_picture(file) for file in (row.source, row.target, row.truth)])

    def masks(self, group: int) -> NDArray[np.uint8]:
        """Read the masks (3, S, S): the usual one for the source, else the triplet's own."""
        usual, file = usual_mask(self.size_px), self.rows[group].mask
        own = usual if file is None else read_picture(file)[..., 1]
        return np.stack([usual, own, own])


class LabeledCrops:
    """Aligned crops that say who is in them and nothing more: a group is one picture.

    Attributes:
        files: all pictures, person after person.
        people: (N,) number of the person in each.
    """

    pictures = 1
    identities = 1

    def __init__(self, path: Path, files: Sequence[Path], people: Sequence[int]) -> None:
        self.files = files
        self.people = np.array(people, np.int64)
        self.size_px = _check_pictures(files)
        self.digest = _digest("labeled", path, files, people)

    def __len__(self) -> int:
        return len(self.files)

    def images(self, group: int) -> NDArray[np.uint8]:
        """Read the one picture: (1, S, S, 3) RGB."""
        return read_picture(self.files[group])[None]

    def masks(self, group: int) -> NDArray[np.uint8]:
        """Give the usual mask: (1, S, S)."""
        return usual_mask(self.size_px)[None]


def usual_mask(size_px: int) -> NDArray[np.uint8]:
    """Draw the mask (S, S) by which a swap is pasted, for pictures that bring none; read-only."""
    return drawn_mask(FaceMask.of_size(size_px), size_px)


@functools.cache
def drawn_mask(face: FaceMask, size_px: int) -> NDArray[np.uint8]:
    """Draw a face mask with its feather: (S, S), 0 .. 255; read-only.

    Args:
        face: in pixels of a crop of that side.
        size_px: the side.
    """
    mask = Mask(
        center_px=face.center_px,
        radii_px=face.radii_px,
        exponent=face.exponent,
        feather_px=face.feather_px,
    )
    rows, columns = np.mgrid[:size_px, :size_px].astype(np.float32)
    weights = np.rint(255 * mask_weights(mask, columns, rows, size_px)).astype(np.uint8)
    weights.setflags(write=False)
    return weights


def open_pictures(path: Path | str, *, loose: bool = False) -> Pictures:
    """Open a rendered dataset, a folder of triplets, or aligned crops sorted by person.

    Args:
        path: the folder, or a triplets.csv.
        loose: whether crops that lie in the folder itself will do, each of another person.

    Raises:
        UnusablePictures: the folder is none of these, or a picture does not fit the others.
        UnreadablePicture: a picture cannot be decoded.
        BadFolder, DatasetDamaged: as `read_dataset`.
    """
    folder = Path(path)
    if folder.is_file() and folder.suffix == ".csv":
        return TripletFolder(folder.parent, _read_table(folder))
    if (folder / MANIFEST).exists() or not folder.is_dir():
        return read_dataset(folder)
    if (folder / TABLE).exists():
        return TripletFolder(folder, _read_table(folder / TABLE))
    if any((folder / role).is_dir() for role in ROLES):
        return TripletFolder(folder, _match_names(folder))
    if loose and len(crops := picture_files(folder)) > 1:
        return LabeledCrops(folder, crops, range(len(crops)))
    return _read_people(folder)


def picture_files(folder: Path) -> list[Path]:
    """List the pictures of a folder by name, judged by suffix; not those of its sub-folders."""
    return sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")
    )


def _match_names(folder: Path) -> list[Triplet]:
    found: dict[str, dict[str, Path]] = {}
    for role in (*ROLES, *(["mask"] if (folder / "mask").is_dir() else [])):
        if not (folder / role).is_dir():
            raise UnusablePictures(
                f"{folder} has no sub-folder '{role}': expected source, target and truth; without "
                "truths, sort the crops into one sub-folder for each person instead"
            )
        files = picture_files(folder / role)
        found[role] = {file.stem: file for file in files}
        if len(found[role]) < len(files):
            raise UnusablePictures(
                f"{folder / role} holds pictures that differ in suffix alone: expected one picture "
                f"of each name, or a {TABLE} that names them"
            )
    names = sorted(set().union(*found.values()))
    for role, own in found.items():
        if missing := [name for name in names if name not in own]:
            raise UnusablePictures(
                f"{folder / role} holds no picture '{missing[0]}' ({len(missing)} of {len(names)} "
                "names missing): expected equal names in every sub-folder; add it, or remove the "
                "others of that name"
            )
    if not names:
        raise UnusablePictures(f"{folder}: expected pictures in source, target, truth, found none")
    return [
        Triplet(
            found["source"][name],
            found["target"][name],
            found["truth"][name],
            found["mask"][name] if "mask" in found else None,
            number,
        )
        for number, name in enumerate(names)
    ]


def _read_table(file: Path) -> list[Triplet]:
    with file.open(newline="", encoding="utf-8-sig") as text:
        reader = csv.DictReader(text)
        columns = list(reader.fieldnames or [])
        lacking = [name for name in ROLES if name not in columns]
        if lacking or set(columns) - set(_COLUMNS):
            raise UnusablePictures(
                f"{file}: expected the columns source,target,truth and perhaps mask,identity, "
                f"found {','.join(columns) or 'nothing'}"
            )
        lines = list(reader)
    people: dict[str, int] = {}
    rows = []
    for number, line in enumerate(lines, 2):
        if empty := [role for role in ROLES if not line[role]]:
            raise UnusablePictures(
                f"{file}, line {number}: no {empty[0]}, expected a path; pairs without a truth go "
                "into one sub-folder for each person instead"
            )
        source, target, truth = (file.parent / line[role] for role in ROLES)
        mask = file.parent / line["mask"] if line.get("mask") else None
        who = line.get("identity") or f"line {number}"
        rows.append(Triplet(source, target, truth, mask, people.setdefault(who, len(people))))
    if not rows:
        raise UnusablePictures(f"{file}: expected at least one line below the columns, found none")
    return rows


def _read_people(folder: Path) -> LabeledCrops:
    people = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    files: list[Path] = []
    numbers: list[int] = []
    for number, person in enumerate(people):
        own = picture_files(person)
        if len(own) < 2:
            raise UnusablePictures(
                f"{person} holds {len(own)} picture{'' if len(own) == 1 else 's'}: expected at "
                "least 2 of each person; add more, or remove the folder"
            )
        files += own
        numbers += [number] * len(own)
    if len(people) < 2:
        raise UnusablePictures(
            f"{folder} is no training data: expected {MANIFEST}, {TABLE}, sub-folders source, "
            f"target, truth, or a sub-folder for each of at least 2 people, found {len(people)} "
            "sub-folders"
        )
    return LabeledCrops(folder, files, numbers)


def _check_pictures(files: Iterable[Path]) -> int:
    """Decode every picture, and give the side that they all share."""
    size, first = 0, Path()
    for file in files:
        height, width = read_picture(file).shape[:2]
        if not size:
            size, first = height, file
        if (height, width) != (size, size):
            expected = f"{size} x {size} as {first}" if file != first else "a square"
            raise UnusablePictures(
                f"{file} is {width} x {height}: expected {expected}; aligned crops of one size "
                "are made by: edgeswap data align PHOTOS OUT"
            )
    return size


def _digest(kind: str, root: Path, files: Sequence[Path], people: Sequence[int]) -> str:
    hashes = [[str(_beside(file, root)), sha256_file(file)] for file in files]
    content = {"kind": kind, "files": hashes, "people": [int(person) for person in people]}
    return hashlib.sha256(canonical_json(content)).hexdigest()


def _beside(file: Path, root: Path) -> Path:
    return file.relative_to(root) if file.is_relative_to(root) else file
