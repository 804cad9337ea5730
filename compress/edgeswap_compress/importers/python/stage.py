"""Import a U-Net whose condition an installed module of somebody's own computes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from diffusers import DDIMScheduler
from torch import Tensor

from edgeswap_compress.checkpoint.conditioner import SwapConditioner
from edgeswap_compress.checkpoint.folder import Checkpoint, ddim_config
from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.checkpoint.swap_parts import InputGroup, WeightLicense
from edgeswap_compress.checkpoint.target_maps import face_pixels
from edgeswap_compress.conditioning.condition import Condition
from edgeswap_compress.conditioning.crops import MODEL_CROP
from edgeswap_compress.conditioning.plugins import load_plugin
from edgeswap_compress.conditioning.specs import PluginSpec
from edgeswap_compress.diffusers_folder.building import BUILD_ERRORS, first_line
from edgeswap_compress.diffusers_folder.config import token_widths
from edgeswap_compress.importers.base.backbone import Backbone, check_base, read_base
from edgeswap_compress.importers.base.by_diffusers import load_by_diffusers
from edgeswap_compress.importers.base.parity import prove, steps_to_prove
from edgeswap_compress.importers.base.pictures import made_up_picture
from edgeswap_compress.importers.base.reference import Reference, ReferenceSwap, quiet
from edgeswap_compress.importers.base.report import ImportReport
from edgeswap_compress.importers.base.stage import import_proven
from edgeswap_compress.importers.errors import DoesNotFit, ImportRefused
from edgeswap_compress.importers.python.request import PluginRequest, check_plugin

FOLDER = "conditions/plugin"
SEED = 5
_KNOWN = (("noise",), ("noise", "mask", "masked_target"))
"""Input groups that some pipeline of diffusers has."""


@dataclass(frozen=True, slots=True)
class AssembledPlugin:
    """An imported model in memory, and what its proof needs.

    Attributes:
        checkpoint: float32.
        backbone: the base model.
        pictures: that the module was tried on.
        told: what it said of them, and what guidance takes.
    """

    checkpoint: Checkpoint
    backbone: Backbone
    pictures: dict[str, Tensor]
    told: tuple[Condition, Condition]


def import_plugin(request: PluginRequest, out: Path) -> ImportReport:
    """Import a U-Net and what computes its condition as a swap checkpoint, see `import_proven`.

    The result is compared with diffusers' pipeline where diffusers has one: where the condition is
    tokens (and Stable Diffusion XL's added ones), and the input noise alone or an inpainting
    model's. Elsewhere nothing is compared, and the report says so.

    Args:
        request: the files, and how they are used.
        out: folder to write.
    """
    return import_proven(
        lambda _: assemble_plugin(request, out),
        partial(prove_plugin, request),
        out,
        proven_steps=request.settings.proven_steps,
    )


def assemble_plugin(request: PluginRequest, out: Path) -> AssembledPlugin:
    """Check and read everything, put it together, and try the module once.

    Args:
        request: the import.
        out: folder that will be written.

    Raises:
        ImportRefused: something is missing or does not fit.
    """
    check_plugin(request, out)
    check_base(request.base)
    backbone = read_base(request.base, request.untold)
    checkpoint = _checkpoint(request, backbone)
    pictures, condition, null = _try(request, checkpoint)
    return AssembledPlugin(checkpoint, backbone, pictures, (condition, null))


def _checkpoint(request: PluginRequest, backbone: Backbone) -> Checkpoint:
    spec = PluginSpec(entry=request.entry, folder=FOLDER)
    settings, crop = request.settings, request.settings.crop.crop
    # what the module looks at is known only from the module itself
    plugin = load_plugin(spec, request.files)
    crops = {name.rpartition("/")[0]: form for name, form in plugin.crops.items()}
    latents = backbone.latent_space(crop.size_px)
    inputs = tuple(
        InputGroup(role=role, channels=1 if role == "mask" else latents.channels, one_is=one_is)
        for role, one_is in request.inputs
    )
    width = sum(group.channels for group in inputs)
    if width != backbone.unet.config.in_channels:
        raise DoesNotFit(
            "--inputs",
            expected=f"{backbone.unet.config.in_channels} channels, as {request.base} has",
            found=f"{width}",
            remedy="name the groups in the order of the U-Net's input",
        )
    swap = SwapConfig(
        crops={**crops, MODEL_CROP: crop},
        mask=settings.crop.mask,
        inputs=inputs,
        latents=latents,
        conditions=(spec,),
        sampling=settings.sampling.config,
        licenses=_licenses(request, backbone),
        weights_dtype=settings.weights_dtype or backbone.dtype,
        history=({"stage": "import", "config": {
            "family": "python", **settings.to_json(), "base": request.base.name,
            "entry": request.entry}},),
    )  # fmt: skip
    scheduler = dict(backbone.scheduler)
    return Checkpoint(
        unet=backbone.unet,
        vae=backbone.vae,
        conditioner=None,
        scheduler=DDIMScheduler.from_config(ddim_config(scheduler)),
        scheduler_config=scheduler,
        swap=swap,
        parts={FOLDER: request.files},
    )


def _licenses(request: PluginRequest, backbone: Backbone) -> tuple[WeightLicense, ...]:
    """Those of the base model, and of the module's files; the first one's hash stands for all."""
    stated, files = request.settings.licenses, request.files
    first = next((path for path in sorted(files.rglob("*")) if path.is_file()), None)
    found = [stated.of("base", backbone.files[0])]
    return (*found, *([] if first is None else [stated.of("files", first)]))


def _try(
    request: PluginRequest, checkpoint: Checkpoint
) -> tuple[dict[str, Tensor], Condition, Condition]:
    """Run the module once on made-up pictures: what it says has to be of use to the U-Net."""
    conditioner = SwapConditioner.of(checkpoint)
    random = torch.Generator().manual_seed(SEED)
    side = checkpoint.swap.resolution_px
    pictures = {f"model/{o}": made_up_picture(side, random) for o in ("target", "source")}
    for name, form in conditioner.crops.items():
        pictures.setdefault(name, made_up_picture(form.size_px, random))
    where = f"conditioner {request.entry!r}"
    try:
        with torch.no_grad():
            condition, null = conditioner.condition(pictures), conditioner.null(1)
    except BUILD_ERRORS as error:
        raise ImportRefused(f"{where} fails on a picture: {first_line(error)}") from error
    one, none = ({n: tuple(t.shape) for n, t in c.named().items()} for c in (condition, null))
    if one != none or not one:
        raise ImportRefused(
            f"{where}: expected condition and null of the same shapes, found {one} and {none}"
        )
    (width,) = token_widths(checkpoint.unet.config)
    if condition.tokens is not None and condition.tokens.shape[2] != width:
        raise DoesNotFit(
            where,
            expected=f"tokens of width {width}, as {request.base} reads",
            found=str(tuple(condition.tokens.shape)),
            remedy="project them to that width",
        )
    return pictures, condition, null


def _has_pipeline(checkpoint: Checkpoint, condition: Condition) -> bool:
    others = condition.adapter_tokens is not None or condition.vector is not None or condition.maps
    return (
        condition.tokens is not None
        and not others
        and set(condition.added) in (set(), {"text_embeds", "time_ids"})
        and checkpoint.swap.input_channels in _KNOWN
        and checkpoint.swap.input_width in (checkpoint.swap.latent_channels, 9)
        and all(group.one_is in (None, "repaint") for group in checkpoint.swap.inputs)
    )


def prove_plugin(request: PluginRequest, made: AssembledPlugin) -> float | None:
    """Swap a made-up face by both pipelines, where diffusers has one for what the module says.

    Raises:
        NotReproduced: they differ.
    """
    checkpoint, pictures, told = made.checkpoint, made.pictures, made.told
    if not _has_pipeline(checkpoint, told[0]):
        return None
    with quiet():
        unet, vae = load_by_diffusers(request.base, made.backbone)
    swap = checkpoint.swap
    reference = Reference(
        unet=unet,
        vae=vae,
        scheduler=made.backbone.scheduler,
        sampling=swap.sampling,
        size_px=swap.resolution_px,
        xl=bool(told[0].added),
    )
    one, none = (part.named() for part in told)
    scene = ReferenceSwap(
        target=pictures["model/target"],
        mask=face_pixels(swap.mask, swap.resolution_px),
        tokens=(one["tokens"], none["tokens"]),
        pooled=(one["text_embeds"], none["text_embeds"]) if told[0].added else None,
        seed=SEED,
    )
    steps = steps_to_prove(checkpoint, request.settings.proven_steps)
    return prove(
        checkpoint, pictures, lambda on_step: reference.run(scene, on_step), steps=steps, seed=SEED
    )
