"""Summarize a plan: what is left of each layer and of each block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from diffusers.models.attention_processor import Attention
from torch import nn

from edgeswap_compress.plan.apply import apply_plan
from edgeswap_compress.plan.folder import CONFIG_NAME, empty_unet
from edgeswap_compress.plan.layers import can_cut, width
from edgeswap_compress.plan.plan import PruningPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerView:
    """Output width of a convolution or linear layer; 0 kept where it is dropped."""

    name: str
    kept: int
    of: int

    @property
    def block(self) -> str:
        """The part of the U-Net it belongs to, such as "down_blocks.0" or "mid_block"."""
        parts = self.name.split(".")
        return ".".join(parts[: 2 if parts[0] in ("down_blocks", "up_blocks") else 1])


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockView:
    """What is left of one block.

    Attributes:
        layers, whole: convolutions and linear layers, and how many of them keep every output.
        kept, of: output channels of them all.
        heads, heads_of: attention heads; without a config, of those attentions that lose some.
        parameters, parameters_of: None where there is no config.
        dropped: modules that are gone, with what stays of them.
    """

    name: str
    layers: int
    whole: int
    kept: int
    of: int
    heads: int
    heads_of: int
    parameters: int | None
    parameters_of: int | None
    dropped: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanView:
    """A plan's layers and blocks, in the order of the U-Net's modules.

    Attributes:
        plan: that is shown.
        complete: whether layers that are not cut are shown too, because there was a config.
    """

    plan: PruningPlan
    layers: tuple[LayerView, ...]
    blocks: tuple[BlockView, ...]
    complete: bool

    def to_json(self) -> dict[str, Any]:
        """Give everything as JSON-ready data."""
        stats = self.plan.stats
        return {
            "complete": self.complete,
            "stats": None if stats is None else stats.to_json(),
            "blocks": [asdict(block) for block in self.blocks],
            "layers": [asdict(layer) for layer in self.layers],
        }


def view_plan(plan: PruningPlan, config: Path | None) -> PlanView:
    """Summarize a plan, with the config of the U-Net it was made for.

    Args:
        plan: to show.
        config: config.json of the U-Net; None shows what the plan alone says, the layers it cuts.

    Raises:
        BadUNetFolder, UnsupportedModel: the config is not that of a U-Net that can be pruned.
        BadPlan: the plan does not fit it.
    """
    if config is None:
        return _view_alone(plan)
    before = empty_unet(config)
    after = apply_plan(deepcopy(before), plan)
    left = dict(after.named_modules())
    layers = tuple(
        LayerView(
            name=name,
            kept=(width(name, left[name], "out") or 0) if _is_layer(left.get(name)) else 0,
            of=width(name, module, "out") or 0,
        )
        for name, module in before.named_modules()
        if _is_layer(module)
    )
    heads = [
        (name, left[name].heads if isinstance(left.get(name), Attention) else 0, module.heads)
        for name, module in before.named_modules()
        if isinstance(module, Attention)
    ]
    names = dict.fromkeys(layer.block for layer in layers)
    counted = {name: (_parameters(after, name), _parameters(before, name)) for name in names}
    return _joined(plan, layers, heads, counted)


def _parameters(unet: nn.Module, block: str) -> int:
    return sum(p.numel() for name, p in unet.named_parameters() if _block(name) == block)


def beside(path: Path) -> Path | None:
    """Find the config.json in the folder of a plan's file; None where there is none."""
    config = path.parent / CONFIG_NAME
    return config if config.is_file() else None


def _view_alone(plan: PruningPlan) -> PlanView:
    layers = tuple(
        LayerView(name=name, kept=len(cut.out.kept), of=cut.out.of)
        for name, cut in plan.layers.items()
        if cut.out is not None and "norm" not in name.rpartition(".")[2]
    )
    heads = [(name, len(kept), _heads_of(plan, name)) for name, kept in plan.heads.items()]
    return _joined(plan, layers, heads, None)


def _heads_of(plan: PruningPlan, attention: str) -> int:
    """Heads of an attention before pruning, from the channels its query keeps for each head."""
    cut, kept = plan.layers.get(f"{attention}.to_q"), plan.heads[attention]
    if cut is None or cut.out is None:
        return len(kept)
    return cut.out.of * len(kept) // len(cut.out.kept)


def _joined(
    plan: PruningPlan,
    layers: tuple[LayerView, ...],
    heads: list[tuple[str, int, int]],
    parameters: Mapping[str, tuple[int, int]] | None,
) -> PlanView:
    names = dict.fromkeys([*(layer.block for layer in layers), *map(_block, plan.dropped)])
    blocks = []
    for name in names:
        inside = [layer for layer in layers if layer.block == name]
        counts = [(kept, of) for attention, kept, of in heads if _block(attention) == name]
        after, before = (None, None) if parameters is None else parameters[name]
        blocks.append(
            BlockView(
                name=name,
                layers=len(inside),
                whole=sum(layer.kept == layer.of for layer in inside),
                kept=sum(layer.kept for layer in inside),
                of=sum(layer.of for layer in inside),
                heads=sum(kept for kept, _ in counts),
                heads_of=sum(of for _, of in counts),
                parameters=after,
                parameters_of=before,
                dropped={k: v for k, v in plan.dropped.items() if _block(k) == name},
            )
        )
    return PlanView(plan=plan, layers=layers, blocks=tuple(blocks), complete=parameters is not None)


def _is_layer(module: nn.Module | None) -> bool:
    """Whether it is a convolution or linear layer."""
    return module is not None and can_cut(module) and not _is_norm(module)


def _is_norm(module: nn.Module) -> bool:
    return isinstance(module, nn.GroupNorm | nn.LayerNorm | nn.Embedding)


def _block(name: str) -> str:
    return LayerView(name=name, kept=0, of=0).block


def lines(view: PlanView) -> Iterator[str]:
    """Yield the summary as lines of text, a row for each block."""
    stats = view.plan.stats
    if stats is not None:
        yield (
            f"importance {stats.importance}, allocation {stats.allocation or 'share'}, widths in "
            f"multiples of {stats.round_to}, seed {stats.seed}"
        )
        yield (
            f"MACs {stats.macs_before / 1e6:.1f} M -> {stats.macs_after / 1e6:.1f} M "
            f"({stats.macs_after / stats.macs_before:.3f}), parameters "
            f"{stats.parameters_before / 1e6:.2f} M -> {stats.parameters_after / 1e6:.2f} M "
            f"({stats.parameters_after / stats.parameters_before:.3f})"
        )
        if stats.predicted_loss is not None:
            yield f"predicted loss change {stats.predicted_loss:+.4f} before any training"
        if stats.latency_ratio is not None:
            noise = "" if stats.latency_noise is None else f" ± {stats.latency_noise:.1%}"
            yield f"latency ratio {stats.latency_ratio:.3f}{noise}, as measured on ONNX Runtime"
        if stats.resampled:
            yield f"resampled: the inner channels of {len(stats.resampled)} layers"
        yield ""
    yield (
        f"{'block':<18}{'layers':>7}{'whole':>7}{'channels':>16}{'kept':>7}{'heads':>9}"
        f"{'parameters':>20}"
    )
    for block in view.blocks:
        heads = f"{block.heads}/{block.heads_of}" if block.heads_of else "-"
        sizes = "-"
        if block.parameters is not None and block.parameters_of is not None:
            sizes = f"{block.parameters / 1e6:.3f}/{block.parameters_of / 1e6:.3f} M"
        share = f"{block.kept / block.of:.3f}" if block.of else "-"
        yield (
            f"{block.name:<18}{block.layers:>7}{block.whole:>7}"
            f"{f'{block.kept}/{block.of}':>16}{share:>7}{heads:>9}{sizes:>20}"
        )
    for name, kind in view.plan.dropped.items():
        yield f"dropped {name}, of which stays {_STAYS[kind]}"
    if not view.complete:
        yield "layers that are cut; with the U-Net's config.json beside the plan, all are shown"


_STAYS = {
    "identity": "its input",
    "shortcut": "its shortcut",
    "layer": "nothing, nor its skip connection",
}
