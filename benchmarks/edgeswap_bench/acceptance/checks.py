"""The checks of one backend: does it compute what ONNX Runtime computes on the CPU?"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeswap_bench.measure.inputs import seeded_inputs
from edgeswap_runtime import EdgeswapError
from edgeswap_runtime.backends import open_backend
from edgeswap_runtime.backends.protocol import BackendRequest
from edgeswap_runtime.errors import BackendMissing, EdgeswapFailure

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from edgeswap_runtime import Bundle
    from edgeswap_runtime.backends.protocol import Backend

    Answers = dict[str, dict[str, NDArray[Any]]]
    """Graph -> output -> array."""

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
TOLERANCES = {"fp32": 1e-3, "fp16": 5e-2, "bf16": 0.1, "int8": 0.5, "fp8": 0.5}
"""Precision of a graph -> largest difference from the CPU, in standard deviations of the output."""

_RUNS = 4  # enqueued, recorded, and launched twice


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check of one backend.

    Attributes:
        backend: such as "tensorrt" or "ort on cuda".
        name: what was checked.
        state: "passed", "failed" or "skipped".
        detail: in words: why not, or what was found.
        figures: the numbers behind it.
    """

    backend: str
    name: str
    state: str
    detail: str
    figures: dict[str, float] = field(default_factory=dict)


def check_parity(
    backend: str, found: Answers, truth: Answers, precisions: Mapping[str, str], name: str
) -> Check:
    """Compare every output of every graph with the CPU's."""
    worst: dict[str, float] = {}
    beyond = []
    for graph, outputs in truth.items():
        worst[graph] = max(difference(found[graph][k], v) for k, v in outputs.items())
        if not worst[graph] <= TOLERANCES[precisions[graph]]:
            beyond.append(f"{graph} {worst[graph]:.1e}")
    largest = max(worst.values())
    detail = (f"beyond the tolerance: {', '.join(beyond)} standard deviations" if beyond
              else f"at most {largest:.1e} standard deviations from the CPU")  # fmt: skip
    state = FAILED if beyond else PASSED
    return Check(backend=backend, name=name, state=state, detail=detail, figures=worst)


def difference(found: NDArray[Any], truth: NDArray[Any]) -> float:
    """The largest difference, in standard deviations of the truth; infinite where not finite."""
    if found.shape != truth.shape or not np.isfinite(found).all():
        return float("inf")
    spread = max(float(truth.astype(np.float64).std()), 1e-6)
    return float(np.abs(found.astype(np.float64) - truth).max()) / spread


def check_repeats(backend: str, answers: list[Answers], warnings: list[str]) -> Check:
    """The first run is enqueued, the second recorded as a CUDA graph, later ones launch that."""
    name = "CUDA graphs"
    if warnings:
        return Check(backend=backend, name=name, state=FAILED, detail="; ".join(warnings))
    unlike = sorted({
        graph for later in answers[1:] for graph, outputs in later.items()
        for key, array in outputs.items() if not np.array_equal(array, answers[0][graph][key])
    })  # fmt: skip
    if unlike:
        detail = f"recorded runs give other bytes than the first: {', '.join(unlike)}"
        return Check(backend=backend, name=name, state=FAILED, detail=detail)
    detail = f"{len(answers)} runs, enqueued, recorded and launched, give the same bytes"
    return Check(backend=backend, name=name, state=PASSED, detail=detail)


def run_graphs(backend: Backend[Any], bundle: Bundle) -> Answers:
    """Run every graph once on seeded inputs."""
    answers: Answers = {}
    for name, graph in bundle.manifest.graphs.items():
        inputs = {k: backend.upload(v) for k, v in seeded_inputs(graph).items()}
        outputs = backend.run(name, inputs)
        answers[name] = {k: backend.download(v) for k, v in outputs.items()}
    return answers


def answers_on(
    bundle: Bundle, name: str, device: str, runs: int = _RUNS
) -> tuple[list[Answers], list[str]]:
    """Run every graph several times on a backend.

    Returns:
        The answers of each run, and what the backend warned of.

    Raises:
        EdgeswapError: the backend cannot be opened; see `open_backend`.
        EdgeswapFailure: a graph failed.
    """
    request = BackendRequest(graphs=bundle.graph_paths(), device=device, bundle=bundle)
    with _warnings() as told:
        backend = open_backend(name, request)
        try:
            return [run_graphs(backend, bundle) for _ in range(runs)], told
        finally:
            backend.close()


def failed(backend: str, name: str, error: Exception) -> Check:
    """A check that could not be made: skipped where the library is not installed."""
    state = SKIPPED if isinstance(error, BackendMissing) else FAILED
    return Check(backend=backend, name=name, state=state, detail=str(error))


EXPECTED = (EdgeswapError, EdgeswapFailure)
"""What a check may raise and be a row for."""


@contextlib.contextmanager
def _warnings() -> Iterator[list[str]]:
    """Collect what the runtime's backends log as warnings."""
    told: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(record.getMessage())

    logger, handler = logging.getLogger("edgeswap_runtime.backends"), Collector(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield told
    finally:
        logger.removeHandler(handler)
