"""Export: turn a checkpoint into a bundle of ONNX graphs, and prove that both compute the same.

    from edgeswap_export import ExportConfig, export

    export("checkpoint", ExportConfig(), "bundle")

Importing this package imports nothing else; each name is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeswap_runtime.lazy import lazy_names

if TYPE_CHECKING:
    from edgeswap_export._config import BundleInfo, ExportConfig, GraphsConfig
    from edgeswap_export._errors import ExportError, GraphNotExported, ParityFailed
    from edgeswap_export._schedules import ScheduleRequest, SchedulesConfig
    from edgeswap_export.samplers.options import SamplerOptions
    from edgeswap_export.samplers.schedule import SAMPLERS, schedule_table
    from edgeswap_export.stage import export
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "edgeswap_export._config": ("BundleInfo", "ExportConfig", "GraphsConfig"),
            "edgeswap_export._errors": ("ExportError", "GraphNotExported", "ParityFailed"),
            "edgeswap_export._schedules": ("ScheduleRequest", "SchedulesConfig"),
            "edgeswap_export.stage": ("export",),
            "edgeswap_export.samplers.options": ("SamplerOptions",),
            "edgeswap_export.samplers.schedule": ("SAMPLERS", "schedule_table"),
        },
    )

__all__ = [
    "SAMPLERS",
    "BundleInfo",
    "ExportConfig",
    "ExportError",
    "GraphNotExported",
    "GraphsConfig",
    "ParityFailed",
    "SamplerOptions",
    "ScheduleRequest",
    "SchedulesConfig",
    "export",
    "schedule_table",
]
