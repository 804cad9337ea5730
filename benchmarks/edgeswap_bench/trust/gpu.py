"""Read an NVIDIA GPU's clocks, heat, power, memory and reasons for slowing down (NVML)."""

from __future__ import annotations

import functools
import importlib
from dataclasses import dataclass
from typing import Any

_HARMFUL = {
    0x4: "power limit",
    0x8: "hardware slowdown",
    0x20: "too hot (software)",
    0x40: "too hot (hardware)",
    0x80: "power brake",
}
"""Bits of NVML's clock event reasons that mean: slower than it could be.

Source: nvml.h, nvmlClocksEventReasons.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuState:
    """One GPU at one moment.

    Attributes:
        name: the maker's.
        driver: version of the kernel driver.
        clock_mhz: of the multiprocessors.
        temperature_c: of the chip.
        power_w: drawn now; None where it cannot be read.
        energy_j: used since the driver was loaded; None where it cannot be read.
        used_bytes: device memory in use by everybody.
        slow_reasons: why its clocks are below what they could be; empty when nothing holds them.
    """

    name: str
    driver: str
    clock_mhz: float
    temperature_c: float
    power_w: float | None
    energy_j: float | None
    used_bytes: int
    slow_reasons: tuple[str, ...]


def read_gpu(index: int = 0) -> GpuState | None:
    """Read a GPU's state; None without NVML (package nvidia-ml-py), driver or GPU."""
    nvml = _nvml()
    if nvml is None:
        return None
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        reasons = int(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle))
        return GpuState(
            name=_words(nvml.nvmlDeviceGetName(handle)),
            driver=_words(nvml.nvmlSystemGetDriverVersion()),
            clock_mhz=float(nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)),
            temperature_c=float(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
            power_w=_optional(nvml, "nvmlDeviceGetPowerUsage", handle),
            energy_j=_optional(nvml, "nvmlDeviceGetTotalEnergyConsumption", handle),
            used_bytes=int(nvml.nvmlDeviceGetMemoryInfo(handle).used),
            slow_reasons=tuple(words for bit, words in _HARMFUL.items() if reasons & bit),
        )
    except nvml.NVMLError:  # no such GPU, or one that does not tell (Jetson)
        return None


@functools.cache
def _nvml() -> Any:
    """The started library, or None."""
    try:
        nvml = importlib.import_module("pynvml")
    except ModuleNotFoundError:
        return None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:  # no driver
        return None
    return nvml


def _optional(nvml: Any, function: str, handle: Any) -> float | None:
    """A reading in thousandths that not every GPU gives."""
    try:
        return float(getattr(nvml, function)(handle)) / 1e3
    except nvml.NVMLError:
        return None


def _words(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
