"""Does the target's own fine detail make large swapped faces better than plain enlarging?

Scenes are rendered at a size at which the face is several times the crop, with the exact truth of
the swap. Each is swapped with and without `keep_detail`, without the watermark. In the mask, apart
from its rim: the error against the truth; sharpness, the contrast between neighboring pixels
(Laplacian) as a share of the target's, 1 being as sharp as the picture around; and identity, the
cosine of the bundle's identity vector to the source less that to the target, after looking for the
face again. The same with noise of 6 added to the target, which stands for grain.

    edgeswap data render scenes --groups 6 --identities 3 --size 512 --split heldout --light normal
    python benchmarks/studies/detail.py scenes [--sheet FILE.png]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgeswap_compress.data import read_dataset
from edgeswap_runtime import EdgeswapError, Swapper
from edgeswap_runtime.faces.judge import swappable
from edgeswap_runtime.faces.recognize import likeness
from edgeswap_runtime.pictures.sheet import SheetStyle, draw_sheet
from edgeswap_runtime.pictures.write import SWAPPED, save_marked

Pixels = NDArray[np.uint8]


def laplacian(picture: Pixels) -> NDArray[np.float64]:
    """Of the brightness, 0 at the rim."""
    gray = picture.astype(np.float64).mean(-1)
    around = sum(np.roll(gray, step, axis) for step in (1, -1) for axis in (0, 1))
    return np.asarray(4 * gray - around)


def inside(plain: Pixels, target: Pixels) -> NDArray[np.bool_]:
    """Where the swap replaced pixels, a few pixels from its rim."""
    changed = Image.fromarray(((plain != target).any(-1) * 255).astype(np.uint8))
    filled = np.asarray(changed.resize((64, 64), Image.Resampling.BOX)) > 230
    grown = Image.fromarray((filled * 255).astype(np.uint8)).resize(changed.size)
    return np.asarray(grown) > 254


def measured(
    swapper: Swapper, result: Pixels, facts: dict[str, Any], masked: NDArray[np.bool_]
) -> dict[str, float]:
    """Error, sharpness and identity of one result."""
    error = (result.astype(np.float64) - facts["truth"])[masked]
    sharp = laplacian(result)[masked].std() / laplacian(facts["target"])[masked].std()
    vector = swapper.identity(result).named("vector")
    to_source, to_target = (
        likeness(vector, facts[name].named("vector")) for name in ("source", "before")
    )
    return {
        "psnr_db": float(10 * np.log10(255**2 / np.mean(error**2))),
        "sharpness": float(sharp),
        "identity": to_source - to_target,
    }


def study(args: argparse.Namespace) -> tuple[dict[str, list[dict[str, float]]], list[list[Pixels]]]:
    dataset = read_dataset(args.data)
    found: dict[str, list[dict[str, float]]] = {}
    rows: list[list[Pixels]] = []
    noise = np.random.default_rng(0)
    with Swapper.open(threads=1) as swapper:
        swapper.watermark = None
        for group in dataset.groups:
            pictures = dataset.images(group)
            for source, target, truth in dataset.triplets()[:: args.every]:
                for words, sigma in (("clean", 0.0), ("noisy", 6.0)):
                    grain = noise.normal(0, sigma, pictures[target].shape)
                    before = np.rint(pictures[target] + grain).clip(0, 255).astype(np.uint8)
                    try:
                        identity = swapper.identity(pictures[source])
                        judged = swapper.judge(before, "largest")
                        faces = swappable(judged, "scene", force=False)
                        facts = {
                            "truth": pictures[truth],
                            "target": before,
                            "source": identity,
                            "before": swapper.identity(before),
                        }
                        results = {}
                        for kept in (False, True):
                            swapper.keep_detail = kept
                            results[kept] = swapper.swap(before, identity, faces=faces)
                        masked = inside(results[False], before)
                        for kept, result in results.items():
                            name = f"{words}, {'detail' if kept else 'plain'}"
                            row = measured(swapper, result, facts, masked)
                            found.setdefault(name, []).append(row)
                    except EdgeswapError:
                        continue
                    if len(rows) < 6 and words == "clean":
                        rows.append([before, results[False], results[True], pictures[truth]])
    return found, rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("data", type=Path, help="folder made by edgeswap data render")
    parser.add_argument("--every", type=int, default=1, help="every N-th triplet (default: 1)")
    parser.add_argument("--sheet", type=Path, help="picture to write (default: none)")
    args = parser.parse_args()
    found, rows = study(args)
    for name, values in found.items():
        means = {key: np.mean([value[key] for value in values]) for key in values[0]}
        print(
            f"{name:14} {len(values)} swaps: PSNR {means['psnr_db']:.2f} dB, sharpness "
            f"{means['sharpness']:.2f} of the target's, identity {means['identity']:+.3f}"
        )
    if args.sheet is not None:
        titles = ["target", "enlarged", "with detail", "truth"]
        sheet = draw_sheet(rows, titles=titles, style=SheetStyle(tile_px=320))
        save_marked(args.sheet, sheet, SWAPPED, overwrite=True)


if __name__ == "__main__":
    main()
