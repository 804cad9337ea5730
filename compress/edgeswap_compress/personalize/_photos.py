"""A person's photos as training examples whose truths are the photos themselves."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.checkpoint.latents import decode_sample, encode_crop
from edgeswap_compress.checkpoint.target_maps import TargetMaps
from edgeswap_compress.conditioning.condition import Condition
from edgeswap_compress.data import align_photos
from edgeswap_compress.data.folders import SUFFIXES, usual_mask
from edgeswap_compress.errors import UnusablePictures
from edgeswap_compress.fit.latent_cache import LatentGroups, to_tensor
from edgeswap_compress.fit.loop import Draw
from edgeswap_compress.fit.machine.placement import device_of
from edgeswap_compress.fit.noise_levels import NoiseLevels, sample, timesteps_of
from edgeswap_compress.personalize._config import PHOTOS
from edgeswap_runtime.files import require_folder, sha256_file
from edgeswap_runtime.pictures.read import read_picture


@dataclass(frozen=True, slots=True)
class PersonPhotos:
    """Latents of a person's photos, mirrored ones after the others.

    Attributes:
        photos: (M, C, S, S) normalized latents.
        disguised: (M, K, C, S, S) of the same photos with the faces of K synthetic people.
        mask: (S, S) in [0, 1], the inner face.
    """

    photos: Tensor
    disguised: Tensor
    mask: Tensor


def read_crops(photos: Path, size_px: int, aligned: bool, run: Path) -> Tensor:
    """Read the aligned crops of a folder of photos: (N, 3, R, R) in [-1, 1].

    Args:
        photos: folder of photos of one person, or of aligned crops.
        size_px: R.
        aligned: whether they are crops already.
        run: folder that keeps what was cut.

    Raises:
        UnusablePictures: there is none, or a crop has another size.
        AssetMissing: photos are to be aligned and the detector has not been fetched.
    """
    folder = photos
    if not aligned and photos.is_dir():
        folder = run / f"crops-{_digest(photos)}"
        if not folder.exists():
            run.mkdir(parents=True, exist_ok=True)
            align_photos(photos, folder, size_px=size_px)
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
    return to_tensor(np.stack(pictures))


def _pictures(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES)


def _digest(photos: Path) -> str:
    """Hash the files' contents."""
    hashes = "".join(sha256_file(file) for file in _pictures(photos))
    return hashlib.sha256(hashes.encode()).hexdigest()[:12]


@torch.no_grad()
def disguise(
    student: Checkpoint, crops: Tensor, others: LatentGroups, count: int, seed: int
) -> PersonPhotos:
    """Swap other people's faces into the photos, so that the photos are the truths of swaps back.

    What a swap needs and a handful of photos lacks is one scene with two faces. The student itself
    makes the second face; taking it out again teaches it the person's own, to the pixel (the cycle
    of 1703.10593, with one way frozen).

    Args:
        student: swaps in its usual number of steps.
        crops: (N, 3, R, R) the person's photos.
        others: latents of synthetic people in the student's space.
        count: K of them to put in.
        seed: of the people drawn and the noise.
    """  # fmt: skip
    dtype = next(student.unet.parameters()).dtype
    swap, both = student.swap, torch.cat([crops, crops.flip(3)])
    both = both.to(device_of(student.vae))
    photos = encode_crop(student.vae, swap, both.to(dtype))
    levels = NoiseLevels(student.scheduler)
    steps = timesteps_of(student.scheduler, swap.default_steps)
    denoiser = student.denoiser()
    draw = Draw.of(seed, 0)
    inner = torch.from_numpy(usual_mask(swap.resolution_px).astype(np.float32) / 255)
    inner = inner.to(both.device)
    group = torch.from_numpy(draw.rng.integers(len(others), size=count))
    view = torch.from_numpy(draw.rng.integers(others.identities, size=count))
    sources = others.read(group, view, photos.device).to(dtype)
    disguised = []
    for source in sources:
        condition = student.conditioner.condition(source[None].expand_as(photos).contiguous())

        def velocity(x: Tensor, t: Tensor, condition: Condition = condition) -> Tensor:
            return denoiser.predict(x.to(dtype), t, TargetMaps(photos), condition).float()

        clean = sample(levels, velocity, draw.normal(photos), steps)
        worn = decode_sample(student.vae, swap, clean.to(dtype), photos).float()
        pasted = inner * worn + (1 - inner) * both
        disguised.append(encode_crop(student.vae, swap, pasted.to(dtype)).float())
    mask = torch.nn.functional.interpolate(inner[None, None], size=photos.shape[2:], mode="area")
    return PersonPhotos(photos.float(), torch.stack(disguised, 1), mask[0, 0])
