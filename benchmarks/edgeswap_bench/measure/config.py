"""Say what is timed, how often and on what."""

from __future__ import annotations

from dataclasses import dataclass

from edgeswap_runtime.errors import InvalidRequest

TASKS = ("identity", "picture", "crop", "unet")
"""What can be timed; README.md says from where to where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchConfig:
    """Say what to time and for how long.

    Attributes:
        runs: at least so many timed runs of everything.
        seconds: and at least so long, in all.
        warmup: untimed runs before; None means until the figures settle, 60 runs or 20 seconds
            at most.
        sizes: (height, width) in pixels of the target; its own size when empty.
        tasks: some of `TASKS`.
        batches: batch sizes for throughput; none when empty.
        starts: cold starts to time, each in a fresh process, with an empty and with a filled
            cache; with at least one, memory is measured too.
    """

    runs: int = 50
    seconds: float = 0.0
    warmup: int | None = None
    sizes: tuple[tuple[int, int], ...] = ()
    tasks: tuple[str, ...] = ("identity", "picture")
    batches: tuple[int, ...] = ()
    starts: int = 0

    def __post_init__(self) -> None:
        if self.runs < 1 or (self.warmup is not None and self.warmup < 0):
            raise InvalidRequest(
                f"runs is {self.runs} and warmup {self.warmup}, expected at least 1 and 0"
            )
        if not 0 <= self.seconds <= 86_400 or not 0 <= self.starts <= 100:
            raise InvalidRequest(
                f"seconds is {self.seconds} and starts {self.starts}, expected 0 to 86400 and "
                "0 to 100"
            )
        unknown = sorted(set(self.tasks) - set(TASKS))
        if unknown or not self.tasks:
            raise InvalidRequest(
                f"there is no task '{(unknown or [''])[0]}': expected some of {', '.join(TASKS)}"
            )
        if any(batch < 1 for batch in self.batches):
            raise InvalidRequest(f"batches are {list(self.batches)}, expected 1 or more each")


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapOptions:
    """How a bundle is run: every option that a `Swapper` has.

    Attributes:
        backend: a name from the table of backends.
        device: what that backend calls its device.
        precision: what to compute in; the graphs' own when None.
        threads: CPU threads; the backend's choice when None.
        schedule: by name; the bundle's default when None.
        seed: of the noise.
    """

    backend: str = "ort"
    device: str = "cpu"
    precision: str | None = None
    threads: int | None = None
    schedule: str | None = None
    seed: int = 0
