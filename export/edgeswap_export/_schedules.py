"""Settings of the schedules that a bundle stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from edgeswap_export._errors import UnsupportedSchedule
from edgeswap_export.samplers.options import SamplerOptions, SamplingPath
from edgeswap_export.samplers.schedule import SAMPLERS, check_sampler, check_steps

if TYPE_CHECKING:
    from edgeswap_compress.checkpoint.swap_config import SwapConfig

USEFUL_STEPS = (1, 2, 4, 8, 25)
"""Steps of the DDIM schedules that a bundle stores besides its default one."""

FEWEST_OF_NOISE = 8
"""Least of these for a checkpoint that predicts the noise. With Stable Diffusion's schedule the
signal at the last timestep is 0.068, so that the first step magnifies every error of the prediction
15 times; what few large steps make of it is no picture, and no float16 holds it."""

LARGE_LATENTS = 32
"""Side of latents above which a bundle stores its default schedule alone, unless others are named:
each is proven step by step, which takes hours at the size of Stable Diffusion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRequest:
    """One schedule table to store in a bundle.

    Attributes:
        sampler: a name in SAMPLERS.
        steps: at least 1.
        options: the sampler's own; None takes what the scheduler config states.
        path: spacing of the timesteps, start and blending.
    """

    sampler: str
    steps: int
    options: SamplerOptions | None = None
    path: SamplingPath = field(default_factory=SamplingPath)

    def __post_init__(self) -> None:
        check_sampler(self.sampler)
        check_steps(self.steps)

    @property
    def name(self) -> str:
        """The name in the manifest, such as "ddim-4" or "ddim-4-eta=0.5"."""
        return "-".join([self.sampler, str(self.steps), *self._settings()])

    def _settings(self) -> list[str]:
        return [*settings_of(self.options), *settings_of(self.path)]

    def to_json(self) -> dict[str, Any]:
        """Return sampler, steps and options, for the bundle's history."""
        return {"sampler": self.sampler, "steps": self.steps, "options": self._settings()}

    @classmethod
    def from_json(cls, raw: Any) -> ScheduleRequest:
        """Make a request of what `to_json` returns; "options" may be left out.

        Raises:
            UnsupportedSchedule: another form.
        """
        if (
            not isinstance(raw, Mapping)
            or not {"sampler", "steps"} <= set(raw)
            or set(raw) - {"sampler", "steps", "options"}
        ):
            raise UnsupportedSchedule(f"a schedule is {{sampler, steps, options}}, found {raw!r}")
        settings = raw.get("options") or []
        path, own = parse_path(settings)
        options = parse_settings(raw["sampler"], own) if own else None
        return cls(sampler=raw["sampler"], steps=raw["steps"], options=options, path=path)

    @classmethod
    def parse(cls, text: str) -> ScheduleRequest:
        """Read "SAMPLER:STEPS" or "SAMPLER:STEPS:NAME=VALUE,...".

        The names are those of the sampler's options and of `SamplingPath`.

        Raises:
            UnsupportedSchedule: another form.
            UnknownSampler: no such sampler.
        """
        sampler, _, rest = text.partition(":")
        steps, _, settings = rest.partition(":")
        if not steps.isdecimal():
            raise UnsupportedSchedule(f"schedule '{text}': expected SAMPLER:STEPS, such as lcm:4")
        path, own = parse_path(settings.split(",") if settings else [])
        options = parse_settings(sampler, own) if own else None
        return cls(sampler=sampler, steps=int(steps), options=options, path=path)


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulesConfig:
    """Which schedules a bundle stores.

    Attributes:
        sampler: sampler of the default schedule; None takes the checkpoint's.
        steps: steps of the default schedule, at least 1; None takes the checkpoint's.
        options: of `sampler`; None takes the defaults.
        others: more schedules; None stores DDIM at USEFUL_STEPS (from FEWEST_OF_NOISE on where the
            noise is predicted), and nothing more for a checkpoint of one step, which cannot sample
            in several, or a large one.
        path: spacing, start and blending of the default schedule and of DDIM's; what it does not
            state is the checkpoint's.

    Raises:
        ExportError: on construction, when a value is out of its range.
    """

    sampler: str | None = None
    steps: int | None = None
    options: SamplerOptions | None = None
    others: tuple[ScheduleRequest, ...] | None = None
    path: SamplingPath = field(default_factory=SamplingPath)

    def __post_init__(self) -> None:
        if self.sampler is not None:
            check_sampler(self.sampler)
        if self.steps is not None:
            check_steps(self.steps)

    def requests(self, swap: SwapConfig, prediction: str) -> tuple[ScheduleRequest, ...]:
        """List the schedules for a checkpoint, the default one first, none twice.

        Args:
            swap: of the checkpoint.
            prediction: what it predicts, as its scheduler_config.json says.
        """
        path = self._path(swap)
        default = ScheduleRequest(
            sampler=swap.default_sampler if self.sampler is None else self.sampler,
            steps=swap.default_steps if self.steps is None else self.steps,
            options=self.options,
            path=path,
        )
        others = self.others
        if others is None:
            counts = USEFUL_STEPS if swap.default_steps > 1 and not is_large(swap) else ()
            fewest = FEWEST_OF_NOISE if prediction == "epsilon" else 1
            others = tuple(
                ScheduleRequest(sampler="ddim", steps=count, path=path)
                for count in counts
                if count >= fewest and (path.strength is None or int(count * path.strength) >= 1)
            )
        return tuple({request.name: request for request in (default, *others)}.values())

    def _path(self, swap: SwapConfig) -> SamplingPath:
        """Put what is stated here over the checkpoint's own."""
        usual = SamplingPath()
        stated = {f.name: getattr(self.path, f.name) for f in fields(SamplingPath)}
        asked = {name: v for name, v in stated.items() if v != getattr(usual, name)}
        return replace(path_of(swap), **asked)


def path_of(swap: SwapConfig) -> SamplingPath:
    """Take spacing, start and blending from a checkpoint's own sampling."""
    start = swap.sampling.start
    return SamplingPath(
        spacing=swap.sampling.spacing,
        strength=start.strength if start.at == "target" else None,
        blend=swap.sampling.blend == "latents",
    )


def is_large(swap: SwapConfig) -> bool:
    """Tell whether every schedule costs so much that only the default one is proven."""
    return swap.latent_size > LARGE_LATENTS


def parse_path(settings: Sequence[str]) -> tuple[SamplingPath, list[str]]:
    """Take the settings of a path out of "name=value" strings; return the others too.

    Raises:
        UnsupportedSchedule: a value does not fit.
    """
    known = {setting.name for setting in fields(SamplingPath)}
    values: dict[str, Any] = {}
    others = []
    for setting in settings:
        name, equals, text = setting.partition("=")
        if name not in known or not equals:
            others.append(setting)
        elif name == "strength":
            values[name] = _number(setting, text)
        elif name == "blend":
            if text not in ("True", "true", "False", "false"):
                raise UnsupportedSchedule(f"blend: expected true or false, found {text!r}")
            values[name] = text.lower() == "true"
        else:
            values[name] = text
    return SamplingPath(**values), others


def _number(setting: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise UnsupportedSchedule(f"'{setting}': expected a number") from error


def settings_of(options: SamplerOptions | SamplingPath | None) -> list[str]:
    """List the options that are not the default, as "name=value"."""
    if options is None:
        return []
    default = type(options)()
    names = [field.name for field in fields(options)]
    changed = [n for n in names if getattr(options, n) != getattr(default, n)]
    return [f"{name}={getattr(options, name)}" for name in changed]


def parse_settings(sampler: str, settings: Sequence[str]) -> SamplerOptions:
    """Read a sampler's options from "name=value" strings; the inverse of `settings_of`.

    Raises:
        UnknownSampler: no such sampler.
        UnsupportedSchedule: it has no such option, or the value does not fit.
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
