"""Does a model of somebody else go the whole way, from its files to a swapped photo?

For each family the files are made as their owners publish them, of the true architecture, tiny and
with random weights. Then each command runs in a fresh process:

    import -> inspect -> prune 0.6 -> export -> distill 1 step
           -> export fp32, fp16 -> engine for sm86 -> swap of a photo

Each row is wall time, processor time, the process tree's peak resident memory, and what was
compared: the import with diffusers' own pipeline after each step (standard deviations of the
latents), an export with torch (largest difference of any graph's output and of the whole swaps, in
standard deviations of that output; below float32 their root mean square). The student learns from
crops of packaged renders in a folder for each person, for some seconds. The swapped photo shows
nothing: what is shown is that every command takes what the one before it made, and that it computes
the same.

    python benchmarks/studies/import_walk.py --folder walk
    python benchmarks/studies/import_walk.py --folder walk --family instantid --no-engine
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

from fresh_process import measure_edgeswap

from edgeswap_compress.importers.tiny.families import PLUGIN, TINY_FAMILIES, tiny_family

SIZE = 64
SAMPLING = ["--size", str(SIZE), "--steps", "4", "--sampler", "euler", "--license", "CC0-1.0",
            "--origin", "random weights"]  # fmt: skip
LEARNING = ["--samples", "32", "--batch-size", "4", "--targets", "8",
            "--identity-weight", "0", "--decoder-share", "0"]  # fmt: skip
PEOPLE = 4


def main() -> int:
    """Walk the way of each family, print the table."""
    arguments = parse()
    rows = []
    for family in arguments.family or TINY_FAMILIES:
        folder = arguments.folder / family
        folder.mkdir(parents=True, exist_ok=True)
        crops = write_people(folder / "people")
        for name, words in steps(tiny_family(family, folder), folder, crops, arguments):
            row = {"family": family, "step": name, **run(words, folder)}
            rows.append(row)
            print(line(row), file=sys.stderr, flush=True)
            if "failed" in row:
                break
    print(json.dumps(rows) if arguments.json else table(rows))
    return 0 if all("failed" not in row for row in rows) else 1


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="for all that is made")
    parser.add_argument("--family", action="append", choices=TINY_FAMILIES, help="instead of all")
    parser.add_argument("--photo", type=Path, help="instead of a packaged portrait")
    parser.add_argument("--no-engine", action="store_true", help="leave TensorRT for RTX out")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args()


def write_people(folder: Path) -> Path:
    """Write aligned crops of rendered people, as `edgeswap data align` would: a folder for each."""
    import torch

    from edgeswap_compress.checkpoint.defaults import calibration_dataset
    from edgeswap_compress.conditioning.crops import crop_of_template
    from edgeswap_compress.conditioning.recrop import recrop
    from edgeswap_compress.data import read_dataset
    from edgeswap_compress.fit.latent_cache import to_tensor
    from edgeswap_runtime.faces.align import to_uint8
    from edgeswap_runtime.pictures.write import RENDERED, save_marked

    dataset = read_dataset(calibration_dataset())
    given, wanted = crop_of_template("tight", 96), crop_of_template("ffhq", SIZE)
    for person in range(PEOPLE):
        place = folder / f"person-{person}"
        place.mkdir(parents=True, exist_ok=True)
        crops = recrop(to_tensor(dataset.images(person)[:2]).to(torch.float32), given, wanted)
        for number, crop in enumerate(crops.numpy()):
            pixels = to_uint8((crop.transpose(1, 2, 0) + 1.0) * 127.5)
            save_marked(place / f"{number}.png", pixels, RENDERED)
    return folder


def steps(
    given: list[str], folder: Path, crops: Path, arguments: argparse.Namespace
) -> list[tuple[str, list[str]]]:
    """List (name, arguments of edgeswap) of each step, in order."""
    photo = arguments.photo
    if photo is None:
        from edgeswap_runtime.pictures.portraits import packaged_portraits

        photo = packaged_portraits()[0]
    whole, small, pruned, student, bundle, half, engines = (
        str(folder / name)
        for name in ("whole", "small", "pruned", "student", "bundle", "half", "engines")
    )
    swap = ["--source", str(photo), "--target", str(photo), "--out"]
    # One step runs; of a start at the target with strength 0.75 it is the second of two.
    count = "2" if "--strength" in given else "1"
    learned = ["distill", whole, small, student, "--data", str(crops), "--steps", count, *LEARNING]
    found = [
        ("import", ["import", *given[:2], whole, *given[2:], *SAMPLING]),
        ("inspect", ["inspect", whole]),
        ("prune 0.6", ["prune", whole, small, "--macs-ratio", "0.6"]),
        ("export fp32, pruned", ["export", small, pruned, "--schedule", "euler:4"]),
        ("distill 1 step", learned),
        ("export fp32, student", ["export", student, bundle]),
        ("export fp16, student", ["export", student, half, "--precision", "fp16"]),
        ("engine sm86", ["engine", half, engines, "--backend", "tensorrt_rtx", "--gpu", "sm86"]),
        ("swap, pruned", ["swap", pruned, *swap, str(folder / "swapped-pruned.png")]),
        ("swap fp32, student", ["swap", bundle, *swap, str(folder / "swapped.png")]),
        ("swap fp16, student", ["swap", half, *swap, str(folder / "swapped-half.png")]),
    ]
    return [one for one in found if not (arguments.no_engine and one[0].startswith("engine"))]


def run(words: list[str], folder: Path) -> dict[str, Any]:
    """Run one command in a fresh process, and measure it."""
    done = measure_edgeswap(words, {"EDGESWAP_CONDITIONERS": conditioners(folder)})
    row = done.to_json()
    if done.failed is not None:
        return row
    if words[0] == "import":
        found = re.search(r"largest difference (\S+) standard", done.told)
        row["difference"] = None if found is None else float(found[1])
    elif words[0] == "export":
        row["difference"] = difference(Path(words[2]) / "manifest.json")
    return row


def conditioners(folder: Path) -> str:
    """Name the module of the family "python"; empty for the others."""
    module = folder / f"{PLUGIN}.py"
    return str(module) if module.is_file() else ""


def difference(manifest: Path) -> float:
    """The largest difference from torch that a bundle's proof has found."""
    parity = json.loads(manifest.read_text())["parity"]
    key = "rms" if "float32" in parity else "relative"
    graphs = [output[key] for graph in parity["graphs"].values() for output in graph.values()]
    return max(*graphs, *(swap[key] for swap in parity["swaps"].values()))


def line(row: dict[str, Any]) -> str:
    """One row of the table."""
    found = row.get("difference")
    said = row.get("failed") or ("" if found is None else f"{found:.1e}")
    return (
        f"| {row['family']} | {row['step']} | {row['seconds']:.1f} | {row['cpu_seconds']:.1f} "
        f"| {row['peak_rss_gb']:.2f} | {said} |"
    )


def table(rows: list[dict[str, Any]]) -> str:
    """One line for each step."""
    head = ["family", "step", "s", "CPU s", "peak of the process tree, GB", "largest difference"]
    return "\n".join([f"| {' | '.join(head)} |", "|---" * len(head) + "|", *map(line, rows)])


if __name__ == "__main__":
    sys.exit(main())
