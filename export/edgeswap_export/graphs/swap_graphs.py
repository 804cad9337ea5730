"""Define the torch modules of a bundle's four graphs with trained weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.checkpoint.latents import decode_sample, encode_crop
from edgeswap_compress.checkpoint.target_maps import TargetMaps
from edgeswap_compress.conditioning.condition import SOURCE_LATENTS, Condition
from edgeswap_compress.conditioning.source import SourceConditioner

PICTURE_AXES = ("batch", "channel", "height", "width")
AXES: dict[str, tuple[str, ...]] = {
    "target": PICTURE_AXES,
    "source": PICTURE_AXES,
    "crop": PICTURE_AXES,
    "sample": PICTURE_AXES,
    "output": PICTURE_AXES,
    "target_latents": PICTURE_AXES,
    "source_latents": PICTURE_AXES,
    "tokens": ("batch", "token", "channel"),
    "vector": ("batch", "channel"),
    "timestep": ("batch",),
    "guidance": ("batch",),
}
"""Name of a tensor -> names of its axes, the same in all graphs."""


class EncodeGraph(nn.Module):
    """target (1, 3, R, R) in [-1, 1] -> target_latents (1, C, S, S)."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.vae, self.swap = checkpoint.vae, checkpoint.swap

    def forward(self, target: Tensor) -> tuple[Tensor]:
        """Encode the target's crop."""
        return (encode_crop(self.vae, self.swap, target),)


class IdentityGraph(nn.Module):
    """source (1, 3, R, R) in [-1, 1] -> tokens (1, T, D), vector (1, V), source_latents."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.vae, self.swap = checkpoint.vae, checkpoint.swap
        self.conditioner = checkpoint.conditioner

    def forward(self, source: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the condition from the source's crop."""
        condition = self.conditioner.condition(encode_crop(self.vae, self.swap, source))
        tokens, vector, latents = condition.named().values()
        return tokens, vector, latents


class _ConstantNull(nn.Module):
    """The null condition that guidance needs, computed once and stored as a constant."""

    def __init__(self, conditioner: SourceConditioner) -> None:
        super().__init__()
        null = conditioner.null(1)
        for name, value in null.named().items():
            self.register_buffer(name, value.detach().clone())

    def null(self, n: int) -> Condition:
        """Return the null condition for a batch of n."""
        tokens, vector, latents = (
            self.get_buffer(name) for name in ("tokens", "vector", SOURCE_LATENTS)
        )
        stored = Condition(tokens=tokens, vector=vector, maps={SOURCE_LATENTS: latents})
        return stored if n == 1 else stored.expanded(n)


class DenoiseGraph(nn.Module):
    """One evaluation of the denoiser -> output (1, C, S, S).

    With an input `guidance` of shape (1,) the conditional and the unconditional evaluation run as
    one batch of two; without it there is one conditional evaluation.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.unet, self.denoiser = checkpoint.unet, checkpoint.denoiser()
        self.conditioner = _ConstantNull(checkpoint.conditioner)

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        target_latents: Tensor,
        tokens: Tensor,
        vector: Tensor,
        source_latents: Tensor,
        guidance: Tensor | None = None,
    ) -> tuple[Tensor]:
        """Evaluate the denoiser."""
        condition = Condition(tokens=tokens, vector=vector, maps={SOURCE_LATENTS: source_latents})
        target = TargetMaps(target_latents)
        if guidance is None:
            return (self.denoiser.predict(sample, timestep, target, condition),)
        null, scale = self.conditioner.null(sample.shape[0]), guidance.reshape(-1, 1, 1, 1)
        return (self.denoiser.guided(sample, timestep, target, condition, null, scale),)


class DecodeGraph(nn.Module):
    """sample, target_latents (1, C, S, S) -> crop (1, 3, R, R) in [-1, 1]."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.vae, self.swap = checkpoint.vae, checkpoint.swap

    def forward(self, sample: Tensor, target_latents: Tensor) -> tuple[Tensor]:
        """Decode a sample."""
        return (decode_sample(self.vae, self.swap, sample, target_latents),)


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchGraph:
    """One graph before it is written, with an example.

    Attributes:
        module: takes the inputs in order, returns a tuple of the outputs in order.
        inputs: name -> a realistic example.
        outputs: name -> torch's output for the example.
    """

    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


@torch.no_grad()
def torch_graphs(
    checkpoint: Checkpoint, target: Tensor, source: Tensor, noise: Tensor
) -> dict[str, TorchGraph]:
    """Make a checkpoint's graphs, each with an example from one swap.

    Args:
        checkpoint: in float32 and evaluation mode.
        target: (1, 3, R, R) aligned crop in [-1, 1].
        source: (1, 3, R, R) aligned crop in [-1, 1].
        noise: (1, C, S, S) standard normal.

    Returns:
        name of a graph -> the graph. The denoiser's example is at the middle of the noise
        schedule; the decoder's sample is the noise, which has unit variance as a clean sample has.
    """
    swap = checkpoint.swap
    middle = len(checkpoint.scheduler.alphas_cumprod) // 2
    encode = _run(EncodeGraph(checkpoint), {"target": target}, ("target_latents",))
    identity = _run(
        IdentityGraph(checkpoint), {"source": source}, ("tokens", "vector", "source_latents")
    )
    latents = encode.outputs["target_latents"]
    inputs = {
        "sample": noise,
        "timestep": torch.tensor([float(middle)]),
        "target_latents": latents,
        **identity.outputs,
    }
    if swap.guidance_scale != 1.0:
        inputs["guidance"] = torch.tensor([float(swap.guidance_scale)])
    denoise = _run(DenoiseGraph(checkpoint), inputs, ("output",))
    decode = _run(DecodeGraph(checkpoint), {"sample": noise, "target_latents": latents}, ("crop",))
    return {"encode": encode, "identity": identity, "denoise": denoise, "decode": decode}


@torch.no_grad()
def batched(graph: TorchGraph, count: int) -> TorchGraph:
    """Return the graph with a batch as example: its example, repeated `count` times."""
    inputs = {
        name: value.repeat(count, *[1] * (value.ndim - 1)) for name, value in graph.inputs.items()
    }
    return _run(graph.module, inputs, tuple(graph.outputs))


def _run(module: nn.Module, inputs: dict[str, Tensor], names: tuple[str, ...]) -> TorchGraph:
    outputs = module.eval()(*inputs.values())
    return TorchGraph(module=module, inputs=inputs, outputs=dict(zip(names, outputs, strict=True)))
