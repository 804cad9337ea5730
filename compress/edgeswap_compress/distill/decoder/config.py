"""Settings of the training of a decoder that sees the target."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgeswap_compress._checks import SHARE, STEPS, WEIGHT, check_ranges
from edgeswap_compress.errors import InvalidSettings
from edgeswap_compress.fit.config import FitBudget, FitOptions, FittedConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlaySize:
    """How large the network is that lays the swap over the target, see `TargetOverlay`.

    Attributes:
        patch_size: side of the patches that it sees, pixels.
        width: channels at the patches' size; half the size has twice, a quarter three times as
            many.
    """

    patch_size: int = 4
    width: int = 32

    def __post_init__(self) -> None:
        check_ranges(self, patch_size=(1, 64), width=(1, 4096))

    @property
    def widths(self) -> tuple[int, int, int]:
        """Give the channels of the three levels."""
        return (self.width, 2 * self.width, 3 * self.width)


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlayLosses:
    """What the decoder is trained on.

    Attributes:
        alpha_weight: weight of the distance of alpha to the exact mask.
        crop_weight: weight of the crop by itself, before it is laid over the target.
        fine_weight: weight of the energy of the finest scale.
        adversarial_weight: weight of a discriminator's verdict on the picture, 0 leaves it out.
    """

    alpha_weight: float = 0.2
    crop_weight: float = 0.3
    fine_weight: float = 1.0
    adversarial_weight: float = 0.02

    def __post_init__(self) -> None:
        check_ranges(
            self,
            alpha_weight=WEIGHT,
            crop_weight=WEIGHT,
            fine_weight=WEIGHT,
            adversarial_weight=WEIGHT,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetDecoderConfig(FittedConfig):
    """Size and training of a decoder that sees the target.

    Attributes:
        size: of the network that lays the swap over the target; one that is there is kept.
        losses: what is learned.
        steps: sampling steps of the swaps to learn from, without guidance.
        augment_share: share of the pictures in another light, camera and behind other things.
        freeze_decoder: leave the autoencoder's own decoder as it is.
        budget: how long.
        fit: optimizer, batch size, dtype and seed.
    """

    size: OverlaySize = field(default_factory=OverlaySize)
    losses: OverlayLosses = field(default_factory=OverlayLosses)
    steps: int = 1
    augment_share: float = 0.5
    freeze_decoder: bool = False
    budget: FitBudget = field(default_factory=lambda: FitBudget(minutes=10.0))
    fit: FitOptions = field(default_factory=lambda: FitOptions(batch_size=16, learning_rate=1e-3))

    def __post_init__(self) -> None:
        FittedConfig.__post_init__(self)
        check_ranges(self, steps=STEPS, augment_share=SHARE)


def check_side(config: TargetDecoderConfig, resolution_px: int) -> None:
    """Make sure that crops of that side fall into patches at every level.

    Raises:
        InvalidSettings: they do not.
    """
    step = config.size.patch_size * 2 ** (len(config.size.widths) - 1)
    if resolution_px % step:
        fitting = [p for p in (6, 4, 3, 2, 1) if resolution_px % (4 * p) == 0]
        advice = f"try --patch-size {fitting[0]}" if fitting else "render crops of another size"
        raise InvalidSettings(
            f"crops of {resolution_px} px: expected a multiple of {step}, 4 times the patch size; "
            f"{advice}"
        )
