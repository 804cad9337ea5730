"""Add explanations and estimates to a report."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from edgeswap_bench.explain.costs import graph_costs
from edgeswap_bench.explain.explain import explain
from edgeswap_bench.predict.predict import estimate
from edgeswap_runtime.bundle.run_order import DECODE, DENOISE, find_run_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeswap_bench.measure.bundle_subject import BundleSubject
    from edgeswap_bench.measure.results import Report


def with_explanations(report: Report, subject: BundleSubject) -> Report:
    """Add what the subject's graphs spend their time on."""
    found = tuple(one.to_json() for one in explain(subject))
    return dataclasses.replace(report, explanations=found)


def with_estimates(report: Report, subject: BundleSubject, devices: Sequence[str]) -> Report:
    """Add estimates for devices that are not at hand."""
    graphs, paths = subject.bundle.manifest.graphs, subject.bundle.graph_paths()
    costs = {name: graph_costs(paths[name], graph) for name, graph in graphs.items()}
    target = find_run_order(graphs).per_target
    times = {**dict.fromkeys((*target, DECODE), 1), DENOISE: len(subject.schedule.rows)}
    found = tuple(estimate(costs, times, device).to_json() for device in devices)
    return dataclasses.replace(report, estimates=found)
