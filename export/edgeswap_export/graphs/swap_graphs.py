"""Define the torch modules of a bundle's graphs with trained weights, and what fills their inputs.

Graphs of other people, such as recognizers, go into a bundle as the ONNX files they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from edgeswap_compress.checkpoint.conditioner import SwapConditioner
from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.checkpoint.latents import decode_sample, encode_crop
from edgeswap_compress.checkpoint.pictures import pictures_of
from edgeswap_compress.checkpoint.target_maps import (
    TargetMaps,
    face_pixels,
    latent_mask,
    needs_latents,
    needs_mask,
)
from edgeswap_compress.conditioning.condition import Condition
from edgeswap_export.graphs.told import Told, told_by
from edgeswap_export.graphs.torch_graph import FileGraph, TorchGraph, run_module
from edgeswap_runtime.bundle.roles import output_role

TARGET_MAPS = ("target_latents", "masked_latents", "latent_mask")
"""Outputs that `encode` may have, in order."""
TARGET, SOURCE = "model/target", "model/source"


class EncodeGraph(nn.Module):
    """target (1, 3, R, R) in [-1, 1] -> what is seen of it: those of TARGET_MAPS that are needed.

    Latents are (1, C, S, S). The mask is the same for all crops: 1 where the face is repainted.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.vae, self.swap = checkpoint.vae, checkpoint.swap
        self.names = encode_outputs(checkpoint)
        if "masked_latents" in self.names:
            kept = 1.0 - face_pixels(self.swap.mask, self.swap.resolution_px)
            self.register_buffer("kept", kept)
        if "latent_mask" in self.names:
            self.register_buffer("mask", latent_mask(self.swap))

    def forward(self, target: Tensor) -> tuple[Tensor, ...]:
        """Encode the target's crop."""
        outputs = []
        for name in self.names:
            if name == "target_latents":
                outputs.append(encode_crop(self.vae, self.swap, target))
            elif name == "masked_latents":
                gray = target * self.get_buffer("kept")
                outputs.append(encode_crop(self.vae, self.swap, gray))
            else:  # as many as there are crops, which keeps a dynamic batch
                outputs.append(self.get_buffer("mask") + 0.0 * target[:, :1, :1, :1])
        return tuple(outputs)


def encode_outputs(checkpoint: Checkpoint) -> tuple[str, ...]:
    """List the outputs of a checkpoint's `encode`, in order; there is at least one."""
    swap = checkpoint.swap
    needed = {
        "target_latents": needs_latents(swap),
        "masked_latents": "masked_target" in swap.input_channels,
        "latent_mask": needs_mask(swap),
    }
    names = tuple(name for name in TARGET_MAPS if needed[name])
    return names or ("target_latents",)


class _ConstantNull(nn.Module):
    """The null condition that guidance needs, computed once and stored as constants."""

    def __init__(self, null: Condition) -> None:
        super().__init__()
        self._parts = null.each(lambda value: value[:0])  # which parts there are
        for name, value in null.named().items():
            self.register_buffer(name, value.detach().clone())

    def null(self, n: int) -> Condition:
        """Return the null condition for a batch of n."""
        stored = self._parts.of_named(dict(self.named_buffers()))
        return stored if n == 1 else stored.expanded(n)


class DenoiseGraph(nn.Module):
    """One evaluation of the denoiser -> output (1, C, S, S).

    With an input `guidance` of shape (1,) the conditional and the unconditional evaluation run as
    one batch of two; without it there is one conditional evaluation.

    Args:
        checkpoint: of the denoiser.
        told: the parts of the condition, and the inputs they come by.
        maps: names of the inputs that show the target, see `target_inputs`.
        null: what guidance takes.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        told: tuple[Told, ...],
        maps: tuple[str, ...],
        null: Condition,
    ) -> None:
        super().__init__()
        self.unet, self.denoiser = checkpoint.unet, checkpoint.denoiser()
        if checkpoint.controlnet is not None:
            self.controlnet = checkpoint.controlnet
        self.conditioner = _ConstantNull(null)
        self._told, self._maps = told, maps

    def forward(self, sample: Tensor, timestep: Tensor, *given: Tensor) -> tuple[Tensor]:
        """Evaluate the denoiser on the inputs that `denoise_inputs` lists, in order."""
        values = list(given)
        seen = {name: values.pop(0) for name in self._maps}
        target = TargetMaps(
            seen.get("target_latents"),
            seen.get("masked_latents"),
            seen.get("latent_mask"),
            seen.get("hint"),
        )
        parts = Condition()
        for part in self._told:
            here = {name: values.pop(0) for name in part.parts.named()}
            parts = parts.merged(part.parts.of_named(here))
        if not values:
            return (self.denoiser.predict(sample, timestep, target, parts),)
        null, scale = self.conditioner.null(sample.shape[0]), values[0].reshape(-1, 1, 1, 1)
        return (self.denoiser.guided(sample, timestep, target, parts, null, scale),)


class DecodeGraph(nn.Module):
    """sample, and for a residual target_latents (1, C, S, S) -> crop (1, 3, R, R) in [-1, 1].

    Where the checkpoint has an overlay, the target's crop comes in too, and alpha (1, 1, R, R) in
    [0, 1] goes out.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.vae, self.swap, self.overlay = checkpoint.vae, checkpoint.swap, checkpoint.overlay
        self._residual = checkpoint.swap.sample.target == "residual"

    def forward(self, sample: Tensor, *seen: Tensor) -> tuple[Tensor, ...]:
        """Decode a sample; ``seen`` are those of target_latents and target that are inputs."""
        latents = seen[0] if self._residual else None
        crop = decode_sample(self.vae, self.swap, sample, latents)
        if self.overlay is None:
            return (crop,)
        found: tuple[Tensor, Tensor] = self.overlay(crop, seen[-1])
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapGraphs:
    """Everything that a bundle's graphs are made of, with an example from one swap.

    Attributes:
        torch: name -> graph to be written.
        files: name -> ONNX file that is taken as it is.
        constants: name of a file FILE.npy -> the tensor that it holds.
        pictures: role, such as "crop:model/target" -> the example's picture.
    """

    torch: dict[str, TorchGraph]
    files: dict[str, FileGraph] = field(default_factory=dict)
    constants: dict[str, Tensor] = field(default_factory=dict)
    pictures: dict[str, Tensor] = field(default_factory=dict)

    @property
    def paths(self) -> dict[str, Path]:
        """Name of a graph of other people -> its file."""
        return {name: graph.path for name, graph in self.files.items()}


def picture_role(name: str) -> str:
    """Name the role of a picture: "crop:arcface/source"; a hint's name is its role."""
    return name if ":" in name else f"crop:{name}"


def pictures_by_role(checkpoint: Checkpoint, target: Tensor, source: Tensor) -> dict[str, Tensor]:
    """Give everything that a checkpoint's graphs look at, by role, of two aligned crops."""
    crops = SwapConditioner.of(checkpoint).crops
    pictures = pictures_of(checkpoint.swap, crops, target, source, {})
    return {picture_role(name): value for name, value in pictures.items()}


@torch.no_grad()
def swap_graphs(
    checkpoint: Checkpoint, target: Tensor, source: Tensor, noise: Tensor
) -> SwapGraphs:
    """Make a checkpoint's graphs, each with an example from one swap.

    Args:
        checkpoint: in float32 and evaluation mode.
        target: (1, 3, R, R) aligned crop in [-1, 1].
        source: (1, 3, R, R) aligned crop in [-1, 1].
        noise: (1, C, S, S) standard normal.

    Returns:
        The graphs. The denoiser's example is at the middle of the noise schedule; the decoder's
        sample is the noise, which has unit variance as a clean sample has.
    """
    swap, conditioner = checkpoint.swap, SwapConditioner.of(checkpoint)
    pictures = pictures_of(swap, conditioner.crops, target, source, {})
    encode = run_module(
        EncodeGraph(checkpoint),
        {"target": target},
        encode_outputs(checkpoint),
        {"target": picture_role(TARGET)},
    )
    told = told_by(conditioner, pictures)
    seen = {
        name: (output_role("encode", name), value)
        for name, value in encode.outputs.items()
        if name in target_inputs(checkpoint)
    }
    if swap.controlnet is not None:
        hint = swap.controlnet.picture
        seen["hint"] = (picture_role(hint), pictures[hint])
    middle = len(checkpoint.scheduler.alphas_cumprod) // 2
    given = {
        "sample": ("sample", noise),
        "timestep": ("timestep", torch.tensor([float(middle)])),
        **seen,
        **{name: found for part in told.parts for name, found in part.inputs.items()},
    }
    if swap.guidance_scale != 1.0:
        given["guidance"] = ("guidance", torch.tensor([float(swap.guidance_scale)]))
    null = conditioner.null(1)
    module = DenoiseGraph(checkpoint, told.parts, tuple(seen), null)
    inputs, roles = ({k: v[i] for k, v in given.items()} for i in (1, 0))
    denoise = run_module(module, inputs, ("output",), roles)  # type: ignore[arg-type]
    graphs = {
        "encode": encode,
        **told.torch,
        "denoise": denoise,
        "decode": _decode(checkpoint, encode, noise),
    }
    looked_at = {picture_role(name): value for name, value in pictures.items()}
    return SwapGraphs(torch=graphs, files=told.files, constants=told.constants, pictures=looked_at)


def target_inputs(checkpoint: Checkpoint) -> tuple[str, ...]:
    """List the outputs of `encode` that the denoiser looks at."""
    roles = checkpoint.swap.input_channels
    names = {"target": "target_latents", "masked_target": "masked_latents", "mask": "latent_mask"}
    return tuple(names[role] for role in names if role in roles)


def _decode(checkpoint: Checkpoint, encode: TorchGraph, noise: Tensor) -> TorchGraph:
    inputs, roles = {"sample": noise}, {"sample": "sample"}
    if checkpoint.swap.sample.target == "residual":
        name = "target_latents"
        inputs[name], roles[name] = encode.outputs[name], output_role("encode", name)
    if checkpoint.overlay is None:
        return run_module(DecodeGraph(checkpoint), inputs, ("crop",), roles)
    inputs["target"], roles["target"] = encode.inputs["target"], picture_role(TARGET)
    return run_module(DecodeGraph(checkpoint), inputs, ("crop", "alpha"), roles)


def torch_graphs(
    checkpoint: Checkpoint, target: Tensor, source: Tensor, noise: Tensor
) -> dict[str, TorchGraph]:
    """Make the graphs of `swap_graphs` that are to be written."""
    return swap_graphs(checkpoint, target, source, noise).torch
