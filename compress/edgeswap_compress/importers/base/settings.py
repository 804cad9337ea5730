"""Settings that every family of imported checkpoints has: crop, mask, sampling, licenses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeswap_compress._checks import check_choice, check_range
from edgeswap_compress.checkpoint.swap_config import WEIGHT_DTYPES
from edgeswap_compress.checkpoint.swap_parts import (
    BLENDS,
    SPACINGS,
    STARTS,
    FaceMask,
    SamplingConfig,
    SamplingStart,
    WeightLicense,
)
from edgeswap_compress.conditioning.crops import TEMPLATES, CropSpec, crop_of_template
from edgeswap_compress.importers.errors import ImportRefused, PartMissing
from edgeswap_runtime.files import sha256_file

SAMPLERS = ("ddim", "ddpm", "dpmpp_2m", "euler", "lcm")
"""Samplers that diffusers and our tables both have: the keys of `checkpoint.schedulers`, which
would import torch."""

SIZES_PX = (32, 2048)
STEPS = (1, 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class CropSettings:
    """The crop that is swapped.

    Attributes:
        align: name of the alignment template, one of `TEMPLATES`.
        size_px: side of the crop, pixels.
        mask_scale: factor of the mask's radii; 1 is the packaged models' face.
    """

    align: str = "ffhq"
    size_px: int = 512
    mask_scale: float = 1.0

    def __post_init__(self) -> None:
        check_choice("--align", self.align, sorted(TEMPLATES))
        check_range("--size", self.size_px, *SIZES_PX)
        check_range("--mask-scale", self.mask_scale, 0.3, 2.0)

    @property
    def crop(self) -> CropSpec:
        """The crop's form."""
        return crop_of_template(self.align, self.size_px)

    @property
    def mask(self) -> FaceMask:
        """The packaged models' mask, moved to where the face lies in this crop."""
        import numpy as np

        from edgeswap_runtime.faces.align import TEMPLATE_96, similarity, transform_points

        usual = FaceMask()
        matrix = similarity(TEMPLATE_96, self.crop.landmarks_px)
        zoom = float(np.sqrt(np.linalg.det(matrix[:, :2])))
        x, y = (float(v) for v in transform_points(matrix, [usual.center_px])[0])
        across, down = usual.radii_px
        return FaceMask(
            center_px=(x, y),
            radii_px=(across * zoom * self.mask_scale, down * zoom * self.mask_scale),
            exponent=usual.exponent,
            feather_px=usual.feather_px * zoom,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingSettings:
    """How the model is sampled.

    Attributes:
        sampler: one of `SAMPLERS`.
        spacing: of the timesteps, see `SPACINGS`; None keeps the base model's.
        steps: of the whole schedule.
        guidance_scale: 1 means none.
        start: "noise" or "target"; None takes the target where the strength is below 1.
        strength: share of the steps that are run from the noised target, (0, 1].
        blend: "none", or "latents": what the mask keeps is set back after each step.
    """

    sampler: str = "ddim"
    spacing: str | None = None
    steps: int = 20
    guidance_scale: float = 1.0
    start: str | None = None
    strength: float = 1.0
    blend: str = "none"

    def __post_init__(self) -> None:
        check_choice("--sampler", self.sampler, SAMPLERS)
        if self.spacing is not None:
            check_choice("--spacing", self.spacing, SPACINGS)
        check_range("--steps", self.steps, *STEPS)
        check_range("--guidance", self.guidance_scale, 1.0, 1000.0)
        check_range("--strength", self.strength, 1e-3, 1.0)
        check_choice("--blend", self.blend, BLENDS)
        if self.start is not None:
            check_choice("--begin", self.start, STARTS)
            if self.start == "noise" and self.strength < 1:
                raise ImportRefused(
                    f"--begin noise runs all steps, found --strength {self.strength:g}: give one "
                    "of the two"
                )
        if int(self.steps * self.strength) < 1:
            raise ImportRefused(
                f"--strength {self.strength:g} of {self.steps} steps leaves none: give "
                f"--steps {int(1 / self.strength) + 1} or more"
            )

    @property
    def config(self) -> SamplingConfig:
        """The same as swap.json states it."""
        at = self.start or ("target" if self.strength < 1 else "noise")
        return SamplingConfig(
            sampler=self.sampler,
            spacing=self.spacing,
            steps=self.steps,
            guidance_scale=self.guidance_scale,
            start=SamplingStart(at=at, strength=self.strength),
            blend=self.blend,
        )


@dataclass(frozen=True, slots=True)
class Licenses:
    """License and origin of every file, as the user states them.

    Attributes:
        license: name of a file ("base", "adapter", ...), or "" for all others -> SPDX identifier.
        origin: the same -> where it comes from.
    """

    license: dict[str, str] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, licenses: Iterable[str], origins: Iterable[str], names: set[str]) -> Licenses:
        """Read "ID" or "FILE=ID" of each option; a text without a file's name is for all others.

        Args:
            licenses: values of --license.
            origins: values of --origin.
            names: of files that there may be.
        """

        def read(texts: Iterable[str]) -> dict[str, str]:
            found = {}
            for text in texts:
                name, equals, value = text.partition("=")
                named = bool(equals) and name in names
                found[name if named else ""] = value if named else text
            return found

        return cls(read(licenses), read(origins))

    def check(self, names: Iterable[str]) -> None:
        """Make sure that every file has both.

        Raises:
            PartMissing: one lacks its license or its origin.
        """
        for option, stated in (("--license", self.license), ("--origin", self.origin)):
            for name in names:
                if not stated.get(name, stated.get("", "")).strip():
                    raise PartMissing(
                        f"the {name} has no {option[2:]}: expected {option} {name}=TEXT, or "
                        f"{option} TEXT for all files"
                    )

    def of(self, name: str, file: Path) -> WeightLicense:
        """Give the entry of one file, with its hash."""
        return WeightLicense(
            what=name,
            license=self.license.get(name, self.license.get("", "")),
            origin=self.origin.get(name, self.origin.get("", "")),
            sha256=sha256_file(file),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportSettings:
    """Settings of an import that do not depend on the family.

    Attributes:
        crop: that is swapped.
        sampling: how.
        licenses: of every file.
        weights_dtype: in which the result is stored; None takes the base model's.
        proven_steps: steps compared with diffusers' own pipeline; None compares all of a small
            model's, and `FEW` of a large one's.
    """

    crop: CropSettings
    sampling: SamplingSettings
    licenses: Licenses
    weights_dtype: str | None = None
    proven_steps: int | None = None

    def __post_init__(self) -> None:
        if self.weights_dtype is not None:
            check_choice("--weights-dtype", self.weights_dtype, WEIGHT_DTYPES)
        check_range("--proven-steps", self.proven_steps, *STEPS)

    def to_json(self) -> dict[str, Any]:
        """List what the history keeps."""
        return {
            "align": self.crop.align,
            "size_px": self.crop.size_px,
            "mask_scale": self.crop.mask_scale,
        }
