"""Read what a machine is doing right now: clocks, heat, throttling, other processes, energy.

Everything is read from Linux's /proc and /sys, and from NVIDIA's management library where it is
installed. What a system does not tell is None; nothing here raises for that.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgeswap_bench.trust.gpu import GpuState, read_gpu

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineState:
    """What was read at one moment; counters count since the system or the process started.

    Attributes:
        at_s: monotonic time.
        busy_s: processor time of everybody on the cores this process may use, or None.
        stolen_s: time that a hypervisor gave to other machines, or None.
        own_s: processor time of this process and its workers.
        clock_mhz: mean over the usable cores, or None.
        temperature_c: of the hottest sensor, or None.
        throttle_events: times the processor slowed down for heat, or None.
        quota_events: times a container's processor quota held its processes up, or None.
        energy_j: what the processor packages have used, or None.
        power_w: of a board with power sensors (Jetson), now, or None.
        gpu: the first GPU, or None.
    """

    at_s: float
    busy_s: float | None
    stolen_s: float | None
    own_s: float
    clock_mhz: float | None
    temperature_c: float | None
    throttle_events: int | None
    quota_events: int | None
    energy_j: float | None
    power_w: float | None
    gpu: GpuState | None


def read_machine(workers: Iterable[int] = (), root: Path = Path("/")) -> MachineState:
    """Read the machine's state; takes about a millisecond.

    Args:
        workers: process ids whose processor time is our own too.
        root: where `/proc` and `/sys` are looked for.
    """
    cores = usable_cores()
    busy, stolen = _core_times(root / "proc/stat", cores)
    own = time.process_time() + sum(_process_seconds(root / f"proc/{pid}/stat") for pid in workers)
    cpus = root / "sys/devices/system/cpu"
    throttles = [
        _number(file) for core in cores
        for file in (cpus / f"cpu{core}/thermal_throttle/core_throttle_count",)
    ]  # fmt: skip
    return MachineState(
        at_s=time.monotonic(),
        busy_s=busy,
        stolen_s=stolen,
        own_s=own,
        clock_mhz=_clock_mhz(root, cores),
        temperature_c=_scaled(_most(root, "sys/class/thermal/thermal_zone*/temp"), 1e-3),
        throttle_events=_sum(throttles),
        quota_events=_quota_events(root / "sys/fs/cgroup/cpu.stat"),
        energy_j=_scaled(_sum(_numbers(root, "sys/class/powercap/*rapl:?/energy_uj")), 1e-6),
        power_w=_board_power_w(root),
        gpu=read_gpu(),
    )


def usable_cores() -> tuple[int, ...]:
    """Number the cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def _core_times(stat: Path, cores: Sequence[int]) -> tuple[float | None, float | None]:
    """Busy and stolen seconds, summed over cores. Source: man 5 proc_stat."""
    busy = stolen = 0
    wanted, found = {f"cpu{core}" for core in cores}, False
    for line in _text(stat).splitlines():
        name, *fields = line.split()
        if name in wanted and len(fields) >= 8:
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, fields[:8])
            busy += user + nice + system + irq + softirq
            stolen += steal
            found = True
    ticks = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
    return (busy / ticks, stolen / ticks) if found else (None, None)


def _process_seconds(stat: Path) -> float:
    """Processor time of a process; 0 when it has ended. Source: man 5 proc_pid_stat."""
    fields = _text(stat).rpartition(")")[2].split()
    if len(fields) < 13:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _clock_mhz(root: Path, cores: Sequence[int]) -> float | None:
    cpus = root / "sys/devices/system/cpu"
    found = [_number(cpus / f"cpu{core}/cpufreq/scaling_cur_freq") for core in cores]
    khz = [value for value in found if value is not None]
    if khz:
        return sum(khz) / len(khz) / 1e3
    lines = _text(root / "proc/cpuinfo").splitlines()
    mhz = [float(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")]
    return sum(mhz) / len(mhz) if mhz else None


def _quota_events(stat: Path) -> int | None:
    for line in _text(stat).splitlines():
        name, _, value = line.partition(" ")
        if name == "nr_throttled":
            return int(value)
    return None


def _board_power_w(root: Path) -> float | None:
    """Power of a Jetson's input rail: millivolts times milliamperes of its first INA3221."""
    for folder in sorted(root.glob("sys/bus/i2c/drivers/ina3221/*/hwmon/hwmon*")):
        volts, amperes = _number(folder / "in1_input"), _number(folder / "curr1_input")
        if volts is not None and amperes is not None:
            return volts * amperes / 1e6
    return None


def _numbers(root: Path, pattern: str) -> list[int]:
    found = [_number(file) for file in sorted(root.glob(pattern))]
    return [value for value in found if value is not None]


def _most(root: Path, pattern: str) -> int | None:
    return max(_numbers(root, pattern), default=None)


def _sum(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _scaled(value: int | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.lstrip("-").isdigit() else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:  # not this kind of system, or not for this user to read
        return ""
