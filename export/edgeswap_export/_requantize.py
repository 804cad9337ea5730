"""Convert a bundle's proven float32 graphs in place to another precision, and prove them again."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import onnx

from edgeswap_compress.checkpoint.defaults import calibration_dataset
from edgeswap_compress.data import read_dataset
from edgeswap_export._config import GraphsConfig
from edgeswap_export._errors import ParityFailed
from edgeswap_export._schedules import is_large
from edgeswap_export.calibration import (
    CALIBRATION_SWAPS,
    PARITY_SWAPS,
    Feeds,
    feeds_of_swaps,
    rendered_examples,
    usual_swaps,
)
from edgeswap_export.graphs.example import SEED, SwapExample
from edgeswap_export.graphs.to_onnx import check, write_onnx
from edgeswap_export.graphs.wide_norms import join_wide_norms
from edgeswap_export.parity.compare import open_graphs
from edgeswap_export.parity.prove import ConvertedGraphs, ParitySubject, prove_precision
from edgeswap_export.precision.convert import LOSS_BUDGETS, Converted, convert
from edgeswap_export.precision.qdq import GRIDS


def requantize(
    folder: Path,
    subject: ParitySubject,
    config: GraphsConfig,
    progress: Callable[[str], None],
) -> tuple[dict[str, Converted], dict[str, Any]]:
    """Convert the graphs in a folder and prove them.

    Args:
        folder: holds the proven float32 graphs; they are replaced.
        subject: what they were proven against.
        config: precision, any but "fp32", and the number of calibration swaps.
        progress: called with one line for each thing begun.

    Returns:
        graph name -> its conversion; the proof.

    Raises:
        ParityFailed: a converted graph or swap is further from torch than its precision allows.
    """
    swap = subject.checkpoint.swap
    count = config.calibration_swaps or usual_swaps(CALIBRATION_SWAPS, swap.resolution_px, least=2)
    progress(f"sampling {count} swaps to calibrate with")
    unseen = usual_swaps(PARITY_SWAPS, swap.resolution_px)
    held_out = rendered_examples(swap, unseen, "parity", SEED)
    backend = open_graphs(folder, subject.files)

    def feeds_of(examples: list[Any]) -> Feeds:
        made_of, tables = subject.swap_graphs, list(subject.tables.values())
        return feeds_of_swaps(backend, subject.checkpoint, made_of, examples, tables)

    observed = feeds_of(rendered_examples(swap, count, "calibration", SEED))
    feeds = feeds_of(held_out)
    backend.close()
    originals = Float32Graphs(folder, tuple(subject.graphs))
    with subject.at_rest(folder) as resting:
        converted, proof = _within_budget(folder, resting, config, originals, (observed, feeds),
                                          held_out[0], progress)  # fmt: skip
    originals.remove()
    proof["calibration"] = {
        "dataset_sha256": read_dataset(calibration_dataset()).digest,
        "swaps": count,
        "held_out_swaps": unseen,
        "seed": SEED,
    }
    return converted, proof


def _within_budget(
    folder: Path,
    subject: ParitySubject,
    config: GraphsConfig,
    originals: Float32Graphs,
    feeds: tuple[Feeds, Feeds],
    sample: SwapExample,
    progress: Callable[[str], None],
) -> tuple[dict[str, Converted], dict[str, Any]]:
    """Convert and prove, with less and less loss allowed until whole swaps pass.

    Args:
        folder: gets the converted graphs.
        subject: the reference.
        config: as in `requantize`.
        originals: the float32 graphs.
        feeds: inputs to calibrate with, and inputs of other faces.
        sample: one of the other faces' swaps.
        progress: called with one line for each thing begun.
    """
    precision, large = config.precision, is_large(subject.checkpoint.swap)
    observed, unseen = feeds
    for budget in (budgets := LOSS_BUDGETS if precision in GRIDS else LOSS_BUDGETS[:1]):
        converted = {}
        for name in originals:
            progress(f"converting {name} to {precision}")
            converted[name] = convert(
                originals[name], precision, observed[name], progress, budget, large
            )
            check(converted[name].model, name)
            _replace(folder, name, converted[name].model)
        candidate = ConvertedGraphs(folder, converted, originals, budget)
        try:
            return converted, prove_precision(subject, candidate, unseen, sample, progress)
        except ParityFailed as error:
            if budget == budgets[-1]:
                raise
            progress(f"{error}; trying with half the loss per graph")
    raise AssertionError("there is at least one budget")


class Float32Graphs(Mapping[str, onnx.ModelProto]):
    """The float32 graphs of a folder, set aside in it; each is read when it is asked for.

    Their norms are whole: other precisions have wide enough bounds for them.

    Args:
        folder: holds the graphs; they are moved away from there.
        names: of the graphs.
    """

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        self._home, self._names = folder / "float32", names
        self._home.mkdir()
        for name in names:
            for file in (f"{name}.onnx", f"{name}.onnx.data"):
                if (folder / file).exists():
                    (folder / file).rename(self._home / file)

    def __getitem__(self, name: str) -> onnx.ModelProto:
        model = onnx.load(self._home / f"{name}.onnx")
        join_wide_norms(model)
        return model

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def remove(self) -> None:
        """Remove their files."""
        shutil.rmtree(self._home)


def _replace(folder: Path, name: str, model: onnx.ModelProto) -> None:
    """Replace a graph's files; the model keeps its weights in memory, to be proven."""
    for file in (folder / f"{name}.onnx", folder / f"{name}.onnx.data"):
        file.unlink(missing_ok=True)
    write_onnx(folder, name, model)
    if (folder / f"{name}.onnx.data").exists():  # writing moved the weights out of the model
        onnx.load_external_data_for_model(model, str(folder))
