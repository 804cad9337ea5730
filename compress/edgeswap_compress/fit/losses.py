"""Loss terms that training and distillation share."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from edgeswap_compress.checkpoint.latents import decode_latents
from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.conditioning.source import SourceConditioner
from edgeswap_compress.errors import InvalidCheckpoint
from edgeswap_compress.fit.config import OUTSIDE_WEIGHT
from edgeswap_compress.fit.latent_cache import LatentGroups, TripletDraw


def face_weights(mask: Tensor, inside: float) -> Tensor:
    """Weigh the places of a loss: `OUTSIDE_WEIGHT` outside the face, ``inside`` more within it.

    Args:
        mask: any shape, in [0, 1]; 1 inside the face.
        inside: weight that is added where the mask is 1.

    Returns:
        Weights of the mask's shape, not yet of mean 1.
    """
    return OUTSIDE_WEIGHT + inside * mask


def triplet_mask(data: LatentGroups, t: TripletDraw, device: torch.device | None = None) -> Tensor:
    """Give the faces of target and truth of each triplet: (N, 1, S, S) float32 in [0, 1]."""
    mask = torch.maximum(data.masks[t.group, t.target], data.masks[t.group, t.truth])
    return mask.to(device).float()[:, None]


def mask_weights(
    data: LatentGroups, t: TripletDraw, inside: float, device: torch.device | None = None
) -> Tensor:
    """Give the loss weights (N, 1, S, S) of triplets, of mean 1, see `face_weights`.

    Args:
        data: the latents and masks that the triplets are drawn from.
        t: positions of the triplets.
        inside: added inside the faces of target and truth.
        device: to compute them on; the data's own when None.
    """
    weight = face_weights(triplet_mask(data, t, device), inside)
    return weight / weight.mean()


@torch.no_grad()
def decoder_metric(vae: Any, swap: SwapConfig, latents: Tensor, mask: Tensor) -> Tensor:
    """Measure what errors of the diffusion sample cost in pixels inside the face: (C, C).

    The pull-back of the pixel metric through the decoder, JᵀJ (cf. 1710.11379), averaged over
    places: channel i of some latents is disturbed by one smooth random field, which changes the
    pixels by d_i; the entry (i, j) is the mean of d_i d_j, in units of the sample's channels. It is
    scaled to a mean trace of 1. A squared error e then costs eᵀ M e, where the plain loss counts
    all directions alike.

    Args:
        vae: autoencoder, whose decoder shows the errors.
        swap: settings of its checkpoint.
        latents: (N, C, S, S) of pictures, normalized; a dozen are enough.
        mask: (N, 1, S, S) in [0, 1], of their faces.

    Raises:
        InvalidCheckpoint: the decoder gives the same picture whatever the latents say.
    """
    dtype = next(vae.parameters()).dtype
    visible = F.interpolate(mask.float(), swap.resolution_px).sqrt()
    noise = torch.randn(mask.shape, generator=torch.Generator().manual_seed(0)).to(mask.device)
    field = 0.5 * F.avg_pool2d(noise, 5, 1, 2)  # deviation 0.1

    def decode(disturbed: Tensor) -> Tensor:
        return decode_latents(vae, swap, disturbed.to(dtype)).float() * visible

    still, changes = decode(latents), []
    for channel, scale in enumerate(swap.residual_std):
        disturbed = latents.clone()
        disturbed[:, channel : channel + 1] += scale * field
        changes.append((decode(disturbed) - still).flatten())
    together = torch.stack(changes)
    metric = together @ together.T
    cost = metric.diagonal().mean()
    if not float(cost) > 0:  # also when it is not a number
        raise InvalidCheckpoint(
            "its decoder",
            expected="pictures that follow the latents",
            found="the same picture whatever they say (trained for longer or at a lower"
            " --learning-rate it may follow)",
        )
    return metric / cost


def fine_scale(crops: Tensor) -> Tensor:
    """Take the finest scale of the luma (N, 1, H, W) of RGB crops (N, 3, H, W).

    The first level of a Laplacian pyramid (Burt and Adelson 1983), as ``hf_ratio`` measures it.
    """
    shares, taps = (
        torch.tensor(row, dtype=torch.float32, device=crops.device)
        for row in ((0.299, 0.587, 0.114), (1.0, 4.0, 6.0, 4.0, 1.0))
    )
    luma, taps = (crops * shares.view(1, 3, 1, 1)).sum(1, keepdim=True), taps / 16
    padded = F.pad(luma, (2, 2, 2, 2), mode="reflect")
    across = F.conv2d(padded, taps.view(1, 1, 1, 5))
    return luma - F.conv2d(across, taps.view(1, 1, 5, 1))


def fine_energy_loss(output: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Measure how much the local strength of the finest scale differs.

    A pixel loss prefers a blur to detail that it cannot place; this term asks for the detail's
    root mean square over windows of 6 px (a texture loss in the sense of 1505.07376).

    Args:
        output: (N, 3, H, W) in [-1, 1].
        truth: (N, 3, H, W) in [-1, 1].
        weight: (N, 1, H, W) of mean 1.
    """

    def strength(crops: Tensor) -> Tensor:
        return F.avg_pool2d(fine_scale(crops).square(), 6, 3).add(1e-6).sqrt()

    apart = (strength(output) - strength(truth)).abs()
    return (F.avg_pool2d(weight, 6, 3) * apart).mean()


class LatentIdentityLoss:
    """Identity loss: distance of two batches of latents as a frozen source encoder sees them.

    1 - cosine of the identity embeddings, plus 0.3 x the relative L1 distance of the feature maps
    (a perceptual loss, 1603.08155, on a network that knows faces). It is easily gamed, so it is a
    loss only and never a figure; noise on what it looks at makes gaming it harder.
    """

    def __init__(self, conditioner: SourceConditioner) -> None:
        self._judge = copy.deepcopy(conditioner).requires_grad_(False).eval()
        self._dtype = next(self._judge.parameters()).dtype

    def __call__(
        self,
        predicted: Tensor,
        truth: Tensor,
        kept: Tensor | None = None,
        noise: Tensor | None = None,
        aligned: Tensor | None = None,
    ) -> Tensor:
        """Compute the mean loss over the samples where ``kept`` holds.

        Args:
            predicted: (N, C, S, S) latents.
            truth: (N, C, S, S) latents.
            kept: (N,) bool, samples that count; all when None.
            noise: (N, C, S, S) added to both, the same for both.
            aligned: (N,) bool, where the two have one pose, so that feature maps compare; all.
        """
        if noise is not None:
            predicted, truth = predicted + noise, truth + noise
        maps, embedding = self._features(predicted)
        with torch.no_grad():
            wanted_maps, wanted = self._features(truth)
        cosine = (embedding * wanted).sum(1)
        apart = (maps - wanted_maps).abs().mean((1, 2, 3)) / (wanted_maps.abs().mean() + 1e-6)
        if aligned is not None:
            apart = apart * aligned.float()
        loss = 1.0 - cosine + 0.3 * apart
        if kept is None:
            return loss.mean()
        return (loss * kept.float()).sum() / kept.float().sum().clamp(min=1.0)

    @torch.no_grad()
    def cosine(self, one: Tensor, other: Tensor) -> Tensor:
        """Compute the cosine (N,) of the identity embeddings of two batches of latents."""
        return (self._features(one)[1] * self._features(other)[1]).sum(1)

    def _features(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        cast = latents.to(self._dtype).contiguous(memory_format=torch.channels_last)
        maps, embedding = self._judge.features(cast)
        return maps.float(), embedding.float()
