"""How often is the watermark found after an attack, and how often where there is none?

Scenes of a rendered dataset (any light) are enlarged, a packaged portrait's face is
swapped in, with and without the watermark, and both pictures go through each attack: none, JPEG 75,
half size, H.264 at constant rate factor 23 (the third frame of a still film). Then the face is
looked for again, as `edgeswap verify` does. A face that is not found again counts as a mark that
was not found. Scenes that `swap` leaves alone, and gray ones, which carry no watermark, are left
out and counted.

    edgeswap data render scenes --groups 250
    python benchmarks/studies/watermark.py scenes [--pictures 1000] [--size 384] [--json FILE]
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgeswap_compress.data import read_dataset
from edgeswap_runtime import EdgeswapError, Swapper
from edgeswap_runtime.faces.judge import swappable
from edgeswap_runtime.faces.watermark import THRESHOLD, find_watermark
from edgeswap_runtime.pictures.portraits import packaged_portraits

Pixels = NDArray[np.uint8]


def jpeg(picture: Pixels) -> Pixels:
    data = io.BytesIO()
    Image.fromarray(picture).save(data, "JPEG", quality=75)
    return np.asarray(Image.open(data).convert("RGB"))


def half(picture: Pixels) -> Pixels:
    size = (picture.shape[1] // 2, picture.shape[0] // 2)
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))


def h264(picture: Pixels) -> Pixels:
    data = io.BytesIO()
    with av.open(data, "w", "mp4") as film:
        stream = film.add_stream("libx264", rate=25)
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "23", "threads": "1"}
        for _ in range(3):
            film.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture))))
        film.mux(stream.encode(None))
    data.seek(0)
    with av.open(data, "r") as film:
        last = list(film.decode(video=0))[2].to_ndarray(format="rgb24")
    return np.asarray(last, np.uint8)


ATTACKS: dict[str, Callable[[Pixels], Pixels]] = {
    "none": lambda picture: picture,
    "JPEG 75": jpeg,
    "half size": half,
    "H.264 CRF 23": h264,
}


def scenes(folder: Path, count: int, size_px: int, first: int) -> Iterator[Pixels]:
    """So many scenes from a group on, enlarged."""
    dataset = read_dataset(folder)
    left = count
    for group in dataset.groups[first:]:
        for picture in dataset.images(group)[: min(left, 4)]:
            image = Image.fromarray(picture).resize((size_px, size_px), Image.Resampling.BICUBIC)
            yield np.asarray(image)
            left -= 1
            if left == 0:
                return


def similarity_of(swapper: Swapper, picture: Pixels) -> float:
    """What is found; 0 where no face is."""
    try:
        (face,), _ = swapper.choose(picture)
    except EdgeswapError:
        return 0.0
    return find_watermark(picture, face)


def psnr_db(one: Pixels, other: Pixels) -> float:
    """Peak signal to noise ratio where the two differ at all."""
    changed = (one != other).any(-1)
    error = np.mean((one[changed].astype(np.float64) - other[changed]) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def study(args: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, dict[str, list[float]]] = {
        kind: {attack: [] for attack in ATTACKS} for kind in ("marked", "unmarked")
    }
    noise: list[float] = []
    left_out = {"left alone": 0, "gray": 0}
    with Swapper.open(threads=1) as swapper:
        watermark = swapper.watermark
        people = [swapper.identity(path) for path in packaged_portraits()]
        for number, scene in enumerate(scenes(args.data, args.pictures, args.size, args.first)):
            pictures = {}
            try:
                faces = swappable(swapper.judge(scene, "largest"), "scene", force=False)
            except EdgeswapError:
                left_out["left alone"] += 1
                continue
            for kind, mark in (("marked", watermark), ("unmarked", None)):
                swapper.watermark = mark
                pictures[kind] = swapper.swap(scene, people[number % 6], faces=faces)
            if (pictures["marked"] == pictures["unmarked"]).all():
                left_out["gray"] += 1
                continue
            noise.append(psnr_db(pictures["marked"], pictures["unmarked"]))
            for kind, picture in pictures.items():
                for attack, change in ATTACKS.items():
                    found[kind][attack].append(similarity_of(swapper, change(picture)))
            if number % 50 == 49 and args.json is not None:
                args.json.write_text(json.dumps(report(found, noise, left_out), indent=1))
    return report(found, noise, left_out)


def report(
    found: dict[str, dict[str, list[float]]], noise: list[float], left_out: dict[str, int]
) -> dict[str, Any]:
    rows = {}
    for attack in ATTACKS:
        marked, plain = (np.array(found[kind][attack]) for kind in ("marked", "unmarked"))
        rows[attack] = {
            "pictures": len(marked),
            "detected": float((marked >= THRESHOLD).mean()),
            "false_positives": int((plain >= THRESHOLD).sum()),
            "marked_percentiles_1_5_50": np.percentile(marked, [1, 5, 50]).tolist(),
            "unmarked_largest": float(plain.max()),
        }
    return {
        "threshold": THRESHOLD,
        "left_out": left_out,
        "psnr_db_median": float(np.median(noise)),
        "attacks": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("data", type=Path, help="folder made by edgeswap data render")
    parser.add_argument("--pictures", type=int, default=1000, help="how many (default: 1000)")
    parser.add_argument("--size", type=int, default=384, help="side in pixels (default: 384)")
    parser.add_argument("--first", type=int, default=0, help="first group (default: 0)")
    parser.add_argument("--json", type=Path, help="file to write, now and then (default: none)")
    args = parser.parse_args()
    facts = study(args)
    if args.json is not None:
        args.json.write_text(json.dumps(facts, indent=1))
    print(
        f"the mark changes the pixels of the mask by {facts['psnr_db_median']:.1f} dB PSNR "
        f"(median); threshold {facts['threshold']}; left out: {facts['left_out']}"
    )
    for attack, row in facts["attacks"].items():
        low = ", ".join(f"{value:.1f}" for value in row["marked_percentiles_1_5_50"])
        print(
            f"{attack:13} found in {row['detected']:.1%} of {row['pictures']}; false positives "
            f"{row['false_positives']}, largest {row['unmarked_largest']:.1f}; percentiles 1, 5, "
            f"50 of the marked: {low}"
        )


if __name__ == "__main__":
    main()
