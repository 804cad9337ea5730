"""edgeswap's export: a checkpoint in, a proven bundle out.

    from edgeswap_export import ExportConfig, export

    export("checkpoint", ExportConfig(), "bundle")

Importing this package imports nothing else; each name is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeswap_export._config import ExportConfig, ScheduleRequest
    from edgeswap_export._errors import ExportError, GraphFailed, ParityFailed
    from edgeswap_export._export import export
    from edgeswap_export._samplers._options import SamplerOptions
    from edgeswap_export._schedule import SAMPLERS, schedule_table
    from edgeswap_runtime._manifest import Schedule, ScheduleRow

_HOMES = {
    "SAMPLERS": "edgeswap_export._schedule",
    "ExportConfig": "edgeswap_export._config",
    "ExportError": "edgeswap_export._errors",
    "GraphFailed": "edgeswap_export._errors",
    "ParityFailed": "edgeswap_export._errors",
    "SamplerOptions": "edgeswap_export._samplers._options",
    "Schedule": "edgeswap_runtime._manifest",
    "ScheduleRequest": "edgeswap_export._config",
    "ScheduleRow": "edgeswap_runtime._manifest",
    "export": "edgeswap_export._export",
    "schedule_table": "edgeswap_export._schedule",
}

__all__ = [
    "SAMPLERS",
    "ExportConfig",
    "ExportError",
    "GraphFailed",
    "ParityFailed",
    "SamplerOptions",
    "Schedule",
    "ScheduleRequest",
    "ScheduleRow",
    "export",
    "schedule_table",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
