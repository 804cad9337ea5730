"""A person's photos as training examples whose truths are the photos themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save
from torch import Tensor

from edgeswap_compress.autoencoders.target_overlay import laid_over
from edgeswap_compress.checkpoint.pipeline import SwapPipeline
from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.checkpoint.swap_parts import FaceMask
from edgeswap_compress.conditioning.crops import CropSpec
from edgeswap_compress.data import align_photos
from edgeswap_compress.data.folders import SUFFIXES, drawn_mask
from edgeswap_compress.errors import UnusablePictures
from edgeswap_compress.fit.latent_cache import to_tensor
from edgeswap_compress.fit.loop import Draw
from edgeswap_compress.fit.machine.placement import device_of
from edgeswap_compress.fit.material.pairs import Drawn
from edgeswap_compress.fit.pairing import Places
from edgeswap_compress.personalize.config import PHOTOS
from edgeswap_runtime.faces.align import to_uint8
from edgeswap_runtime.files import require_folder, sha256_file, write_bytes
from edgeswap_runtime.pictures.read import read_picture

Crops = NDArray[np.uint8]  # (N, R, R, 3) RGB
Progress = Callable[[int, int, str], None]

AT_ONCE = 8
"""Photos that are swapped in one batch."""


@dataclass(frozen=True, slots=True)
class PersonPictures:
    """A person's photos, mirrored ones behind the others, and then each of them in disguise.

    They are `Pictures`: groups of one.

    Attributes:
        crops: (M + M K, R, R, 3) uint8: M photos, then the first with K other faces, and so on.
        photos: M.
        face: where a swap may change a crop.
    """

    crops: Crops
    photos: int
    face: FaceMask

    @property
    def pictures(self) -> int:
        """Count the pictures of a group."""
        return 1

    @property
    def identities(self) -> int:
        """Count the people of a group."""
        return 1

    @property
    def digest(self) -> str:
        """Hash every pixel."""
        return hashlib.sha256(self.crops.tobytes()).hexdigest()

    @property
    def worn(self) -> int:
        """Count the disguises of each photo, K; 0 where the photos are their own targets."""
        return len(self.crops) // self.photos - 1

    def __len__(self) -> int:
        return len(self.crops)

    def images(self, group: int) -> Crops:
        """Read the one picture: (1, R, R, 3)."""
        return self.crops[group][None]

    def masks(self, group: int) -> NDArray[np.uint8]:
        """Give the mask: (1, R, R)."""
        return drawn_mask(self.face, self.crops.shape[1])[None]

    def draw(self, rng: np.random.Generator, n: int) -> Drawn:
        """Draw examples: a photo as the source, another in disguise as the target."""
        source, truth = (rng.integers(self.photos, size=n) for _ in range(2))
        target = truth
        if self.worn:
            target = self.photos + truth * self.worn + rng.integers(self.worn, size=n)
        places = Places(source, target, truth, np.ones(n, bool))
        return Drawn(places, np.full(n, -1, np.int64))


def read_crops(photos: Path, crop: CropSpec, aligned: bool, run: Path) -> Crops:
    """Read the aligned crops of a folder of photos: (N, R, R, 3).

    Args:
        photos: folder of photos of one person, or of aligned crops.
        crop: that the student swaps.
        aligned: whether they are crops already.
        run: folder that keeps what was cut.

    Raises:
        UnusablePictures: there is none, or a crop has another size.
        AssetMissing: photos are to be aligned and the detector has not been fetched.
    """
    folder, size_px = photos, crop.size_px
    if not aligned and photos.is_dir():
        folder = run / f"crops-{_digest(photos)}"
        if not folder.exists():
            run.mkdir(parents=True, exist_ok=True)
            align_photos(photos, folder, crop=crop)
    require_folder(folder, what="folder of photos", holds=(), make=PHOTOS)
    files = _pictures(folder)
    pictures = [read_picture(file) for file in files]
    for file, picture in zip(files, pictures, strict=True):
        if picture.shape != (size_px, size_px, 3):
            found = f"{picture.shape[1]} x {picture.shape[0]}"
            raise UnusablePictures(
                f"{file} is {found} px: expected aligned crops of {size_px} x {size_px}; "
                "for whole photos leave --aligned out"
            )
    if not pictures:
        raise UnusablePictures(f"{photos} holds no picture: expected about five of one person")
    return np.stack(pictures)


def _pictures(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES)


def _digest(photos: Path) -> str:
    """Hash the files' contents."""
    hashes = "".join(sha256_file(file) for file in _pictures(photos))
    return hashlib.sha256(hashes.encode()).hexdigest()[:12]


def sees_face(swap: SwapConfig) -> bool:
    """Tell whether a model sees its targets' faces, and not only what the mask leaves of them."""
    return (
        "target" in swap.input_channels
        or swap.sample.target == "residual"
        or swap.sampling.start.at == "target"
        or any(feature.of == "target" for feature in swap.features)
    )


def person_pictures(
    pipeline: SwapPipeline,
    crops: Crops,
    others: Crops,
    seed: int,
    cache: Path,
    progress: Progress | None = None,
) -> PersonPictures:
    """Make examples of photos: where a model sees the target's face, in disguise.

    What a swap needs and a handful of photos lacks is one scene with two faces. The student itself
    makes the second face; taking it out again teaches it the person's own, to the pixel (the cycle
    of 1703.10593, with one way frozen). A model that sees the target without its face needs no
    second one: each photo is the exact truth of its own.

    Args:
        pipeline: of the student, which swaps as it usually does.
        crops: (N, R, R, 3) the person's photos.
        others: (K, R, R, 3) other people, whose faces are put in.
        seed: of the noise.
        cache: file that keeps the disguises.
        progress: told of swaps done and in all.
    """
    both, face = np.concatenate([crops, crops[:, :, ::-1]]), pipeline.swap.mask
    if not sees_face(pipeline.swap):
        return PersonPictures(both, len(both), face)
    if not cache.exists():
        worn = _disguised(pipeline, both, others, seed, progress)
        write_bytes(cache, save({"worn": worn}))
    worn = load_file(cache)["worn"]
    return PersonPictures(np.concatenate([both, worn]), len(both), face)


def _disguised(
    pipeline: SwapPipeline, crops: Crops, others: Crops, seed: int, progress: Progress | None
) -> Crops:
    """Swap each of the others' faces into each crop: (M K, R, R, 3), the first crop's first."""
    draw, size_px, worn = Draw.of(seed, 0), crops.shape[1], list[Crops]()
    mask = drawn_mask(pipeline.swap.mask, size_px).astype(np.float32) / 255
    inner = torch.from_numpy(mask).to(device_of(pipeline.unet))
    for number, other in enumerate(others):
        done: list[Crops] = []
        for start in range(0, len(crops), AT_ONCE):
            target = to_tensor(crops[start : start + AT_ONCE]).to(inner.device)
            source = to_tensor(other[None]).expand_as(target)
            found = pipeline(target, source, noise=draw.normal(_sample_of(pipeline, target)))
            shown = laid_over(found.crops, found.alpha, target)
            done.append(_to_crops(inner * shown + (1 - inner) * target))
            if progress is not None:
                whole = number * len(crops) + start + len(target)
                progress(whole, len(others) * len(crops), "disguising the photos")
        worn.append(np.concatenate(done))
    return np.stack(worn, 1).reshape(-1, *crops.shape[1:])


def _sample_of(pipeline: SwapPipeline, target: Tensor) -> Tensor:
    swap = pipeline.swap
    return target.new_empty(len(target), swap.latent_channels, swap.latent_size, swap.latent_size)


def _to_crops(tensor: Tensor) -> Crops:
    pictures = tensor.permute(0, 2, 3, 1).cpu().numpy()
    return to_uint8((pictures + 1) * np.float32(127.5))
