"""Convert a torch U-Net to float16, but for layers whose values float16 cannot hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from edgeswap_export._errors import UnsupportedExport
from edgeswap_export.precision.float32_nodes import FP16_MAX, HEADROOM

NORMS = (nn.GroupNorm, nn.LayerNorm)


@dataclass(slots=True)
class Peaks:
    """The largest magnitudes at a layer; infinite where a value was not finite.

    Attributes:
        given: of its inputs.
        made: of its output.
    """

    given: float = 0.0
    made: float = 0.0


class PeakRecorder:
    """Record the largest magnitudes at each layer of a module, as a context manager.

    Args:
        module: in torch; it is run inside the `with` block.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.peaks: dict[str, Peaks] = {}
        self._handles: list[Any] = []

    def __enter__(self) -> PeakRecorder:
        for name, layer in self.module.named_modules():
            if next(layer.children(), None) is None:
                self._handles.append(layer.register_forward_hook(self._hook(name)))
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _hook(self, name: str) -> Any:
        peaks = self.peaks.setdefault(name, Peaks())

        def look(layer: nn.Module, given: tuple[Any, ...], made: Any) -> None:
            peaks.given = max(peaks.given, *(_peak(value) for value in given), 0.0)
            peaks.made = max(peaks.made, _peak(made))

        return look


class _Float32Layer(nn.Module):
    """A layer that computes in float32 among layers in float16."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, value: Tensor, *rest: Any) -> Tensor:
        result: Tensor = self.layer(value.float(), *rest)
        return result.to(value.dtype)


def float32_nodes(module: nn.Module, peaks: Mapping[str, Peaks]) -> list[str]:
    """List the layers with weights whose values float16 cannot hold.

    The rule is that of `precision.float32_nodes.overflowing`.

    Args:
        module: the U-Net.
        peaks: name of a layer -> its largest magnitudes, from `PeakRecorder`.

    Raises:
        UnsupportedExport: values between layers are too large for float16.
    """
    limit = FP16_MAX / HEADROOM
    kinds = dict(module.named_modules())
    names = []
    for name, seen in peaks.items():
        if not seen.given <= limit:
            raise UnsupportedExport(
                f"layer {name} is given values up to {seen.given:.3g}; float16 with headroom holds"
                f" {limit:.0f}: export with --precision fp32"
            )
        reached = max(seen.given**2, seen.made) if isinstance(kinds[name], NORMS) else seen.made
        if not reached <= limit and next(kinds[name].parameters(), None) is not None:
            names.append(name)
    return names


def to_half(module: nn.Module, kept: list[str]) -> None:
    """Convert a module's weights to float16 in place, layer by layer.

    Args:
        module: in float32.
        kept: names of layers that stay in float32, with casts around them.
    """
    chosen = set(kept)
    for name, layer in list(module.named_modules()):
        if name in chosen:
            parent, _, attribute = name.rpartition(".")
            setattr(module.get_submodule(parent), attribute, _Float32Layer(layer))
            continue
        own = [*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)]
        for _, tensor in own:
            if tensor.dtype == torch.float32:
                tensor.data = tensor.data.half()


def _peak(value: Any) -> float:
    if not isinstance(value, Tensor) or not value.is_floating_point() or not value.numel():
        return 0.0
    largest = float(value.detach().abs().max())
    return largest if largest == largest else float("inf")  # NaN
