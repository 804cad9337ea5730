"""What a fit reports: running means of its losses, and the figures of its evaluations."""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING

from edgeswap_runtime.files import write_bytes, write_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edgeswap_compress.fit.trackers import Tracker

FIGURES = "figures.json"
"""The last evaluation, in a run's folder."""


class MetricsLog:
    """Running means since the last line, written to ``metrics.jsonl`` and the tracker."""

    def __init__(self, folder: Path, tracker: Tracker | None, batch_size: int, step: int) -> None:
        path = folder / "metrics.jsonl"
        self._path, self._tracker, self._batch_size = path, tracker, batch_size
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}  # not every step has every term
        self._n = 0
        self._since = time.monotonic()
        self._last_evaluation = ""
        if path.exists():  # lines beyond the restored state belong to steps that are run again
            kept = [
                line for line in path.read_text().splitlines() if json.loads(line)["step"] <= step
            ]
            write_bytes(path, "".join(line + "\n" for line in kept).encode())
        self._rows = [] if not path.exists() else [json.loads(line) for line in kept]

    def stalled(self, watch: str, patience: int) -> bool:
        """Tell whether the last ``patience`` evaluations brought nothing better."""
        found = [row[watch] for row in self._rows] if patience else []
        return bool(found) and len(found) - 1 - found.index(min(found)) >= patience

    def add_step(self, norm: float, names: Sequence[str], means: Sequence[float]) -> None:
        """Add the losses of one step, and the length of its gradient."""
        self._add({"gradient_norm": norm, **dict(zip(names, means, strict=True))})

    def _add(self, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._counts[name] = self._counts.get(name, 0) + 1
        self._n += 1

    def _rate(self) -> float:
        return self._n * self._batch_size / max(1e-9, time.monotonic() - self._since)

    def line(self) -> str:
        """Give one line for the progress display."""
        terms = " ".join(f"{name} {value:.4g}" for name, value in self._means().items())
        return f"{terms} {self._rate():.1f} img/s{self._last_evaluation}"

    def _means(self) -> dict[str, float]:
        return {name: value / self._counts[name] for name, value in self._sums.items()}

    def write(self, step: int, figures: dict[str, float]) -> None:
        """Write the means since the last line beside an evaluation's figures, and begin anew."""
        means = self._means()
        samples = step * self._batch_size
        row = {"step": step, "samples": samples, "images_per_s": self._rate(), **means, **figures}
        self._rows.append(row)
        with self._path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        finite = {name: value for name, value in figures.items() if math.isfinite(value)}
        write_json(self._path.with_name(FIGURES), {"step": step, "samples": samples, **finite})
        if self._tracker is not None:
            self._tracker.log(step, {k: v for k, v in row.items() if k != "step"})
        self._last_evaluation = "".join(f" {k} {v:.4g}" for k, v in figures.items())
        self._sums, self._counts, self._n, self._since = {}, {}, 0, time.monotonic()
