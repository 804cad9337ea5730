"""Gather the pictures that a checkpoint looks at for a swap of aligned crops."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.conditioning.condition import Pictures
from edgeswap_compress.conditioning.crops import MODEL_CROP, OWNERS, CropSpec, picture_key
from edgeswap_compress.conditioning.recrop import recrop
from edgeswap_runtime.faces.keypoints import keypoints_tensor


def pictures_of(
    swap: SwapConfig,
    needed: Mapping[str, CropSpec],
    target: Tensor,
    source: Tensor,
    given: Pictures,
) -> dict[str, Tensor]:
    """Gather the pictures that a checkpoint looks at.

    Args:
        swap: of the checkpoint.
        needed: name of a picture that its conditions look at -> the crop's form.
        target: (N, 3, R, R) RGB in [-1, 1], the crop "model" of the targets.
        source: the same of the sources.
        given: pictures that are known; the others are cut out of the two crops, and a ControlNet's
            hint is drawn where the crop's template has the landmarks.
    """
    found = dict(given)
    whole = dict(zip(OWNERS, (source, target), strict=True))
    for name, spec in needed.items():
        if name not in found:
            found[name] = recrop(whole[name.rpartition("/")[2]], swap.model_crop, spec)
    for owner, crop in whole.items():
        found.setdefault(picture_key(MODEL_CROP, owner), crop)
    if swap.controlnet is not None and swap.controlnet.picture not in found:
        found[swap.controlnet.picture] = template_hint(swap, len(target)).to(target)
    return found


def template_hint(swap: SwapConfig, count: int) -> Tensor:
    """Draw the landmarks where the crop's template has them: (N, 3, R, R) in [0, 1]."""
    points = np.array(swap.landmarks_px)
    drawn = torch.from_numpy(keypoints_tensor(points, swap.resolution_px))
    return drawn.expand(count, -1, -1, -1)
