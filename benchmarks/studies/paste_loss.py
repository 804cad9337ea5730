"""How much does finding, aligning and pasting a face lose against perfect crops?

Held-out renders know where their landmarks are, and the exact truth of every swap. Each is swapped
twice: by landmarks that the detector finds, as users do, and by the true ones. The error is taken
against the truth in the inner-face mask of the render. What `swap` leaves alone (profiles, covered,
blurred faces), or does not find, is counted and left out of both. The watermark and the target's
detail are off: they are the same in both.

    edgeswap data render heldout --groups 18 --split heldout --size 128
    python benchmarks/studies/paste_loss.py heldout [--swaps 200]
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeswap_compress.data import read_dataset
from edgeswap_runtime import EdgeswapError, Face, Swapper
from edgeswap_runtime.faces.judge import swappable

Pixels = NDArray[np.uint8]


def triplets(folder: Path) -> Iterator[dict[str, Any]]:
    """All swaps of a dataset: pictures, true landmarks and the target's mask."""
    dataset = read_dataset(folder)
    for group in dataset.groups:
        images, landmarks, masks = (
            dataset.images(group), dataset.landmarks(group), dataset.masks(group)
        )  # fmt: skip
        for source, target, truth in dataset.triplets():
            yield {
                "source": images[source],
                "source_face": face_at(landmarks[source]),
                "target": images[target],
                "target_face": face_at(landmarks[target]),
                "truth": images[truth],
                "mask": masks[target] > 127,
            }


def face_at(landmarks_px: NDArray[np.float32]) -> Face:
    """A face of which only the landmarks are known; nothing else decides where a crop is cut."""
    low, high = landmarks_px.min(0), landmarks_px.max(0)
    return Face(
        box=(float(low[0]), float(low[1]), float(high[0]), float(high[1])),
        landmarks_px=landmarks_px.astype(np.float64),
        score=1.0,
    )


def psnr_db(picture: Pixels, truth: Pixels, mask: NDArray[np.bool_]) -> float:
    error = np.mean((picture.astype(np.float64) - truth)[mask] ** 2)
    return float(10 * np.log10(255**2 / max(float(error), 1e-9)))


def identity_at(swapper: Swapper, picture: Pixels, face: Face) -> Any:
    """The identity of a face whose landmarks are known."""
    choose = swapper._faces.choose
    swapper._faces.choose = lambda *_: ((face,), 1)  # type: ignore[method-assign]
    try:
        return swapper.identity(picture)
    finally:
        swapper._faces.choose = choose  # type: ignore[method-assign]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("data", type=Path, help="folder made by edgeswap data render")
    parser.add_argument("--swaps", type=int, default=200, help="how many (default: 200)")
    args = parser.parse_args()
    perfect, found, off = [], [], []
    left: Counter[str] = Counter()
    with Swapper.open(threads=1) as swapper:
        swapper.watermark, swapper.keep_detail = None, False
        for one in triplets(args.data):
            try:
                identity = swapper.identity(one["source"])
                judged = swapper.judge(one["target"], "largest")
                faces = swappable(judged, "target", force=False)
            except EdgeswapError as error:
                left[type(error).__name__] += 1
                continue
            exact = identity_at(swapper, one["source"], one["source_face"])
            best = swapper.swap(one["target"], exact, faces=[one["target_face"]])
            usual = swapper.swap(one["target"], identity, faces=faces)
            perfect.append(psnr_db(best, one["truth"], one["mask"]))
            found.append(psnr_db(usual, one["truth"], one["mask"]))
            true = one["target_face"].landmarks_px
            apart = np.linalg.norm(true[1] - true[0])
            errors = np.linalg.norm(faces[0].landmarks_px - true, axis=1)
            off.append(float(errors.mean() / apart))
            if len(found) == args.swaps:
                break
    lost = np.array(perfect) - np.array(found)
    print(
        f"{len(found)} swaps: PSNR in the face {np.mean(perfect):.2f} dB by true landmarks, "
        f"{np.mean(found):.2f} dB by found ones: {lost.mean():.2f} dB lost (median "
        f"{np.median(lost):.2f}, 95th percentile {np.percentile(lost, 95):.2f}; bar 1); landmarks "
        f"off by {np.median(off):.1%} of the eye distance (median); left out: {dict(left)}"
    )


if __name__ == "__main__":
    main()
