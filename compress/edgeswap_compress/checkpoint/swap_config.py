"""The swap config: a checkpoint's ``swap.json``, with what diffusers' configs do not say."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from edgeswap_compress.errors import InvalidCheckpoint
from edgeswap_runtime.bundle.manifest_parts import MAX_ROWS, LengthPx, PlacePx, SidePx, Word
from edgeswap_runtime.bundle.schema import Range, SchemaError, Size, decode

SCHEMA = 1
INPUT_GROUPS = ("noise", "target", "source")
WEIGHT_DTYPES = ("float16", "bfloat16", "float32")
PositivePx = Annotated[float, Range(0.01, 4096)]
Scale = Annotated[float, Range(1e-6, 1e6)]
Channels = Annotated[int, Range(1, 4096)]


def _text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


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
class SwapConfig:
    """Everything about a swap model that diffusers' configs do not say.

    Attributes:
        resolution_px: side of the aligned square crop.
        landmarks_px: alignment template, 5 points (x, y) in pixels of the crop: right eye, left
            eye, nose tip, right and left mouth corner (of the person; right is image left).
        mask: where the swap may change the crop.
        patch_size: space-to-depth factor applied before the autoencoder.
        latent_channels: channels of the latents (and of each input group of the U-Net).
        latent_size: side of the latents.
        input_channels: order of the channel groups at the U-Net's input.
        prediction_target: ``"residual"``: the sample is (truth - target) / residual_std in
            normalized latents; ``"latents"``: the sample is the truth's normalized latents.
        residual_std: per-channel scale of the residual; ones for ``"latents"``.
        guidance_scale: classifier-free guidance (2207.12598); 1.0 means none.
        default_steps: sampling steps unless asked otherwise.
        default_sampler: name of the sampler's schedule table.
        identity_encoder: what turned the source into the identity vector (name, size, sha256), or
            None where the conditioner does all of it.
        weights_dtype: dtype of every floating tensor on disk.
        history: one entry per stage that made this checkpoint, oldest first.
        license: SPDX identifier of the weights, or None where nobody has stated it.
        origin: where the weights come from, in a few words, or None.
    """

    resolution_px: SidePx
    landmarks_px: tuple[tuple[PlacePx, PlacePx], ...]
    mask: FaceMask = field(default_factory=FaceMask)
    patch_size: Annotated[int, Range(1, 64)] = 3
    latent_channels: Channels = 12
    latent_size: Annotated[int, Range(1, 2048)] = 16
    input_channels: Annotated[tuple[Word, ...], Size(1, 3)] = INPUT_GROUPS
    prediction_target: Word = "residual"
    residual_std: tuple[Scale, ...]
    guidance_scale: Annotated[float, Range(1, 1000)] = 1.0
    default_steps: Annotated[int, Range(1, MAX_ROWS)] = 25
    default_sampler: Word = "ddim"
    identity_encoder: dict[str, Any] | None = None
    weights_dtype: str = "float16"
    history: tuple[dict[str, Any], ...] = ()
    license: str | None = None
    origin: str | None = None

    def __post_init__(self) -> None:
        checks = (
            (len(self.landmarks_px) == 5, "landmarks_px", "5 points", len(self.landmarks_px)),
            (
                set(self.input_channels) <= set(INPUT_GROUPS),
                "input_channels",
                f"names among {list(INPUT_GROUPS)}",
                list(self.input_channels),
            ),
            (
                len(self.residual_std) == self.latent_channels,
                "residual_std",
                f"{self.latent_channels} numbers",
                len(self.residual_std),
            ),
            (
                self.prediction_target in ("residual", "latents"),
                "prediction_target",
                "'residual' or 'latents'",
                self.prediction_target,
            ),
            (
                self.weights_dtype in WEIGHT_DTYPES,
                "weights_dtype",
                WEIGHT_DTYPES,
                self.weights_dtype,
            ),
            (self.default_steps >= 1, "default_steps", ">= 1", self.default_steps),
            (self.guidance_scale >= 1.0, "guidance_scale", ">= 1.0", self.guidance_scale),
            (_text_or_none(self.license), "license", "a text or null", self.license),
            (_text_or_none(self.origin), "origin", "a text or null", self.origin),
        )
        for passed, name, expected, found in checks:
            if not passed:
                raise InvalidCheckpoint(f"swap.json: {name}", expected=expected, found=found)

    def to_json(self) -> dict[str, Any]:
        """Give the value as a JSON object, with the schema number."""
        raw: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return {"schema": SCHEMA, "kind": "swap-checkpoint", **raw}

    @classmethod
    def from_json(cls, raw: dict[str, Any], where: Path | str = "swap.json") -> SwapConfig:
        """Rebuild from ``to_json``; unknown or missing keys and newer schemas are errors."""
        raw = dict(raw)
        schema = raw.pop("schema", None)
        if schema != SCHEMA or raw.pop("kind", None) != "swap-checkpoint":
            raise InvalidCheckpoint(
                f"{where}: schema", expected=f"swap-checkpoint of schema {SCHEMA}", found=schema
            )
        try:
            return decode(cls, raw, str(where))
        except SchemaError as error:
            raise InvalidCheckpoint(
                str(where), expected="a SwapConfig within its bounds", found=str(error)
            ) from error

    def with_stage(self, stage: str, config: dict[str, Any], **changes: Any) -> SwapConfig:
        """Copy with one more history entry, and other fields changed."""
        entry = {"stage": stage, "config": config}
        return dataclasses.replace(self, history=(*self.history, entry), **changes)
