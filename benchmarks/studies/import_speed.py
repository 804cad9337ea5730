"""How long does a swap at 512 px take, in diffusers and in our runtime, before and after pruning?

The models are those of `import_size.py`: a U-Net of 860 M parameters with IP-Adapter FaceID, random
weights, float32 on the CPU. In turns, in one process:

- diffusers' own inpainting pipeline with the adapter, guidance 7.5, DDIM;
- the same model exported and run by our runtime on ONNX Runtime; its encoder and decoder are the
  graphs of the next one, whose times it has;
- the half that `edgeswap prune --macs-ratio 0.5` leaves, in one step without guidance, as
  distillation leaves it, on ONNX Runtime and on OpenVINO.

A swap of 50 guided steps takes many minutes, so each of them swaps in one step, and what comes
before, the step and what comes after are timed apart. A swap of N steps is composed of them:
before + N times the step + after. `--whole` runs all 50 steps of diffusers' pipeline once, at the
end, and tells how far that is from the composed figure. A student's time does not depend on its
weights; its quality does, and nothing is shown of that.

    python benchmarks/studies/import_speed.py --folder size
    python benchmarks/studies/import_speed.py --folder small --rounds 2 --whole
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from import_size import GUIDANCE, OUTPUTS, STEPS

from edgeswap_compress.importers.base.reference import quiet
from edgeswap_compress.importers.files.tensor_files import below, read_tensors
from edgeswap_runtime import StageClock, Swapper
from edgeswap_runtime.backends.ort import OrtBackend

PARTS = ("before", "step", "after")
DIFFUSERS, EXPORTED = "diffusers' pipeline", "exported, ONNX Runtime"
STUDENT = "pruned, one step, ONNX Runtime"
OPENVINO = "pruned, one step, OpenVINO"
Parts = dict[str, float]
"""Name of a part -> seconds."""


def main() -> int:
    """Measure and print."""
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    os.environ["EDGESWAP_CACHE"] = str(arguments.folder / "cache")
    with contextlib.ExitStack() as stack:
        swaps, whole = subjects(arguments, stack)
        if arguments.pause:
            input("everything is loaded; Enter begins the timing: ")
        found = measure(swaps, arguments)
        if arguments.whole:
            seconds = whole()
            composed = found["swap_s"][DIFFUSERS]
            found["whole_s"] = seconds
            found["composed_less_whole"] = composed / seconds - 1.0
    print(json.dumps(found, indent=1) if arguments.json else table(found))
    return 0


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="of import_size.py")
    parser.add_argument("--rounds", type=int, default=5, help="after one to warm up")
    parser.add_argument("--seconds", type=float, help="begin no round after so many")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of the processor")
    parser.add_argument("--no-unpruned", action="store_true", help="leave the exported one out")
    parser.add_argument("--whole", action="store_true", help="run the 50 steps once too")
    parser.add_argument("--pause", action="store_true", help="wait for Enter after loading")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args()


def subjects(
    arguments: argparse.Namespace, stack: contextlib.ExitStack
) -> tuple[dict[str, Callable[[], Parts]], Callable[[], float]]:
    """Load the four; name -> its swap in one step, and diffusers' whole swap."""
    made = {name: arguments.folder / place for name, place in OUTPUTS.items()}
    random = np.random.default_rng(0)
    pipe, given = diffusers_pipeline(arguments.folder / "models", made["import"])
    size = given["height"]
    target, source = random.integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    swaps: dict[str, Callable[[], Parts]] = {DIFFUSERS: lambda: diffusers_swap(pipe, given)}
    if not arguments.no_unpruned:
        swaps[EXPORTED] = unpruned_step(made["unpruned graph"], arguments.threads)
    for name, backend in ((STUDENT, "ort"), (OPENVINO, "openvino")):
        opened = Swapper.open(made["export fp32"], backend=backend, threads=arguments.threads)
        swapper = stack.enter_context(opened)
        swaps[name] = runtime_swap(swapper, target, source)

    def whole() -> float:
        began = time.perf_counter()
        with quiet():
            pipe(**{**given, "num_inference_steps": STEPS})
        return time.perf_counter() - began

    return swaps, whole


def diffusers_pipeline(models: Path, imported: Path) -> tuple[Any, dict[str, Any]]:
    """Load diffusers' pipeline of the files, and make the arguments of a swap in one step."""
    from diffusers import (
        AutoencoderKL,
        DDIMScheduler,
        StableDiffusionInpaintPipeline,
        UNet2DConditionModel,
    )

    from edgeswap_compress.checkpoint.swap_config import SwapConfig
    from edgeswap_compress.checkpoint.target_maps import face_pixels

    base = models / "base"
    raw = json.loads((imported / "swap.json").read_text())
    del raw["files"]
    swap = SwapConfig.from_json(raw, imported / "swap.json")
    empty = dict.fromkeys(
        ("text_encoder", "tokenizer", "safety_checker", "feature_extractor", "image_encoder")
    )
    with quiet():
        pipe: Any = StableDiffusionInpaintPipeline(
            unet=UNet2DConditionModel.from_pretrained(base / "unet", torch_dtype=torch.float32),
            vae=AutoencoderKL.from_pretrained(base / "vae", torch_dtype=torch.float32),
            scheduler=DDIMScheduler.from_pretrained(base / "scheduler"),
            requires_safety_checker=False,
            **empty,
        )
        pipe.set_progress_bar_config(disable=True)
        nested = read_tensors(models / "adapter.safetensors")
        parts = {name: below(nested, f"{name}.") for name in ("image_proj", "ip_adapter")}
        pipe.load_ip_adapter(parts, subfolder="", weight_name="", image_encoder_folder=None)
    random = torch.Generator().manual_seed(0)
    face = torch.nn.functional.normalize(torch.randn(1, 1, 512, generator=random), dim=-1)
    side = swap.resolution_px
    return pipe, {
        **read_tensors(models / "prompt.safetensors"),
        "ip_adapter_image_embeds": [torch.cat([torch.zeros_like(face), face])],
        "image": torch.rand(1, 3, side, side, generator=random) * 2 - 1,
        "mask_image": face_pixels(swap.mask, side),
        "height": side,
        "width": side,
        "strength": 1.0,
        "guidance_scale": GUIDANCE,
        "num_inference_steps": 1,
        "output_type": "np",
    }


def diffusers_swap(pipe: Any, given: dict[str, Any]) -> Parts:
    """Run diffusers' pipeline with one step; its U-Net begins and its callback ends the step."""
    marks = [time.perf_counter()]
    hook = pipe.unet.register_forward_pre_hook(lambda *_: marks.append(time.perf_counter()))

    def told(_: Any, __: int, ___: Any, values: dict[str, Any]) -> dict[str, Any]:
        marks.append(time.perf_counter())
        return values

    with quiet():
        pipe(**given, callback_on_step_end=told)
    hook.remove()
    marks.append(time.perf_counter())
    spans = itertools.pairwise(marks)
    return {name: end - begun for name, (begun, end) in zip(PARTS, spans, strict=True)}


def unpruned_step(folder: Path, threads: int) -> Callable[[], Parts]:
    """Make one guided step of the unpruned graph in the runtime's backend, proven at once."""
    stored = dict(np.load(folder / "tensors.npz"))
    expected = stored.pop("output")
    backend = OrtBackend({"denoise": folder / "denoise.onnx"}, threads=threads)
    buffers = {name: backend.upload(value) for name, value in stored.items()}

    def step() -> Parts:
        began = time.perf_counter()
        backend.download(backend.run("denoise", buffers)["output"])
        return {"step": time.perf_counter() - began}

    found = backend.download(backend.run("denoise", buffers)["output"])
    wrong = float(np.square(found - expected).mean() ** 0.5 / expected.std())
    if not wrong <= 1e-4:
        raise SystemExit(f"the unpruned graph is {wrong:.1e} standard deviations from torch")
    return step


def runtime_swap(swapper: Swapper, target: np.ndarray, source: np.ndarray) -> Callable[[], Parts]:
    """Make the swap of a crop in the runtime, of a source it has not seen."""
    clock = StageClock()

    def swap() -> Parts:
        identity = swapper.identity_of_crops([source], clock=clock)
        swapper.swap_crop(target, identity, clock=clock)
        lap = {name: nanoseconds / 1e9 for name, nanoseconds in clock.lap().items()}
        before = lap["identity"] + lap["encode"]
        return {"before": before, "step": lap["denoise"], "after": lap["decode"]}

    return swap


def measure(swaps: dict[str, Callable[[], Parts]], arguments: argparse.Namespace) -> dict[str, Any]:
    """Time all in turns; medians of the parts, their ranges, and the composed swaps."""
    laps: dict[str, list[Parts]] = {name: [] for name in swaps}
    began = time.perf_counter()
    for turn in range(1 + arguments.rounds):
        late = arguments.seconds is not None and time.perf_counter() - began > arguments.seconds
        if late and turn > 1:
            break
        for name, swap in swaps.items():
            lap = swap()
            print(turn, name, lap, file=sys.stderr, flush=True)
            if turn:
                laps[name].append(lap)
    for one, two in zip(laps.get(EXPORTED, []), laps[STUDENT], strict=False):
        one.update({part: two[part] for part in ("before", "after")})  # the same two graphs
    medians = {
        name: {part: statistics.median(lap[part] for lap in found) for part in PARTS}
        for name, found in laps.items()
    }
    steps = {DIFFUSERS: STEPS, EXPORTED: STEPS, STUDENT: 1, OPENVINO: 1}
    composed = {
        name: parts["before"] + steps[name] * parts["step"] + parts["after"]
        for name, parts in medians.items()
    }
    return {
        "rounds": len(laps[DIFFUSERS]),
        "threads": arguments.threads,
        "steps": steps,
        "medians_s": medians,
        "ranges_s": {
            name: {part: [f(lap[part] for lap in found) for f in (min, max)] for part in PARTS}
            for name, found in laps.items()
        },
        "swap_s": composed,
        "times_diffusers": {name: composed[DIFFUSERS] / s for name, s in composed.items()},
        "load": os.getloadavg()[0] / (os.cpu_count() or 1),
    }


def table(found: dict[str, Any]) -> str:
    """One line for each of the four."""
    lines = [
        "| | steps | before, s | one step, s | after, s | a swap, s | times diffusers |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, parts in found["medians_s"].items():
        cells = []
        for part in PARTS:
            least, most = found["ranges_s"][name][part]
            cells.append(f"{parts[part]:.2f} [{least:.2f}, {most:.2f}]")
        lines.append(
            f"| {name} | {found['steps'][name]} | {' | '.join(cells)} "
            f"| {found['swap_s'][name]:.1f} | {found['times_diffusers'][name]:.1f} |"
        )
    lines.append("")
    lines.append(
        f"medians and ranges of {found['rounds']} rounds in turns, {found['threads']} threads; a "
        "swap is composed: before + steps times one step + after"
    )
    if "whole_s" in found:
        lines.append(
            f"diffusers' {STEPS} steps run once: {found['whole_s']:.1f} s; composed is "
            f"{100 * found['composed_less_whole']:+.1f} % from it"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
