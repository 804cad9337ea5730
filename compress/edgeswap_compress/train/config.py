"""Settings of the training of a teacher, stage by stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from edgeswap_compress._checks import (
    SHARE,
    STEPS,
    WEIGHT,
    check_ranges,
    check_seed,
)
from edgeswap_compress.composed import beside, from_settings, settings_in
from edgeswap_compress.fit.config import (
    CONDITION_DROPOUT,
    MASK_WEIGHT,
    TERMINAL_SHARE,
    FitConfig,
    IdentityLossConfig,
)
from edgeswap_compress.fit.machine.options import FitMachine


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoencoderShape:
    """Autoencoder of space-to-depth crops: R px -> patches -> factor 2 -> (C, S, S) latents.

    Attributes:
        patch_size: side of the patches that become channels, pixels.
        latent_channels: C.
        widths: channels of each level.
        norm_num_groups: groups of each GroupNorm.
    """

    patch_size: int = 3
    latent_channels: int = 16
    widths: tuple[int, int] = (96, 128)
    norm_num_groups: int = 16

    def __post_init__(self) -> None:
        check_ranges(self, patch_size=(1, 64), latent_channels=(1, 256))


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoencoderConfig:
    """The autoencoder and its training.

    Attributes:
        fit: its training.
        shape: of the network.
        latent_noise: deviation of the noise added to the latents while training.
        fine_weight: weight of the energy of the finest scale, which keeps skin and hair crisp.
    """

    fit: FitConfig
    shape: AutoencoderShape = field(default_factory=AutoencoderShape, metadata=beside())
    latent_noise: float = 0.03
    fine_weight: float = 0.5

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
class DenoiserShape:
    """The U-Net, in diffusers' words.

    Attributes:
        block_out_channels: channels of each level.
        layers_per_block: residual blocks of each level.
        attention_heads: of each attention.
        time_embedding_dim: length of the time embedding.
        norm_num_groups: groups of each GroupNorm.
    """

    block_out_channels: tuple[int, ...] = (128, 192)
    layers_per_block: int = 1
    attention_heads: int = 4
    time_embedding_dim: int = 256
    norm_num_groups: int = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class DenoiserShares:
    """Which samples the denoiser's training sees.

    Attributes:
        one_step_share: share of the steps, at the start, trained at t = T alone (regression).
        terminal_share: share of the samples at t = T afterwards.
        condition_dropout: share of the samples without a source, for guidance (2207.12598).
    """

    one_step_share: float = 0.25
    terminal_share: float = TERMINAL_SHARE
    condition_dropout: float = CONDITION_DROPOUT

    def __post_init__(self) -> None:
        names = ("one_step_share", "terminal_share", "condition_dropout")
        check_ranges(self, **dict.fromkeys(names, SHARE))


@dataclass(frozen=True, slots=True, kw_only=True)
class DenoiserLosses:
    """Loss terms of the denoiser's training.

    Attributes:
        identity: the latent-space identity loss.
        mask_weight: weight of the loss inside the inner-face mask, against 0.25 outside.
        metric_share: share of the v-loss that is measured as pixels would, see `decoder_metric`.
    """

    identity: IdentityLossConfig = field(
        default_factory=lambda: IdentityLossConfig(weight=1.0), metadata=beside("identity_")
    )
    mask_weight: float = MASK_WEIGHT
    metric_share: float = 0.0

    def __post_init__(self) -> None:
        check_ranges(self, mask_weight=WEIGHT, metric_share=SHARE)


@dataclass(frozen=True, slots=True, kw_only=True)
class UsualSampling:
    """How the checkpoint samples unless asked otherwise.

    Attributes:
        guidance_scale: 1 for none.
        default_steps: DDIM steps.
    """

    guidance_scale: float = 1.5
    default_steps: int = 25

    def __post_init__(self) -> None:
        check_ranges(self, guidance_scale=(1.0, 100.0), default_steps=STEPS)


@dataclass(frozen=True, slots=True, kw_only=True)
class DenoiserConfig:
    """Conditioned U-Net and its training.

    Attributes:
        fit: its training.
        shape: of the U-Net.
        shares: which samples the training sees.
        losses: loss terms.
        sampling: what the checkpoint states as usual.
    """

    fit: FitConfig
    shape: DenoiserShape = field(default_factory=DenoiserShape, metadata=beside())
    shares: DenoiserShares = field(default_factory=DenoiserShares, metadata=beside())
    losses: DenoiserLosses = field(default_factory=DenoiserLosses, metadata=beside())
    sampling: UsualSampling = field(default_factory=UsualSampling, metadata=beside())


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
class DecoderPhases:
    """Finetuning of the decoder at the end of a training.

    Attributes:
        decoder: where given, the decoder is finetuned, see `AutoencoderConfig.for_finetuning`.
        swap_decoder: where given, then on the denoiser's predictions, see `SwapDecoderObjective`.
    """

    decoder: FitConfig | None = None
    swap_decoder: FitConfig | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StartConfig:
    """What a training begins with.

    Attributes:
        seed: of the modules' initial weights.
        widen_latents: where a run goes on from a checkpoint, give its latents the channels of
            ``autoencoder``, and train its autoencoder on.
        enlarge_crops: where a run goes on from a checkpoint of smaller crops, give its autoencoder
            larger patches, and train it on.
    """

    seed: int = 0
    widen_latents: bool = False
    enlarge_crops: bool = False

    def __post_init__(self) -> None:
        check_seed(self.seed)

    @property
    def autoencoder_learns_on(self) -> bool:
        """Tell whether a run that goes on from a checkpoint trains its autoencoder too."""
        return self.widen_latents or self.enlarge_crops


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherConfig(FitMachine):
    """Settings of the phases of a training, and where they compute.

    Attributes:
        autoencoder: the first phase.
        identity: the second phase.
        denoiser: the third phase.
        decoders: phases after that, where asked for.
        start: what the training begins with.
    """

    autoencoder: AutoencoderConfig
    identity: IdentityConfig
    denoiser: DenoiserConfig
    decoders: DecoderPhases = field(default_factory=DecoderPhases, metadata=beside())
    start: StartConfig = field(default_factory=StartConfig, metadata=beside())

    def to_json(self) -> dict[str, Any]:
        """Convert to a JSON object, the settings of a phase side by side."""
        return settings_in(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> TeacherConfig:
        """Make a config of what `to_json` returns; what has a default may be left out.

        Raises:
            InvalidSettings: a setting that there is not, one of another type or out of its range.
        """
        return from_settings(cls, raw, of="train")
