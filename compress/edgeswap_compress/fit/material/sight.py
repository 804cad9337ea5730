"""What a model sees of the pictures of a folder besides their latents, computed once and kept."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from edgeswap_compress.checkpoint.conditioner import ProjectionPart, SourcePart, SwapConditioner
from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.checkpoint.latents import encode_crop
from edgeswap_compress.checkpoint.target_maps import (
    TargetMaps,
    face_pixels,
    latent_mask,
    needs_mask,
)
from edgeswap_compress.conditioning.condition import Condition, Conditioner
from edgeswap_compress.conditioning.crops import CropSpec
from edgeswap_compress.conditioning.recrop import recrop
from edgeswap_compress.conditioning.specs import PluginSpec, ProjectionSpec
from edgeswap_compress.data import Pictures
from edgeswap_compress.errors import InvalidSettings
from edgeswap_compress.fit.latent_cache import Progress, to_tensor
from edgeswap_compress.fit.machine.placement import like_module
from edgeswap_compress.fit.pairing import Places
from edgeswap_runtime.faces.keypoints import keypoints_tensor
from edgeswap_runtime.files import write_bytes

MASKED = "masked_target"
"""Name of the masked latents among the features."""


class Sight:
    """What a model sees of pairs of pictures: maps of the target, and the condition.

    A source encoder reads the source's latents each time, because it may learn. The features of
    recognizers and image encoders, what a plugin says of the source, and masked latents never
    change: they are read from `encode_features`.

    Args:
        model: where it computes.
    """

    def __init__(self, model: Checkpoint) -> None:
        self._swap, self._unet = model.swap, model.unet
        self._conditioner = SwapConditioner.of(model)
        self._mask = latent_mask(model.swap) if needs_mask(model.swap) else None
        self._hint: Tensor | None = None
        if model.swap.controlnet is not None:  # aligned crops have their landmarks at the template
            crop = model.swap.model_crop
            drawn = keypoints_tensor(torch.tensor(crop.landmarks_px).numpy(), crop.size_px)
            self._hint = torch.from_numpy(drawn).reshape(1, 3, crop.size_px, crop.size_px)

    def maps(self, latents: Tensor, places: Places, features: Mapping[str, Tensor]) -> TargetMaps:
        """Give what the denoiser sees of targets.

        Args:
            latents: (N, C, S, S) of the targets, in the model's dtype.
            places: of the pairs.
            features: of all pictures, see `encode_features`.
        """
        n = len(latents)
        masked = features.get(MASKED)
        return TargetMaps(
            latents,
            None if masked is None else masked[places.target].to(latents),
            None if self._mask is None else self._mask.to(latents).expand(n, -1, -1, -1),
            None if self._hint is None else self._hint.to(latents).expand(n, -1, -1, -1),
        )

    def condition(
        self, latents: Tensor, places: Places, features: Mapping[str, Tensor]
    ) -> Condition:
        """Give the condition of pairs.

        Args:
            latents: (N, C, S, S) of the sources, in the model's dtype.
            places: of the pairs.
            features: of all pictures.
        """
        found = []
        for spec, part in self._conditioner.parts:
            if isinstance(part, SourcePart):
                found.append(part.encoder.condition(latents))
            elif isinstance(part, ProjectionPart):
                given = (
                    features[name][_of(places, one.of)].to(latents)
                    for name, one in _named(part).items()
                )
                found.append(part.project(tuple(given)))
            elif isinstance(spec, PluginSpec):
                values = {
                    name: features[f"{spec.entry}.{name}"][places.source].to(latents)
                    for name in part.null(1).named()
                }
                found.append(part.null(1).of_named(values))
            else:
                found.append(part.condition({"": latents}).to(latents.dtype))
        return reduce(Condition.merged, found)

    def null(self, n: int) -> Condition:
        """Give what guidance takes, for a batch of ``n``."""
        return self._conditioner.null(n).to(next(self._unet.parameters()).dtype)


@torch.no_grad()
def encode_features(
    model: Checkpoint,
    pictures: Pictures,
    cache: Path,
    key: str,
    *,
    flips: bool = True,
    progress: Progress | None = None,
) -> dict[str, Tensor]:
    """Compute what a model sees of each picture besides its latents, or read an earlier run's.

    Args:
        model: where it computes.
        pictures: to look at.
        cache: file to keep the result in; none is written where there is nothing to see.
        key: hash of the pictures; another key in the file means computing again.
        flips: mirrored groups follow the others.
        progress: told of groups done and in all.

    Returns:
        name -> (pictures, ...) float16, in the order of positions.
    """
    parts = [
        (spec, part)
        for spec, part in SwapConditioner.of(model).parts
        if isinstance(spec, ProjectionSpec | PluginSpec)
    ]
    masked = MASKED in model.swap.input_channels
    if not parts and not masked:
        return {}
    if cache.exists():
        with safe_open(cache, framework="pt") as file:
            if file.metadata().get("key") == key:
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    rows: dict[str, list[Tensor]] = {}
    total = len(pictures) * (2 if flips else 1)
    for number in range(total):
        flip, group = divmod(number, len(pictures))
        images = pictures.images(group)
        for name, value in _seen(model, parts, images[:, :, ::-1] if flip else images).items():
            rows.setdefault(name, []).append(value.half().cpu())
        if progress is not None:
            progress(number + 1, total, "looking at the pictures")
    found = {name: torch.cat(values).contiguous() for name, values in rows.items()}
    write_bytes(cache, save(found, {"key": key}))
    return found


def _seen(
    model: Checkpoint,
    parts: list[tuple[ProjectionSpec | PluginSpec, Any]],
    images: NDArray[Any],
) -> dict[str, Tensor]:
    crops, swap = like_module(model.vae, to_tensor(images)), model.swap
    found: dict[str, Tensor] = {}
    for spec, part in parts:
        if isinstance(spec, PluginSpec):
            found |= _said(spec, part, crops, swap.model_crop)
            continue
        for name, one in _named(part).items():
            found[name] = part.run(one, recrop(crops, swap.model_crop, swap.crops[one.crop]))
    if MASKED in swap.input_channels:
        kept = 1.0 - face_pixels(swap.mask, swap.resolution_px).to(crops)
        found[MASKED] = encode_crop(model.vae, swap, crops * kept)
    return found


def _said(spec: PluginSpec, part: Conditioner, crops: Tensor, model: CropSpec) -> dict[str, Tensor]:
    """What a plugin says of each picture as the source.

    Raises:
        InvalidSettings: it looks at targets, and says another thing of every pair.
    """
    if looked := sorted(name for name in part.crops if not name.endswith("/source")):
        raise InvalidSettings(
            f"the plugin '{spec.entry}' looks at {looked[0]}: expected one that looks at the source"
            " alone, whose condition can be kept for a distillation"
        )
    seen = {name: recrop(crops, model, form) for name, form in part.crops.items()}
    said = part.condition(seen).named()
    return {f"{spec.entry}.{name}": value for name, value in said.items()}


def _named(part: ProjectionPart) -> dict[str, Any]:
    return {f"{part.spec.name}.{i}": one for i, one in enumerate(part.spec.features)}


def _of(places: Places, owner: str) -> Any:
    return places.source if owner == "source" else places.target
