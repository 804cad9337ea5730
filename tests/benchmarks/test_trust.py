"""What is read of a machine, and what a figure is then worth."""

from __future__ import annotations

import dataclasses
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from edgeswap_bench import Timing
from edgeswap_bench.trust import gpu
from edgeswap_bench.trust.environment import _status_field, environment, git_revision
from edgeswap_bench.trust.gpu import GpuState
from edgeswap_bench.trust.machine import MachineState, read_machine, usable_cores
from edgeswap_bench.trust.verdict import Verdict, judge, judge_machine, with_processes, worst
from edgeswap_bench.trust.watch import Conditions, MachineWatch, Moment

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

QUIET = MachineState(
    at_s=0.0, busy_s=10.0, stolen_s=0.0, own_s=1.0, clock_mhz=3000.0, temperature_c=40.0,
    throttle_events=3, quota_events=0, energy_j=100.0, power_w=None, gpu=None,
)  # fmt: skip
MOMENT = Moment(
    at_s=0.0, rss_bytes=1, clock_mhz=3000.0, temperature_c=None, others_cores=0.0,
    gpu_clock_mhz=None, gpu_used_bytes=None,
)  # fmt: skip
GPU = GpuState(
    name="A GPU", driver="1", clock_mhz=1000.0, temperature_c=50.0, power_w=10.0, energy_j=5.0,
    used_bytes=1, slow_reasons=(),
)  # fmt: skip


def watched(*states: MachineState) -> Conditions:
    """The conditions of a run that found the machine in these states."""
    found = iter(states)
    watch = MachineWatch(read=lambda workers: next(found))
    for _ in states[2:]:
        watch.tick()
    return watch.stop()


def steady(n: int = 40) -> Timing:
    """Timings that differ by a percent."""
    return Timing.of([10_000_000 + 100_000 * (k % 2) for k in range(n)])


def after(**changes: Any) -> MachineState:
    """Ten seconds later: one core was ours."""
    return dataclasses.replace(QUIET, **({"at_s": 10.0, "busy_s": 20.0, "own_s": 11.0} | changes))


def write(root: Path, files: dict[str, str]) -> None:
    """A made-up /proc and /sys."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_a_machine_is_read_from_its_files(tmp_path: Path) -> None:
    core = usable_cores()[0]
    ticks = os.sysconf("SC_CLK_TCK")
    write(tmp_path, {
        "proc/stat": f"cpu 9 9\ncpu{core} {ticks} {ticks} {ticks} 7 7 0 0 {2 * ticks} 0 0\n",
        "proc/77/stat": f"77 (a ) b) S 0 0 0 0 0 0 0 0 0 0 {ticks} {2 * ticks} 0",
        f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq": "2500000\n",
        f"sys/devices/system/cpu/cpu{core}/thermal_throttle/core_throttle_count": "4\n",
        "sys/class/thermal/thermal_zone0/temp": "41000\n",
        "sys/class/thermal/thermal_zone1/temp": "62500\n",
        "sys/fs/cgroup/cpu.stat": "usage_usec 5\nnr_throttled 6\n",
        "sys/class/powercap/intel-rapl:0/energy_uj": "3000000\n",
        "sys/class/powercap/intel-rapl:1/energy_uj": "2000000\n",
        "sys/class/powercap/intel-rapl:0:0/energy_uj": "9000000\n",
        "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3/in1_input": "5000\n",
        "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3/curr1_input": "2000\n",
    })  # fmt: skip
    mine = read_machine(root=tmp_path)
    state = read_machine([77], root=tmp_path)
    assert (state.busy_s, state.stolen_s) == (3.0, 2.0)
    assert state.own_s - mine.own_s == pytest.approx(3.0, abs=0.5)
    assert (state.clock_mhz, state.temperature_c) == (2500.0, 62.5)
    assert (state.throttle_events, state.quota_events) == (4, 6)
    assert (state.energy_j, state.power_w) == (5.0, 10.0)


def test_a_machine_that_tells_nothing(tmp_path: Path) -> None:
    state = dataclasses.asdict(read_machine([1], root=tmp_path))
    told = {name for name, value in state.items() if value is not None}
    assert told <= {"at_s", "own_s", "gpu"}
    conditions = watched(read_machine(root=tmp_path), read_machine(root=tmp_path))
    assert judge(steady(), conditions).state == "settled"


def test_this_machine_counts_our_own_work_as_ours() -> None:
    if read_machine().busy_s is None:
        pytest.skip("this system does not tell how busy its cores are")
    watch = MachineWatch()
    end = time.process_time() + 0.3
    while time.process_time() < end:
        pass
    found = watch.stop()
    spent = found.after.own_s - found.before.own_s
    assert spent >= 0.3 and (found.after.busy_s or 0) - (found.before.busy_s or 0) > 0.2
    assert found.others_cores is not None and found.others_cores < len(usable_cores())
    assert found.moments[-1].rss_bytes is None or found.moments[-1].rss_bytes > 1e6


def test_a_steady_figure_on_a_quiet_machine_is_settled() -> None:
    conditions = watched(QUIET, after())
    assert (conditions.others_cores, conditions.energy_j, conditions.energy_source) == (
        0.0, 0.0, "rapl")  # fmt: skip
    assert judge(steady(), conditions) == Verdict(state="settled", reasons=())
    assert str(judge(steady(), conditions)) == "settled"


@pytest.mark.parametrize(
    ("changes", "state", "words"),
    [
        ({"busy_s": 25.0}, "noisy", "other processes kept 0.50 cores busy"),
        ({"stolen_s": 5.0}, "noisy", "the hypervisor took 0.50 cores away"),
        ({"throttle_events": 5}, "throttled", "the processor slowed down for heat 2 times"),
        ({"quota_events": 1}, "throttled", "the container's processor quota held it up 1 times"),
        (
            {"gpu": dataclasses.replace(GPU, slow_reasons=("too hot (hardware)",))},
            "throttled",
            "the GPU is held back: too hot (hardware)",
        ),
    ],
)
def test_what_the_machine_did_is_told(changes: dict[str, Any], state: str, words: str) -> None:
    found = judge_machine(watched(QUIET, after(**changes)))
    assert found == Verdict(state=state, reasons=(words,))


def test_a_falling_clock_is_throttling() -> None:
    moments = tuple(dataclasses.replace(MOMENT, clock_mhz=mhz) for mhz in
                    (3000, 3010, 2990, 2900, 2800, 2700, 2500, 2500, 2500))  # fmt: skip
    conditions = dataclasses.replace(watched(QUIET, after()), moments=moments)
    assert judge_machine(conditions).reasons == (
        "the processor's clock fell from 3000 to 2500 MHz",
    )


@pytest.mark.parametrize(
    ("samples_ms", "settled", "state", "words"),
    [
        ([10.0] * 5, True, "few", "5 runs, p50 needs 6"),
        ([10.0, 14.0] * 10, True, "noisy", "p50 is known to ±17 % only"),
        ([10.0] * 20 + [12.0] * 20, True, "noisy", "p50 moved by 18 % during the run"),
        ([10.0] * 20, False, "noisy", "the warm-up ended before the figure settled"),
        ([0.10, 0.11] * 20, True, "settled", ""),
    ],
)
def test_what_the_samples_say_is_told(
    samples_ms: list[float], settled: bool, state: str, words: str
) -> None:
    timing = Timing.of([int(1e6 * value) for value in samples_ms])
    found = judge(timing, watched(QUIET, after()), settled=settled)
    assert found.state == state and words in str(found)


def test_the_worst_counts() -> None:
    good, bad = Verdict(state="settled", reasons=()), Verdict(state="noisy", reasons=("x",))
    assert worst([good, bad, good]) is bad
    assert worst([]).state == "few"


def test_energy_comes_from_whoever_tells() -> None:
    board = watched(dataclasses.replace(QUIET, power_w=9.0), after(power_w=11.0))
    assert (board.energy_j, board.energy_source) == (110.0, "ina3221")
    with_gpu = watched(
        dataclasses.replace(QUIET, gpu=GPU), after(gpu=dataclasses.replace(GPU, energy_j=45.0))
    )
    assert (with_gpu.energy_j, with_gpu.energy_source) == (40.0, "nvml")
    wrapped = watched(QUIET, after(energy_j=1.0))
    assert (wrapped.energy_j, wrapped.energy_source) == (None, None)


class FakeNvml:
    """What is used of NVML, with a GPU that is too hot."""

    NVML_CLOCK_SM, NVML_TEMPERATURE_GPU = 1, 0

    class NVMLError(Exception):
        """NVML's own."""

    def __init__(self, missing: Iterable[str] = ()) -> None:
        self.missing = set(missing)

    def __getattr__(self, name: str) -> Any:
        answers: dict[str, Any] = {
            "nvmlDeviceGetHandleByIndex": "handle",
            "nvmlDeviceGetCurrentClocksThrottleReasons": 0x40 | 0x1,
            "nvmlDeviceGetName": b"A GPU",
            "nvmlSystemGetDriverVersion": "580.1",
            "nvmlDeviceGetClockInfo": 1500,
            "nvmlDeviceGetTemperature": 91,
            "nvmlDeviceGetPowerUsage": 350_000,
            "nvmlDeviceGetTotalEnergyConsumption": 12_000,
            "nvmlDeviceGetMemoryInfo": type("Memory", (), {"used": 7}),
        }

        def call(*arguments: Any) -> Any:
            if name in self.missing:
                raise self.NVMLError
            return answers[name]

        return call


def test_a_gpu_is_read_through_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "_nvml", lambda: FakeNvml(["nvmlDeviceGetPowerUsage"]))
    assert gpu.read_gpu() == GpuState(
        name="A GPU", driver="580.1", clock_mhz=1500.0, temperature_c=91.0, power_w=None,
        energy_j=12.0, used_bytes=7, slow_reasons=("too hot (hardware)",),
    )  # fmt: skip
    monkeypatch.setattr(gpu, "_nvml", lambda: FakeNvml(["nvmlDeviceGetHandleByIndex"]))
    assert gpu.read_gpu() is None


def test_the_environment_says_which_code_and_machine(tmp_path: Path) -> None:
    write(tmp_path, {"sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave\n",
                     "sys/firmware/acpi/platform_profile": "balanced\n"})  # fmt: skip
    found = environment(tmp_path)
    assert found["cpu"]["usable_cores"] >= 1 and found["power_mode"] == "balanced"
    assert found["cpu_governor"] == "powersave" and "git_revision" in found
    assert git_revision(tmp_path) is None


def test_a_field_of_the_status_file(tmp_path: Path) -> None:
    write(tmp_path, {"status": "Name: x\nVmHWM:\t  12 kB\n"})
    assert _status_field("VmHWM", tmp_path / "status") == 12_288
    assert _status_field("VmRSS", tmp_path / "status") is None
    assert _status_field("VmHWM", tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    ("medians_ms", "state"),
    [
        ([], "settled"),
        ([10.0], "settled"),
        ([10.0, 10.4, 9.8], "settled"),
        ([10.0, 10.1, 10.7], "noisy"),
        ([9.0, 10.0, 10.1], "noisy"),
        ([0.010, 0.020, 0.015], "settled"),  # the clock's own differences
    ],
)
def test_processes_that_disagree_make_a_figure_noisy(medians_ms: list[float], state: str) -> None:
    found = with_processes(Verdict(state="settled", reasons=()), medians_ms)
    assert found.state == state
    assert (found.reasons != ()) == (state == "noisy")


def test_processes_that_disagree_are_told_beside_what_is_worse() -> None:
    found = with_processes(Verdict(state="throttled", reasons=("hot",)), [10.0, 10.0, 12.0])
    assert found == Verdict(
        state="throttled", reasons=("hot", "a fresh process lies 20 % from the others' median")
    )
