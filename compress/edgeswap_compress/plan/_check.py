"""Check that a plan fits a U-Net, before anything is cut."""

from __future__ import annotations

from math import gcd

from diffusers import UNet2DConditionModel, UNet2DModel
from diffusers.models.attention import FeedForward
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D
from torch import nn

from edgeswap_compress._pruning_errors import BadPlan, UnsupportedModel
from edgeswap_compress.conditioning.decoupled import adapter_parts
from edgeswap_compress.plan._remaining import RemainingChannels
from edgeswap_compress.plan._streams import check_streams
from edgeswap_compress.plan.depth import without
from edgeswap_compress.plan.layers import AxisName, width
from edgeswap_compress.plan.plan import Axis, PruningPlan
from edgeswap_compress.plan.skips import check_drops


def check_plan(unet: nn.Module, plan: PruningPlan) -> None:
    """Check that a plan can be applied to a U-Net, which is left untouched.

    Args:
        unet: in its original shape.
        plan: made for its architecture.

    Raises:
        BadPlan: a module that cannot be dropped, an unknown layer, a length that differs, a split
            head, a misaligned GroupNorm, or layers that would no longer fit together; the message
            names one of them.
        UnsupportedModel: a layer of a kind that cannot be cut.
    """
    check_drops(unet, plan.dropped)
    left = without(unet, plan.dropped) if plan.dropped else unet
    _check_names(left, plan)
    _check_lengths(left, plan)
    remaining = RemainingChannels(unet=left, plan=plan)
    for name, module in left.named_modules():
        if isinstance(module, Attention):
            _check_attention(remaining, name, module)
        elif isinstance(module, ResnetBlock2D):
            _check_resnet(remaining, name, module)
        elif isinstance(module, FeedForward):
            _check_feed_forward(remaining, name, module)
        elif isinstance(module, nn.GroupNorm):
            _check_group_norm(remaining, name, module)
    if isinstance(left, UNet2DConditionModel | UNet2DModel):
        check_streams(remaining, left)


def _check_names(unet: nn.Module, plan: PruningPlan) -> None:
    modules = dict(unet.named_modules(remove_duplicate=False))
    for name in (*plan.layers, *plan.heads, *plan.groups):
        if name not in modules:
            raise BadPlan(name, f"this {type(unet).__name__} has no such layer")
    seen: dict[int, str] = {}
    for name in plan.layers:
        first = seen.setdefault(id(modules[name]), name)
        if first != name:
            raise BadPlan(name, f"is the same layer as {first}; name it once")
    for what, names, kind in (
        ("heads", plan.heads, Attention),
        ("groups", plan.groups, nn.GroupNorm),
    ):
        for name in names:
            if not isinstance(modules[name], kind):
                raise BadPlan(
                    name, f"has {what} in the plan but is a {type(modules[name]).__name__}"
                )


def _check_lengths(unet: nn.Module, plan: PruningPlan) -> None:
    for name, cut in plan.layers.items():
        module = unet.get_submodule(name)
        axes: tuple[tuple[AxisName, Axis | None], ...] = (("out", cut.out), ("in", cut.inp))
        for label, axis in axes:
            found = width(name, module, label)
            if axis is None:
                continue
            if found is None:
                raise BadPlan(
                    f"{name} ({label})", f"a {type(module).__name__} has only the axis 'out'"
                )
            if axis.of != found:
                raise BadPlan(
                    f"{name} ({label})",
                    f"made for a length of {axis.of}, found {found}; use the original U-Net",
                )


def _check_group_norm(remaining: RemainingChannels, name: str, norm: nn.GroupNorm) -> None:
    channels = len(remaining.kept(name, "out"))
    groups = remaining.plan.groups.get(name, norm.num_groups)
    if channels % groups:
        raise BadPlan(name, f"{channels} channels do not divide into {groups} groups")
    expected = gcd(norm.num_groups, channels)
    if groups != expected and not _keeps_groups(remaining.kept(name, "out"), norm, groups):
        raise BadPlan(
            name,
            f"would have {groups} groups of other channels than before; expected {expected}",
        )


def _keeps_groups(kept: tuple[int, ...], norm: nn.GroupNorm, groups: int) -> bool:
    """Whether these channels are so many of the norm's groups, each of them whole."""
    size = norm.num_channels // norm.num_groups
    whole = [index for group in sorted({i // size for i in kept}) for index in _run(group, size)]
    return list(kept) == whole and len(kept) == groups * size


def _run(group: int, size: int) -> range:
    return range(group * size, (group + 1) * size)


def _check_attention(remaining: RemainingChannels, name: str, attention: Attention) -> None:
    known = ("to_q", "to_k", "to_v", "add_q_proj", "add_k_proj", "add_v_proj")
    projections = [part for part in known if getattr(attention, part, None) is not None]
    projections += adapter_parts(attention)
    parts: list[tuple[str, AxisName]] = [(f"{name}.{part}", "out") for part in projections]
    parts += [
        (f"{name}.{part}", "in")
        for part in ("to_out.0", "to_add_out")
        if getattr(attention, part.split(".")[0], None) is not None
    ]
    cut = [part for part, axis in parts if _is_cut(remaining.plan, part, axis)]
    if not cut and name not in remaining.plan.heads:
        return
    if attention.inner_kv_dim != attention.inner_dim:
        raise UnsupportedModel(f"{name} shares key/value heads; its heads cannot be pruned")
    if name not in remaining.plan.heads:
        raise BadPlan(name, f"{cut[0]} is cut but no kept heads are stated")
    heads, channels = remaining.plan.heads[name], attention.inner_dim // attention.heads
    if heads[-1] >= attention.heads:
        raise BadPlan(name, f"keeps head {heads[-1]}, but its heads are 0..{attention.heads - 1}")
    expected = tuple(head * channels + i for head in heads for i in range(channels))
    for part, axis in parts:
        if remaining.kept(part, axis) != expected:
            raise BadPlan(
                f"{part} ({axis})", f"splits a head: keep exactly the {channels} of each kept head"
            )


def _is_cut(plan: PruningPlan, name: str, axis: AxisName) -> bool:
    cut = plan.layers.get(name)
    return cut is not None and (cut.out if axis == "out" else cut.inp) is not None


def _check_resnet(remaining: RemainingChannels, name: str, resnet: ResnetBlock2D) -> None:
    inner = remaining.kept(f"{name}.conv1", "out")
    remaining.expect(f"{name}.norm2", "out", inner, f"{name}.conv1 (out)")
    remaining.expect(f"{name}.conv2", "in", inner, f"{name}.conv1 (out)")
    if resnet.time_emb_proj is not None:
        times = 2 if resnet.time_embedding_norm == "scale_shift" else 1
        _expect_repeated(remaining, f"{name}.time_emb_proj", inner, times, f"{name}.conv1")
    entry = remaining.kept(f"{name}.conv1", "in")
    remaining.expect(f"{name}.norm1", "out", entry, f"{name}.conv1 (in)")
    leaving = remaining.kept(f"{name}.conv2", "out")
    if resnet.conv_shortcut is None:
        if entry != leaving:
            raise BadPlan(
                f"{name}.conv2 (out)", "differs from the block's input, which is added to it"
            )
        return
    remaining.expect(f"{name}.conv_shortcut", "in", entry, f"{name}.conv1 (in)")
    remaining.expect(f"{name}.conv_shortcut", "out", leaving, f"{name}.conv2 (out)")


def _check_feed_forward(remaining: RemainingChannels, name: str, feed_forward: FeedForward) -> None:
    first = f"{name}.net.0.proj"
    project = feed_forward.get_submodule("net.0.proj")
    inner = remaining.kept(f"{name}.net.2", "in")
    of = width(name, feed_forward.get_submodule("net.2"), "in")
    times = (width(first, project, "out") or 0) // (of or 1)
    _expect_repeated(remaining, first, inner, times, f"{name}.net.2 (in)")


def _expect_repeated(
    remaining: RemainingChannels, name: str, inner: tuple[int, ...], times: int, why: str
) -> None:
    """A projection whose output is split into equal parts must keep the same indices in each."""
    whole = width(name, remaining.unet.get_submodule(name), "out") or 0
    step = whole // times
    expected = tuple(part * step + index for part in range(times) for index in inner)
    remaining.expect(
        name, "out", expected, why if times == 1 else f"{why} in each of {times} parts"
    )
