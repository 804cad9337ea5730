"""What a fresh process does to be timed or weighed; started by `measure.fresh`, never imported.

    python -m edgeswap_bench.measure._fresh_worker start|weigh|swap REQUEST

REQUEST is JSON: bundle, backend, device, precision, threads, schedule. The answer is one line of
JSON on standard output.
"""

from __future__ import annotations

import time

_AWAKE_NS = time.monotonic_ns()

# What follows belongs to what is measured.
import json  # noqa: E402
import sys  # noqa: E402
from typing import Any  # noqa: E402

_STEADY_SWAPS, _STEADY_NS = 100, 2_000_000_000
"""How many more swaps of a crop a start times, and for how long at most."""


def start(request: dict[str, Any]) -> dict[str, Any]:
    """Open a bundle, swap twice, and go on; when each step was done, by the monotonic clock."""
    marks = {"interpreter": _AWAKE_NS}
    from edgeswap_runtime.backends import BACKENDS

    __import__(BACKENDS[request["backend"]][0].partition(":")[0])
    marks["imported"] = time.monotonic_ns()
    swapper = _open(request)
    marks["opened"] = time.monotonic_ns()
    for name in ("first", "second"):
        _swap(swapper)
        marks[name] = time.monotonic_ns()
    marks["steady_ns"] = _steady_ns(swapper)
    swapper.close()
    return marks


def _steady_ns(swapper: Any) -> int:
    """The median of more swaps of a crop: what this process is fast at, once it is warm."""
    import statistics

    found: list[int] = []
    begun = time.monotonic_ns()
    while len(found) < _STEADY_SWAPS and (not found or time.monotonic_ns() - begun < _STEADY_NS):
        since = time.monotonic_ns()
        _swap_crop(swapper)
        found.append(time.monotonic_ns() - since)
    return int(statistics.median(found))


def weigh(request: dict[str, Any]) -> dict[str, Any]:
    """Open and run graph after graph, then swap by them; what each step added to the memory."""
    from edgeswap_bench.trust.environment import peak_rss_bytes, rss_bytes

    found: dict[str, int] = {}
    last = 0

    def note(step: str) -> None:
        nonlocal last
        now = rss_bytes() or 0
        found[step], last = now - last, now

    note("python")
    from edgeswap_bench.measure.inputs import seeded_inputs
    from edgeswap_runtime import Bundle, Swapper
    from edgeswap_runtime.backends import BACKENDS, open_backend
    from edgeswap_runtime.backends.protocol import BackendRequest

    bundle = Bundle.open(request["bundle"])
    note("runtime")
    __import__(BACKENDS[request["backend"]][0].partition(":")[0])
    note("backend library")
    kept: dict[str, Any] = {}
    for name, path in bundle.graph_paths().items():
        backend = open_backend(
            request["backend"],
            BackendRequest(
                graphs={name: path},
                device=request["device"],
                threads=request["threads"],
                precision=request["precision"],
                bundle=bundle,
            ),
        )
        kept[name] = backend
        note(f"open {name}")
        arrays = seeded_inputs(bundle.manifest.graphs[name])
        for _ in range(3):
            backend.run(name, {k: backend.upload(v) for k, v in arrays.items()})
        note(f"run {name}")
    swapper = Swapper.open(bundle, backend=_OneEach(kept), schedule=request["schedule"])
    for _ in range(3):
        _swap(swapper)
    note("swap")
    return {"steps": found, "peak_bytes": peak_rss_bytes() or 0}


class _OneEach:
    """Backends of one graph each, used as one."""

    def __init__(self, backends: dict[str, Any]) -> None:
        self._backends = backends
        first = next(iter(backends.values()))
        self.upload, self.download = first.upload, first.download

    def run(self, graph: str, inputs: Any) -> Any:
        return self._backends[graph].run(graph, inputs)

    def close(self) -> None:
        for backend in self._backends.values():
            backend.close()


def swap(request: dict[str, Any]) -> dict[str, Any]:
    """Open the whole bundle and swap; the resident memory of such a process."""
    from edgeswap_bench.trust.environment import peak_rss_bytes, rss_bytes

    swapper = _open(request)
    for _ in range(3):
        _swap(swapper)
    return {"swapper_bytes": rss_bytes() or 0, "peak_bytes": peak_rss_bytes() or 0}


def _open(request: dict[str, Any]) -> Any:
    from edgeswap_runtime import Swapper

    names = ("backend", "device", "precision", "threads", "schedule")
    return Swapper.open(request["bundle"], **{name: request[name] for name in names})


def _swap(swapper: Any) -> None:
    """Swap a crop, and look for a face where the bundle can."""
    import numpy as np

    if "detector" in swapper.bundle.manifest.graphs:
        swapper.detect(np.full((512, 512, 3), 128, np.uint8))
    _swap_crop(swapper)


def _swap_crop(swapper: Any) -> None:
    """Do the task "crop": the swap of an aligned crop, of a source that is new."""
    import numpy as np

    side = swapper.resolution_px
    crop = np.full((side, side, 3), 128, np.uint8)
    swapper.swap_crop(crop, swapper.identity_of_crops([crop]))


def main() -> int:
    """Do what is asked; an error is one line on standard error."""
    from edgeswap_runtime import EdgeswapError
    from edgeswap_runtime.errors import EdgeswapFailure

    work = {"start": start, "weigh": weigh, "swap": swap}[sys.argv[1]]
    try:
        answer = work(json.loads(sys.argv[2]))
    except (EdgeswapError, EdgeswapFailure) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
