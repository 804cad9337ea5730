"""Time a graph layer by layer, with the same settings that the backends run it with."""

from __future__ import annotations

import json
import statistics
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerTime:
    """One kernel of a graph as a backend runs it.

    Attributes:
        name: the backend's name of it.
        kind: the backend's word for what it does, such as "Conv" or "ReorderInput".
        milliseconds: median over the runs.
        nodes: names of the graph's own nodes that it is made of, where the backend tells.
        index: the node's place in the graph, where the backend tells, else -1.
        outputs: (element type, shape) of each output, where the backend tells.
    """

    name: str
    kind: str
    milliseconds: float
    nodes: tuple[str, ...] = ()
    index: int = -1
    outputs: tuple[tuple[str, tuple[int, ...]], ...] = field(default=())


def profile_ort(
    path: Path,
    inputs: Mapping[str, NDArray[Any]],
    *,
    threads: int | None,
    runs: int,
    optimize: bool = True,
) -> tuple[LayerTime, ...]:
    """Run a graph in ONNX Runtime on the CPU with its profiler on.

    Args:
        path: the ONNX file.
        inputs: input name -> array.
        threads: CPU threads; as the backend chooses when None.
        runs: at least 1; one more is made first, and left out.
        optimize: fuse and reorder as the backend does; without it every node runs as it is
            written, so that names, places and shapes are the graph's own.

    Returns:
        Kernels in the order of their first run.
    """
    import onnxruntime as ort

    from edgeswap_runtime.backends.ort import _session_options

    options = _session_options("cpu", threads)
    options.enable_profiling = True
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    with tempfile.TemporaryDirectory(prefix="edgeswap-profile-") as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        for _ in range(runs + 1):
            session.run(None, dict(inputs))
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return _ort_layers(events, runs)


def profile_openvino(
    path: Path,
    inputs: Mapping[str, NDArray[Any]],
    *,
    device: str,
    threads: int | None,
    precision: str | None,
    runs: int,
) -> tuple[LayerTime, ...]:
    """Run a graph in OpenVINO with its performance counters on.

    Args:
        path: the ONNX file.
        inputs: input name -> array.
        device: "cpu", "gpu" or "npu".
        threads: CPU threads; OpenVINO's choice when None.
        precision: as the backend takes it.
        runs: at least 1; one more is made first, and left out.

    Returns:
        Kernels that were executed, in OpenVINO's order.
    """
    import openvino as ov

    from edgeswap_runtime.backends.openvino import _settings

    settings = _settings(device.upper(), threads, precision or "fp32")
    core = ov.Core()
    compiled = core.compile_model(
        core.read_model(path), device.upper(), {**settings, "PERF_COUNT": True}
    )
    request = compiled.create_infer_request()
    spent: dict[str, list[float]] = {}
    kinds: dict[str, str] = {}
    for run in range(runs + 1):
        request.infer(dict(inputs))
        for layer in request.profiling_info if run else ():
            if layer.status == ov.ProfilingInfo.Status.EXECUTED:
                spent.setdefault(layer.node_name, []).append(layer.real_time.total_seconds() * 1e3)
                kinds[layer.node_name] = layer.node_type
    origins = {}
    for operation in compiled.get_runtime_model().get_ops():
        facts = operation.get_rt_info()
        if "originalLayersNames" in facts:
            words = str(facts["originalLayersNames"].astype(str))
            origins[operation.get_friendly_name()] = tuple(words.split(","))
    return tuple(
        LayerTime(
            name=name, kind=kinds[name], milliseconds=statistics.median(times),
            nodes=origins.get(name, ()),
        )
        for name, times in spent.items()
    )  # fmt: skip


def _ort_layers(events: list[dict[str, Any]], runs: int) -> tuple[LayerTime, ...]:
    """Sum up the kernels' events of all runs but the first."""
    suffix = "_kernel_time"
    kernels = [e for e in events if e.get("cat") == "Node" and e["name"].endswith(suffix)]
    order: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for event in sorted(kernels, key=lambda event: int(event["ts"])):
        name = event["name"].removesuffix(suffix)
        order.setdefault((name, event["args"]["node_index"]), []).append(event)
    layers = []
    for (name, index), found in order.items():
        each = len(found) // (runs + 1)  # a node runs once a run, inside a loop more often
        spent = [int(event["dur"]) for event in found[each:]]
        arguments = found[-1]["args"]
        layers.append(
            LayerTime(
                name=name,
                kind=arguments["op_name"],
                milliseconds=statistics.median(spent) * each / 1e3,
                index=int(index),
                outputs=tuple(
                    (kind, tuple(shape))
                    for output in arguments.get("output_type_shape", [])
                    for kind, shape in output.items()
                ),
            )
        )
    return tuple(layers)
