"""Settings of the export stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from edgeswap_export._errors import UnsupportedExport
from edgeswap_export._schedules import (
    ScheduleRequest,
    SchedulesConfig,
    parse_path,
    parse_settings,
    settings_of,
)
from edgeswap_export.precision import PRECISIONS

if TYPE_CHECKING:
    from edgeswap_compress.checkpoint.swap_config import SwapConfig


MOST_SWAPS = 100_000
LONGEST_NAME = 200
"""Characters of a bundle's name, as a manifest takes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphsConfig:
    """How the graphs with weights are written.

    Attributes:
        precision: a name in PRECISIONS; inputs and outputs stay float32.
        calibration_swaps: rendered swaps that value ranges are measured on, for fp16, int8 and fp8;
            at least 1. None takes 24, and fewer of crops above 96 px: as many pixels.
        batch: smallest, usual and largest batch; None for a fixed batch of one.
        compact: store weights in float16 where that changes no weight.

    Raises:
        UnsupportedExport: on construction, when the settings do not fit together.
    """

    precision: str = "fp32"
    calibration_swaps: int | None = None
    batch: tuple[int, int, int] | None = None
    compact: bool = False

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise UnsupportedExport(
                f"precision '{self.precision}': expected one of {', '.join(PRECISIONS)}"
            )
        if self.compact and self.precision != "fp32":
            raise UnsupportedExport(
                f"compact stores float32 weights in fewer bytes, and {self.precision} has fewer"
                " already: leave one of the two out"
            )
        swaps = self.calibration_swaps
        if swaps is not None and not 1 <= swaps <= MOST_SWAPS:
            raise UnsupportedExport(
                f"{swaps} calibration swaps: expected at least 1 and at most {MOST_SWAPS}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleInfo:
    """What a bundle says of itself.

    Attributes:
        name: None takes the name of the checkpoint's folder.
        license: SPDX identifier of the weights' license; None takes the checkpoint's.
        origin: where the weights come from, in a few words; None takes the checkpoint's.
    """

    name: str | None = None
    license: str | None = None
    origin: str | None = None

    def __post_init__(self) -> None:
        for field_name, most in (("name", LONGEST_NAME), ("license", 4000), ("origin", 4000)):
            text = getattr(self, field_name)
            if text is not None and not 1 <= len(text) <= most:
                raise UnsupportedExport(
                    f"{field_name} has {len(text)} characters: expected 1 to {most}"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportConfig:
    """How a checkpoint becomes a bundle.

    Attributes:
        schedules: which schedules the bundle stores.
        graphs: precision, batch and storage of the graphs with weights.
        info: name, license and origin.
        single_file: also write the whole swap as one graph, `swap.onnx`.
        detector: include the face detector; a bundle without it swaps aligned crops only.

    Raises:
        UnsupportedExport: on construction, when the settings do not fit together.
    """

    schedules: SchedulesConfig = field(default_factory=SchedulesConfig)
    graphs: GraphsConfig = field(default_factory=GraphsConfig)
    info: BundleInfo = field(default_factory=BundleInfo)
    single_file: bool = False
    detector: bool = True

    def __post_init__(self) -> None:
        if self.single_file and self.graphs.precision in ("bf16", "fp8"):
            raise UnsupportedExport(
                f"a single file in {self.graphs.precision} cannot be proven here: expected fp32,"
                " fp16 or int8"
            )

    def to_json(self) -> dict[str, Any]:
        """Return all settings side by side, as the command line names them, for the history."""
        parts = (self.schedules, self.graphs, self.info)
        plain = {f.name: getattr(part, f.name) for part in parts for f in fields(part)}
        path = settings_of(plain.pop("path"))
        others = self.schedules.others
        return {
            **plain,
            "single_file": self.single_file,
            "detector": self.detector,
            "options": [*settings_of(self.schedules.options), *path],
            "others": None if others is None else [request.to_json() for request in others],
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> ExportConfig:
        """Make a config of what `to_json` returns; any setting may be left out.

        Raises:
            UnsupportedExport: an unknown setting, or one of another type.
            ExportError: a value out of its range.
        """
        values = dict(raw)
        if unknown := sorted(set(values) - set(cls().to_json())):
            known = ", ".join(cls().to_json())
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
        values["path"], settings = parse_path(settings)
        if settings:
            if values.get("sampler") is None:
                raise UnsupportedExport("options belong to a sampler: name it too")
            values["options"] = parse_settings(values["sampler"], settings)
        return cls(
            schedules=SchedulesConfig(**_taken(SchedulesConfig, values)),
            graphs=GraphsConfig(**_taken(GraphsConfig, values)),
            info=BundleInfo(**_taken(BundleInfo, values)),
            **values,
        )


def _taken(part: type[Any], values: dict[str, Any]) -> dict[str, Any]:
    """Remove a part's settings from all of them, and return them."""
    return {f.name: values.pop(f.name) for f in fields(part) if f.name in values}


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
"""License and origin of weights of which neither is known."""


def license_of(config: ExportConfig, swap: SwapConfig | None = None) -> tuple[str, str]:
    """Return license and origin of the weights: those of the config, else the checkpoint's.

    Args:
        config: of the export.
        swap: of the checkpoint; None for a bare U-Net, whose folder has neither.

    Returns:
        license (SPDX identifier) and origin, each UNKNOWN where it is not stated.
    """
    own = None if swap is None or not swap.licenses else swap.licenses[0]
    stated = (None, None) if own is None else (own.license, own.origin)
    license_name, origin = config.info.license or stated[0], config.info.origin or stated[1]
    return license_name or UNKNOWN, origin or UNKNOWN


def parse_sizes(name: str, sizes: Any) -> tuple[int, int, int]:
    """Read the smallest, usual and largest size of a dynamic axis, from "1:4:8" or [1, 4, 8].

    Raises:
        UnsupportedExport: not three numbers of at least 1 in ascending order.
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
