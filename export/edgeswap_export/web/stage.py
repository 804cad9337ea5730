"""Make the folder of a page: our modules, two graphs, and ONNX Runtime for browsers."""

from __future__ import annotations

import shutil
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeswap_compress.data.assets import asset, fetch
from edgeswap_export.web.settings import page_settings, require_page_bundle, watermark_of
from edgeswap_runtime.bundle.constants import read_constants
from edgeswap_runtime.bundle.folder import Bundle
from edgeswap_runtime.bundle.run_order import DETECTOR
from edgeswap_runtime.files import new_folder, write_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeswap_runtime.bundle.manifest import Manifest

RUNTIME = "onnxruntime-web"
"""The package of `edgeswap data fetch` that runs the graphs in a browser."""
RUNTIME_FILES = (
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
)
SHARED = (
    "index.html",
    "style.css",
    "icon.svg",
    "main.js",
    "inputs.js",
    "people.js",
    "sources.js",
    "view.js",
    "figures.js",
)
"""Files of the page that are those of `edgeswap live`."""
OWN = (
    "link.js",
    "worker.js",
    "swap.js",
    "detect.js",
    "align.js",
    "paste.js",
    "people_seen.js",
    "mark.js",
)
SETTINGS = "settings.json"


def web(bundle: Path, out: Path, *, progress: Callable[[str], None] | None = None) -> Path:
    """Write a page that swaps faces in the browser; nothing leaves the machine it is opened on.

    Args:
        bundle: a bundle with a detector, one crop, and at most 4 steps.
        out: the folder to make. It can be served as it is by any server of files; with the headers
            of `open_page_server` several threads are used.
        progress: called with one line per thing done; silent when None.

    Returns:
        `out`.

    Raises:
        UnsupportedExport: the page cannot run such a bundle.
        AssetDownloadFailed: npm failed or is not installed.
        AssetDamaged: the package is not the one recorded.
        OutputExists: `out` is taken.
    """
    opened = Bundle.open(bundle)
    require_page_bundle(opened.manifest, str(bundle))
    fetch([RUNTIME], progress=progress)
    with new_folder(out) as folder:
        _copy_page(folder)
        _write_graphs(opened, folder)
        write_json(folder / SETTINGS, page_settings(opened.manifest))
        pattern = watermark_of(opened.manifest)
        if pattern is not None:
            planes = np.ascontiguousarray(pattern.transpose(2, 0, 1), dtype="<f4")
            (folder / "watermark.f32").write_bytes(planes.tobytes())
        (folder / "LICENSES.txt").write_text(_licenses(opened.manifest), encoding="utf-8")
    return out


def _copy_page(folder: Path) -> None:
    live, own = files("edgeswap_runtime") / "live" / "page", files(__package__) / "page"
    for home, names in ((live, SHARED), (own, OWN)):
        for name in names:
            (folder / name).write_bytes((home / name).read_bytes())
    (folder / "ort").mkdir()
    for name in RUNTIME_FILES:
        shutil.copyfile(asset(RUNTIME) / "dist" / name, folder / "ort" / name)


def _write_graphs(opened: Bundle, folder: Path) -> None:
    """Copy the detector, and swap.onnx if the bundle has it; else join it from the graphs."""
    import onnx

    from edgeswap_export.graphs.joined.fuse import SINGLE_FILE, swap_graph
    from edgeswap_export.graphs.joined.unroll import SEED, require_few_steps
    from edgeswap_export.graphs.to_onnx import write_onnx

    manifest = opened.manifest
    paths = opened.graph_paths()
    shutil.copyfile(paths[DETECTOR], folder / "detector.onnx")
    if SINGLE_FILE in manifest.files:
        shutil.copyfile(opened.path / SINGLE_FILE, folder / SINGLE_FILE)
        return
    schedule = manifest.schedules[manifest.default_schedule]
    require_few_steps(schedule)
    graphs = {name: graph for name, graph in manifest.graphs.items() if name != DETECTOR}
    models = {name: onnx.load(paths[name]) for name in graphs}
    scale = np.array([manifest.guidance_scale], np.float32)
    fixed = {**read_constants(opened), "guidance": scale}
    about: dict[str, Any] = {"schedule": manifest.default_schedule, "noise_seed": SEED}
    model = swap_graph(models, graphs, schedule, fixed, about)
    write_onnx(folder, SINGLE_FILE.removesuffix(".onnx"), model)


def _licenses(manifest: Manifest) -> str:
    lines = [f"{one.what}: {one.license}, {one.origin}" for one in manifest.licenses]
    lines += ["page: Apache-2.0, edgeswap", f"ort/: MIT, {RUNTIME} by Microsoft Corporation", ""]
    return "\n".join(lines)
