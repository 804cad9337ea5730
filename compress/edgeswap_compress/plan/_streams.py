"""Follow the feature maps through a U-Net: a reader must keep the channels its producer keeps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from diffusers.models.attention import BasicTransformerBlock, FeedForward
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import nn

from edgeswap_compress._pruning_errors import BadPlan
from edgeswap_compress.conditioning.decoupled import adapter_parts
from edgeswap_compress.plan._remaining import RemainingChannels
from edgeswap_compress.plan.depth import ResnetShortcut
from edgeswap_compress.plan.layers import AxisName, width

_PROJECTIONS = ("to_q", "to_k", "to_v")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Channels on their way from one layer to the next.

    Attributes:
        kept: indices that stay, ascending.
        of: number of channels before pruning.
        source: the axis that makes them, for messages.
    """

    kept: tuple[int, ...]
    of: int
    source: str

    def beside(self, other: Stream) -> Stream:
        """Concatenate both along the channels."""
        return Stream(
            kept=(*self.kept, *(self.of + index for index in other.kept)),
            of=self.of + other.of,
            source=f"{self.source} beside {other.source}",
        )


def check_streams(remaining: RemainingChannels, unet: nn.Module) -> None:
    """Check that all readers and producers of every feature map are cut alike.

    What this walk does not pass, the conditioning embeddings and the edges of the U-Net among it,
    must stay whole.

    Args:
        remaining: the channels that the plan keeps.
        unet: a `UNet2DConditionModel` or `UNet2DModel` of supported blocks, depth gone already.

    Raises:
        BadPlan: one side is cut and the other is not, or keeps other channels.
    """
    walk = _Walk(remaining=remaining, unet=unet)
    walk.whole_unet()
    for name, cut in remaining.plan.layers.items():
        axes: tuple[tuple[AxisName, Any], ...] = (("out", cut.out), ("in", cut.inp))
        for axis, chosen in axes:
            if chosen is not None and (name, axis) not in walk.passed:
                raise BadPlan(
                    f"{name} ({axis})", "has to stay whole; remove the entry from the plan"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Walk:
    remaining: RemainingChannels
    unet: Any
    passed: set[tuple[str, AxisName]] = field(default_factory=set)

    def made(self, name: str) -> Stream:
        """Read the channels that a layer hands on."""
        self.passed.add((name, "out"))
        of = width(name, self.unet.get_submodule(name), "out") or 0
        return Stream(kept=self.remaining.kept(name, "out"), of=of, source=f"{name} (out)")

    def reads(self, name: str, axis: AxisName, stream: Stream) -> None:
        """Expect one axis of a layer to keep a stream's channels."""
        self.passed.add((name, axis))
        self.remaining.expect(name, axis, stream.kept, stream.source)

    def whole_unet(self) -> None:
        """Walk from `conv_in` to `conv_out`."""
        stream = self.made("conv_in")
        skips = [stream]
        for index, block in enumerate(self.unet.down_blocks):
            name = f"down_blocks.{index}"
            after = list(self.layers(name, block, stream, None))
            skips += after
            stream = after[-1] if after else stream
            if block.downsamplers is not None:
                stream = self.samplers(f"{name}.downsamplers", block.downsamplers, stream)
                skips.append(stream)
        if self.unet.mid_block is not None:
            stream = self.middle(self.unet.mid_block, stream)
        for index, block in enumerate(self.unet.up_blocks):
            name = f"up_blocks.{index}"
            after = list(self.layers(name, block, stream, skips))
            stream = after[-1] if after else stream
            if block.upsamplers is not None:
                stream = self.samplers(f"{name}.upsamplers", block.upsamplers, stream)
        if self.unet.conv_norm_out is not None:
            self.reads("conv_norm_out", "out", stream)
        self.reads("conv_out", "in", stream)

    def layers(
        self, name: str, block: Any, stream: Stream, skips: list[Stream] | None
    ) -> Iterator[Stream]:
        """Yield the stream after each resnet, with its attention, of a down or up block."""
        attentions = dict(getattr(block, "attentions", nn.ModuleList()).named_children())
        for number, resnet in block.resnets.named_children():
            entering = stream if skips is None else stream.beside(skips.pop())
            stream = self.resnet(f"{name}.resnets.{number}", resnet, entering)
            if number in attentions:
                self.attention(f"{name}.attentions.{number}", attentions[number], stream)
            yield stream

    def middle(self, block: Any, stream: Stream) -> Stream:
        """Walk through the middle block: a resnet, then attentions and resnets in turns."""
        resnets = list(block.resnets)
        stream = self.resnet("mid_block.resnets.0", resnets[0], stream)
        for number, resnet in enumerate(resnets[1:]):
            attention = block.attentions[number] if number < len(block.attentions) else None
            if attention is not None:
                self.attention(f"mid_block.attentions.{number}", attention, stream)
            stream = self.resnet(f"mid_block.resnets.{number + 1}", resnet, stream)
        return stream

    def samplers(self, name: str, samplers: nn.ModuleList, stream: Stream) -> Stream:
        """Walk through resamplers: a resnet, a convolution, or neither."""
        for number, sampler in enumerate(samplers):
            place = f"{name}.{number}"
            if isinstance(sampler, ResnetBlock2D | ResnetShortcut):
                stream = self.resnet(place, sampler, stream)
                continue
            conv = f"{place}.conv"
            if isinstance(getattr(sampler, "conv", None), nn.Conv2d | nn.ConvTranspose2d):
                # diffusers registers some of these a second time, as Conv2d_0
                first = f"{place}.Conv2d_0"
                if first in self.remaining.plan.layers and conv not in self.remaining.plan.layers:
                    conv = first
                self.reads(conv, "in", stream)
                stream = self.made(conv)
        return stream

    def resnet(self, name: str, resnet: nn.Module, stream: Stream) -> Stream:
        """Walk through a resnet or what is left of one; `_check` checks its inner channels."""
        if isinstance(resnet, ResnetBlock2D):
            self.passed.update(((f"{name}.conv1", "out"), (f"{name}.norm2", "out")))
            self.passed.update(((f"{name}.conv2", "in"), (f"{name}.time_emb_proj", "out")))
            self.reads(f"{name}.norm1", "out", stream)
            self.reads(f"{name}.conv1", "in", stream)
            if resnet.conv_shortcut is None:
                self.reads(f"{name}.conv2", "out", stream)
                return stream
            self.reads(f"{name}.conv_shortcut", "in", stream)
            self.reads(f"{name}.conv_shortcut", "out", self.made(f"{name}.conv2"))
            return self.made(f"{name}.conv2")
        if getattr(resnet, "conv_shortcut", None) is None:
            return stream
        self.reads(f"{name}.conv_shortcut", "in", stream)
        return self.made(f"{name}.conv_shortcut")

    def attention(self, name: str, module: nn.Module, stream: Stream) -> None:
        """Walk through an attention or a transformer, which adds to the stream."""
        if isinstance(module, Attention):
            if module.group_norm is not None:
                self.reads(f"{name}.group_norm", "out", stream)
            self.projections(name, module, stream)
        elif isinstance(module, Transformer2DModel):
            self.reads(f"{name}.norm", "out", stream)
            self.reads(f"{name}.proj_in", "in", stream)
            inner = self.made(f"{name}.proj_in")
            for number, block in enumerate(module.transformer_blocks):
                if isinstance(block, BasicTransformerBlock):
                    self.transformer_block(f"{name}.transformer_blocks.{number}", block, inner)
            self.reads(f"{name}.proj_out", "in", inner)
            self.reads(f"{name}.proj_out", "out", stream)

    def transformer_block(self, name: str, block: Any, inner: Stream) -> None:
        """Walk through up to two attentions and a feed-forward, each behind a norm."""
        for part in ("norm1", "norm2", "norm3"):
            if isinstance(getattr(block, part, None), nn.LayerNorm):
                self.reads(f"{name}.{part}", "out", inner)
        for part in ("attn1", "attn2"):
            if isinstance(getattr(block, part, None), Attention):
                self.projections(f"{name}.{part}", getattr(block, part), inner)
        if isinstance(block.ff, FeedForward):
            first, last = f"{name}.ff.net.0.proj", f"{name}.ff.net.2"
            self.passed.update(((first, "out"), (last, "in")))
            self.reads(first, "in", inner)
            self.reads(last, "out", inner)

    def projections(self, name: str, attention: Attention, stream: Stream) -> None:
        """Check that queries read the stream; keys and values too unless they read tokens."""
        self.passed.update((f"{name}.{part}", "out") for part in adapter_parts(attention))
        for part in _PROJECTIONS:
            if getattr(attention, part) is None:  # attention to one token has values alone
                continue
            self.passed.add((f"{name}.{part}", "out"))
            if part == "to_q" or not attention.is_cross_attention:
                self.reads(f"{name}.{part}", "in", stream)
        self.passed.add((f"{name}.to_out.0", "in"))
        self.reads(f"{name}.to_out.0", "out", stream)
