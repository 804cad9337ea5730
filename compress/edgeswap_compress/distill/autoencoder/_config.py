"""Settings of the distillation of an autoencoder."""

from __future__ import annotations

from dataclasses import dataclass

from edgeswap_compress._checks import (
    LEARNING_RATE,
    MINUTES,
    OPTIMIZERS,
    SAMPLES,
    WEIGHT,
    check_choice,
    check_ranges,
    check_samples,
    check_seed,
)
from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.errors import InvalidSettings
from edgeswap_compress.fit.dtype import AUTO, check_dtype


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallAutoencoderConfig:
    """Size and training of the small autoencoder.

    Attributes:
        patch_size: space-to-depth factor; the side over it is the latents' size times a power of 2.
        width: channels of every layer.
        encoder_blocks, decoder_blocks: residual blocks at the latents' size.
        minutes: wall time of the fitting; the number of samples is fixed from a short timing.
        samples: that number itself, a budget of work; ``minutes`` is then of no use.
        latent_noise: largest deviation of the noise on the latents that are decoded, in theirs.
        latent_weight: of the distance to the large encoder's latents.
        fine_weight: of the energy of the finest scale, which keeps skin and hair crisp.
        dtype: of the computation, one of ``DTYPES``; a continued run may take another.
    """

    patch_size: int = 6
    width: int = 64
    encoder_blocks: int = 4
    decoder_blocks: int = 5
    minutes: float = 5.0
    samples: int | None = None
    batch_size: int = 24
    learning_rate: float = 2e-3
    optimizer: str = "muon"
    latent_noise: float = 0.15
    latent_weight: float = 0.2
    fine_weight: float = 0.5
    dtype: str = AUTO
    seed: int = 0

    def __post_init__(self) -> None:
        check_dtype(self.dtype)
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        check_seed(self.seed)
        check_ranges(
            self,
            patch_size=(1, 1024),
            width=(1, 4096),
            encoder_blocks=(1, 64),
            decoder_blocks=(1, 64),
            batch_size=(1, 65536),
            minutes=MINUTES,
            samples=SAMPLES,
            learning_rate=LEARNING_RATE,
            latent_noise=WEIGHT,
            latent_weight=WEIGHT,
            fine_weight=WEIGHT,
        )
        check_samples(self.samples, self.batch_size)


def patch_levels(config: SmallAutoencoderConfig, swap: SwapConfig) -> int:
    """Count the sizes from the patches' grid down to the latents': 1 where they are one.

    Raises:
        InvalidSettings: patches of that size do not lead to the latents' size.
    """
    side = swap.resolution_px // config.patch_size
    levels = (side // swap.latent_size).bit_length()
    if (
        swap.resolution_px % config.patch_size
        or levels < 1
        or swap.latent_size << (levels - 1) != side
    ):
        raise InvalidSettings(
            f"patches of {config.patch_size} px in a crop of {swap.resolution_px} px: expected "
            f"{swap.latent_size} patches a side, or 2, 4, ... times as many; try --patch-size "
            f"{swap.resolution_px // swap.latent_size}"
        )
    return levels
