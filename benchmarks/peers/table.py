"""How fast is the same U-Net elsewhere? One table: our runtime and its peers, in turns.

    python benchmarks/peers/table.py CHECKPOINT            # a swap checkpoint, or
    python benchmarks/peers/table.py UNET_FOLDER           # a diffusers U-Net

Every row evaluates one U-Net on the same inputs; the difference of its output from ours is beside
its time. A peer that cannot run is a row that says why. `environment.py` makes the environments of
peers whose packages do not go together with ours.

ONNX Runtime's threads turn while they wait unless it is told otherwise; ours sleep, so as not to
take the cores from others. "spinning" is our runtime with ONNX Runtime's own setting.

    python benchmarks/peers/table.py UNET_FOLDER --at-once 2   # where all do not fit in memory
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from edgeswap_bench import BenchConfig, Report, bench
from edgeswap_bench.compare.worker import WorkerSubject
from edgeswap_bench.measure.results import SubjectResult
from edgeswap_bench.measure.subject import Lap, Task
from edgeswap_bench.trust.machine import usable_cores
from edgeswap_bench.trust.verdict import worst
from edgeswap_runtime import EdgeswapError
from edgeswap_runtime.backends import open_backend
from edgeswap_runtime.backends.ort import OrtBackend
from edgeswap_runtime.backends.protocol import Backend, BackendRequest
from edgeswap_runtime.errors import EdgeswapFailure

OURS: dict[str, dict[str, Any]] = {
    "edgeswap ort": {"name": "ort"},
    "edgeswap ort, spinning": {"name": "ort", "spinning": True},
    "edgeswap openvino fp32": {"name": "openvino", "precision": "fp32"},
    "edgeswap openvino bf16": {"name": "openvino", "precision": "bf16"},
}
PEERS = {
    "onnxruntime": ("onnxruntime_raw", "float32"),
    "optimum-onnx": ("optimum_onnx", "float32"),
    "openvino fp32": ("openvino_raw", "float32"),
    "openvino bf16": ("openvino_raw", "bfloat16"),
    "optimum-intel": ("optimum_intel", "float32"),
    "diffusers eager": ("diffusers_eager", "float32"),
    "diffusers eager bf16": ("diffusers_eager", "bfloat16"),
    "torch.compile": ("torch_compile", "float32"),
    "torch.compile bf16": ("torch_compile", "bfloat16"),
    "polygraphy": ("polygraphy_trt", "float32"),
    "trtexec": ("trtexec", "float32"),
}


class OursSubject:
    """One ONNX graph on a backend of our runtime."""

    kind, tasks, pid = "bundle", ("unet",), None

    def __init__(self, label: str, onnx: Path, arrays: dict[str, Any], threads: int) -> None:
        self.label = label
        self._settings = dict(OURS[label])
        graphs = {"denoise": onnx}
        self._backend: Backend[Any]
        if self._settings.get("spinning"):
            self._backend = OrtBackend(graphs, threads=threads, spinning=True)
        else:
            request = BackendRequest(graphs=graphs, device="cpu", threads=threads,
                                     precision=self._settings.get("precision"))  # fmt: skip
            self._backend = open_backend(self._settings["name"], request)
        self._inputs = {name: self._backend.upload(array) for name, array in arrays.items()}

    def run(self, task: Task) -> Lap:
        """One evaluation."""
        start = time.perf_counter_ns()
        self._backend.run("denoise", self._inputs)
        return Lap(total_ns=time.perf_counter_ns() - start)

    def answer(self) -> np.ndarray:
        """The output."""
        return self._backend.download(self._backend.run("denoise", self._inputs)["output"])

    def describe(self) -> dict[str, Any]:
        """How it is run."""
        return {"artifact": {}, "settings": self._settings, "quality": {}}

    def close(self) -> None:
        """Close the backend."""
        self._backend.close()


def main() -> int:
    """Export, time in turns, print."""
    options = parse()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        onnx = exported(options.model, folder)
        arrays = drawn(onnx)
        np.savez(folder / "inputs.npz", allow_pickle=False, **arrays)
        differences: dict[str, float] = {}
        report = joined([
            timed(rows, options, onnx, arrays, folder, differences)
            for rows in groups(options.rows, options.at_once)
        ])  # fmt: skip
    if options.json:
        print(json.dumps(report.to_json() | {"differences": differences}))
    else:
        print(table(report, differences))
    return 0


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="a swap checkpoint or a diffusers U-Net folder")
    parser.add_argument("--runs", type=int, default=50, help="rounds (default 50)")
    parser.add_argument("--threads", type=int, default=len(usable_cores()),
                        help="CPU threads of each (default: the usable cores)")  # fmt: skip
    parser.add_argument("--rows", nargs="+", choices=[*OURS, *PEERS], default=[*OURS, *PEERS],
                        metavar="ROW", help=f"some of: {', '.join([*OURS, *PEERS])}")  # fmt: skip
    parser.add_argument("--at-once", type=int, metavar="N",
                        help="load so many rows beside the first; it takes turns with each group "
                        "(default: all)")  # fmt: skip
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the exported graph here")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


def groups(rows: list[str], at_once: int | None) -> list[list[str]]:
    """The rows, the first with so many others in each group."""
    first, *others = rows
    step = max(1, at_once or len(others))
    return [[first, *others[i : i + step]] for i in range(0, max(1, len(others)), step)]


def timed(
    rows: list[str], options: argparse.Namespace, onnx: Path, arrays: dict[str, Any], folder: Path,
    differences: dict[str, float],
) -> Report:  # fmt: skip
    """Open one group and time it in turns; `differences` gets how far its outputs are apart."""
    with contextlib.ExitStack() as stack:
        subjects, failed, found = opened(rows, options, onnx, arrays, folder, stack)
        differences |= found
        config = BenchConfig(runs=options.runs, tasks=("unet",))
        return bench(subjects, config, failed=failed)


def joined(reports: list[Report]) -> Report:
    """One report of all groups; of the first row it has the times of the first group."""
    subjects = {one.label: one for report in reversed(reports) for one in report.subjects}
    order = [one.label for report in reports for one in report.subjects]
    return dataclasses.replace(
        reports[0],
        subjects=tuple(subjects[label] for label in dict.fromkeys(order)),
        ratios=tuple(ratio for report in reports for ratio in report.ratios),
        verdict=worst(report.verdict for report in reports),
    )


def exported(model: Path, folder: Path) -> Path:
    """The U-Net as ONNX, unless the folder holds it from before."""
    from edgeswap_export import ExportConfig, SchedulesConfig, export
    from edgeswap_export.unet import export_unet, is_unet_folder

    out = folder / "exported"
    if not out.exists():
        if is_unet_folder(model):
            export_unet(model, ExportConfig(), out)
        else:
            config = ExportConfig(schedules=SchedulesConfig(others=()), detector=False)
            export(model, config, out)
    return out / "denoise.onnx"


def drawn(onnx: Path) -> dict[str, np.ndarray]:
    """Seeded inputs of the shapes and types that ONNX Runtime reads in the graph."""
    import onnxruntime as ort

    random = np.random.default_rng(0)
    types = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(float16)": np.float16}
    session = ort.InferenceSession(str(onnx), providers=["CPUExecutionProvider"])
    return {
        tensor.name: random.normal(0, 0.5, [d if isinstance(d, int) else 1 for d in tensor.shape])
        .astype(types[tensor.type])
        for tensor in session.get_inputs()
    }  # fmt: skip


def opened(
    rows: list[str], options: argparse.Namespace, onnx: Path, arrays: dict[str, Any], folder: Path,
    stack: contextlib.ExitStack,
) -> tuple[list[Any], list[SubjectResult], dict[str, float]]:  # fmt: skip
    """Every row that starts, a result for each that does not, and how far outputs differ."""
    subjects: list[Any] = []
    failed: list[SubjectResult] = []
    answers: dict[str, np.ndarray] = {}
    for label in rows:
        print(f"starting {label}", file=sys.stderr)
        answer = folder / f"{label.replace(' ', '-')}.npy"
        try:
            subject: Any
            if label in OURS:
                subject = OursSubject(label, onnx, arrays, options.threads)
                answers[label] = subject.answer()
            else:
                subject = peer(label, options, onnx, folder, answer)
        except (EdgeswapError, EdgeswapFailure) as error:
            failed.append(SubjectResult(label=label, kind="peer", error=str(error)))
            continue
        stack.callback(subject.close)
        subjects.append(subject)
        if answer.is_file():
            answers[label] = np.load(answer)
    first = next(iter(answers.values()))
    spread = float(first.std())
    return (
        subjects,
        failed,
        {label: float(np.abs(found - first).max()) / spread for label, found in answers.items()},
    )


def peer(
    label: str, options: argparse.Namespace, onnx: Path, folder: Path, answer: Path
) -> WorkerSubject:
    """Start a peer's process."""
    script, dtype = PEERS[label]
    given = ["--model", options.model.resolve(), "--onnx", onnx.resolve(), "--inputs",
             folder / "inputs.npz", "--answer", answer, "--threads", options.threads, "--dtype",
             dtype]  # fmt: skip
    return WorkerSubject(script, [str(word) for word in given], label=label, kind="peer")


def table(report: Report, differences: dict[str, float]) -> str:
    """A line a row; the first is what the others are compared with."""
    ratios = {ratio.subject: ratio for ratio in report.ratios}
    lines = [f"{'':26}{'p50, ms':>9}{'p90':>9}   times as long as the first   largest difference"]
    for subject in report.subjects:
        task = subject.tasks[0] if subject.tasks else None
        if task is None or task.end_to_end is None:
            lines.append(f"{subject.label:26}failed: {subject.error or (task and task.error)}")
            continue
        whole = task.end_to_end
        ratio = ratios.get(subject.label)
        times = "1" if ratio is None else (
            f"{ratio.ratio:.3f} [{ratio.interval.low:.3f}, {ratio.interval.high:.3f}]")  # fmt: skip
        p90 = "-" if whole.p90 is None else f"{whole.p90:.2f}"
        told = f"{differences[subject.label]:.0e} sd" if subject.label in differences else "-"
        lines.append(f"{subject.label:26}{whole.median:9.2f}{p90:>9}   {times:28}{told}")
    cpu = report.environment["cpu"]
    lines.append(f"{cpu['model']}, {cpu['usable_cores']} cores; {report.config['runs']} rounds")
    return "\n".join([*lines, f"verdict: {report.verdict}"])


if __name__ == "__main__":
    sys.exit(main())
