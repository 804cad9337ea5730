"""Measure a table of block latencies on ONNX Runtime's CPU, and predict U-Nets from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.downsampling import Downsample2D
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.models.upsampling import Upsample2D
from numpy.typing import ArrayLike, NDArray
from torch import nn

from edgeswap_compress._pruning_errors import PruningError
from edgeswap_compress.plan.apply import apply_plan
from edgeswap_compress.prune.latency.sessions import Session, open_session, tensors_of
from edgeswap_compress.prune.latency.timing import interleaved_medians_ms
from edgeswap_compress.prune.search.width_plan import plan_from_kept
from edgeswap_compress.prune.search.widths import Cost
from edgeswap_compress.prune.structure.analysis import PrunableStructure
from edgeswap_compress.prune.structure.costs import CostModel, Integers
from edgeswap_runtime.files import write_json
from edgeswap_runtime.strict_json import read_json_object

LEVELS = (1.0, 0.75, 0.5, 0.25)
"""Widths, as shares of the original ones, at which every block is timed."""

UNITS = (ResnetBlock2D, Transformer2DModel, Attention, Downsample2D, Upsample2D)
EDGES = ("conv_in", "conv_out")

Timer = Callable[[Mapping[Any, Session]], Mapping[Any, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyTable:
    """Latency of each block of a U-Net at some widths.

    Attributes:
        blocks: name -> (MACs, ms) at falling widths; a block that is dropped takes nothing.
        whole_ms: latency of the whole U-Net in its original shape.
    """

    blocks: Mapping[str, tuple[tuple[int, float], ...]]
    whole_ms: float

    def cost(self, costs: CostModel) -> Cost:
        """Give the predicted latency in ms as a function of the widths of a cost model's groups.

        A block's latency is read off between its measured points by its MACs. What the whole took
        beyond the sum of its blocks, or short of it, is scaled with the blocks.
        """
        owners = [self._owner(layer) for layer in costs.macs_terms.layers]
        names = list(self.blocks)
        owned = np.array([[owner == name for name in names] for owner in owners], dtype=np.int64)
        curves = [_curve(self.blocks[name]) for name in names]
        scale = self.whole_ms / sum(points[0][1] for points in self.blocks.values())

        def predict(widths: ArrayLike) -> NDArray[Any]:
            lost = costs.sizes - np.asarray(widths, dtype=np.int64)
            macs = costs.macs_terms.entries(lost) @ owned
            latency: NDArray[Any] = scale * sum(
                np.interp(macs[..., i], *curve) for i, curve in enumerate(curves)
            )
            return latency

        return predict

    def _owner(self, layer: str) -> str:
        while layer and layer not in self.blocks:
            layer = layer.rpartition(".")[0]
        return layer

    def check(self, structure: PrunableStructure) -> None:
        """Check that the table is of a structure's U-Net.

        Raises:
            PruningError: a block is missing, or its MACs are others.
        """
        widths = structure.costs.sizes
        for name, macs in _macs(structure.costs, block_names(structure.meta_copy), widths).items():
            stated = self.blocks[name][0][0] if name in self.blocks else 0
            if stated != macs:
                raise PruningError(
                    f"the table of latencies is of another U-Net: {name} has {macs} MACs, the "
                    f"table says {stated}; name another --latency-table"
                )

    def save(self, path: Path) -> None:
        """Write the table as JSON, atomically."""
        write_json(path, {"whole_ms": self.whole_ms, "blocks": dict(self.blocks)})

    @classmethod
    def load(cls, path: Path) -> LatencyTable:
        """Read what `save` wrote.

        Raises:
            PruningError: the file is not such a table.
        """
        try:
            data = read_json_object(path)
            blocks = {
                str(name): tuple((int(macs), float(ms)) for macs, ms in points)
                for name, points in data["blocks"].items()
            }
            return cls(blocks=blocks, whole_ms=float(data["whole_ms"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise PruningError(
                f"{path} is no table of latencies ({error}): remove it, and it is measured anew"
            ) from error


def _curve(points: tuple[tuple[int, float], ...]) -> tuple[NDArray[Any], NDArray[Any]]:
    """MACs ascending from 0 and latencies that never fall, for interpolation."""
    ordered = sorted(dict(reversed(points)).items())
    macs = np.array([0.0, *(macs for macs, _ in ordered)])
    ms = np.maximum.accumulate(np.array([0.0, *(ms for _, ms in ordered)]))
    return macs, ms


def block_names(unet: nn.Module) -> tuple[str, ...]:
    """List the parts of a U-Net that are timed: resnets, attention, resamplers, first and last."""
    names: list[str] = []
    for name, module in unet.named_modules():
        inside = any(name.startswith(f"{outer}.") for outer in names)
        if not inside and (name in EDGES or isinstance(module, UNITS)):
            names.append(name)
    return tuple(names)


def measure_latencies(
    unet: Any,
    structure: PrunableStructure,
    inputs: Mapping[str, Any],
    *,
    runs: int = 15,
    timer: Timer | None = None,
) -> LatencyTable:
    """Time every block of a U-Net at full, three quarters, half and a quarter of its widths.

    Args:
        unet: in its original shape, float32; not changed.
        structure: `analyze(unet)`, nothing dropped.
        inputs: keyword arguments of one evaluation, on the CPU; they fix size and batch.
        runs: timed evaluations of each block, in turns.
        timer: replaces the measuring, for tests.
    """
    counted = _macs(structure.costs, block_names(structure.meta_copy), structure.costs.sizes)
    # what has no MACs (resampling without a convolution) is shared out among the other blocks
    names = tuple(name for name, macs in counted.items() if macs > 0)
    sessions: dict[Any, Session] = {"": open_session(unet, kwargs=dict(inputs))}
    points: dict[str, list[tuple[int, Any]]] = {name: [] for name in names}
    for level in LEVELS:
        kept = {group.name: range(_width(group, level)) for group in structure.groups}
        widths = [len(kept[group.name]) for group in structure.groups]
        small = apply_plan(
            deepcopy(unet), plan_from_kept(structure.meta_copy, structure.groups, kept)
        ).eval()
        macs = _macs(structure.costs, names, np.array(widths, dtype=np.int64))
        for name, (args, kwargs) in _calls(small, names, inputs).items():
            module = small.get_submodule(name)
            key = _signature(module, args, kwargs)
            if key not in sessions:
                sessions[key] = open_session(module, args, kwargs)
            points[name].append((macs[name], key))
    timed = timer(sessions) if timer else interleaved_medians_ms(sessions, runs=runs)
    return LatencyTable(
        blocks={
            name: tuple((macs, timed[key]) for macs, key in of_block)
            for name, of_block in points.items()
        },
        whole_ms=timed[""],
    )


def _width(group: Any, level: float) -> int:
    widths = group.widths(round_to=1, keep_groups=True)
    return int(min(widths, key=lambda width: abs(width - level * group.size)))


def _macs(costs: CostModel, names: tuple[str, ...], widths: Integers) -> dict[str, int]:
    entries = costs.macs_terms.entries(costs.sizes - widths)
    totals = dict.fromkeys(names, 0)
    for layer, macs in zip(costs.macs_terms.layers, entries, strict=True):
        for name in names:
            if layer == name or layer.startswith(f"{name}."):
                totals[name] += int(macs)
    return totals


def _calls(
    unet: Any, names: tuple[str, ...], inputs: Mapping[str, Any]
) -> dict[str, tuple[tuple[Any, ...], dict[str, Any]]]:
    """What each block is called with in one evaluation."""
    calls: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {}

    def watch(name: str) -> Any:
        def hook(module: nn.Module, args: Any, kwargs: Any) -> None:
            calls[name] = (args, kwargs)

        return unet.get_submodule(name).register_forward_pre_hook(hook, with_kwargs=True)

    handles = [watch(name) for name in names]
    try:
        with torch.no_grad():
            unet(**inputs)
    finally:
        for handle in handles:
            handle.remove()
    return calls


def _signature(module: nn.Module, args: Any, kwargs: Any) -> tuple[Any, ...]:
    """Equal for blocks that take equally long."""
    shapes = tuple((name, tuple(p.shape)) for name, p in module.named_parameters())
    given = tuple(tuple(tensor.shape) for tensor in tensors_of((args, kwargs)))
    groups = tuple(m.num_groups for m in module.modules() if isinstance(m, nn.GroupNorm))
    heads = tuple(m.heads for m in module.modules() if isinstance(m, Attention))
    return (type(module).__name__, shapes, given, groups, heads)
