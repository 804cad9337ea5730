"""The parts of a swap config: mask, input groups, latents, sample, sampling, licenses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from edgeswap_compress.errors import InvalidCheckpoint, InvalidSettings
from edgeswap_runtime.bundle.manifest_parts import (
    MAX_ROWS,
    LengthPx,
    PlacePx,
    Sha256,
    Text,
    Word,
)
from edgeswap_runtime.bundle.schema import Range, Size

ROLES = ("noise", "target", "masked_target", "mask", "source")
"""What a group of the U-Net's input channels may be, see `InputGroup`."""

POLARITIES = ("repaint", "keep")
"""What 1 means in a mask: repaint this place, or keep the target there."""

SAMPLE_TARGETS = ("residual", "latents")
STARTS = ("noise", "target")
BLENDS = ("none", "latents")
SPACINGS = ("leading", "linspace", "trailing")

PositivePx = Annotated[float, Range(0.01, 4096)]
Scale = Annotated[float, Range(1e-6, 1e6)]
Shift = Annotated[float, Range(-1e6, 1e6)]
Channels = Annotated[int, Range(1, 4096)]
PerChannel = Annotated[tuple[Scale, ...], Size(1, 4096)]


def require(passed: bool, name: str, expected: object, found: object) -> None:
    """Refuse a value of swap.json.

    Raises:
        InvalidCheckpoint: `passed` is false.
    """
    if not passed:
        raise InvalidCheckpoint(f"swap.json: {name}", expected=expected, found=found)


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceMask:
    """Superellipse ``|x/rx|^n + |y/ry|^n <= 1`` that holds the inner face of an aligned crop.

    All lengths are pixels of the crop, x right, y down; ``feather_px`` is the width of the ramp
    inside the edge over which a paste-back fades to zero.
    """

    center_px: tuple[PlacePx, PlacePx] = (48.0, 54.0)
    radii_px: tuple[PositivePx, PositivePx] = (42.0, 46.0)
    exponent: Annotated[float, Range(0.1, 100)] = 2.5
    feather_px: LengthPx = 6.0

    @classmethod
    def of_size(cls, resolution_px: int) -> FaceMask:
        """Scale the default mask, which is of 96 px crops, to crops of another side."""
        usual, scale = cls(), resolution_px / 96.0
        return cls(
            center_px=(usual.center_px[0] * scale, usual.center_px[1] * scale),
            radii_px=(usual.radii_px[0] * scale, usual.radii_px[1] * scale),
            exponent=usual.exponent,
            feather_px=usual.feather_px * scale,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class InputGroup:
    """Neighboring channels at the U-Net's input, and what they hold.

    Attributes:
        role: "noise": the noised sample; "target": the target's latents; "masked_target": latents
            of the target with the mask's face painted gray; "mask": the mask at the latents' size;
            "source": the source's latents.
        channels: how many there are.
        one_is: of a mask, what its ones mean: "repaint" or "keep"; None elsewhere.
    """

    role: Word
    channels: Channels
    one_is: Word | None = None

    def __post_init__(self) -> None:
        require(self.role in ROLES, "inputs: role", f"one of {ROLES}", self.role)
        if self.role == "mask":
            require(self.channels == 1, "inputs: channels of the mask", 1, self.channels)
            found = self.one_is
            require(found in POLARITIES, "inputs: one_is", f"one of {POLARITIES}", found)
        else:
            require(self.one_is is None, f"inputs: one_is of {self.role}", None, self.one_is)


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentSpace:
    """The latents a model works in: normalized = (latents - mean) / std.

    Attributes:
        channels: of the latents.
        size: their side.
        patch_size: space-to-depth factor applied to a crop before the autoencoder; 1 for none.
        mean: one number, or one for each channel.
        std: the same; Stable Diffusion's scaling_factor is 1 / std.
    """

    channels: Channels
    size: Annotated[int, Range(1, 2048)]
    patch_size: Annotated[int, Range(1, 64)] = 1
    mean: Annotated[tuple[Shift, ...], Size(1, 4096)] = (0.0,)
    std: PerChannel = (1.0,)

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            found, expected = len(getattr(self, name)), f"1 or {self.channels} numbers"
            require(found in (1, self.channels), f"latents: {name}", expected, found)

    @property
    def is_normalized(self) -> bool:
        """Whether the autoencoder's own latents are the normalized ones."""
        return set(self.mean) == {0.0} and set(self.std) == {1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSpace:
    """What the diffusion sample is.

    Attributes:
        target: ``"residual"``: (truth - target) / std in normalized latents; ``"latents"``: the
            truth's normalized latents.
        std: scale of the residual, one for each channel; (1.0,) for ``"latents"``.
    """

    target: Word = "latents"
    std: PerChannel = (1.0,)

    def __post_init__(self) -> None:
        found = self.target
        require(found in SAMPLE_TARGETS, "sample: target", f"one of {SAMPLE_TARGETS}", found)


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingStart:
    """Where sampling begins.

    Attributes:
        at: "noise", or "target": the target's latents, noised as far as the strength says
            (2108.01073).
        strength: share of the steps that are run, in (0, 1]; 1 begins at the first.
    """

    at: Word = "noise"
    strength: Annotated[float, Range(1e-3, 1.0)] = 1.0

    def __post_init__(self) -> None:
        require(self.at in STARTS, "sampling: start: at", f"one of {STARTS}", self.at)
        whole = self.at == "target" or self.strength == 1.0
        require(whole, "sampling: start: strength of a start at noise", 1.0, self.strength)

    def kept(self, steps: int) -> int:
        """Count the steps that are run of a whole schedule.

        Args:
            steps: of the whole schedule.

        Raises:
            InvalidSettings: none is left.

        Source: diffusers, `StableDiffusionImg2ImgPipeline.get_timesteps`.
        """
        kept = min(int(steps * self.strength), steps)
        if kept < 1:
            raise InvalidSettings(
                f"strength {self.strength:g} of {steps} steps leaves none: expected at least one; "
                f"ask for {math.ceil(1 / self.strength)} steps or more"
            )
        return kept


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingConfig:
    """How a checkpoint is sampled unless asked otherwise.

    Attributes:
        sampler: name of the sampler's schedule table.
        spacing: of its timesteps, "leading", "linspace" or "trailing"; None takes that of
            scheduler_config.json.
        steps: sampling steps of a whole schedule.
        guidance_scale: classifier-free guidance (2207.12598); 1.0 means none.
        start: where sampling begins.
        blend: "latents": after each step, what the mask keeps is set back to the noised target.
    """

    sampler: Word = "ddim"
    spacing: Word | None = None
    steps: Annotated[int, Range(1, MAX_ROWS)] = 25
    guidance_scale: Annotated[float, Range(1, 1000)] = 1.0
    start: SamplingStart = SamplingStart()
    blend: Word = "none"

    def __post_init__(self) -> None:
        found = self.spacing
        known = found is None or found in SPACINGS
        require(known, "sampling: spacing", f"one of {SPACINGS} or null", found)
        require(self.blend in BLENDS, "sampling: blend", f"one of {BLENDS}", self.blend)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightLicense:
    """License and origin of one set of weights in a checkpoint.

    Attributes:
        what: the weights, such as "swap model" or "recognizer".
        license: SPDX identifier, or a few words where there is none.
        origin: where they come from, in a few words.
        sha256: of the file they were read from; None where they are our own.
    """

    what: Text
    license: Text
    origin: Text
    sha256: Sha256 | None = None
