"""Find the channel groups of a U-Net with Torch-Pruning's dependency graph."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any

import torch
import torch_pruning
from diffusers.models.attention_processor import Attention
from torch import nn

from edgeswap_compress.plan.layers import AxisName, can_cut, width
from edgeswap_compress.prune.structure.channel_groups import ChannelGroup, Member

# The picture going out, and conditioning vectors, which cost next to no MACs but are read by
# every block. What comes in has no producer inside the model, so nothing can cut it.
PROTECTED = frozenset(
    {
        "conv_out",
        "time_proj",
        "time_embedding",
        "class_embedding",
        "add_embedding",
        "encoder_hid_proj",
    }
)


def trace(meta: nn.Module, inputs: Mapping[str, Any]) -> tuple[ChannelGroup, ...]:
    """Find the channel groups that may be pruned, in the order of the U-Net's modules.

    Left out, and so protected, are the model's output, its conditioning embeddings, and channels
    that pass through anything other than ungrouped layers of `WEIGHT_AXES`.

    Args:
        meta: the U-Net without weights, from `meta_copy`.
        inputs: from `example_inputs`, on the meta device.
    """
    graph = dependency_graph(meta, inputs)
    modules = dict(meta.named_modules())
    names = {module: name for name, module in modules.items()}
    order = {name: position for position, name in enumerate(modules)}
    found: list[ChannelGroup] = []
    visited: set[str] = set()
    for layer in list(graph.module2node):
        name = names.get(layer)
        if name is None or name in visited or not isinstance(layer, nn.Conv2d | nn.Linear):
            continue
        touches = _touches(graph, names, layer, "out")
        if touches is None:
            continue
        producers = {touch.layer for touch in touches if touch.produces}
        visited |= producers
        start = min(producers, key=lambda producer: order[producer])
        # A projection whose output is split in two is wider than the channels it drives: look
        # from the narrowest axis that holds the whole group, so that every channel counts once.
        narrow = min(
            (touch for touch in touches if touch.is_whole),
            key=lambda touch: (touch.length, not touch.produces, order[touch.layer]),
        )
        touches = _touches(graph, names, modules[narrow.layer], narrow.axis)
        if touches is not None and (
            group := _channel_group(start, narrow.length, touches, modules)
        ):
            found.append(group)
    return tuple(sorted(found, key=lambda group: order[group.name]))


def dependency_graph(unet: nn.Module, inputs: Mapping[str, Any]) -> Any:
    """Build Torch-Pruning's graph of a U-Net with plain attention processors.

    Every argument with a mutable default is passed, because those defaults leak between graphs.
    """
    graph = torch_pruning.DependencyGraph()
    with torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "unwrapped parameters": trace() protects their channels
        return graph.build_dependency(
            unet,
            example_inputs=dict(inputs),
            output_transform=lambda output: output.sample,
            unwrapped_parameters=[],
            customized_pruners={},
            ignored_layers=[],
            ignored_params=[],
            verbose=False,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Touch:
    """One axis that a group of Torch-Pruning's cuts, with the root channel behind each index."""

    layer: str
    axis: AxisName
    length: int
    is_norm: bool
    indices: Sequence[int]
    roots: Sequence[int]

    @property
    def produces(self) -> bool:
        return self.axis == "out" and not self.is_norm

    @property
    def is_whole(self) -> bool:
        return not self.is_norm and len(self.indices) == self.length


def _touches(
    graph: Any, names: Mapping[Any, str], layer: nn.Module, axis: AxisName
) -> list[_Touch] | None:
    """Every axis cut along with one axis of `layer`; None where one of them cannot be cut."""
    pruner = graph.get_pruner_of_module(layer)
    handler = pruner.prune_out_channels if axis == "out" else pruner.prune_in_channels
    length = width(names[layer], layer, axis)
    found = []
    for item in graph.get_pruning_group(layer, handler, list(range(length or 0))):
        module: Any = item.dep.target.module  # a layer, an operation or a bare parameter
        if isinstance(module, nn.Parameter):
            return None
        if module not in names:
            continue  # an operation without weights passes its channels on
        if not can_cut(module):
            return None
        is_norm = isinstance(module, nn.GroupNorm | nn.LayerNorm)
        out = is_norm or graph.is_out_channel_pruning_fn(item.dep.handler)
        side: AxisName = "out" if out else "in"
        name = names[module]
        found.append(
            _Touch(
                layer=name,
                axis=side,
                length=width(name, module, side) or 0,
                is_norm=is_norm,
                indices=item.idxs,
                roots=item.root_idxs,
            )
        )
    return found


def _channel_group(
    name: str, size: int, touches: Sequence[_Touch], modules: Mapping[str, nn.Module]
) -> ChannelGroup | None:
    """Make the group of these axes; None where it must stay whole."""
    members = []
    for touch in touches:
        offsets = _offsets(touch, size)
        protected = touch.layer.split(".")[0] in PROTECTED
        if offsets is None or (
            protected and not (touch.layer == "conv_out" and touch.axis == "in")
        ):
            return None
        members.append(
            Member(layer=touch.layer, axis=touch.axis, length=touch.length, offsets=offsets)
        )
    norms = {touch.layer: touch.length for touch in touches if touch.is_norm}
    norm_groups = {
        layer: norm.num_groups
        for layer in norms
        if isinstance(norm := modules[layer], nn.GroupNorm)
    }
    own = [count for layer, count in norm_groups.items() if norms[layer] == size]
    made = (member.layer for member in members if member.axis == "out")
    attentions = [layer.rpartition(".")[0] for layer in made if _makes_heads(modules, layer)]
    unit = 1
    if attentions:
        attention = modules[attentions[0]]
        if len(attentions) > 1 or not isinstance(attention, Attention):
            return None
        if attention.inner_kv_dim != attention.inner_dim:
            return None
        unit = attention.inner_dim // attention.heads
    return ChannelGroup(
        name=name,
        size=size,
        unit=unit,
        members=tuple(members),
        norm_groups=tuple(norm_groups.values()),
        own_groups=gcd(*own) if own else 1,
        attention=attentions[0] if attentions else None,
    )


def _makes_heads(modules: Mapping[str, nn.Module], layer: str) -> bool:
    """Whether a layer makes the heads of an attention: queries, or values of one token's."""
    name, _, part = layer.rpartition(".")
    attention = modules[name]
    if not isinstance(attention, Attention):
        return False
    return part == ("to_v" if attention.to_q is None else "to_q")


def _offsets(touch: _Touch, size: int) -> tuple[int, ...] | None:
    """Where the group's channels lie on a layer's axis; None unless they lie in whole runs."""
    runs: dict[int, set[int]] = defaultdict(set)
    for index, channel in zip(touch.indices, touch.roots, strict=True):
        runs[index - channel].add(channel)
    if any(len(channels) != size for channels in runs.values()):
        return None
    return tuple(sorted(runs))
