"""Check which modules of a U-Net may be dropped without breaking its skip connections."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from edgeswap_compress._pruning_errors import BadPlan
from edgeswap_compress.plan.depth import drop_kind
from edgeswap_compress.plan.plan import DropKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """Feature maps that a down block keeps for an up block.

    Attributes:
        source: name of the module they come from.
        channels: of the feature maps.
        level: how often they have been halved.
    """

    source: str
    channels: int
    level: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockLayer:
    """A resnet, with the attention beside it if there is one, of a down or up block.

    Attributes:
        name: of the resnet.
        block: name of the block.
        attention: name of the attention or transformer beside it, or None.
        entering: channels that come from the layer before.
        leaving: channels that go to the next layer.
        skip: channels of the skip connection that is read, 0 on the way down.
        level: how often the picture has been halved here.
    """

    name: str
    block: str
    attention: str | None
    entering: int
    leaving: int
    skip: int
    level: int

    @property
    def may_go(self) -> bool:
        """Whether the next layer can do without this one."""
        return self.entering == self.leaving


def way_down(unet: Any) -> tuple[list[Skip], list[BlockLayer]]:
    """List the skips that the down blocks of an unpruned U-Net keep, in order, and the layers."""
    channels = unet.conv_in.out_channels
    skips, layers = [Skip(source="conv_in", channels=channels, level=0)], []
    level = 0
    for index, block in enumerate(unet.down_blocks):
        for layer in _layers_of(f"down_blocks.{index}", block, channels, level):
            layers.append(layer)
            skips.append(Skip(source=layer.name, channels=layer.leaving, level=level))
            channels = layer.leaving
        if block.downsamplers is not None:
            level += 1
            source = f"down_blocks.{index}.downsamplers"
            skips.append(Skip(source=source, channels=channels, level=level))
    return skips, layers


def way_up(unet: Any) -> list[BlockLayer]:
    """List the layers of an unpruned U-Net's up blocks, which read a skip each, in order."""
    skips, _ = way_down(unet)
    channels, level = skips[-1].channels, skips[-1].level
    layers = []
    for index, block in enumerate(unet.up_blocks):
        for layer in _layers_of(f"up_blocks.{index}", block, channels, level):
            layers.append(layer)
            channels = layer.leaving
        if block.upsamplers is not None:
            level -= 1
    return layers


def _layers_of(name: str, block: Any, channels: int, level: int) -> Iterator[BlockLayer]:
    attentions = dict(getattr(block, "attentions", nn.ModuleList()).named_children())
    for number, resnet in block.resnets.named_children():
        leaving = resnet.conv2.out_channels
        yield BlockLayer(
            name=f"{name}.resnets.{number}",
            block=name,
            attention=f"{name}.attentions.{number}" if number in attentions else None,
            entering=channels,
            leaving=leaving,
            skip=resnet.conv1.in_channels - channels,
            level=level,
        )
        channels = leaving


def check_drops(unet: nn.Module, dropped: Mapping[str, DropKind]) -> None:
    """Check that these modules can be dropped together from an unpruned U-Net.

    Raises:
        BadPlan: an unknown module, one of another kind than stated, or a skip connection that
            nobody would read or that would meet a layer it does not fit; the message names it.
    """
    modules = dict(unet.named_modules())
    for name, kind in dropped.items():
        if name not in modules:
            raise BadPlan(name, f"this {type(unet).__name__} has no such module to drop")
        if kind == "layer":
            continue
        possible = drop_kind(modules[name])
        if possible is None:
            raise BadPlan(name, f"is a {type(modules[name]).__name__}, which cannot be dropped")
        if possible != kind:
            raise BadPlan(name, f"can be dropped as {possible!r}, not as {kind!r}")
    gone = {name for name, kind in dropped.items() if kind == "layer"}
    if gone:
        _check_layers(unet, gone, dropped)


def _check_layers(unet: Any, gone: Collection[str], dropped: Collection[str]) -> None:
    skips, down = way_down(unet)
    up = way_up(unet)
    layers = {layer.name: layer for layer in (*down, *up)}
    for name in gone:
        layer = layers.get(name)
        if layer is None:
            raise BadPlan(name, "is no resnet of a down or up block, so it is no layer to drop")
        if not layer.may_go:
            raise BadPlan(
                name,
                f"changes {layer.entering} channels to {layer.leaving}, so the layer must stay; "
                "drop the resnet alone, as 'shortcut'",
            )
        if layer.attention in dropped:
            raise BadPlan(str(layer.attention), f"goes with {name}; remove the entry")
    kept = [skip for skip in skips if skip.source not in gone]
    for block in dict.fromkeys(layer.block for layer in up):
        if all(layer.name in gone for layer in up if layer.block == block):
            raise BadPlan(block, "would lose every layer; keep at least one")
    for layer in (layer for layer in up if layer.name not in gone):
        if not kept:
            raise BadPlan(
                layer.name,
                "would have no skip connection to read; drop as many layers on the way up",
            )
        skip = kept.pop()
        if (skip.channels, skip.level) != (layer.skip, layer.level):
            raise BadPlan(
                layer.name,
                f"would read {skip.channels} channels of level {skip.level} from {skip.source}, "
                f"expected {layer.skip} of level {layer.level}; drop the layers of a down block "
                "and of its up block in pairs",
            )
    if kept:
        raise BadPlan(
            kept[-1].source, "keeps a skip connection nobody reads; drop it on the way down too"
        )
