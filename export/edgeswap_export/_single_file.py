"""Write the whole swap as one ONNX file, for applications without the runtime."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgeswap_export._errors import ParityFailed
from edgeswap_export.graphs.entries import fixed_arrays, graph_entries
from edgeswap_export.graphs.example import SwapExample
from edgeswap_export.graphs.joined.fuse import SINGLE_FILE, swap_graph
from edgeswap_export.graphs.joined.unroll import SEED
from edgeswap_export.graphs.role_names import picture_name
from edgeswap_export.graphs.to_onnx import write_onnx
from edgeswap_export.parity.compare import (
    SWAP_RMS,
    difference,
    open_graphs,
    run_graph,
    swap_with_runtime,
)
from edgeswap_export.parity.prove import ParitySubject
from edgeswap_runtime.bundle.run_order import find_run_order
from edgeswap_runtime.sampler import noise_source

ALPHA_TOLD = "NCHW, 1 channel, 0 to 1: 1 where the crop replaces the target, 0 where that stays"

TOLERANCE = 1e-4
"""Largest difference from the runtime's swap with the same noise; crops lie in [-1, 1].

Both run the same nodes on the same weights. The sums between the steps are rounded differently, and
ONNX Runtime may fuse nodes that were in different files.
"""

SHARE_IN_FEWER_BITS = 0.25
"""Largest root mean square difference, as a share of SWAP_RMS, in precisions below float32.

ONNX Runtime keeps float32 where two casts meet that were in different files, so that other values
are rounded. A quarter of the error that the precision may have adds 6 % to the error's power.
"""


def write_single_file(
    folder: Path, subject: ParitySubject, sample: SwapExample, precision: str
) -> dict[str, Any]:
    """Write swap.onnx beside a bundle's graphs and compare it with them.

    Args:
        folder: holds the bundle's graphs.
        subject: what was exported; its first schedule is unrolled.
        sample: the swap to compare; the stored noise is used, not this one's.
        precision: of the graphs.

    Returns:
        the measured difference, for the manifest.

    Raises:
        UnsupportedExport: the schedule has too many steps.
        ParityFailed: the file computes something else than the graphs it was made of.
    """
    swap, request = subject.checkpoint.swap, subject.requests[0]
    schedule = subject.tables[request.name]
    stated = graph_entries(subject.swap_graphs)
    models = {name: onnx.load(folder / file) for name, file in subject.files.items()}
    order = find_run_order(stated)
    about: dict[str, Any] = {
        "inputs": "target and source: aligned crops, RGB, NCHW, -1 to 1",
        "output": "crop: as the inputs",
        **({} if subject.checkpoint.overlay is None else {"alpha": ALPHA_TOLD}),
        "roles": {picture_name(role): role for role in (*order.target_roles, *order.source_roles)},
        "crops": {name: asdict(crop) for name, crop in swap.crops.items()},
        "resolution_px": swap.resolution_px,
        "landmarks_px": swap.landmarks_px,
        "mask": asdict(swap.mask),
        "schedule": request.name,
        "noise_seed": SEED,
    }
    fixed = fixed_arrays(subject.swap_graphs, swap.guidance_scale)
    write_onnx(
        folder,
        SINGLE_FILE.removesuffix(".onnx"),
        swap_graph(models, stated, schedule, fixed, about),
    )
    backend = open_graphs(folder, {**subject.files, "swap": SINGLE_FILE})
    pictures = subject.swap_graphs.pictures
    feed = {name: pictures[role].numpy() for name, role in about["roles"].items()}
    found = run_graph(backend, "swap", feed)["crop"]
    draw = noise_source(SEED, tuple(sample.noise.shape))
    made_of, scale = subject.swap_graphs, swap.guidance_scale
    expected = swap_with_runtime(backend, made_of, schedule, sample, scale, draw)
    backend.close()
    measured = _proven(found, expected, precision)
    return {**measured, "file": SINGLE_FILE, "schedule": request.name, "noise_seed": SEED}


def _proven(
    found: NDArray[np.float32], expected: NDArray[np.float32], precision: str
) -> dict[str, float]:
    fewer = precision in SWAP_RMS
    allowed = SHARE_IN_FEWER_BITS * SWAP_RMS[precision] if fewer else TOLERANCE
    measured = difference(found, expected, allowed)
    error = float(np.sqrt(np.square(found - expected).mean())) if fewer else measured.max_abs
    if not error <= allowed:  # also when it is not a number
        raise ParityFailed(
            f"{SINGLE_FILE} differs from the graphs it was made of by {error:.1e}, expected at most"
            f" {allowed:.0e}; nothing was written: this is a fault of the export, please report it"
            " with the checkpoint's swap.json"
        )
    return asdict(measured)
