"""Settings of the training of a teacher, stage by stage."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, replace
from typing import Any

from edgeswap_compress._checks import (
    SHARE,
    STEPS,
    WEIGHT,
    check_ranges,
    check_seed,
)
from edgeswap_compress.fit.config import (
    CONDITION_DROPOUT,
    IDENTITY_NOISE,
    MASK_WEIGHT,
    TERMINAL_SHARE,
    FitConfig,
)
from edgeswap_compress.fit.machine.options import FitMachine


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoencoderConfig:
    """Autoencoder of space-to-depth crops: R px -> patches -> factor 2 -> (C, S, S) latents.

    Attributes:
        latent_noise: deviation of the noise added to the latents while training.
        fine_weight: weight of the energy of the finest scale, which keeps skin and hair crisp.
    """

    fit: FitConfig
    patch_size: int = 3
    latent_channels: int = 16
    widths: tuple[int, int] = (96, 128)
    norm_num_groups: int = 16
    latent_noise: float = 0.03
    fine_weight: float = 0.5

    def __post_init__(self) -> None:
        check_ranges(self, patch_size=(1, 64), latent_channels=(1, 256))

    def for_finetuning(self, fit: FitConfig) -> AutoencoderConfig:
        """Give the settings for finetuning the decoder on latents that stay as they are.

        What it decodes later comes from a sampler, so there is more noise; and texture counts
        four times as much.
        """
        return replace(
            self, fit=fit, latent_noise=2 * self.latent_noise, fine_weight=4 * self.fine_weight
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityConfig:
    """Contrastive source encoder: start of the conditioner, and judge of the identity loss."""

    fit: FitConfig
    widths: tuple[int, int] = (96, 192)
    vector_size: int = 128
    noise: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class DenoiserConfig:
    """Conditioned U-Net and its training.

    Attributes:
        one_step_share: share of the steps, at the start, trained at t = T alone (regression).
        terminal_share: share of the samples at t = T afterwards.
        condition_dropout: share of the samples without a source, for guidance (2207.12598).
        identity_weight: weight of the latent-space identity loss.
        identity_noise: largest deviation of the noise on what that loss looks at.
        mask_weight: weight of the loss inside the inner-face mask, against 0.25 outside.
        metric_share: share of the v-loss that is measured as pixels would, see `decoder_metric`.
    """

    fit: FitConfig
    block_out_channels: tuple[int, ...] = (128, 192)
    layers_per_block: int = 1
    attention_heads: int = 4
    time_embedding_dim: int = 256
    norm_num_groups: int = 16
    one_step_share: float = 0.25
    terminal_share: float = TERMINAL_SHARE
    condition_dropout: float = CONDITION_DROPOUT
    identity_weight: float = 1.0
    identity_noise: float = IDENTITY_NOISE
    mask_weight: float = MASK_WEIGHT
    metric_share: float = 0.0
    guidance_scale: float = 1.5
    default_steps: int = 25

    def __post_init__(self) -> None:
        shares = ("one_step_share", "terminal_share", "condition_dropout", "metric_share")
        check_ranges(
            self,
            **dict.fromkeys(shares, SHARE),
            **dict.fromkeys(("identity_weight", "identity_noise", "mask_weight"), WEIGHT),
            guidance_scale=(1.0, 100.0),
            default_steps=STEPS,
        )


USUAL_AUGMENT = 0.3
"""Share of every batch that `edgeswap train` augments, unless asked otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleConfig:
    """How examples are drawn and varied.

    Attributes:
        augment_share: share of every batch whose pixels are augmented and encoded anew.
        self_share: of labeled crops, share of the pairs in which source and target are one person.
        structure_weight: weight of `structure_loss` on pairs without truth.
    """

    augment_share: float = 0.0
    self_share: float = 0.3
    structure_weight: float = 0.5

    def __post_init__(self) -> None:
        check_ranges(self, augment_share=SHARE, self_share=SHARE, structure_weight=WEIGHT)


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherConfig(FitMachine):
    """Settings of the phases of a training, and where they compute.

    Attributes:
        seed: of the modules' initial weights.
        widen_latents: where a run goes on from a checkpoint, give its latents the channels of
            ``autoencoder``, and train its autoencoder on.
        enlarge_crops: where a run goes on from a checkpoint of smaller crops, give its autoencoder
            larger patches, and train it on.
        decoder: where given, the decoder is finetuned at the end, see
            `AutoencoderConfig.for_finetuning`.
        swap_decoder: where given, then on the denoiser's predictions, see `SwapDecoderObjective`.
    """

    autoencoder: AutoencoderConfig
    identity: IdentityConfig
    denoiser: DenoiserConfig
    seed: int = 0
    widen_latents: bool = False
    enlarge_crops: bool = False
    decoder: FitConfig | None = None
    swap_decoder: FitConfig | None = None

    def __post_init__(self) -> None:
        FitMachine.__post_init__(self)
        check_seed(self.seed)

    @property
    def autoencoder_learns_on(self) -> bool:
        """Tell whether a run that goes on from a checkpoint trains its autoencoder too."""
        return self.widen_latents or self.enlarge_crops

    def to_json(self) -> dict[str, Any]:
        """Convert to a JSON object."""
        raw: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return raw
