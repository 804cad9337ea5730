"""Does a model of somebody else go the whole way, from its files to a swapped photo?

For each family the files are made as their owners publish them, of the true architecture, tiny and
with random weights. Then each command runs in a fresh process:

    import -> inspect -> prune 0.6 -> export fp32, fp16 -> engine for sm86 -> swap of a photo

Each row is wall time, processor time and the process tree's peak resident memory. Distillation is
left out: it takes teachers that predict v and data with truths. The swapped photo shows nothing:
what is shown is that every command takes what the one before it made.

    python benchmarks/studies/import_walk.py --folder walk
    python benchmarks/studies/import_walk.py --folder walk --family instantid --no-engine
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from fresh_process import measure_edgeswap

SAMPLING = ["--size", "64", "--steps", "4", "--sampler", "euler", "--license", "CC0-1.0",
            "--origin", "random weights"]  # fmt: skip
FAMILIES = ("faceid", "faceid_plus", "instantid", "paint", "reface")


def main() -> int:
    """Walk the way of each family, print the table."""
    arguments = parse()
    rows = []
    for family in arguments.family or FAMILIES:
        folder = arguments.folder / family
        folder.mkdir(parents=True, exist_ok=True)
        for name, words in steps(family, make(family, folder), folder, arguments):
            row = {"family": family, "step": name, **measure_edgeswap(words).to_json()}
            rows.append(row)
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
    parser.add_argument("--family", action="append", choices=FAMILIES, help="instead of all")
    parser.add_argument("--photo", type=Path, help="instead of a packaged portrait")
    parser.add_argument("--no-engine", action="store_true", help="leave TensorRT for RTX out")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args()


def make(family: str, folder: Path) -> list[str]:
    """Write a family's files; returns the arguments of edgeswap import, without its output."""
    from diffusers import UNet2DConditionModel

    from edgeswap_compress.importers.tiny.adapters import tiny_adapter, tiny_lora
    from edgeswap_compress.importers.tiny.backbones import (
        tiny_base,
        tiny_controlnet,
        tiny_prompt,
    )
    from edgeswap_compress.importers.tiny.encoders import tiny_image_encoder, tiny_recognizer
    from edgeswap_compress.importers.tiny.ldm import tiny_ldm

    face = tiny_recognizer(folder / "recognizer.onnx")
    if family in ("paint", "reface"):
        file = tiny_ldm(folder / "last.ckpt", reface=family == "reface")
        marks = tiny_recognizer(folder / "landmarks.onnx", size=136)
        sees = ["--recognizer", face, "--landmarks", marks] if family == "reface" else []
        return [str(word) for word in ("reface", file, *sees)]
    xl = family == "instantid"
    base = tiny_base(folder / "base", channels=4 if xl else 9, xl=xl)
    unet = UNet2DConditionModel.from_pretrained(base / "unet")
    tokens = 16 if xl else 4
    words: list[Any] = [family.partition("_")[0], base, "--recognizer", face, "--adapter"]
    words.append(tiny_adapter(folder / "adapter.bin", unet, family, tokens=tokens))
    words += ["--prompt-embeds", tiny_prompt(folder / "words", xl=xl), "--guidance", 3]
    words += ["--lora", f"{tiny_lora(folder / 'lora.safetensors', unet)}:0.5"]
    if family == "faceid_plus":
        words += ["--image-encoder", tiny_image_encoder(folder / "image_encoder.onnx")]
    if xl:
        words += ["--controlnet", tiny_controlnet(folder / "net", base)]
        words += ["--strength", 0.75, "--blend", "latents"]
    return [str(word) for word in words]


def steps(
    family: str, given: list[str], folder: Path, arguments: argparse.Namespace
) -> list[tuple[str, list[str]]]:
    """List (name, arguments of edgeswap) of each step, in order."""
    photo = arguments.photo
    if photo is None:
        from edgeswap_runtime.pictures.portraits import packaged_portraits

        photo = packaged_portraits()[0]
    whole, small = str(folder / "whole"), str(folder / "small")
    bundle, half, engines = (str(folder / name) for name in ("bundle", "half", "engines"))
    swap = ["--source", str(photo), "--target", str(photo), "--out"]
    found = [
        ("import", ["import", *given[:2], whole, *given[2:], *SAMPLING]),
        ("inspect", ["inspect", whole]),
        ("prune 0.6", ["prune", whole, small, "--macs-ratio", "0.6"]),
        ("export fp32", ["export", small, bundle, "--schedule", "euler:4"]),
        ("export fp16", ["export", small, half, "--schedule", "euler:4", "--precision", "fp16"]),
        ("engine sm86", ["engine", half, engines, "--backend", "tensorrt_rtx", "--gpu", "sm86"]),
        ("swap fp32", ["swap", bundle, *swap, str(folder / "swapped.png")]),
        ("swap fp16", ["swap", half, *swap, str(folder / "swapped-half.png")]),
    ]
    return [one for one in found if not (arguments.no_engine and one[0].startswith("engine"))]


def table(rows: list[dict[str, Any]]) -> str:
    """One line for each step."""
    lines = [
        "| family | step | s | CPU s | peak of the process tree, GB |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row['family']} | {row['step']} | {row['seconds']:.1f} | {row['cpu_seconds']:.1f} "
            f"| {row['peak_rss_gb']:.2f} |"
        )
        if "failed" in row:
            lines.append(f"| {row['family']} | failed | {row['failed']} | | |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
