"""Cut the crops that conditions look at out of an aligned crop, whose landmarks are known."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from edgeswap_compress.conditioning.crops import CropSpec, is_plain
from edgeswap_runtime.faces.align import similarity


def recrop(crop: Tensor, model: CropSpec, wanted: CropSpec) -> Tensor:
    """Cut another crop out of an aligned one; what lies outside is repeated from the border.

    Args:
        crop: (N, 3, R, R) RGB in [-1, 1], aligned as `model` says.
        model: form of the crop.
        wanted: form of the crop to cut.

    Returns:
        (N, 3, S, S), normalized and in the color order that `wanted` states.
    """
    if wanted == model:
        return crop
    to_model = similarity(wanted.landmarks_px, model.landmarks_px)
    zoom = math.sqrt(abs(float(np.linalg.det(to_model[:, :2]))))
    fine = max(1, round(zoom))  # samples of the crop for each pixel and axis
    places = _places(to_model, wanted.size_px, fine, model.size_px).to(crop)
    grid = places.expand(len(crop), -1, -1, -1)
    cut = F.grid_sample(crop, grid, padding_mode="border", align_corners=True)
    return normalize(F.avg_pool2d(cut, fine) if fine > 1 else cut, wanted)


def normalize(crop: Tensor, wanted: CropSpec) -> Tensor:
    """Turn RGB in [-1, 1] (N, 3, S, S) into what a crop's form says."""
    if is_plain(wanted):
        return crop
    pixels = crop / 2 + 0.5
    if wanted.color == "BGR":
        pixels = pixels.flip(1)
    mean, std = (torch.tensor(v).to(crop).view(1, 3, 1, 1) for v in (wanted.mean, wanted.std))
    return (pixels - mean) / std


def _places(to_model: np.ndarray, size: int, fine: int, side: int) -> Tensor:
    """Give where each pixel of the wanted crop lies in the aligned one: (1, S, S, 2) in [-1, 1]."""
    steps = (np.arange(size * fine) + 0.5) / fine - 0.5  # pixel centers lie at integers
    x, y = np.meshgrid(steps, steps)
    points = np.stack([x, y], -1) @ to_model[:, :2].T + to_model[:, 2]
    return torch.from_numpy(2.0 * points / (side - 1) - 1.0).float()[None]
