"""Compute the whole condition of a checkpoint: one small conditioner for each of its parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgeswap_compress.checkpoint.latents import encode_crop
from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.conditioning.condition import Condition, Conditioner, Pictures
from edgeswap_compress.conditioning.crops import MODEL_CROP, CropSpec, picture_key
from edgeswap_compress.conditioning.onnx_features import OnnxFeatures
from edgeswap_compress.conditioning.plugins import load_plugin
from edgeswap_compress.conditioning.specs import (
    ConditionSpec,
    ConstantAddedSpec,
    ConstantTokensSpec,
    PictureFeature,
    PluginSpec,
    ProjectionSpec,
)
from edgeswap_compress.diffusers_folder.building import BUILD_ERRORS, first_line
from edgeswap_compress.errors import InvalidCheckpoint

if TYPE_CHECKING:
    from edgeswap_compress.checkpoint.folder import Checkpoint

SOURCE_PICTURE = picture_key(MODEL_CROP, "source")


@dataclass(frozen=True, slots=True)
class SourcePart:
    """What a `SourceConditioner` says of the source's crop.

    Attributes:
        swap: of the checkpoint.
        vae: encodes the crop.
        encoder: the source encoder.
    """

    swap: SwapConfig
    vae: Any
    encoder: Any

    @property
    def crops(self) -> Mapping[str, CropSpec]:
        """Name the source's crop."""
        return {SOURCE_PICTURE: self.swap.model_crop}

    def graphs(self) -> Mapping[str, nn.Module | Path]:
        """Name the graph from crop to condition."""
        return {"identity": SourceModule(self)}

    def condition(self, crops: Pictures) -> Condition:
        """Encode the source's crop."""
        latents = encode_crop(self.vae, self.swap, crops[SOURCE_PICTURE])
        given: Condition = self.encoder.condition(latents)
        return given

    def null(self, n: int) -> Condition:
        """Make the encoder's learned null condition."""
        given: Condition = self.encoder.null(n)
        return given


class SourceModule(nn.Module):
    """Source crop (1, 3, R, R) in [-1, 1] -> tokens (1, T, D), vector (1, V), source_latents."""

    def __init__(self, part: SourcePart) -> None:
        super().__init__()
        self.vae, self.swap, self.conditioner = part.vae, part.swap, part.encoder

    def forward(self, source: Tensor) -> tuple[Tensor, ...]:
        """Compute the condition from the source's crop."""
        given = self.conditioner.condition(encode_crop(self.vae, self.swap, source))
        return tuple(given.named().values())


@dataclass(frozen=True, slots=True)
class ConstantPart:
    """Tokens or added conditions that are the same for every swap.

    Attributes:
        spec: which of the two.
        tensors: of its file.
    """

    spec: ConstantTokensSpec | ConstantAddedSpec
    tensors: Mapping[str, Tensor]

    @property
    def crops(self) -> Mapping[str, CropSpec]:
        """No pictures are needed."""
        return {}

    def graphs(self) -> Mapping[str, nn.Module | Path]:
        """No graphs are needed."""
        return {}

    def condition(self, crops: Pictures) -> Condition:
        """Give the constants, for a batch of as many as there are pictures."""
        return self._of("").expanded(max((len(crop) for crop in crops.values()), default=1))

    def null(self, n: int) -> Condition:
        """Give the constants of guidance."""
        return self._of("null_").expanded(n)

    def _of(self, prefix: str) -> Condition:
        names = [name for name in self.tensors if not name.startswith("null_")]
        values = {name: self.tensors[f"{prefix}{name}"] for name in names}
        if isinstance(self.spec, ConstantTokensSpec):
            return Condition(tokens=values["tokens"])
        return Condition(added=values)


class ProjectionModule(nn.Module):
    """Features, as the ONNX files give them -> one part of the condition."""

    def __init__(self, spec: ProjectionSpec, projection: nn.Module) -> None:
        super().__init__()
        self.projection, self.spec = projection, spec

    def forward(self, *features: Tensor) -> tuple[Tensor]:
        """Normalize the features that are to be, and project."""
        return (self.projection(*normalized(self.spec, features)),)


def normalized(spec: ProjectionSpec, features: tuple[Tensor, ...]) -> list[Tensor]:
    """Divide each feature by its norm where its spec says so."""
    pairs = zip(spec.features, features, strict=True)
    return [F.normalize(value, dim=-1) if one.l2 else value for one, value in pairs]


@dataclass(frozen=True, slots=True)
class ProjectionPart:
    """What a trained projection makes of features of pictures.

    Attributes:
        spec: features and what they give.
        projection: the trained module.
        run: computes one feature of a batch of crops.
        swap: of the checkpoint.
    """

    spec: ProjectionSpec
    projection: Any
    run: OnnxFeatures
    swap: SwapConfig

    @property
    def crops(self) -> Mapping[str, CropSpec]:
        """Name the pictures that the features are of."""
        return {one.picture: self.swap.crops[one.crop] for one in self.spec.features}

    def graphs(self) -> Mapping[str, nn.Module | Path]:
        """Name the ONNX files, as they are, and the projection."""
        files = {one.graph: self.run.files[one.file] for one in self.spec.features}
        return {**files, self.spec.name: ProjectionModule(self.spec, self.projection)}

    def condition(self, crops: Pictures) -> Condition:
        """Compute the features and project them."""
        return self.project(self.features(crops))

    def features(self, crops: Pictures) -> tuple[Tensor, ...]:
        """Compute the features of a batch, in order, as the ONNX files give them."""
        dtype = next(self.projection.parameters()).dtype
        found = (self.run(one, crops[one.picture]) for one in self.spec.features)
        return tuple(value.to(dtype) for value in found)

    def project(self, features: tuple[Tensor, ...]) -> Condition:
        """Project features that are known."""
        try:
            given = self.projection(*normalized(self.spec, features))
        except BUILD_ERRORS as error:
            shapes = [f"{one.graph} {tuple(v.shape)}" for one, v in self._named(features)]
            raise InvalidCheckpoint(
                f"{self.spec.folder}: the features it takes",
                expected=f"those of its config.json ({first_line(error)})",
                found=", ".join(shapes),
            ) from error
        return Condition.of(self.spec.gives, given)

    def _named(self, features: tuple[Tensor, ...]) -> list[tuple[PictureFeature, Tensor]]:
        return list(zip(self.spec.features, features, strict=True))

    def null(self, n: int) -> Condition:
        """Make what guidance takes."""
        if self.spec.null == "learned":
            given = self.projection.null_tokens
        else:
            like = next(self.projection.parameters())
            zeros = [
                torch.zeros(1, *shape[1:], dtype=like.dtype, device=like.device)
                for shape in map(self.run.shape, self.spec.features)
            ]
            given = self.projection(*zeros)
            if self.spec.null == "zeros":
                given = torch.zeros_like(given)
        return Condition.of(self.spec.gives, given).expanded(n)


@dataclass(frozen=True, slots=True)
class PluginPart:
    """A user's own conditioner, asked in float32 on the processor whatever the U-Net computes in.

    Attributes:
        plugin: the user's.
        unet: what its condition is for, in its dtype and on its device.
    """

    plugin: Conditioner
    unet: nn.Module

    @property
    def crops(self) -> Mapping[str, CropSpec]:
        """Name the pictures it looks at."""
        return self.plugin.crops

    def graphs(self) -> Mapping[str, nn.Module | Path]:
        """Name what a bundle needs for it."""
        return self.plugin.graphs()

    def condition(self, crops: Pictures) -> Condition:
        """Ask it."""
        return self._for_unet(
            self.plugin.condition({name: crop.float().cpu() for name, crop in crops.items()})
        )

    def null(self, n: int) -> Condition:
        """Ask it for what guidance takes instead."""
        return self._for_unet(self.plugin.null(n))

    def _for_unet(self, said: Condition) -> Condition:
        like = next(self.unet.parameters())
        return said.each(lambda value: value.to(like))


@dataclass(frozen=True, slots=True)
class SwapConditioner:
    """All parts of a checkpoint's condition, joined in order.

    Attributes:
        parts: (what swap.json says of the part, what computes it).
    """

    parts: tuple[tuple[ConditionSpec, Conditioner], ...] = field(default=())

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> SwapConditioner:
        """Make the conditioner of a loaded checkpoint."""
        files = {k: v for k, v in checkpoint.parts.items() if isinstance(v, Path)}
        run = OnnxFeatures(files)
        made = [(spec, _part(checkpoint, spec, run)) for spec in checkpoint.swap.conditions]
        return cls(tuple(made))

    @property
    def crops(self) -> Mapping[str, CropSpec]:
        """Name all pictures that a condition needs."""
        return {name: crop for _, part in self.parts for name, crop in part.crops.items()}

    def graphs(self) -> Mapping[str, nn.Module | Path]:
        """Name all graphs that a bundle needs beside the denoiser."""
        return {name: graph for _, part in self.parts for name, graph in part.graphs().items()}

    def condition(self, crops: Pictures) -> Condition:
        """Compute all parts of a batch of pictures, and join them."""
        return self._joined(lambda part: part.condition(crops))

    def null(self, n: int) -> Condition:
        """Make all parts of what guidance takes, and join them."""
        return self._joined(lambda part: part.null(n))

    def _joined(self, each: Callable[[Conditioner], Condition]) -> Condition:
        return reduce(Condition.merged, (each(part) for _, part in self.parts))


def _part(checkpoint: Checkpoint, spec: ConditionSpec, run: OnnxFeatures) -> Conditioner:
    swap, parts = checkpoint.swap, checkpoint.parts
    if isinstance(spec, ConstantTokensSpec | ConstantAddedSpec):
        return ConstantPart(spec, parts[spec.file])
    if isinstance(spec, ProjectionSpec):
        return ProjectionPart(spec, parts[spec.folder], run, swap)
    if isinstance(spec, PluginSpec):
        return PluginPart(load_plugin(spec, parts[spec.folder]), checkpoint.unet)
    return SourcePart(swap, checkpoint.vae, checkpoint.conditioner)
