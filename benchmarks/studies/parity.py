"""What does each precision cost in accuracy and give in speed, on each backend of this machine?

A checkpoint is exported in every precision. Then, for every graph, precision and backend that
this machine can run: the largest and the root mean square difference from torch on swaps of people
it was not calibrated with, in units of the output's standard deviation; the latency's ratio to ONNX
Runtime in float32, all of them timed in turns in one process; the size. For the whole swap: the
same latency ratio, and the quality by `edgeswap evaluate`'s judges on held-out triplets.

    python benchmarks/studies/parity.py --checkpoint CHECKPOINT --data HELDOUT --folder parity

Bars: fp16 costs at most 0.1 dB and int8 at most 0.5 dB of float32's PSNR inside the face; int8 is
at least 1.5 times as fast as float32 in ONNX Runtime. Finished rows are kept in the folder.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

GRAPHS = ("encode", "identity", "denoise", "decode")
EXAMPLES = 4


@dataclass(frozen=True)
class Row:
    """One way to run a bundle: of which precision, on which backend, computing in what."""

    precision: str
    backend: str
    compute: str | None = None

    @property
    def name(self) -> str:
        computed = f" {self.compute}" if self.compute else ""
        return f"{self.precision} {self.backend}{computed}"


ROWS = (
    Row("fp32", "ort"),
    Row("fp16", "ort"),
    Row("int8", "ort"),
    Row("fp32", "openvino", "fp32"),
    Row("fp32", "openvino", "bf16"),
    Row("fp16", "openvino", "fp32"),
    Row("int8", "openvino", "fp32"),
    Row("int8", "openvino", "bf16"),
)
UNRUN = ("bf16", "fp8")
"""ONNX Runtime has no processor kernels for these; their bundles state parity in emulation."""


def main() -> int:
    """Export what is missing, measure, print."""
    arguments = parse()
    folder = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    precisions = [p for p in ("fp32", "fp16", "int8", *UNRUN) if p not in arguments.without]
    for precision in precisions:
        export_one(arguments, precision)
    rows = [row for row in ROWS if row.precision in precisions]
    backends, failures = open_all(folder, rows, arguments.threads)
    result: dict[str, Any] = {
        "checkpoint": str(arguments.checkpoint),
        "threads": arguments.threads,
        "runs": arguments.runs,
        "failed": failures,
        "parity": kept(folder / "parity.json", lambda: parity(arguments.checkpoint, backends)),
        "latency_ms": kept(
            folder / "latency.json", lambda: latency(folder, backends, arguments.runs)
        ),
        "bytes": {p: sizes(folder / p) for p in precisions},
        "stated": {p: stated(folder / p) for p in precisions if p in UNRUN},
        "quality": {},
    }
    if arguments.limit:
        result["quality"] = quality(arguments, [row for row in rows if row in backends], backends)
    print(json.dumps(result) if arguments.json else table(result))
    return 0


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="checkpoint folder")
    parser.add_argument("--data", type=Path, help="held-out dataset, for the quality")
    parser.add_argument("--folder", type=Path, required=True, help="kept between runs")
    parser.add_argument("--limit", type=int, default=128, help="triplets to judge; 0: none")
    parser.add_argument("--runs", type=int, default=50, help="timed runs of everything, in turns")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (1)")
    parser.add_argument(
        "--without", nargs="*", default=[], metavar="PRECISION", help="leave these out"
    )
    parser.add_argument(
        "--no-detector", action="store_true", help="export without the face detector"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    if arguments.limit and arguments.data is None:
        parser.error("--limit needs --data; --limit 0 judges nothing")
    return arguments


def kept(file: Path, make: Any) -> Any:
    """What a file holds; made and written where there is none."""
    if not file.is_file():
        file.write_text(json.dumps(make()))
    return json.loads(file.read_text())


def export_one(arguments: argparse.Namespace, precision: str) -> None:
    """The checkpoint's bundle of one precision, its default schedule alone."""
    from edgeswap_export import BundleInfo, ExportConfig, GraphsConfig, SchedulesConfig, export

    out = arguments.folder / precision
    if not out.is_dir():
        config = ExportConfig(
            graphs=GraphsConfig(precision=precision),
            schedules=SchedulesConfig(others=()),
            info=BundleInfo(name=precision),
            detector=not arguments.no_detector,
        )
        export(arguments.checkpoint, config, out, progress=lambda line: print(line, flush=True))


def open_all(folder: Path, rows: list[Row], threads: int) -> tuple[dict[Row, Any], dict[str, str]]:
    """Row -> its backend, open; name -> why it is not."""
    from edgeswap_runtime import Bundle
    from edgeswap_runtime.backends import open_backend
    from edgeswap_runtime.backends.protocol import BackendRequest
    from edgeswap_runtime.errors import EdgeswapError

    backends, failures = {}, {}
    for row in rows:
        bundle = Bundle.open(folder / row.precision)
        paths = {name: bundle.graph_paths()[name] for name in GRAPHS}
        request = BackendRequest(
            graphs=paths, device="cpu", threads=threads, precision=row.compute, bundle=bundle
        )
        try:
            backends[row] = open_backend(row.backend, request)
        except EdgeswapError as error:
            failures[row.name] = str(error)
    return backends, failures


def parity(checkpoint_path: Path, backends: dict[Row, Any]) -> dict[str, Any]:
    """Row -> graph -> the worst output's errors against torch in float32."""
    import torch

    from edgeswap_compress.checkpoint.folder import Checkpoint
    from edgeswap_export.calibration import feeds_of_swaps, rendered_examples
    from edgeswap_export.graphs.example import SEED, seeded_example
    from edgeswap_export.graphs.swap_graphs import swap_graphs
    from edgeswap_export.parity.compare import difference, run_graph
    from edgeswap_export.parity.prove import torch_answers
    from edgeswap_export.samplers.schedule import schedule_table

    checkpoint = Checkpoint.load(checkpoint_path)
    swap, sample = checkpoint.swap, seeded_example(checkpoint.swap)
    made_of = swap_graphs(checkpoint, sample.target, sample.source, sample.noise)
    graphs = made_of.torch
    settings = dict(checkpoint.scheduler.config)
    schedule = schedule_table(settings, swap.default_sampler, swap.default_steps, None)
    examples = rendered_examples(swap, EXAMPLES, "parity", SEED)
    reference = next(iter(backends.values()))
    feeds = feeds_of_swaps(reference, checkpoint, made_of, examples, [schedule])
    found: dict[str, Any] = {}
    for row, backend in backends.items():
        found[row.name] = {}
        for name in GRAPHS:
            errors = [
                difference(answer, expected[key], 0.0)
                for feed in feeds[name]
                for expected in [torch_answers(graphs[name], feed, torch.device("cpu"))]
                for key, answer in run_graph(backend, name, feed).items()
            ]
            found[row.name][name] = {
                "max": max(error.relative for error in errors),
                "rms": max(error.rms for error in errors),
            }
    return found


def latency(folder: Path, backends: dict[Row, Any], runs: int) -> dict[str, dict[str, float]]:
    """Row -> graph -> median in milliseconds; everything in turns, one round after the other."""
    from edgeswap_compress.prune.latency.timing import interleaved_medians_ms
    from edgeswap_runtime.bundle.manifest import read_manifest

    calls = {}
    random = np.random.default_rng(0)
    for row, backend in backends.items():
        manifest = read_manifest(folder / row.precision)
        for name in GRAPHS:
            buffers = {
                tensor.name: backend.upload(
                    random.standard_normal([int(n) for n in tensor.shape]).astype(np.float32)
                )
                for tensor in manifest.graphs[name].inputs
            }
            calls[row, name] = partial(backend.run, name, buffers)
    found: dict[str, dict[str, float]] = {row.name: {} for row in backends}
    for (row, name), median_ms in interleaved_medians_ms(calls, runs=runs).items():
        found[row.name][name] = median_ms
    return found


def quality(
    arguments: argparse.Namespace, rows: list[Row], backends: dict[Row, Any]
) -> dict[str, dict[str, float]]:
    """Row -> the judges' figures of its swaps, all on the same triplets from the same noise."""
    from edgeswap_compress.data import read_dataset
    from edgeswap_compress.evaluate import EvaluateConfig, Evaluation
    from edgeswap_compress.evaluate.models import Sampling, open_bundle
    from edgeswap_runtime import Bundle

    evaluation: list[Evaluation] = []

    def judged(row: Row) -> dict[str, float]:
        if not evaluation:
            config = EvaluateConfig(limit=arguments.limit, seeds=1)
            evaluation.append(Evaluation(read_dataset(arguments.data), config))
        bundle = Bundle.open(arguments.folder / row.precision)
        with open_bundle(bundle, Sampling(), backend=backends[row]) as model:
            report = evaluation[0].judge(model).to_json()
        names = ("psnr_face_db", "id_margin", "ssim_face")
        return {name: report[name] for name in names}

    found = {}
    for row in rows:
        name = f"quality-{row.name.replace(' ', '-')}-{arguments.limit}.json"
        found[row.name] = kept(arguments.folder / name, lambda row=row: judged(row))
    return found


def sizes(bundle: Path) -> dict[str, int]:
    """Graph -> bytes."""
    return {name: (bundle / f"{name}.onnx").stat().st_size for name in GRAPHS}


def stated(bundle: Path) -> dict[str, Any]:
    """What a bundle that cannot run here says of its own proof."""
    from edgeswap_runtime.bundle.manifest import read_manifest

    proof = read_manifest(bundle).parity
    worst = {
        name: max(output["rms"] for output in outputs.values())
        for name, outputs in proof["graphs"].items()
    }
    return {"backend": proof["backend"], "rms": worst}


def table(result: dict[str, Any]) -> str:
    """One line a row and graph, then one a row for the whole swap."""
    base = result["latency_ms"]["fp32 ort"]
    lines = [
        f"{'precision, backend':<24}{'graph':<10}{'max':>9}{'rms':>9}{'ms':>9}{'ratio':>7}{'MB':>8}"
    ]
    for row, graphs in result["parity"].items():
        for name, error in graphs.items():
            ms = result["latency_ms"][row][name]
            size = result["bytes"][row.split()[0]][name] / 1e6
            lines.append(
                f"{row:<24}{name:<10}{error['max']:>9.1e}{error['rms']:>9.1e}{ms:>9.2f}"
                f"{base[name] / ms:>7.2f}{size:>8.2f}"
            )
    lines.append(
        f"errors in standard deviations of the output; latency: median of {result['runs']}"
        f" runs in turns, {result['threads']} threads; ratio: times as fast as fp32 ort"
    )
    for precision, proof in result["stated"].items():
        told = ", ".join(f"{name} {error:.1e}" for name, error in proof["rms"].items())
        size = sum(result["bytes"][precision].values()) / 1e6
        lines.append(f"{precision}: {proof['backend']}; rms {told}; {size:.2f} MB")
    for name, reason in result["failed"].items():
        lines.append(f"{name}: failed: {reason}")
    lines.append(f"{'precision, backend':<24}{'swap ms':>9}{'ratio':>7}{'MB':>8}  quality (change)")
    whole = {row: sum(each.values()) for row, each in result["latency_ms"].items()}
    truth = result["quality"].get("fp32 ort", {})
    for row, ms in whole.items():
        size = sum(result["bytes"][row.split()[0]].values()) / 1e6
        told = ", ".join(
            f"{name} {value:.3f} ({value - truth[name]:+.3f})"
            for name, value in result["quality"].get(row, {}).items()
        )
        lines.append(f"{row:<24}{ms:>9.2f}{whole['fp32 ort'] / ms:>7.2f}{size:>8.2f}  {told}")
    lines.append("swap ms: one run of each graph; a swap of N steps runs denoise N times")
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
