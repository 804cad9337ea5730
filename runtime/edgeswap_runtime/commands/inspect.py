"""`edgeswap inspect` and `edgeswap verify`: what a folder holds, and whether it is whole."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeswap_runtime import cli
from edgeswap_runtime.bundle.folder import Bundle
from edgeswap_runtime.bundle.manifest import DETECTOR, FILE_NAME
from edgeswap_runtime.errors import InvalidRequest

if TYPE_CHECKING:
    from edgeswap_runtime.bundle.manifest import Graph, Manifest

_CHECKPOINT_FILE = "swap.json"
_CHECKPOINT_COMMAND = "edgeswap_compress.checkpoint.inspect:command"
_PLAN_COMMAND = "edgeswap_compress.plan.inspect:command"


def inspect(argv: list[str]) -> int:
    """Show a bundle's or a checkpoint's parts, sizes, conditioning and history; or a plan."""
    parser = argparse.ArgumentParser(prog="edgeswap inspect", description=inspect.__doc__)
    parser.add_argument("path", type=Path, help="a bundle, a checkpoint or a pruning.json")
    parser.add_argument("--verify", action="store_true", help="check every hash too")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw a plan, .png")
    options = parser.parse_args(argv)
    if options.path.suffix == ".json" and options.path.is_file():
        if options.verify:
            raise InvalidRequest(f"{options.path} states no hashes: leave --verify out")
        return cli.run(_PLAN_COMMAND, argv, name="inspect PLAN", extra="compress")
    if options.picture is not None:
        raise InvalidRequest(
            f"--picture draws a pruning plan, and {options.path} is none: "
            "name a pruned checkpoint's unet/pruning.json"
        )
    if _is_checkpoint(options.path):
        return cli.run(_CHECKPOINT_COMMAND, argv, name="inspect CHECKPOINT", extra="compress")
    bundle = Bundle.open(options.path, verify=options.verify)
    if options.json:
        sizes = {name: entry.bytes for name, entry in bundle.manifest.files.items()}
        report = {
            "path": str(bundle.path),
            "total_bytes": sum(sizes.values()),
            "verified": options.verify,
            "manifest": bundle.manifest.to_json(),
        }
        print(json.dumps(report, indent=1, sort_keys=True))
    else:
        print("\n".join(_describe(bundle)))
        if options.verify:
            print(f"verified {len(bundle.manifest.files)} files")
    return 0


def verify(argv: list[str]) -> int:
    """Check that a bundle or a checkpoint holds exactly what it states."""
    parser = argparse.ArgumentParser(prog="edgeswap verify", description=verify.__doc__)
    parser.add_argument("path", type=Path, help="a bundle or a checkpoint")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(argv)
    if _is_checkpoint(options.path):
        rest = [str(options.path), "--verify", *(["--json"] if options.json else [])]
        return cli.run(_CHECKPOINT_COMMAND, rest, name="verify CHECKPOINT", extra="compress")
    bundle = Bundle.open(options.path)
    if options.json:
        print(json.dumps({"path": str(bundle.path), "verified": True, **_summary(bundle)}))
    else:
        print(f"{bundle.path} is whole: {len(bundle.manifest.files)} files verified")
    return 0


def _is_checkpoint(path: Path) -> bool:
    """True for a checkpoint, False for what may be a bundle."""
    if not path.is_dir():
        raise InvalidRequest(f"{path} is no folder: expected a bundle or a checkpoint")
    if (path / FILE_NAME).is_file():
        return False
    if (path / _CHECKPOINT_FILE).is_file():
        return True
    raise InvalidRequest(
        f"{path} is neither a bundle nor a checkpoint: it holds no {FILE_NAME} and no "
        f"{_CHECKPOINT_FILE}"
    )


def _summary(bundle: Bundle) -> dict[str, Any]:
    manifest = bundle.manifest
    return {"files": len(manifest.files), "manifest_sha256": manifest.manifest_sha256}


def _describe(bundle: Bundle) -> list[str]:
    manifest = bundle.manifest
    total = sum(entry.bytes for entry in manifest.files.values())
    lines = [
        f"bundle      {manifest.name} (schema {manifest.schema}), {total / 1e6:.1f} MB, "
        f"{len(manifest.files)} files",
        f"made with   {', '.join(f'{k} {v}' for k, v in sorted(manifest.made_with.items()))}",
        f"crop        {manifest.resolution_px} x {manifest.resolution_px} px, "
        f"{manifest.color_order}",
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


def _describe_engines(manifest: Manifest) -> list[str]:
    """One line per engine: what it computes, where it runs, how large it is."""
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
    """What was proven of the bundle: the worst output of each graph, the worst swap, the file."""
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
    """Of some entries those that hold these figures: what is stated here has no schema."""
    if not isinstance(entries, dict):
        return {}
    return {
        key: {name: float(entry[name]) for name in names}
        for key, entry in entries.items()
        if isinstance(entry, dict) and all(type(entry.get(name)) in (int, float) for name in names)
    }


def _describe_facts(title: str, facts: dict[str, Any]) -> list[str]:
    """One line per plain value; what is nested is for --json."""
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
    if name == DETECTOR:  # its 12 outputs would tell nobody anything
        return lines
    for arrow, tensors in (("<-", graph.inputs), ("->", graph.outputs)):
        lines += [
            f"            {arrow} {tensor.name} {'x'.join(map(str, tensor.shape))} {tensor.dtype}"
            for tensor in tensors
        ]
    return lines
