"""`edgeswap doctor`: show what this machine can run, what is missing and how to install it."""

from __future__ import annotations

import argparse
import json
from typing import Any

from edgeswap_runtime.doctor import examine


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of `edgeswap doctor`."""
    parser = argparse.ArgumentParser(
        prog="edgeswap doctor",
        description="Show this machine's Python, processor, memory, GPU and inference libraries, "
        "and what to type to install what is missing.",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object (default: text)")
    return parser


def command(argv: list[str]) -> int:
    """Run `edgeswap doctor`."""
    options = build_parser().parse_args(argv)
    report = examine()
    print(json.dumps(report, indent=1) if options.json else "\n".join(_describe(report)))
    return 0


def _describe(report: dict[str, Any]) -> list[str]:
    cpu, memory, gpu = report["cpu"], report["memory_bytes"], report["gpu"]
    lines = [
        f"edgeswap    {report['edgeswap']}",
        f"python      {report['python']}, numpy {report['numpy']}, pillow {report['pillow']}",
        f"system      {report['system']}",
        f"cpu         {cpu['model']}, {cpu['usable_cores']} of {cpu['cores']} cores usable",
        f"            {', '.join(cpu['instructions']) or 'no instruction set of note'}",
        f"memory      {_gigabytes(memory['total'])}, {_gigabytes(memory['available'])} available",
    ]
    if report["jetson"]:
        lines.append(f"jetson      {report['jetson']}")
    lines.append(f"gpu         driver {gpu['driver'] or 'not found'}; {gpu['status']}")
    lines += [
        f"            {device['name']}, sm {device['compute_capability']}, "
        f"{_gigabytes(device['memory_bytes'])}"
        for device in gpu["devices"]
    ]
    for name, found in report["backends"].items():
        version = found["version"] or "not installed"
        told = _can(found) if found["version"] else ""
        lines.append(f"{name:13}{version}{f' ({told})' if told else ''}")
    have = [extra for extra, complete in report["extras"].items() if complete]
    lines.append(f"extras      {', '.join(have) or 'none complete'}")
    lines += [f"missing     {tip['missing']}: {tip['type']}" for tip in report["advice"]]
    return lines


def _can(found: dict[str, Any]) -> str:
    """What an installed library can do on this machine."""
    if "engines" in found:
        return f"engines: {found['engines']}"
    if "devices" in found:
        return f"{', '.join(found['devices'])}; CPU in {', '.join(found['precisions'])}"
    return ", ".join(found.get("providers", []))


def _gigabytes(count: int | None) -> str:
    return "unknown" if count is None else f"{count / 1e9:.1f} GB"
