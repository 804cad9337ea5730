"""edgeswap's export: a checkpoint in, a proven bundle out.

    from edgeswap_export import ExportConfig, export

    export("checkpoint", ExportConfig(), "bundle")

Importing this package imports nothing else; each name is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeswap_runtime.lazy import lazy_names

if TYPE_CHECKING:
    from edgeswap_export._config import ExportConfig, ScheduleRequest
    from edgeswap_export._errors import ExportError, GraphNotExported, ParityFailed
    from edgeswap_export._stage import export
    from edgeswap_export.samplers.options import SamplerOptions
    from edgeswap_export.samplers.schedule import SAMPLERS, schedule_table
    from edgeswap_runtime.bundle.manifest import Schedule, ScheduleRow
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "edgeswap_export._config": (
                "ExportConfig",
                "ScheduleRequest",
            ),
            "edgeswap_export._errors": (
                "ExportError",
                "GraphNotExported",
                "ParityFailed",
            ),
            "edgeswap_export._stage": ("export",),
            "edgeswap_export.samplers.options": ("SamplerOptions",),
            "edgeswap_export.samplers.schedule": (
                "SAMPLERS",
                "schedule_table",
            ),
            "edgeswap_runtime.bundle.manifest": (
                "Schedule",
                "ScheduleRow",
            ),
        },
    )

__all__ = [
    "SAMPLERS",
    "ExportConfig",
    "ExportError",
    "GraphNotExported",
    "ParityFailed",
    "SamplerOptions",
    "Schedule",
    "ScheduleRequest",
    "ScheduleRow",
    "export",
    "schedule_table",
]
