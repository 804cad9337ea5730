"""The packaged bundle's swaps, kept from before the format of bundles changed.

The pictures are renders of nobody. On the processor they were made on, swaps are the same bytes.
Others sum in another order, which may carry a number over the border of a half.

    python tests/runtime/test_golden.py    # make them anew, after another model was packaged
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgeswap_runtime import Swapper
from edgeswap_runtime.bundle.default import default_bundle
from edgeswap_runtime.faces.detect import Face
from edgeswap_runtime.pictures.portraits import packaged_portraits

FOLDER = Path(__file__).with_name("golden")
MODEL = FOLDER / "denoise.sha256"


def swaps() -> dict[str, np.ndarray]:
    """A whole picture, and an aligned crop of one person and of two, averaged.

    The faces' places are given, so that a better detector does not change them.
    """
    portraits = {p.stem: np.asarray(Image.open(p).convert("RGB")) for p in packaged_portraits()}
    places = json.loads((FOLDER / "faces.json").read_text())
    faces = {
        name: Face(box=(0.0, 0.0, 1.0, 1.0), landmarks_px=np.array(points), score=1.0)
        for name, points in places.items()
    }
    with Swapper.open(threads=1) as swapper:
        swapper.watermark = None  # it came later
        one, two = (
            swapper._faces.align(portraits[name], faces[name])[0]
            for name in ("source-1", "source-2")
        )
        target, face = portraits["target-1"], faces["target-1"]
        crop, _ = swapper._faces.align(target, face)
        identity = swapper.identity_of_face(portraits["source-1"], faces["source-1"])
        return {
            "picture": swapper.swap(target, identity, faces=[face]),
            "crop": swapper.swap_crop(crop, swapper.identity_of_crops([one])),
            "average": swapper.swap_crop(crop, swapper.identity_of_crops([one, two])),
        }


def model_sha256() -> str:
    return hashlib.sha256((default_bundle() / "denoise.onnx").read_bytes()).hexdigest()


@pytest.mark.skipif(
    MODEL.read_text().strip() != model_sha256(), reason="another model is packaged: see above"
)
def test_swaps_are_those_of_before() -> None:
    for name, found in swaps().items():
        expected = np.asarray(Image.open(FOLDER / f"{name}.png"))
        assert found.shape == expected.shape, name
        off = np.abs(found.astype(int) - expected)
        assert off.max() <= 1 and (off > 0).mean() <= 0.01, name


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    with Swapper.open() as marker:
        for made, pixels in swaps().items():
            marker.save(pixels, FOLDER / f"{made}.png", overwrite=True)
    MODEL.write_text(f"{model_sha256()}\n")
