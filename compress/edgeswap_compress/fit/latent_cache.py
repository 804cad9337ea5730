"""Latents of a whole dataset, encoded once: the denoiser never sees a pixel while it trains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional as F

from edgeswap_compress.checkpoint.latents import encode_crop
from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.data import Pictures
from edgeswap_compress.errors import TrainingStopped
from edgeswap_compress.fit.machine.placement import like_module
from edgeswap_runtime.files import write_bytes

Progress = Callable[[int, int, str], None]


def to_tensor(pictures: NDArray[np.uint8]) -> Tensor:
    """Turn (N, H, W, 3) uint8 RGB into (N, 3, H, W) float32 in [-1, 1], channels last in memory."""
    tensor = torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2)
    return tensor.float() / 127.5 - 1.0


@dataclass(frozen=True, slots=True)
class LatentGroups:
    """Normalized latents and masks of every picture of a dataset.

    Attributes:
        latents: (G, P, C, S, S) float16; of rendered groups P = K source views, then K x K
            pictures [scene, face].
        masks: (G, P, S, S) float16 in [0, 1], the inner-face mask averaged over each latent cell.
        identities: K, people of a group.
    """

    latents: Tensor
    masks: Tensor
    identities: int

    def __len__(self) -> int:
        return len(self.latents)

    def at(self, positions: Any, device: torch.device | None = None) -> Tensor:
        """Read latents (N, C, S, S) float32 at positions (N,): group x P + place in it."""
        return self.latents.flatten(0, 1)[positions].to(device).float()

    def mask_at(self, positions: Any, device: torch.device | None = None) -> Tensor:
        """Read masks (N, 1, S, S) float32 at positions (N,)."""
        return self.masks.flatten(0, 1)[positions].to(device).float()[:, None]

    def read(self, group: Any, place: Any, device: torch.device | None = None) -> Tensor:
        """Read latents (N, C, S, S) float32 onto a device; the groups stay in the host's memory.

        Args:
            group: (N,) integers.
            place: (N,) integers, pictures in the groups.
            device: to read to; the host's memory when None.
        """
        return self.latents[group, place].to(device).float()


def _encode_group(vae: Any, swap: SwapConfig, pictures: NDArray[np.uint8]) -> Tensor:
    crops = like_module(vae, to_tensor(pictures))
    return encode_crop(vae, swap, crops).half().contiguous().cpu()


def _pool_masks(masks: NDArray[np.uint8], size: int) -> Tensor:
    tensor = torch.from_numpy(np.array(masks)).float()[:, None] / 255.0
    return F.interpolate(tensor, size=(size, size), mode="area")[:, 0].half()


@torch.no_grad()
def encode_dataset(
    vae: Any,
    swap: SwapConfig,
    dataset: Pictures,
    cache: Path,
    key: str,
    *,
    flips: bool = True,
    progress: Progress | None = None,
) -> LatentGroups:
    """Encode every picture (and its mirror image), or read the cache of an earlier run.

    Args:
        vae: trained autoencoder.
        swap: settings of its checkpoint, with the statistics of its latents.
        dataset: pictures to encode.
        cache: file to keep the result in.
        key: hash of the autoencoder and the dataset; another key in the file means re-encoding.
        flips: mirrored groups follow the others, doubling G.
        progress: told of pictures' groups done and in all.
    """
    if cache.exists():
        with safe_open(cache, framework="pt") as file:
            if file.metadata().get("key") == key:
                parts = (file.get_tensor("latents"), file.get_tensor("masks"))
                return LatentGroups(*parts, dataset.identities)
    latents: list[Tensor] = []
    masks: list[Tensor] = []
    total = len(dataset) * (2 if flips else 1)
    for flip in (False, True)[: 2 if flips else 1]:
        for group in range(len(dataset)):
            pictures, mask = dataset.images(group), dataset.masks(group)
            if flip:
                pictures, mask = pictures[:, :, ::-1], mask[:, :, ::-1]
            latents.append(_encode_group(vae, swap, pictures))
            masks.append(_pool_masks(mask, swap.latent_size))
            if progress is not None:
                progress(len(latents), total, "encoding the dataset")
    groups = LatentGroups(torch.stack(latents), torch.stack(masks), dataset.identities)
    write_bytes(cache, save({"latents": groups.latents, "masks": groups.masks}, {"key": key}))
    return groups


@torch.no_grad()
def latent_statistics(
    vae: Any, swap: SwapConfig, dataset: Pictures, pictures: int = 1280
) -> SwapConfig:
    """Measure mean and deviation of each raw latent channel; return the config that states them.

    Raises:
        TrainingStopped: a channel is constant, so that the autoencoder is not trained.
    """
    raw_space = replace(swap.latents, mean=(0.0,), std=(1.0,))
    swap = replace(swap, latents=raw_space)
    groups = min(pictures // dataset.pictures, len(dataset))
    picks = np.linspace(0, len(dataset) - 1, groups).astype(int)
    raw = torch.cat([_encode_group(vae, swap, dataset.images(int(g))) for g in picks]).float()
    mean, std = raw.mean((0, 2, 3)), raw.std((0, 2, 3))
    if float(std.min()) < 1e-4:
        raise TrainingStopped(
            f"latent channel {int(std.argmin())} is constant: expected a trained autoencoder; "
            "train it longer"
        )
    rounded = [tuple(round(float(v), 6) for v in values) for values in (mean, std)]
    return replace(swap, latents=replace(raw_space, mean=rounded[0], std=rounded[1]))


@dataclass(frozen=True, slots=True)
class TripletDraw:
    """Positions of a batch of triplets: group, pictures in it, and the source's identity."""

    group: NDArray[np.int64]
    target: NDArray[np.int64]
    truth: NDArray[np.int64]
    source: NDArray[np.int64]
    identity: NDArray[np.int64]


def draw_triplets(rng: np.random.Generator, groups: int, identities: int, n: int) -> TripletDraw:
    """Draw triplets: any face of a scene as target, any other as truth, any view as source.

    The target is the untouched person half of the time; the source is a natural picture of the
    identity four times in five, else its inner face on another person. One triplet in twenty asks
    for the target's own face.
    """
    k = identities
    group = rng.integers(groups, size=n)
    scene, truth_id = rng.integers(k, size=n), rng.integers(k, size=n)
    worn = np.where(rng.random(n) < 0.5, scene, rng.integers(k, size=n))
    same = worn == truth_id
    shifted = (worn + 1 + rng.integers(k - 1, size=n)) % k
    truth_id = np.where(same & (rng.random(n) >= 0.05 * k), shifted, truth_id)
    view = rng.random(n)
    other = (scene + 1 + rng.integers(k - 1, size=n)) % k
    natural = k + truth_id * k + truth_id
    use_natural = (view < 0.25) & (truth_id != scene)
    source = np.where(use_natural, natural, truth_id)
    source = np.where(view > 0.8, k + other * k + truth_id, source)
    return TripletDraw(group, k + scene * k + worn, k + scene * k + truth_id, source, truth_id)


def held_out_triplets(groups: int, identities: int) -> TripletDraw:
    """List every (untouched target, other identity's source view) of a held-out set, in order."""
    k = identities
    rows = [
        (g, k + b * k + b, k + b * k + a, a, a)
        for g in range(groups)
        for b in range(k)
        for a in range(k)
        if a != b
    ]
    columns = [np.array(column, dtype=np.int64) for column in zip(*rows, strict=True)]
    return TripletDraw(*columns)
