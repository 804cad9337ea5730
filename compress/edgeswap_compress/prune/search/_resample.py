"""Integral resampling: weights as functions of the channel, read off at another width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from edgeswap_compress.plan.plan import Axis, PruningPlan

_SWEEPS = 4  # of 2-opt over an ordering


@torch.no_grad()
def resample(unet: Any, plan: PruningPlan) -> None:
    """Gives the channels that a plan keeps the weights of all channels, resampled to their number.

    After Integral Neural Networks (Solodskikh et al., CVPR 2023): the weights of a layer are taken
    as samples of a function of a continuous channel coordinate. The channels of each norm group
    are ordered so that this function is smooth (a short path through them, by 2-opt), the group's
    range is divided into as many cells as channels stay, and a new channel has the mean of the
    weights over its cell. What reads it has their sum, so that the layer computes the same integral
    with coarser steps. Nothing is trained.

    Only inner channels of resnets and feed-forwards are resampled: two layers share them.

    Args:
        unet: in its original shape, with weights; changed in place. Applying the plan afterwards
            leaves the resampled channels alone.
        plan: `stats.resampled` names the groups.
    """
    names = () if plan.stats is None else plan.stats.resampled or ()
    for name in names:
        parent, _, child = name.rpartition(".")
        if child == "conv1":
            _resample_resnet(unet, parent, plan)
        else:
            _resample_feed_forward(unet, name, plan)


def _resample_resnet(unet: Any, name: str, plan: PruningPlan) -> None:
    resnet = unet.get_submodule(name)
    kept = _kept(plan.layers[f"{name}.conv1"].out)
    groups = plan.groups.get(f"{name}.norm2", resnet.norm2.num_groups)
    writers = [(resnet.conv1, 0), (resnet.norm2, 0)]
    if resnet.time_emb_proj is not None:
        width = resnet.conv1.out_channels
        parts = range(resnet.time_emb_proj.out_features // width)
        writers += [(resnet.time_emb_proj, part * width) for part in parts]
    _resample_chain(writers, resnet.conv2, kept, resnet.conv1.out_channels, groups)


def _resample_feed_forward(unet: Any, name: str, plan: PruningPlan) -> None:
    block = unet.get_submodule(name.rpartition(".net.")[0])
    project, reader = block.net[0].proj, block.net[2]
    width = reader.in_features
    writers = [(project, part * width) for part in range(project.out_features // width)]
    cut = plan.layers[f"{name.rpartition('.net.')[0]}.net.2"].inp
    _resample_chain(writers, reader, _kept(cut), width, 1)


def _kept(axis: Axis | None) -> tuple[int, ...]:
    if axis is None:
        raise ValueError("a resampled group is not cut")
    return axis.kept


def _resample_chain(
    writers: Sequence[tuple[Any, int]],
    reader: Any,
    kept: Sequence[int],
    size: int,
    groups: int,
) -> None:
    """Resamples the channels between some layers, each with the offset of its first, and one."""
    rows = [layer.weight[start : start + size].flatten(1) for layer, start in writers
            if layer.weight.ndim > 1]  # fmt: skip
    features = torch.cat([*(_unit(row) for row in rows), _unit(_columns(reader))], 1).float()
    to = torch.zeros(size, size, device=features.device)
    for group in range(groups):
        members = range(group * size // groups, (group + 1) * size // groups)
        stay = [channel for channel in kept if channel in members]
        order = smooth_order(features[list(members)].cpu())
        cells = overlaps(len(members), len(stay))
        to[torch.tensor(stay)[:, None], members.start + order[None]] = cells.to(to.device)
    means = to / to.sum(1, keepdim=True).clamp(min=1e-12)
    for layer, start in writers:
        for parameter in (layer.weight, layer.bias):
            if parameter is not None:
                old = parameter[start : start + size]
                parameter[start : start + size] = (
                    means @ old.flatten(1).float() if old.ndim > 1 else means @ old.float()
                ).view(old.shape)
    weight = reader.weight
    weight.copy_(torch.einsum("oi...,ji->oj...", weight.float(), to))


def _columns(reader: nn.Module) -> Tensor:
    weight: Any = reader.weight
    return weight.transpose(0, 1).flatten(1)


def _unit(rows: Tensor) -> Tensor:
    """Rows over their mean norm, so that no layer outweighs another."""
    return rows.float() / rows.float().norm(dim=1).mean().clamp(min=1e-12)


def overlaps(old: int, new: int) -> Tensor:
    """(new, old) how much of each old unit cell lies in each of `new` equal cells of [0, old]."""
    edges = torch.arange(new + 1, dtype=torch.float64) * old / new
    starts = torch.arange(old, dtype=torch.float64)
    low = torch.maximum(edges[:-1, None], starts)
    high = torch.minimum(edges[1:, None], starts + 1)
    return (high - low).clamp(min=0).float()


def smooth_order(features: Tensor) -> Tensor:
    """(n,) an order of the rows of (n, d) in which neighbors are alike.

    Nearest neighbors from the row of least norm, then 2-opt moves as long as they shorten the
    path, at most four sweeps.
    """
    n = len(features)
    apart = torch.cdist(features, features)
    path = [int(features.norm(dim=1).argmin())]
    left = torch.ones(n, dtype=torch.bool)
    left[path[0]] = False
    while len(path) < n:
        nearest = int(torch.where(left, apart[path[-1]], torch.inf).argmin())
        left[nearest] = False
        path.append(nearest)
    order = torch.tensor(path)
    for _ in range(_SWEEPS):
        if not _two_opt(order, apart):
            break
    return order


def _two_opt(order: Tensor, apart: Tensor) -> bool:
    """One sweep of reversals that shorten the path; whether there was one."""
    improved = False
    for i in range(len(order) - 2):
        here, after = order[i], order[i + 1]
        ends, beyond = order[i + 2 :], order[i + 3 :]
        before = apart[here, after] + _pad(apart[ends[:-1], beyond])
        then = apart[here, ends] + _pad(apart[after, beyond])
        gain = before - then
        best = int(gain.argmax())
        if float(gain[best]) > 1e-6:
            stop = i + 3 + best
            order[i + 1 : stop] = order[i + 1 : stop].flip(0)
            improved = True
    return improved


def _pad(values: Tensor) -> Tensor:
    """With a 0 for the end of the path, where nothing follows."""
    return torch.cat([values, values.new_zeros(1)])
