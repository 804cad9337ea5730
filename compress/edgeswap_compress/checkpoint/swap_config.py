"""The swap config: a checkpoint's ``swap.json``, with what diffusers' configs do not say."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from edgeswap_compress.checkpoint.swap_parts import (
    FaceMask,
    InputGroup,
    LatentSpace,
    SampleSpace,
    SamplingConfig,
    WeightLicense,
    require,
)
from edgeswap_compress.conditioning.crops import MODEL_CROP, CropSpec, Points, is_plain
from edgeswap_compress.conditioning.specs import (
    AttentionSpec,
    ConditionSpec,
    ControlNetSpec,
    PictureFeature,
    ProjectionSpec,
    SourceEncoderSpec,
)
from edgeswap_compress.errors import InvalidCheckpoint
from edgeswap_runtime.bundle.manifest_parts import Word
from edgeswap_runtime.bundle.schema import SchemaError, Size, decode

SCHEMA = 2
WEIGHT_DTYPES = ("float16", "bfloat16", "float32")


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapConfig:
    """Everything about a swap model that diffusers' configs do not say.

    Attributes:
        crops: name -> a crop that the model looks at; "model" is the one that is swapped.
        mask: where the swap may change the crop "model".
        inputs: groups of channels at the U-Net's input, in order.
        latents: the latents it works in.
        sample: what the diffusion sample is.
        conditions: what the U-Net is told, in order.
        attention: how cross-attention reads the tokens.
        controlnet: the ControlNet beside the U-Net; None where there is none.
        sampling: how it is sampled unless asked otherwise.
        licenses: license and origin of every set of weights; the model's own first.
        weights_dtype: dtype of every floating tensor on disk.
        history: one entry per stage that made this checkpoint, oldest first.
    """

    crops: Annotated[dict[Word, CropSpec], Size(1, 16)]
    mask: FaceMask = field(default_factory=FaceMask)
    inputs: Annotated[tuple[InputGroup, ...], Size(1, 8)]
    latents: LatentSpace
    sample: SampleSpace = field(default_factory=SampleSpace)
    conditions: Annotated[tuple[ConditionSpec, ...], Size(1, 8)]
    attention: AttentionSpec = field(default_factory=AttentionSpec)
    controlnet: ControlNetSpec | None = None
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    licenses: Annotated[tuple[WeightLicense, ...], Size(0, 100)] = ()
    weights_dtype: str = "float16"
    history: tuple[dict[str, Any], ...] = ()

    def __post_init__(self) -> None:
        self._check_crops()
        self._check_inputs()
        self._check_conditions()
        self._check_sampling()
        found = self.weights_dtype
        require(found in WEIGHT_DTYPES, "weights_dtype", f"one of {WEIGHT_DTYPES}", found)

    def _check_crops(self) -> None:
        model = self.crops.get(MODEL_CROP)
        require(model is not None, "crops", f"one named {MODEL_CROP!r}", sorted(self.crops))
        plain = "mean and std of 0.5, color RGB"
        require(
            is_plain(self.crops[MODEL_CROP]),
            f"crops: {MODEL_CROP}",
            plain,
            "another normalization or color",
        )
        for name in (feature.crop for feature in self.features):
            require(name in self.crops, "features: crop", f"one of {sorted(self.crops)}", name)
        if self.controlnet is not None:
            name = self.controlnet.crop
            require(name == MODEL_CROP, "controlnet: crop", MODEL_CROP, name)

    def _check_inputs(self) -> None:
        roles = self.input_channels
        require(roles.count("noise") == 1, "inputs", "one group of noise", list(roles))
        require(len(set(roles)) == len(roles), "inputs", "each role once", list(roles))
        channels = self.latents.channels
        for group in self.inputs:
            if group.role != "mask":
                name = f"inputs: channels of {group.role}"
                require(group.channels == channels, name, channels, group.channels)
        sizes = (1, channels) if self.sample.target == "latents" else (channels,)
        found = len(self.sample.std)
        require(found in sizes, "sample: std", f"{channels} numbers", found)
        if "source" in roles:
            require(self.encodes_source, "inputs: source", "a condition source_encoder", "none")

    def _check_sampling(self) -> None:
        """The target's latents are a sample only where samples are latents."""
        begins = self.sampling.start.at == "target"
        if begins or self.sampling.blend != "none":
            name = "sampling: start at the target, and blend"
            require(self.sample.target == "latents", name, "samples that are latents", "residuals")

    def _check_conditions(self) -> None:
        given = [part.gives for part in self.conditions if isinstance(part, ProjectionSpec)]
        decoupled = self.attention.kind == "decoupled"
        found = "adapter_tokens" in given
        if not self.has_plugin:
            expected = "a projection that gives adapter_tokens" if decoupled else "none that does"
            require(found == decoupled, "conditions", expected, given or "none")
        names = [part.name for part in self.conditions if isinstance(part, ProjectionSpec)]
        require(len(set(names)) == len(names), "conditions: name", "each name once", names)
        files: dict[str, str] = {}
        for feature in self.features:
            key = f"{feature.file} of {feature.picture}"
            known = files.setdefault(feature.graph, key)
            require(known == key, f"features: graph {feature.graph}", known, key)

        looks = any(feature.of == "source" for feature in self.features) or self.has_plugin
        looks = looks or self.encodes_source
        looks = looks or (self.controlnet is not None and self.controlnet.of == "source")
        require(looks, "conditions", "one that looks at the source", "none that does")

    @property
    def features(self) -> tuple[PictureFeature, ...]:
        """List what ONNX files say of crops, over all conditions."""
        parts = [part for part in self.conditions if isinstance(part, ProjectionSpec)]
        return tuple(feature for part in parts for feature in part.features)

    @property
    def has_plugin(self) -> bool:
        """Whether a part of the condition is somebody else's module."""
        return any(part.kind == "plugin" for part in self.conditions)

    @property
    def encodes_source(self) -> bool:
        """Whether a part of the condition is a source encoder, which an identity loss needs."""
        return any(isinstance(part, SourceEncoderSpec) for part in self.conditions)

    @property
    def has_source_encoder(self) -> bool:
        """Whether the condition is the packaged models': a `SourceConditioner`'s alone."""
        return [part.kind for part in self.conditions] == ["source_encoder"]

    @property
    def model_crop(self) -> CropSpec:
        """Give the crop that is swapped."""
        return self.crops[MODEL_CROP]

    @property
    def resolution_px(self) -> int:
        """Give the side of the crop that is swapped."""
        return self.model_crop.size_px

    @property
    def landmarks_px(self) -> Points:
        """Give the alignment template of the crop that is swapped."""
        return self.model_crop.landmarks_px

    @property
    def input_channels(self) -> tuple[str, ...]:
        """List the roles of the U-Net's input groups, in order."""
        return tuple(group.role for group in self.inputs)

    @property
    def input_width(self) -> int:
        """Count the channels of the U-Net's input."""
        return sum(group.channels for group in self.inputs)

    @property
    def latent_channels(self) -> int:
        """Count the latents' channels."""
        return self.latents.channels

    @property
    def latent_size(self) -> int:
        """Give the latents' side."""
        return self.latents.size

    @property
    def patch_size(self) -> int:
        """Give the space-to-depth factor before the autoencoder."""
        return self.latents.patch_size

    @property
    def prediction_target(self) -> str:
        """Tell whether samples are residuals or latents."""
        return self.sample.target

    @property
    def residual_std(self) -> tuple[float, ...]:
        """Give the scale of each channel of the sample."""
        std = self.sample.std
        return std if len(std) == self.latents.channels else std * self.latents.channels

    @property
    def guidance_scale(self) -> float:
        """Give the default scale of classifier-free guidance; 1.0 means none."""
        return self.sampling.guidance_scale

    @property
    def default_steps(self) -> int:
        """Give the sampling steps unless asked otherwise."""
        return self.sampling.steps

    @property
    def default_sampler(self) -> str:
        """Name the sampler unless asked otherwise."""
        return self.sampling.sampler

    def sampled(self, **changes: Any) -> SwapConfig:
        """Copy with other fields of `sampling`, such as steps=1."""
        return dataclasses.replace(self, sampling=dataclasses.replace(self.sampling, **changes))

    def to_json(self) -> dict[str, Any]:
        """Give the value as a JSON object, with the schema number."""
        raw: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return {"schema": SCHEMA, "kind": "swap-checkpoint", **raw}

    @classmethod
    def from_json(cls, raw: dict[str, Any], where: Path | str = "swap.json") -> SwapConfig:
        """Rebuild from ``to_json``; unknown or missing keys and other schemas are errors."""
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


def residual_swap_config(
    crop: CropSpec,
    latents: LatentSpace,
    *,
    residual_std: tuple[float, ...] | None = None,
    sampling: SamplingConfig | None = None,
    mask: FaceMask | None = None,
    history: tuple[dict[str, Any], ...] = (),
) -> SwapConfig:
    """Describe a model of the packaged family.

    Its U-Net sees noise, target and source latents, is told of the source by a
    `SourceConditioner`, and samples the residual.

    Args:
        crop: that is swapped.
        latents: it works in.
        residual_std: scale of each channel of the residual; ones when None.
        sampling: how it is sampled; the defaults when None.
        mask: of the inner face; the usual one, scaled, when None.
        history: stages that made it.
    """
    channels = latents.channels
    return SwapConfig(
        crops={MODEL_CROP: crop},
        mask=mask or FaceMask.of_size(crop.size_px),
        inputs=tuple(
            InputGroup(role=role, channels=channels) for role in ("noise", "target", "source")
        ),
        latents=latents,
        sample=SampleSpace(target="residual", std=residual_std or (1.0,) * channels),
        conditions=(SourceEncoderSpec(),),
        sampling=sampling or SamplingConfig(),
        history=history,
    )
