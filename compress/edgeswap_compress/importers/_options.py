"""Options of ``edgeswap import``, and what they make."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgeswap_compress.checkpoint.swap_config import WEIGHT_DTYPES
from edgeswap_compress.checkpoint.swap_parts import BLENDS, SPACINGS, STARTS
from edgeswap_compress.conditioning.crops import TEMPLATES
from edgeswap_compress.importers.base.onnx_part import COLORS, Eye
from edgeswap_compress.importers.base.prompt_request import PromptRequest
from edgeswap_compress.importers.base.settings import (
    SAMPLERS,
    CropSettings,
    ImportSettings,
    Licenses,
    SamplingSettings,
)
from edgeswap_compress.importers.base.untold import PREDICTIONS, Untold
from edgeswap_compress.importers.faceid.request import FaceEncoders, LoraFile


def add_places(parser: argparse.ArgumentParser, first: str, told: str) -> None:
    """Add what is imported, and the folder to make."""
    parser.add_argument("base", type=Path, metavar=first, help=told)
    parser.add_argument("out", type=Path, metavar="OUT", help="checkpoint folder to make")


def add_crop(parser: argparse.ArgumentParser, *, align: str = "ffhq", size: int = 512) -> None:
    """Add the options of the crop that is swapped."""
    group = parser.add_argument_group("the crop that is swapped")
    group.add_argument(
        "--align",
        choices=sorted(TEMPLATES),
        default=align,
        help="where the face lies in the crop (default: %(default)s)",
    )
    group.add_argument(
        "--size",
        type=int,
        default=size,
        metavar="PX",
        help="side of the crop in pixels (default: %(default)s)",
    )
    group.add_argument(
        "--mask-scale",
        type=float,
        default=1.0,
        metavar="X",
        help="size of the repainted oval, as a factor of the inner face, 0.3 to 2 (default: 1)",
    )


def add_sampling(
    parser: argparse.ArgumentParser, *, steps: int, guidance: float, start: bool = True
) -> None:
    """Add the options of sampling."""
    group = parser.add_argument_group("sampling")
    group.add_argument(
        "--sampler", choices=SAMPLERS, default="ddim", help="the sampler (default: %(default)s)"
    )
    group.add_argument(
        "--spacing",
        choices=SPACINGS,
        help="how its timesteps are spaced (default: as the base model's scheduler_config.json)",
    )
    group.add_argument(
        "--steps",
        type=int,
        default=steps,
        metavar="N",
        help="sampling steps of the whole schedule, 1 to 1000 (default: %(default)s)",
    )
    group.add_argument(
        "--guidance",
        type=float,
        default=guidance,
        metavar="X",
        help="classifier-free guidance; 1 is none (default: %(default)s)",
    )
    if not start:  # diffusers' pipeline begins at noise, and proves nothing else
        parser.set_defaults(begin=None, strength=1.0, blend="none")
        return
    group.add_argument(
        "--begin",
        choices=STARTS,
        help="begin at noise, or at the target noised as far as --strength says (default: target "
        "where the strength is below 1)",
    )
    group.add_argument(
        "--strength",
        type=float,
        default=1.0,
        metavar="X",
        help="share of the steps that are run, above 0 to 1 (default: 1)",
    )
    group.add_argument(
        "--blend",
        choices=BLENDS,
        default="none",
        help="latents: set back what lies outside the mask after each step (default: none)",
    )


def add_store(parser: argparse.ArgumentParser) -> None:
    """Add the options of licenses, of what is stored, and of the proof."""
    group = parser.add_argument_group("what is kept, and how it is proven")
    group.add_argument(
        "--license",
        action="append",
        default=[],
        metavar="[FILE=]ID",
        help="license of a file (base=ID, adapter=ID, recognizer=ID), or of all others; required",
    )
    group.add_argument(
        "--origin",
        action="append",
        default=[],
        metavar="[FILE=]TEXT",
        help="where a file comes from, or all others; required",
    )
    group.add_argument(
        "--weights-dtype",
        choices=WEIGHT_DTYPES,
        help="number format of the weights on disk (default: the base model's)",
    )
    group.add_argument(
        "--proven-steps",
        type=int,
        metavar="N",
        help="steps that are compared with diffusers' own pipeline (default: all of a small "
        "model's, 3 of one above 50 million parameters)",
    )


def add_prompt(parser: argparse.ArgumentParser) -> None:
    """Add the options of the words."""
    group = parser.add_argument_group("the words that are told with every swap")
    words = group.add_mutually_exclusive_group(required=True)
    words.add_argument("--prompt", metavar="TEXT", help="text, encoded once by BASE's encoders")
    words.add_argument(
        "--prompt-embeds",
        type=Path,
        metavar="FILE",
        help="safetensors with prompt_embeds and negative_prompt_embeds (XL: pooled_... too) "
        "instead of a text",
    )
    group.add_argument(
        "--negative-prompt",
        default="",
        metavar="TEXT",
        help="text that guidance leads away from (default: empty)",
    )


def add_adapter(parser: argparse.ArgumentParser) -> None:
    """Add the options of an IP-Adapter and of what it looks at."""
    group = parser.add_argument_group("the adapter, and what it sees of the source")
    group.add_argument(
        "--adapter", type=Path, required=True, metavar="FILE",
        help="the adapter's own file, .bin or .safetensors; required",
    )  # fmt: skip
    group.add_argument(
        "--scale", type=float, default=0.8, metavar="X",
        help="weight of the adapter's attention, 0 to 10 (default: %(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--lora", action="append", default=[], metavar="FILE[:SCALE]",
        help="LoRA to add to the U-Net's weights, also LCM-LoRA and Hyper-SD; repeat it for more "
        "(default: none)",
    )  # fmt: skip
    add_recognizer(group)
    group.add_argument(
        "--image-encoder", type=Path, metavar="FILE",
        help="ONNX image encoder, or a transformers folder (default: none; FaceID Plus and "
        "Plus-face need one)",
    )  # fmt: skip
    group.add_argument(
        "--image-encoder-align", choices=sorted(TEMPLATES), default="arcface",
        help="where the face lies in the image encoder's picture (default: %(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--image-encoder-output", metavar="NAME",
        help="output of the image encoder to read (default: its only one)",
    )  # fmt: skip
    add_untold(group)


def add_untold(group: argparse._ArgumentGroup) -> None:
    """Add what a single file does not tell of its U-Net."""
    group.add_argument(
        "--prediction", choices=PREDICTIONS,
        help="what a single file's U-Net predicts, which it does not tell (default: epsilon, or "
        "what the file says; a file of Stable Diffusion 2's form needs it)",
    )  # fmt: skip
    group.add_argument(
        "--heads", type=int, metavar="N",
        help="attention heads of a single file's U-Net, which it does not tell (default: 8, or "
        "heads of 64 channels for Stable Diffusion 2 and XL)",
    )  # fmt: skip


def add_recognizer(group: argparse._ArgumentGroup, *, align: str = "arcface") -> None:
    """Add the options of the face recognizer."""
    group.add_argument(
        "--recognizer", type=Path, metavar="FILE",
        help="ONNX face recognizer the model was trained with (default: none)",
    )  # fmt: skip
    group.add_argument(
        "--recognizer-align", choices=sorted(TEMPLATES), default=align,
        help="where the face lies in the recognizer's picture (default: %(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--recognizer-color", choices=COLORS, default="RGB",
        help="order of the recognizer's color channels (default: %(default)s)",
    )  # fmt: skip
    group.add_argument(
        "--recognizer-output", metavar="NAME",
        help="output of the recognizer to read (default: its only one)",
    )  # fmt: skip


def settings_of(args: argparse.Namespace, names: set[str]) -> ImportSettings:
    """Make the settings that every family has; `names` are the files that licenses may name."""
    return ImportSettings(
        crop=CropSettings(align=args.align, size_px=args.size, mask_scale=args.mask_scale),
        sampling=SamplingSettings(
            sampler=args.sampler,
            spacing=args.spacing,
            steps=args.steps,
            guidance_scale=args.guidance,
            start=args.begin,
            strength=args.strength,
            blend=args.blend,
        ),
        licenses=Licenses.parse(args.license, args.origin, names),
        weights_dtype=args.weights_dtype,
        proven_steps=args.proven_steps,
    )


def prompt_of(args: argparse.Namespace) -> PromptRequest:
    """Make the request of the words."""
    return PromptRequest(args.prompt, args.negative_prompt, args.prompt_embeds)


def encoders_of(args: argparse.Namespace, *, normalize: bool) -> FaceEncoders:
    """Make the request of the encoders."""
    return FaceEncoders(
        recognizer=args.recognizer,
        recognizer_eye=eye_of(args),
        normalize=normalize,
        image_encoder=args.image_encoder,
        image_eye=Eye(align=args.image_encoder_align, output=args.image_encoder_output),
    )


def eye_of(args: argparse.Namespace) -> Eye:
    """Read how the recognizer is shown the face."""
    return Eye(
        align=args.recognizer_align, color=args.recognizer_color, output=args.recognizer_output
    )


def untold_of(args: argparse.Namespace) -> Untold:
    """Read what the user says of a single file."""
    return Untold(heads=args.heads, prediction=args.prediction)


def loras_of(args: argparse.Namespace) -> tuple[LoraFile, ...]:
    """Read the LoRA and their scales."""
    return tuple(LoraFile.parse(text) for text in args.lora)
