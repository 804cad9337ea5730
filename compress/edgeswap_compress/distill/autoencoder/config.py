"""Settings of the distillation of an autoencoder."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgeswap_compress._checks import WEIGHT, check_ranges
from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.errors import InvalidSettings
from edgeswap_compress.fit.config import FitBudget, FitOptions, FittedConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoencoderSize:
    """How large the small autoencoder is.

    Attributes:
        patch_size: space-to-depth factor, pixels; the crop's side over it is the latents' size
            times a power of 2.
        width: channels of every layer.
        encoder_blocks: residual blocks of the encoder at the latents' size.
        decoder_blocks: residual blocks of the decoder at the latents' size.
    """

    patch_size: int = 6
    width: int = 64
    encoder_blocks: int = 4
    decoder_blocks: int = 5

    def __post_init__(self) -> None:
        check_ranges(
            self,
            patch_size=(1, 1024),
            width=(1, 4096),
            encoder_blocks=(1, 64),
            decoder_blocks=(1, 64),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoencoderLosses:
    """What the small autoencoder is trained on.

    Attributes:
        latent_noise: largest deviation of the noise on the latents that are decoded.
        latent_weight: weight of the distance to the large encoder's latents.
        fine_weight: weight of the energy of the finest scale, which keeps skin and hair crisp.
    """

    latent_noise: float = 0.15
    latent_weight: float = 0.2
    fine_weight: float = 0.5

    def __post_init__(self) -> None:
        check_ranges(self, latent_noise=WEIGHT, latent_weight=WEIGHT, fine_weight=WEIGHT)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallAutoencoderConfig(FittedConfig):
    """Size and training of the small autoencoder.

    Attributes:
        size: its layers.
        losses: what it is trained on.
        budget: how long.
        fit: optimizer, batch size, dtype and seed.
    """

    size: AutoencoderSize = field(default_factory=AutoencoderSize)
    losses: AutoencoderLosses = field(default_factory=AutoencoderLosses)
    budget: FitBudget = field(default_factory=lambda: FitBudget(minutes=5.0))
    fit: FitOptions = field(
        default_factory=lambda: FitOptions(batch_size=24, learning_rate=2e-3, optimizer="muon")
    )


def patch_levels(config: SmallAutoencoderConfig, swap: SwapConfig) -> int:
    """Count the sizes from the patches' grid down to the latents': 1 where they are one.

    Raises:
        InvalidSettings: patches of that size do not lead to the latents' size.
    """
    side = swap.resolution_px // config.size.patch_size
    levels = (side // swap.latent_size).bit_length()
    if (
        swap.resolution_px % config.size.patch_size
        or levels < 1
        or swap.latent_size << (levels - 1) != side
    ):
        raise InvalidSettings(
            f"patches of {config.size.patch_size} px in a crop of {swap.resolution_px} px: "
            f"expected {swap.latent_size} patches a side, or 2, 4, ... times as many; try "
            f"--patch-size {swap.resolution_px // swap.latent_size}"
        )
    return levels
