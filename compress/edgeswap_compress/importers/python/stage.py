"""Import a U-Net whose condition an installed module of somebody's own computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch import Tensor

from edgeswap_compress.checkpoint.conditioner import SwapConditioner
from edgeswap_compress.checkpoint.folder import Checkpoint, ddim_config
from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.checkpoint.swap_parts import LatentSpace
from edgeswap_compress.checkpoint.target_maps import face_pixels
from edgeswap_compress.conditioning.condition import Condition
from edgeswap_compress.conditioning.crops import MODEL_CROP
from edgeswap_compress.conditioning.plugins import load_plugin
from edgeswap_compress.conditioning.specs import PluginSpec
from edgeswap_compress.diffusers_folder.building import BUILD_ERRORS, first_line
from edgeswap_compress.importers.base.backbone import Backbone, check_base, read_base
from edgeswap_compress.importers.base.parity import prove, steps_to_prove
from edgeswap_compress.importers.base.pictures import made_up_picture
from edgeswap_compress.importers.base.reference import Reference, ReferenceSwap, quiet, take_means
from edgeswap_compress.importers.base.report import ImportReport
from edgeswap_compress.importers.errors import DoesNotFit, ImportRefused
from edgeswap_compress.importers.python.request import PluginRequest, check_plugin

FOLDER = "conditions/plugin"
SEED = 5
_KNOWN = (("noise",), ("noise", "mask", "masked_target"))
"""Input groups that some pipeline of diffusers has."""


def import_plugin(request: PluginRequest, out: Path) -> ImportReport:
    """Import a U-Net and what computes its condition as a swap checkpoint.

    The result is compared with diffusers' pipeline where diffusers has one: where the condition is
    tokens (and Stable Diffusion XL's added ones), and the input noise alone or an inpainting
    model's. Elsewhere nothing is compared, and the report says so.

    Args:
        request: the files, and how they are used.
        out: folder to write.

    Raises:
        ImportRefused: something is missing, does not fit, or is not reproduced.
        OutputExists: the folder exists already.
    """
    check_plugin(request, out)
    check_base(request.base)
    backbone = read_base(request.base, heads=request.heads)
    checkpoint = _checkpoint(request, backbone)
    pictures, condition, null = _try(request, checkpoint)
    steps = steps_to_prove(checkpoint, request.settings.proven_steps)
    difference = None
    if _has_pipeline(checkpoint, condition):
        difference = _prove(request, checkpoint, backbone, pictures, (condition, null), steps)
    checkpoint.save(out)
    return ImportReport(
        path=out,
        difference=difference,
        steps=0 if difference is None else steps,
        parameters=sum(p.numel() for p in backbone.unet.parameters()),
    )


def _checkpoint(request: PluginRequest, backbone: Backbone) -> Checkpoint:
    spec = PluginSpec(entry=request.entry, folder=FOLDER)
    settings, crop = request.settings, request.settings.crop.crop
    # what the module looks at is known only from the module itself
    plugin = load_plugin(spec, request.files)
    crops = {name.rpartition("/")[0]: form for name, form in plugin.crops.items()}
    channels = int(backbone.vae.config.latent_channels)
    width = sum(group.channels for group in request.inputs)
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
        inputs=request.inputs,
        latents=LatentSpace(
            channels=channels, size=crop.size_px // 8, std=(1.0 / backbone.scaling_factor,)
        ),
        conditions=(spec,),
        sampling=settings.sampling.config,
        licenses=(settings.licenses.of("base", backbone.files[0]),),
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
    where = f"entry point {request.entry!r}"
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
    width = checkpoint.unet.config.cross_attention_dim
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
        and all(group.one_is in (None, "repaint") for group in checkpoint.swap.inputs)
    )


def _prove(
    request: PluginRequest,
    checkpoint: Checkpoint,
    backbone: Backbone,
    pictures: dict[str, Tensor],
    told: tuple[Condition, Condition],
    steps: int,
) -> float:
    with quiet():
        unet: Any = backbone.unet
        vae: Any = backbone.vae
        if request.base.is_dir():
            unet = UNet2DConditionModel.from_pretrained(
                request.base / "unet", torch_dtype=torch.float32
            )
            vae = AutoencoderKL.from_pretrained(request.base / "vae", torch_dtype=torch.float32)
    swap = checkpoint.swap
    reference = Reference(
        unet=unet,
        vae=take_means(vae),
        scheduler=backbone.scheduler,
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
    return prove(
        checkpoint, pictures, lambda on_step: reference.run(scene, on_step), steps=steps, seed=SEED
    )
