"""Watch the machine while something is timed: between the runs, never during one."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeswap_bench.trust.environment import rss_bytes
from edgeswap_bench.trust.machine import MachineState, read_machine, usable_cores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_EVERY_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One reading while the runs went on.

    Attributes:
        at_s: seconds since the first timed run.
        rss_bytes: resident memory of this process, or None.
        clock_mhz: of the processor, or None.
        temperature_c: of the hottest sensor, or None.
        others_cores: cores that other processes kept busy since the reading before, or None.
        gpu_clock_mhz: or None.
        gpu_used_bytes: or None.
    """

    at_s: float
    rss_bytes: int | None
    clock_mhz: float | None
    temperature_c: float | None
    others_cores: float | None
    gpu_clock_mhz: float | None
    gpu_used_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What the machine was like from the first timed run to the last.

    Attributes:
        before: the state at the start.
        after: the state at the end.
        moments: readings in between, in order.
        seconds: how long it took.
        usable_cores: cores this process may use.
        others_cores: cores kept busy by other processes, on average, or None.
        stolen_cores: cores that the hypervisor gave to other machines, on average, or None.
        energy_j: used by processor packages, or by the GPU or the board where those tell; None
            where nothing does.
        energy_source: "rapl", "nvml", "ina3221", or None.
    """

    before: MachineState
    after: MachineState
    moments: tuple[Moment, ...]
    seconds: float
    usable_cores: int
    others_cores: float | None
    stolen_cores: float | None
    energy_j: float | None
    energy_source: str | None


class MachineWatch:
    """Reads the machine at the start, now and then between runs, and at the end.

    Args:
        workers: process ids whose processor time is our own too, asked for at every reading.
        read: reads the machine, given those ids.
    """

    def __init__(
        self,
        workers: Callable[[], Iterable[int]] = tuple,
        read: Callable[[Iterable[int]], MachineState] = read_machine,
    ) -> None:
        self._workers, self._read = workers, read
        self._moments: list[Moment] = []
        self._watts: list[float] = []
        self._before = self._last = read(workers())

    def tick(self) -> None:
        """Read the machine, if the last reading is a quarter of a second old."""
        if time.monotonic() - self._last.at_s >= _EVERY_S:
            self._note(self._read(self._workers()))

    def stop(self) -> Conditions:
        """Read once more and sum up."""
        after = self._read(self._workers())
        self._note(after)
        before = self._before
        energy, source = _energy(before, after, self._watts)
        return Conditions(
            before=before,
            after=after,
            moments=tuple(self._moments),
            seconds=after.at_s - before.at_s,
            usable_cores=len(usable_cores()),
            others_cores=_others(before, after),
            stolen_cores=_rate(before.stolen_s, after.stolen_s, after.at_s - before.at_s),
            energy_j=energy,
            energy_source=source,
        )

    def _note(self, state: MachineState) -> None:
        self._moments.append(
            Moment(
                at_s=state.at_s - self._before.at_s,
                rss_bytes=rss_bytes(),
                clock_mhz=state.clock_mhz,
                temperature_c=state.temperature_c,
                others_cores=_others(self._last, state),
                gpu_clock_mhz=state.gpu.clock_mhz if state.gpu else None,
                gpu_used_bytes=state.gpu.used_bytes if state.gpu else None,
            )
        )
        if state.power_w is not None:
            self._watts.append(state.power_w)
        self._last = state


def without_moments(conditions: Conditions) -> Conditions:
    """Drop the readings in between, for a shorter report."""
    return dataclasses.replace(conditions, moments=())


def _others(start: MachineState, end: MachineState) -> float | None:
    """Cores that other processes kept busy between two readings."""
    busy = _rate(start.busy_s, end.busy_s, end.at_s - start.at_s)
    if busy is None:
        return None
    return max(0.0, busy - (end.own_s - start.own_s) / (end.at_s - start.at_s))


def _rate(start: float | None, end: float | None, seconds: float) -> float | None:
    if start is None or end is None or seconds <= 0:
        return None
    return (end - start) / seconds


def _energy(
    before: MachineState, after: MachineState, watts: list[float]
) -> tuple[float | None, str | None]:
    """Joules, and who measured them. A counter that wrapped around is not used."""
    if before.gpu and after.gpu and before.gpu.energy_j is not None and after.gpu.energy_j:
        return after.gpu.energy_j - before.gpu.energy_j, "nvml"
    if watts:
        return sum(watts) / len(watts) * (after.at_s - before.at_s), "ina3221"
    if before.energy_j is not None and after.energy_j is not None:
        used = after.energy_j - before.energy_j
        return (used, "rapl") if used >= 0 else (None, None)
    return None, None
