"""Accept a bundle on this machine's NVIDIA GPU, backend by backend, and report in one file."""

from __future__ import annotations

import contextlib
import importlib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgeswap_bench.acceptance.checks import (
    EXPECTED,
    FAILED,
    PASSED,
    Check,
    answers_on,
    check_parity,
    check_repeats,
    failed,
)
from edgeswap_bench.measure.bundle_subject import BundleSubject
from edgeswap_bench.measure.config import BenchConfig, SwapOptions
from edgeswap_bench.measure.results import Report, SubjectResult
from edgeswap_bench.measure.run import bench
from edgeswap_bench.trust.gpu import read_gpu
from edgeswap_runtime import Bundle
from edgeswap_runtime import cli as _cli
from edgeswap_runtime.backends.cuda import Gpu, require_gpu
from edgeswap_runtime.bundle import schema as _schema
from edgeswap_runtime.errors import BackendMissing, EdgeswapFailure

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from edgeswap_bench.acceptance.checks import Answers

SCHEMA = 1
KIND = "edgeswap-acceptance"
ENGINES = ("tensorrt", "tensorrt_rtx")
"""Backends that run engines."""
DEVICES = {"ort on cuda": ("ort", "cuda"), "ort on tensorrt": ("ort", "tensorrt")}
"""Label -> backend and device that need no engines of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """What was checked and timed.

    Attributes:
        gpu: name, architecture and memory.
        checks: in the order they were made.
        report: every backend that works, timed in turns with the CPU.
    """

    gpu: Gpu
    checks: tuple[Check, ...]
    report: Report

    @property
    def accepted(self) -> bool:
        """Whether nothing failed, and at least one backend computes what the CPU does."""
        states = [check.state for check in self.checks]
        return FAILED not in states and PASSED in states

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        checks = _schema.encode(self.checks)
        return {"kind": KIND, "schema": SCHEMA, "accepted": self.accepted,
                "gpu": _schema.encode(self.gpu), "checks": checks,
                "report": self.report.to_json()}  # fmt: skip


def accept(
    bundle: Path,
    source: NDArray[np.uint8],
    target: NDArray[np.uint8],
    config: BenchConfig,
    folder: Path,
    progress: Callable[[str], None] = lambda line: None,
) -> Acceptance:
    """Build engines, run every backend against the CPU, refit, and time.

    Args:
        bundle: the bundle folder.
        source: (H, W, 3) uint8, RGB, with a face.
        target: the same.
        config: how long to time.
        folder: an empty one, for bundles with engines.
        progress: called with one line per thing begun.

    Raises:
        DeviceNotGranted: there is no driver or no GPU here; nothing was done.
        BackendMissing: cuda-bindings, which asks for the GPU, is not installed.
    """
    gpu = require_here()
    opened = Bundle.open(bundle)
    progress("running every graph on the CPU")
    truth = answers_on(opened, "ort", "cpu", runs=1)[0][0]
    checks: list[Check] = []
    ready: list[tuple[str, Path, SwapOptions]] = [("cpu", bundle, SwapOptions())]
    for label, (name, device) in DEVICES.items():
        progress(f"checking {label}")
        checks += _check(opened, label, name, device, truth)
        ready.append((label, bundle, SwapOptions(backend=name, device=device)))
    for backend in ENGINES:
        progress(f"building engines for {backend}")
        made = folder / backend
        checks += _check_engines(opened, made, backend, gpu, truth)
        ready.append((backend, made, SwapOptions(backend=backend, device="cuda")))
    works = {check.backend for check in checks if check.name == "parity" and check.state == PASSED}
    progress("timing in turns")
    chosen = [row for row in ready if row[0] in works or row[0] == "cpu"]
    return Acceptance(gpu=gpu, checks=tuple(checks), report=_timed(chosen, source, target, config))


def require_here() -> Gpu:
    """Ask CUDA for the first GPU.

    Raises:
        DeviceNotGranted: there is none, or no driver.
        BackendMissing: cuda-bindings is not installed.
    """
    try:
        cuda = importlib.import_module("cuda.bindings.runtime")
    except ModuleNotFoundError as error:
        raise BackendMissing(
            "cuda", known=sorted(ENGINES), install="python -m pip install 'edgeswap[trt]'"
        ) from error
    return require_gpu(cuda, 0)


def _check(
    bundle: Bundle, label: str, name: str, device: str, truth: Answers, parity: str = "parity"
) -> list[Check]:
    """Parity, repeated runs and memory of one backend."""
    before = read_gpu()
    try:
        answers, warnings = answers_on(bundle, name, device)
    except EXPECTED as error:
        return [failed(label, parity, error)]
    precisions = {key: graph.precision for key, graph in bundle.manifest.graphs.items()}
    checks = [check_parity(label, answers[-1], truth, precisions, parity)]
    if name in ENGINES:
        checks.append(check_repeats(label, answers, warnings))
    after = read_gpu()
    if before is not None and after is not None:
        left = after.used_bytes - before.used_bytes
        checks.append(Check(backend=label, name="memory after closing", state=PASSED,
                            detail=f"{left / 1e6:.0f} MB more than before, libraries included",
                            figures={"bytes": float(left)}))  # fmt: skip
    return checks


def _check_engines(
    bundle: Bundle, made: Path, backend: str, gpu: Gpu, truth: Answers
) -> list[Check]:
    """Build, check, and refit: the same weights once more must give the same answers."""
    target = ["--gpu", gpu.architecture] if backend == "tensorrt_rtx" else []
    words = ["--backend", backend, *target, "--refittable"]
    try:
        _engine([str(bundle.path), str(made), *words], backend)
    except EXPECTED as error:
        return [failed(backend, "build", error)]
    with_engines = Bundle.open(made)
    sizes = {entry.graph: float(with_engines.manifest.files[entry.file].bytes)
             for entry in with_engines.manifest.engines.values()}  # fmt: skip
    told = f"{len(sizes)} engines, {sum(sizes.values()) / 1e6:.1f} MB"
    checks = [Check(backend=backend, name="build", state=PASSED, detail=told, figures=sizes)]
    checks += _check(with_engines, backend, backend, "cuda", truth)
    refitted = made.with_name(f"{made.name}-refitted")
    try:
        _engine([str(bundle.path), str(refitted), *words, "--refit", str(made)], backend)
    except EXPECTED as error:
        return [*checks, failed(backend, "refit", error)]
    return [*checks, *_check(Bundle.open(refitted), backend, backend, "cuda", truth, "refit")]


def _engine(arguments: list[str], backend: str) -> None:
    """Run `edgeswap engine`.

    Raises:
        EdgeswapError: it refuses.
        EdgeswapFailure: it failed.
    """
    target, _, _ = _cli.COMMANDS["engine"]
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            code = _cli.load(target)(arguments)
    except ModuleNotFoundError as error:
        if isinstance(error, BackendMissing):
            raise
        raise BackendMissing(
            backend, known=sorted(ENGINES), install="python -m pip install 'edgeswap[export]'"
        ) from error
    except SystemExit as error:
        raise EdgeswapFailure(f"edgeswap engine {' '.join(arguments)} was refused") from error
    if code != 0:
        raise EdgeswapFailure(f"edgeswap engine {' '.join(arguments)} gave exit code {code}")


def _timed(
    chosen: list[tuple[str, Path, SwapOptions]],
    source: NDArray[np.uint8],
    target: NDArray[np.uint8],
    config: BenchConfig,
) -> Report:
    """Time them in turns, the CPU first."""
    gone: list[SubjectResult] = []
    with contextlib.ExitStack() as stack:
        subjects = []
        for label, path, options in chosen:
            try:
                subject = BundleSubject(path, source, target, options, label=label)
            except EXPECTED as error:
                gone.append(SubjectResult(label=label, kind="bundle", error=str(error)))
                continue
            stack.callback(subject.close)
            subjects.append(subject)
        return bench(subjects, config, failed=gone)
