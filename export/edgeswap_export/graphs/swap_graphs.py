"""The four graphs of a bundle that hold trained weights, as torch modules of one forward each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.checkpoint.latents import decode_sample, encode_crop, guided
from edgeswap_compress.conditioning.source import Condition, SourceConditioner

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
"""Tensor name -> what each of its axes is; every graph uses the same names for the same things."""


class EncodeGraph(nn.Module):
    """target (1, 3, R, R) in [-1, 1] -> target_latents (1, C, S, S)."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.vae, self.swap = checkpoint.vae, checkpoint.swap

    def forward(self, target: Tensor) -> tuple[Tensor]:
        return (encode_crop(self.vae, self.swap, target),)


class IdentityGraph(nn.Module):
    """source (1, 3, R, R) in [-1, 1] -> tokens (1, T, D), vector (1, V), source_latents."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.vae, self.swap = checkpoint.vae, checkpoint.swap
        self.conditioner = checkpoint.conditioner

    def forward(self, source: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        condition = self.conditioner.condition(encode_crop(self.vae, self.swap, source))
        return condition.tokens, condition.vector, condition.source_latents


class _ConstantNull(nn.Module):
    """What guidance needs of the conditioner, worked out once: a graph should not repeat it."""

    def __init__(self, conditioner: SourceConditioner) -> None:
        super().__init__()
        null = conditioner.null(1)
        for name in ("tokens", "vector", "source_latents"):
            self.register_buffer(name, getattr(null, name).detach().clone())

    def null(self, n: int) -> Condition:
        """The null condition of a batch; of one it is the constant itself."""
        stored = [self.get_buffer(name) for name in ("tokens", "vector", "source_latents")]
        if n == 1:
            return Condition(*stored)
        return Condition(*(value.expand(n, *value.shape[1:]) for value in stored))


class DenoiseGraph(nn.Module):
    """One step's evaluation of the denoiser -> output (1, C, S, S).

    With a ``guidance`` input of shape (1,) the conditional and the unconditional evaluation run as
    one batch of two inside the graph; without it the graph is one plain evaluation.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.unet, self.swap = checkpoint.unet, checkpoint.swap
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
        condition = Condition(tokens, vector, source_latents)
        scale = 1.0 if guidance is None else guidance.reshape(-1, 1, 1, 1)
        output = guided(
            self.unet,
            cast(SourceConditioner, self.conditioner),
            self.swap,
            sample,
            timestep,
            target_latents,
            condition,
            scale,
        )
        return (output,)


class DecodeGraph(nn.Module):
    """sample, target_latents (1, C, S, S) -> crop (1, 3, R, R) in [-1, 1]."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.vae, self.swap = checkpoint.vae, checkpoint.swap

    def forward(self, sample: Tensor, target_latents: Tensor) -> tuple[Tensor]:
        return (decode_sample(self.vae, self.swap, sample, target_latents),)


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchGraph:
    """One graph before it is written.

    Attributes:
        module: Takes ``inputs`` in order, returns a tuple of ``outputs`` in order.
        inputs: Name -> an example of the shape and range the graph will meet.
        outputs: Name -> what torch answers to the example.
    """

    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


@torch.no_grad()
def torch_graphs(
    checkpoint: Checkpoint, target: Tensor, source: Tensor, noise: Tensor
) -> dict[str, TorchGraph]:
    """Chain a checkpoint's graphs on one example, as a swap does.

    Args:
        checkpoint: In float32 and evaluation mode.
        target: (1, 3, R, R) aligned crop in [-1, 1].
        source: (1, 3, R, R) aligned crop in [-1, 1].
        noise: (1, C, S, S) standard normal.

    Returns:
        Graph name -> module with its example. The denoiser's example is at the middle of the
        noise schedule; the decoder's sample is the noise, which has the unit variance of a clean
        sample.
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
    """The same graph on a batch: its example, again and again."""
    inputs = {
        name: value.repeat(count, *[1] * (value.ndim - 1)) for name, value in graph.inputs.items()
    }
    return _run(graph.module, inputs, tuple(graph.outputs))


def _run(module: nn.Module, inputs: dict[str, Tensor], names: tuple[str, ...]) -> TorchGraph:
    outputs = module.eval()(*inputs.values())
    return TorchGraph(module=module, inputs=inputs, outputs=dict(zip(names, outputs, strict=True)))
