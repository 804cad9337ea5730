"""What the page must know of the runtime and the bundle, taken from them and written as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeswap_export._errors import UnsupportedExport
from edgeswap_runtime.faces import detect, light, look, refine
from edgeswap_runtime.faces.paste import face_mask
from edgeswap_runtime.pictures.mark import Mark, software

if TYPE_CHECKING:
    from edgeswap_runtime.bundle.manifest import Manifest

GRAPHS = frozenset({"encode", "identity", "denoise", "decode", "detector"})
"""The graphs of a bundle that one file and a page can hold."""


def require_page_bundle(manifest: Manifest, name: str) -> None:
    """Check that the page can run a bundle.

    Raises:
        UnsupportedExport: it has other graphs or crops than the page knows.
    """
    found = set(manifest.graphs)
    if found != GRAPHS:
        odd = ", ".join(sorted(found ^ GRAPHS))
        raise UnsupportedExport(
            f"{name} cannot run in a page: it holds {', '.join(sorted(found))}, expected "
            f"{', '.join(sorted(GRAPHS))} (differs in {odd}); edgeswap export of a checkpoint that "
            "edgeswap trained makes such a bundle"
        )
    crop = manifest.model_crop
    stated = (crop.color, *crop.mean, *crop.std)
    if len(manifest.crops) != 1 or stated != ("RGB", *(0.5,) * 6):
        raise UnsupportedExport(
            f"{name} cannot run in a page: its crops are {', '.join(manifest.crops)} in "
            f"{crop.color}, expected one, in RGB from -1 to 1"
        )
    if None in _canvas(manifest):
        return
    raise UnsupportedExport(
        f"{name} cannot run in a page: its detector takes {_canvas(manifest)} only, expected any "
        "size; export the bundle again"
    )


def _canvas(manifest: Manifest) -> tuple[int | None, ...]:
    shape = manifest.graphs["detector"].input("input").shape[2:]
    return tuple(size if isinstance(size, int) else None for size in shape)


def page_settings(manifest: Manifest) -> dict[str, Any]:
    """All numbers of the page: bounds of the detector, crop, mask, light, and the mark."""
    mark = Mark(software=software(), bundle_sha256=manifest.manifest_sha256)
    return {
        "name": manifest.name,
        "crop": {
            "size_px": manifest.resolution_px,
            "landmarks_px": np.array(manifest.model_crop.landmarks_px).tolist(),
        },
        "mask": asdict(face_mask(manifest.mask)),
        "detector": {
            "detect_px": detect.DETECT_PX,
            "score_threshold": detect.SCORE_THRESHOLD,
            "overlap_threshold": detect.OVERLAP_THRESHOLD,
            "view_px": look.VIEW_PX,
            "view_per_box": look.VIEW_PER_BOX,
            "sure_score": refine.SURE_SCORE,
            "level_deg": refine.LEVEL_DEG,
            "close_enough_px": refine.CLOSE_ENOUGH_PX,
            "level_views": [[per_box, list(shift)] for per_box, shift in refine.LEVEL_VIEWS],
        },
        "light": {
            "typical": light.TYPICAL.tolist(),
            "mean_bounds": list(light.MEAN_BOUNDS),
            "tint_bounds": light.TINT_BOUNDS.tolist(),
            "gain_bounds": list(light.GAIN_BOUNDS),
            "gray_step": light.GRAY_STEP,
            "face": list(light.FACE),
        },
        "xmp": mark.xmp().decode("utf-8"),
    }
