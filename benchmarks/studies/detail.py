"""Does the target's own fine detail make large swapped faces better than plain enlarging?

Faces several times as large as the crop are swapped with and without `keep_detail`, without the
watermark: all pairs of the packaged portraits, or, given a dataset rendered at a large size, its
triplets, which have the exact truth. In the mask, apart from its rim: the error against the truth,
where there is one; sharpness, the contrast between neighboring pixels (Laplacian) as a share of the
target's, 1 being as sharp as the picture around; and identity, the cosine of the bundle's identity
vector to the source less that to the target, after looking for the face again. The same with noise
of 6 added to the target, which stands for grain.

    python benchmarks/studies/detail.py [--sheet FILE.png]
    edgeswap data render scenes --groups 6 --identities 3 --size 512 --split heldout --light normal
    python benchmarks/studies/detail.py --data scenes
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgeswap_compress.data import read_dataset
from edgeswap_runtime import EdgeswapError, Swapper, read_picture
from edgeswap_runtime.faces.judge import swappable
from edgeswap_runtime.faces.recognize import likeness
from edgeswap_runtime.pictures.portraits import packaged_portraits
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
    sharp = laplacian(result)[masked].std() / laplacian(facts["target"])[masked].std()
    vector = swapper.identity(result).named("vector")
    to_source, to_target = (
        likeness(vector, facts[name].named("vector")) for name in ("source", "before")
    )
    figures = {"sharpness": float(sharp), "identity": to_source - to_target}
    if facts["truth"] is not None:
        error = (result.astype(np.float64) - facts["truth"])[masked]
        figures["psnr_db"] = float(10 * np.log10(255**2 / np.mean(error**2)))
    return figures


def triplets(data: Path | None) -> Iterator[tuple[Pixels, Pixels, Pixels | None]]:
    """Source, target and, where it is known, the truth."""
    if data is None:
        portraits = [np.asarray(read_picture(path)) for path in packaged_portraits()]
        for source, target in itertools.permutations(portraits, 2):
            yield source, target, None
        return
    dataset = read_dataset(data)
    for group in dataset.groups:
        pictures = dataset.images(group)
        for places in dataset.triplets():
            source, target, truth = (pictures[place] for place in places)
            yield source, target, truth


def compared(
    swapper: Swapper, source: Pixels, target: Pixels, truth: Pixels | None
) -> tuple[dict[bool, dict[str, float]], list[Pixels]]:
    """Figures without and with detail, and the pictures for the sheet."""
    identity = swapper.identity(source)
    faces = swappable(swapper.judge(target, "largest"), "the scene", force=False)
    before = swapper.identity(target)
    facts = {"truth": truth, "target": target, "source": identity, "before": before}
    results = {}
    for kept in (False, True):
        swapper.keep_detail = kept
        results[kept] = swapper.swap(target, identity, faces=faces)
    masked = inside(results[False], target)
    figures = {kept: measured(swapper, result, facts, masked) for kept, result in results.items()}
    shown = [source, target, *results.values()]
    return figures, shown if truth is None else [*shown, truth]


def study(args: argparse.Namespace) -> tuple[dict[str, list[dict[str, float]]], list[list[Pixels]]]:
    found: dict[str, list[dict[str, float]]] = {}
    rows: list[list[Pixels]] = []
    noise = np.random.default_rng(0)
    with Swapper.open(threads=1) as swapper:
        swapper.watermark = None
        for source, target, truth in itertools.islice(triplets(args.data), 0, None, args.every):
            for words, sigma in (("clean", 0.0), ("noisy", 6.0)):
                grain = noise.normal(0, sigma, target.shape)
                before = np.rint(target + grain).clip(0, 255).astype(np.uint8)
                try:
                    figures, shown = compared(swapper, source, before, truth)
                except EdgeswapError:
                    continue
                for kept, row in figures.items():
                    name = f"{words}, {'detail' if kept else 'plain'}"
                    found.setdefault(name, []).append(row)
                if len(rows) < 6 and words == "clean":
                    rows.append(shown)
    return found, rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, help="rendered dataset (default: the portraits)")
    parser.add_argument("--every", type=int, default=1, help="every N-th swap (default: 1)")
    parser.add_argument("--sheet", type=Path, help="picture to write (default: none)")
    args = parser.parse_args()
    found, rows = study(args)
    for name, values in found.items():
        means = {key: float(np.mean([value[key] for value in values])) for key in values[0]}
        error = f"PSNR {means['psnr_db']:.2f} dB, " if "psnr_db" in means else ""
        print(
            f"{name:14} {len(values)} swaps: {error}sharpness {means['sharpness']:.2f} of the "
            f"target's, identity {means['identity']:+.3f}"
        )
    if args.sheet is not None:
        titles = ["source", "target", "enlarged", "with detail", "truth"][: len(rows[0])]
        sheet = draw_sheet(rows, titles=titles, style=SheetStyle(tile_px=320))
        save_marked(args.sheet, sheet, SWAPPED, overwrite=True)


if __name__ == "__main__":
    main()
