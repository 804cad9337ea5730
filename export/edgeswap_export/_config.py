"""What an export may be asked for."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from edgeswap_compress._swap_config import SwapConfig
from edgeswap_export._samplers._options import SamplerOptions
from edgeswap_export._schedule import check_sampler, check_steps

USEFUL_STEPS = (1, 2, 4, 8, 25)
"""Step counts at which a model of several steps gets a DDIM table besides its default one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRequest:
    """One schedule table to store in a bundle.

    Attributes:
        sampler: A name in SAMPLERS of edgeswap_export.
        steps: At least 1.
        options: The sampler's own; None takes their defaults.
    """

    sampler: str
    steps: int
    options: SamplerOptions | None = None

    def __post_init__(self) -> None:
        check_sampler(self.sampler)
        check_steps(self.steps)

    @property
    def name(self) -> str:
        """Its name in the manifest, such as "ddim-4" or "ddim-4-eta=0.5"."""
        return "-".join([self.sampler, str(self.steps), *self._settings()])

    def to_json(self) -> dict[str, Any]:
        """For the bundle's history."""
        return {"sampler": self.sampler, "steps": self.steps, "options": self._settings()}

    def _settings(self) -> list[str]:
        """The options that differ from their defaults."""
        if self.options is None:
            return []
        default = type(self.options)()
        names = [field.name for field in fields(self.options)]
        changed = [n for n in names if getattr(self.options, n) != getattr(default, n)]
        return [f"{name}={getattr(self.options, name)}" for name in changed]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportConfig:
    """How a checkpoint becomes a bundle.

    Attributes:
        name: The bundle's name in its manifest; None takes the checkpoint folder's.
        sampler: Sampler of the default schedule; None takes the checkpoint's.
        steps: Steps of the default schedule; None takes the checkpoint's.
        others: Schedules stored besides; None stores DDIM at USEFUL_STEPS, or nothing besides
            where the default schedule has one step, because that model knows no others.
        detector: Put the face detector in. Without it the bundle swaps aligned crops only.
        licence: SPDX identifier of the checkpoint's weights.
        origin: Where the weights come from, in a few words.
    """

    name: str | None = None
    sampler: str | None = None
    steps: int | None = None
    others: tuple[ScheduleRequest, ...] | None = None
    detector: bool = True
    licence: str = "Apache-2.0"
    origin: str = "edgeswap, trained on rendered faces"

    def __post_init__(self) -> None:
        if self.sampler is not None:
            check_sampler(self.sampler)
        if self.steps is not None:
            check_steps(self.steps)

    def requests(self, swap: SwapConfig) -> tuple[ScheduleRequest, ...]:
        """The schedules to write for a checkpoint, the default one first, none twice."""
        default = ScheduleRequest(
            sampler=swap.default_sampler if self.sampler is None else self.sampler,
            steps=swap.default_steps if self.steps is None else self.steps,
        )
        others = self.others
        if others is None:
            counts = USEFUL_STEPS if swap.default_steps > 1 else ()
            others = tuple(ScheduleRequest(sampler="ddim", steps=count) for count in counts)
        return tuple({request.name: request for request in (default, *others)}.values())

    def to_json(self) -> dict[str, Any]:
        """For the bundle's history."""
        others = None if self.others is None else [r.to_json() for r in self.others]
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "others"}
        return {**plain, "others": others}
