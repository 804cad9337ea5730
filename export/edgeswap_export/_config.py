"""What an export may be asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_export._errors import UnsupportedExport, UnsupportedSchedule
from edgeswap_export.precision import PRECISIONS
from edgeswap_export.samplers.options import SamplerOptions
from edgeswap_export.samplers.schedule import SAMPLERS, check_sampler, check_steps

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
        return "-".join([self.sampler, str(self.steps), *settings_of(self.options)])

    def to_json(self) -> dict[str, Any]:
        """For the bundle's history."""
        return {"sampler": self.sampler, "steps": self.steps, "options": settings_of(self.options)}

    @classmethod
    def from_json(cls, raw: Any) -> ScheduleRequest:
        """Rebuild from `to_json`; "options" may be left out.

        Raises:
            UnsupportedSchedule: another form.
        """
        if (
            not isinstance(raw, Mapping)
            or not {"sampler", "steps"} <= set(raw)
            or set(raw)
            - {
                "sampler",
                "steps",
                "options",
            }
        ):
            raise UnsupportedSchedule(f"a schedule is {{sampler, steps, options}}, found {raw!r}")
        settings = raw.get("options") or []
        options = parse_settings(raw["sampler"], settings) if settings else None
        return cls(sampler=raw["sampler"], steps=raw["steps"], options=options)

    @classmethod
    def parse(cls, text: str) -> ScheduleRequest:
        """Read "SAMPLER:STEPS" or "SAMPLER:STEPS:NAME=VALUE,...".

        Raises:
            UnsupportedSchedule: another form.
            UnknownSampler: no such sampler.
        """
        sampler, _, rest = text.partition(":")
        steps, _, settings = rest.partition(":")
        if not steps.isdecimal():
            raise UnsupportedSchedule(f"schedule '{text}': expected SAMPLER:STEPS, such as lcm:4")
        options = parse_settings(sampler, settings.split(",")) if settings else None
        return cls(sampler=sampler, steps=int(steps), options=options)


MOST_SWAPS = 100_000
LONGEST_NAME = 200
"""Characters of a bundle's name, as a manifest takes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportConfig:
    """How a checkpoint becomes a bundle.

    Attributes:
        name: The bundle's name in its manifest; None takes the checkpoint folder's,
            as far as it goes.
        sampler: Sampler of the default schedule; None takes the checkpoint's.
        steps: Steps of the default schedule; None takes the checkpoint's.
        others: Schedules stored besides; None stores DDIM at USEFUL_STEPS, or nothing besides
            where the default schedule has one step, because that model knows no others.
        options: Of the default schedule's sampler; None takes their defaults.
        precision: Of the four graphs with weights, a name in PRECISIONS. Their inputs and outputs
            stay float32.
        calibration_swaps: Rendered swaps that ranges are observed on, for fp16, int8 and fp8.
        batch: The least, the usual and the largest batch of the four graphs; None is one, for good.
        single_file: Write the whole swap as one graph, `swap.onnx`, besides.
        compact: Store weights in float16 where it holds them exactly; the graphs compute the same.
        detector: Put the face detector in. Without it the bundle swaps aligned crops only.
        license: SPDX identifier of the checkpoint's weights; None takes the checkpoint's own.
        origin: Where the weights come from, in a few words; None takes the checkpoint's own.
    """

    name: str | None = None
    sampler: str | None = None
    steps: int | None = None
    others: tuple[ScheduleRequest, ...] | None = None
    options: SamplerOptions | None = None
    precision: str = "fp32"
    calibration_swaps: int = 24
    batch: tuple[int, int, int] | None = None
    single_file: bool = False
    compact: bool = False
    detector: bool = True
    license: str | None = None
    origin: str | None = None

    def __post_init__(self) -> None:
        if self.sampler is not None:
            check_sampler(self.sampler)
        if self.steps is not None:
            check_steps(self.steps)
        if self.precision not in PRECISIONS:
            raise UnsupportedExport(
                f"precision '{self.precision}': expected one of {', '.join(PRECISIONS)}"
            )
        if self.single_file and self.precision in ("bf16", "fp8"):
            raise UnsupportedExport(
                f"a single file in {self.precision} cannot be proven here: expected fp32, fp16 or"
                " int8"
            )
        if self.compact and self.precision != "fp32":
            raise UnsupportedExport(
                f"compact stores float32 weights in fewer bytes, and {self.precision} has fewer"
                " already: leave one of the two out"
            )
        if not 1 <= self.calibration_swaps <= MOST_SWAPS:
            raise UnsupportedExport(
                f"{self.calibration_swaps} calibration swaps: expected at least 1 and at most "
                f"{MOST_SWAPS}"
            )
        for field, most in (("name", LONGEST_NAME), ("license", 4000), ("origin", 4000)):
            text = getattr(self, field)
            if text is not None and not 1 <= len(text) <= most:
                raise UnsupportedExport(f"{field} has {len(text)} characters: expected 1 to {most}")

    def requests(self, swap: SwapConfig) -> tuple[ScheduleRequest, ...]:
        """The schedules to write for a checkpoint, the default one first, none twice."""
        default = ScheduleRequest(
            sampler=swap.default_sampler if self.sampler is None else self.sampler,
            steps=swap.default_steps if self.steps is None else self.steps,
            options=self.options,
        )
        others = self.others
        if others is None:
            counts = USEFUL_STEPS if swap.default_steps > 1 else ()
            others = tuple(ScheduleRequest(sampler="ddim", steps=count) for count in counts)
        return tuple({request.name: request for request in (default, *others)}.values())

    def to_json(self) -> dict[str, Any]:
        """For the bundle's history."""
        others = None if self.others is None else [r.to_json() for r in self.others]
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        return {**plain, "others": others, "options": settings_of(self.options)}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> ExportConfig:
        """Rebuild from `to_json`, or from a recipe's table, where any field may be left out.

        Raises:
            UnsupportedExport: an unknown field, or one of another type.
            ExportError: a value that cannot be.
        """
        values = dict(raw)
        if unknown := sorted(set(values) - {f.name for f in fields(cls)}):
            known = ", ".join(f.name for f in fields(cls))
            raise UnsupportedExport(
                f"export has no setting '{unknown[0]}': expected some of {known}"
            )
        if (batch := values.pop("batch", None)) is not None:
            values["batch"] = parse_sizes("batch", batch)
        others, settings = values.pop("others", None), values.pop("options", None) or []
        for name, value in values.items():
            if name in _KINDS and value is not None and type(value) is not _KINDS[name]:
                raise UnsupportedExport(
                    f"export.{name} is {value!r}, expected {_KINDS[name].__name__}"
                )
        if others is not None:
            values["others"] = tuple(ScheduleRequest.from_json(entry) for entry in others)
        if settings:
            if values.get("sampler") is None:
                raise UnsupportedExport("options belong to a sampler: name it too")
            values["options"] = parse_settings(values["sampler"], settings)
        return cls(**values)


_KINDS: dict[str, type] = {
    "name": str,
    "sampler": str,
    "steps": int,
    "precision": str,
    "calibration_swaps": int,
    "single_file": bool,
    "compact": bool,
    "detector": bool,
    "license": str,
    "origin": str,
}


UNKNOWN = "unknown"
"""What a bundle says of weights whose license or origin nobody has stated."""


def license_of(config: ExportConfig, swap: SwapConfig | None = None) -> tuple[str, str]:
    """License and origin of the weights: as the export was told, else as the checkpoint says.

    Args:
        config: of the export.
        swap: of the checkpoint; None for a bare U-Net, whose folder states neither.

    Returns:
        license (SPDX identifier) and origin, each UNKNOWN where nobody has stated it.
    """
    stated = (None, None) if swap is None else (swap.license, swap.origin)
    license_name, origin = config.license or stated[0], config.origin or stated[1]
    return license_name or UNKNOWN, origin or UNKNOWN


def parse_sizes(name: str, sizes: Any) -> tuple[int, int, int]:
    """The least, the usual and the largest of a dynamic axis, from "1:4:8" or [1, 4, 8].

    Raises:
        UnsupportedExport: not three growing numbers from 1 on.
    """
    parts = sizes.split(":") if isinstance(sizes, str) else sizes
    try:
        least, usual, most = (int(part) for part in parts)
    except (TypeError, ValueError):
        least, usual, most = 0, 0, 0
    if not 1 <= least <= usual <= most:
        raise UnsupportedExport(
            f"{name} {sizes}: expected MIN:OPT:MAX of at least 1, such as 1:4:8"
        )
    return least, usual, most


def settings_of(options: SamplerOptions | None) -> list[str]:
    """The options that differ from their defaults, as "name=value"."""
    if options is None:
        return []
    default = type(options)()
    names = [field.name for field in fields(options)]
    changed = [n for n in names if getattr(options, n) != getattr(default, n)]
    return [f"{name}={getattr(options, name)}" for name in changed]


def parse_settings(sampler: str, settings: Sequence[str]) -> SamplerOptions:
    """A sampler's options from "name=value" strings; the inverse of `settings_of`.

    Raises:
        UnknownSampler: no such sampler.
        UnsupportedSchedule: it has no such option, or not with such a value.
    """
    check_sampler(sampler)
    kind = SAMPLERS[sampler].options
    defaults = kind()
    known = {field.name: type(getattr(defaults, field.name)) for field in fields(kind)}
    values: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if name not in known or not equals:
            expected = ", ".join(f"{n}=..." for n in known) or "none"
            raise UnsupportedSchedule(f"{sampler} has no option '{setting}': expected {expected}")
        try:
            values[name] = known[name](text)
        except ValueError as error:
            raise UnsupportedSchedule(
                f"{sampler} {name}: expected {known[name].__name__}, found {text!r}"
            ) from error
    return kind(**values)
