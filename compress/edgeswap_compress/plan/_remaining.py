"""The channels that a plan leaves of a U-Net, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from edgeswap_compress._pruning_errors import BadPlan
from edgeswap_compress.plan.layers import AxisName, width
from edgeswap_compress.plan.plan import PruningPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class RemainingChannels:
    """Tells the kept indices of any axis of any layer of a U-Net.

    Attributes:
        unet: with the dropped modules gone, its layers whole.
        plan: that will cut them.
    """

    unet: nn.Module
    plan: PruningPlan

    def kept(self, name: str, axis: AxisName) -> tuple[int, ...]:
        """Give the indices of an axis that stay; all of them where the plan does not name it."""
        cut = self.plan.layers.get(name)
        chosen = None if cut is None else (cut.out if axis == "out" else cut.inp)
        if chosen is not None:
            return chosen.kept
        whole = width(name, self.unet.get_submodule(name), axis)
        return tuple(range(whole or 0))

    def expect(self, name: str, axis: AxisName, expected: tuple[int, ...], why: str) -> None:
        """Raise BadPlan unless an axis keeps these indices, which are those of `why`."""
        found = self.kept(name, axis)
        if found != expected:
            raise BadPlan(
                f"{name} ({axis})",
                f"keeps {len(found)} indices that are not the {len(expected)} of {why}",
            )
