"""What the page must know of the runtime and the bundle, taken from them and written as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeswap_export._errors import UnsupportedExport
from edgeswap_runtime.bundle.manifest import DETECTOR
from edgeswap_runtime.faces import detect, light, look, refine
from edgeswap_runtime.faces.paste import face_mask
from edgeswap_runtime.faces.watermark import watermark_for
from edgeswap_runtime.pictures.mark import Mark, software

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgeswap_runtime.bundle.manifest import Manifest


def require_page_bundle(manifest: Manifest, name: str) -> None:
    """Check that the page can run a bundle.

    Raises:
        UnsupportedExport: it has no detector for any size, or other crops than the page cuts.
    """
    if DETECTOR not in manifest.graphs:
        raise UnsupportedExport(
            f"{name} cannot run in a page: it holds no face detector; export it without "
            "--no-detector"
        )
    crop = manifest.model_crop
    stated = (crop.color, *crop.mean, *crop.std)
    if len(manifest.crops) != 1 or stated != ("RGB", *(0.5,) * 6):
        raise UnsupportedExport(
            f"{name} cannot run in a page: it looks at {len(manifest.crops)} crops, in "
            f"{crop.color}, expected one, in RGB from -1 to 1"
        )
    if None in _canvas(manifest):
        return
    raise UnsupportedExport(
        f"{name} cannot run in a page: its detector takes {_canvas(manifest)} only, expected any "
        "size; export the bundle again"
    )


def watermark_of(manifest: Manifest) -> NDArray[np.float32] | None:
    """The pattern that is added to swapped crops, (R, R, 3); None where they are too small."""
    made = watermark_for(manifest.model_crop.landmarks_px, manifest.resolution_px)
    return None if made is None else made.pattern


def _canvas(manifest: Manifest) -> tuple[int | None, ...]:
    shape = manifest.graphs[DETECTOR].input("input").shape[2:]
    return tuple(size if isinstance(size, int) else None for size in shape)


def page_settings(manifest: Manifest) -> dict[str, Any]:
    """All numbers of the page: bounds of the detector, crop, mask, light, and the mark."""
    watermark = watermark_of(manifest)
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
        "watermark": watermark is not None,
        "xmp": mark.xmp().decode("utf-8"),
    }
