"""Describe a bundle in lines of text, for `edgeswap inspect`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgeswap_runtime.bundle.manifest import DETECTOR
from edgeswap_runtime.bundle.run_order import DECODE, DENOISE, find_run_order

if TYPE_CHECKING:
    from edgeswap_runtime.bundle.folder import Bundle
    from edgeswap_runtime.bundle.manifest import Graph, Manifest, Tensor
    from edgeswap_runtime.bundle.run_order import RunOrder


def describe_bundle(bundle: Bundle) -> list[str]:
    """Return the lines: parts, sizes, schedules, licenses, measured quality and history."""
    manifest = bundle.manifest
    total = sum(entry.bytes for entry in manifest.files.values())
    lines = [
        f"bundle      {manifest.name} (schema {manifest.schema}), {total / 1e6:.1f} MB, "
        f"{len(manifest.files)} files",
        f"made with   {', '.join(f'{k} {v}' for k, v in sorted(manifest.made_with.items()))}",
        *(
            f"crop        {name}: {crop.size_px} x {crop.size_px} px, {crop.color}"
            for name, crop in sorted(manifest.crops.items())
        ),
        *_describe_order(find_run_order(manifest.graphs)),
        f"guidance    {manifest.guidance_scale:g}, "
        f"{manifest.evaluations_per_step} evaluations per step",
        "",
    ]
    for name, graph in sorted(manifest.graphs.items()):
        lines += _describe_graph(manifest, name, graph)
    if DETECTOR not in manifest.graphs:
        lines.append(f"{DETECTOR:12}none: aligned crops only")
    lines += _describe_engines(manifest)
    lines.append("")
    for name, schedule in sorted(manifest.schedules.items(), key=lambda item: item[1].steps):
        default = "  (default)" if name == manifest.default_schedule else ""
        lines.append(
            f"schedule    {name:14} {schedule.sampler}, {schedule.steps} steps, "
            f"{len(schedule.rows)} evaluations{default}"
        )
    lines += [
        f"license     {item.what}: {item.license}, {item.origin}" for item in manifest.licenses
    ]
    lines += _describe_facts("quality", manifest.quality)
    lines += _describe_parity(manifest.parity)
    stages = [str(stage.get("stage", "?")) for stage in manifest.history if isinstance(stage, dict)]
    if stages:
        lines.append(f"history     {' -> '.join(stages)}")
    return lines


def _describe_order(order: RunOrder) -> list[str]:
    """Say when the graphs run."""
    source = [f"{', '.join(order.per_photo)} for each photo of the source"]
    if order.per_source:
        source.append(f"{', '.join(order.per_source)} once for each source")
    return [
        f"runs        {'; '.join(source)}",
        f"            {', '.join(order.per_target)} for each face, {DENOISE} for each step, "
        f"{DECODE} at the end",
    ]


def _describe_engines(manifest: Manifest) -> list[str]:
    """One line per engine: graph, library, GPU architectures, precision, size."""
    lines = []
    for key, entry in sorted(manifest.engines.items(), key=lambda item: (item[1].graph, item[0])):
        made = entry.inputs
        refitted = ", refitted" if made.refitted_from else ""
        lines.append(
            f"engine      {entry.graph}: {made.backend} {made.version} for "
            f"{','.join(made.architectures)}, {made.precision}{refitted}, "
            f"{manifest.files[entry.file].bytes / 1e6:.2f} MB, {key[:12]}"
        )
    return lines or ["engine      none: edgeswap engine builds them"]


def _describe_parity(parity: dict[str, Any]) -> list[str]:
    """The largest measured differences: of each graph, of whole swaps, of the single file."""
    lines = [f"parity      {parity.get('backend')} against {parity.get('reference')}"]
    if not isinstance(parity.get("graphs"), dict) or not isinstance(parity.get("swaps"), dict):
        return _describe_facts("parity", parity)
    for name, outputs in sorted(parity["graphs"].items()):
        figures = _measured(outputs, "relative", "max_abs")
        if figures:
            worst = max(figures.values(), key=lambda entry: entry["relative"])
            lines.append(
                f"            {name}: {worst['relative']:.1e} standard deviations at most, "
                f"{worst['max_abs']:.1e} absolute"
            )
    swaps = _measured(parity["swaps"], "max_abs")
    if swaps:
        name = max(swaps, key=lambda key: swaps[key]["max_abs"])
        lines.append(
            f"            {len(swaps)} schedules: swaps differ by "
            f"{swaps[name]['max_abs']:.1e} of a range of 2 at most ({name})"
        )
    single = parity.get("single_file")
    found = _measured({"it": single}, "max_abs")
    if isinstance(single, dict) and found:
        lines.append(
            f"            {single.get('file')}: {found['it']['max_abs']:.1e} from the graphs, "
            f"schedule {single.get('schedule')}"
        )
    return lines


def _measured(entries: object, *names: str) -> dict[str, dict[str, float]]:
    """Keep the entries that hold these figures: this part of a manifest has no schema."""
    if not isinstance(entries, dict):
        return {}
    return {
        key: {name: float(entry[name]) for name in names}
        for key, entry in entries.items()
        if isinstance(entry, dict) and all(type(entry.get(name)) in (int, float) for name in names)
    }


def _describe_facts(title: str, facts: dict[str, Any]) -> list[str]:
    """One line per plain value; nested values are only counted, --json shows them."""
    return [
        f"{title:12}{key}: "
        + (f"{len(value)} entries, see --json" if isinstance(value, dict | list) else str(value))
        for key, value in sorted(facts.items())
    ]


def _describe_graph(manifest: Manifest, name: str, graph: Graph) -> list[str]:
    held = [graph.file, f"{graph.file}.data"]  # the weights of a large one lie beside it
    size = sum(manifest.files[file].bytes for file in held if file in manifest.files) / 1e6
    lines = [f"{name:12}{graph.file}, {graph.precision}, {size:.2f} MB"]
    if graph.layers:
        told = ", ".join(f"{count} {kind}" for kind, count in sorted(graph.layers.items()))
        lines.append(f"            layers by weights: {told}")
    for reason, names in sorted(graph.float32_nodes.items()):
        lines.append(f"            {len(names)} nodes kept in float32: {reason}")
    for axis, (least, usual, largest) in sorted(graph.dynamic_axes.items()):
        lines.append(f"            {axis}: {least} to {largest}, usually {usual}")
    if name == DETECTOR:  # its 12 outputs are the same in every bundle
        return lines
    lines += [f"            <- {_sizes(tensor)} from {tensor.role}" for tensor in graph.inputs]
    return lines + [f"            -> {_sizes(tensor)}" for tensor in graph.outputs]


def _sizes(tensor: Tensor) -> str:
    return f"{tensor.name} {'x'.join(map(str, tensor.shape))} {tensor.dtype}"
