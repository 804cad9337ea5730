"""Let diffusers load the same files, and compare its pipeline's latents with ours."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from edgeswap_compress.checkpoint.target_maps import face_pixels
from edgeswap_compress.importers.base.by_diffusers import load_by_diffusers
from edgeswap_compress.importers.base.parity import prove, steps_to_prove
from edgeswap_compress.importers.base.pictures import made_up_picture
from edgeswap_compress.importers.base.reference import (
    Reference,
    ReferenceSwap,
    TokensOfItsOwn,
    quiet,
)
from edgeswap_compress.importers.faceid.build import Assembled, is_xl
from edgeswap_compress.importers.faceid.request import AdapterRequest
from edgeswap_compress.importers.files.tensor_files import below, read_tensors

SEED = 5


def prove_adapter(request: AdapterRequest, made: Assembled) -> float:
    """Swap a made-up face by both pipelines.

    Args:
        request: the import.
        made: its result, float32.

    Returns:
        the largest difference after any compared step, in standard deviations.

    Raises:
        NotReproduced: they differ.
    """
    checkpoint = made.checkpoint
    pictures = _pictures(made)
    reference = _reference(request, made)
    scene = _scene(made, pictures)
    return prove(
        checkpoint,
        pictures,
        lambda on_step: reference.run(scene, on_step),
        steps=steps_to_prove(checkpoint, request.settings.proven_steps),
        seed=scene.seed,
    )


def _pictures(made: Assembled) -> dict[str, Tensor]:
    """Made-up pictures of every kind the model looks at."""
    swap = made.checkpoint.swap
    random = torch.Generator().manual_seed(SEED)

    def picture(side: int) -> Tensor:
        return made_up_picture(side, random)

    found = {f"model/{owner}": picture(swap.resolution_px) for owner in ("target", "source")}
    for feature in swap.features:
        found[feature.picture] = picture(swap.crops[feature.crop].size_px)
    if swap.controlnet is not None:
        found[swap.controlnet.picture] = picture(swap.resolution_px) / 2 + 0.5
    return found


def _reference(request: AdapterRequest, made: Assembled) -> Reference:
    """Diffusers' own modules, read from the files by diffusers."""
    swap = made.checkpoint.swap
    with quiet():
        unet, vae = load_by_diffusers(request.base, made.backbone)
        controlnet = None
        if request.control is not None:
            kind: Any = TokensOfItsOwn
            controlnet = kind.from_pretrained(request.control.path, torch_dtype=torch.float32)

    def prepare(pipe: Any) -> None:
        _load_loras(pipe, request)
        nested = read_tensors(request.adapter)
        parts = {name: below(nested, f"{name}.") for name in ("image_proj", "ip_adapter")}
        pipe.load_ip_adapter(parts, subfolder="", weight_name="", image_encoder_folder=None)
        pipe.set_ip_adapter_scale(request.scale)

    return Reference(
        unet=unet,
        vae=vae,
        scheduler=made.backbone.scheduler,
        sampling=swap.sampling,
        size_px=swap.resolution_px,
        controlnet=controlnet,
        control_scale=request.control.scale if request.control else 1.0,
        xl=is_xl(unet.config),
        prepare=prepare,
        image_embeds=lambda pipe, scene: _show(request, made, pipe, scene),
    )


def _load_loras(pipe: Any, request: AdapterRequest) -> None:
    if request.loras:
        import peft  # noqa: F401 diffusers needs it, and says so less plainly
    for index, lora in enumerate(request.loras):
        name = f"lora{index}"
        pipe.load_lora_weights(read_tensors(lora.path), adapter_name=name)
        pipe.fuse_lora(lora_scale=lora.scale, adapter_names=[name])
        pipe.unload_lora_weights()


def _scene(made: Assembled, pictures: dict[str, Tensor]) -> ReferenceSwap:
    swap, prompt = made.checkpoint.swap, made.prompt
    hint = None if swap.controlnet is None else pictures[swap.controlnet.picture]
    one, none = made.eyes.seen(pictures), made.eyes.blank()
    return ReferenceSwap(
        target=pictures["model/target"],
        mask=face_pixels(swap.mask, swap.resolution_px),
        hint=hint,
        tokens=(prompt.tokens, prompt.null_tokens),
        pooled=(prompt.pooled, prompt.null_pooled)
        if prompt.pooled is not None and prompt.null_pooled is not None
        else None,
        images=(_as_embeds(made, one[0]), _as_embeds(made, none[0])),
        seed=SEED,
    )


def _as_embeds(made: Assembled, value: Tensor) -> Tensor:
    """(1, E) or (1, L, E) as diffusers takes it: (1, pictures, E) or (1, pictures, L, E)."""
    resampler = made.adapter.projection.config.kind == "resampler"
    rows = value[:, None] if resampler and value.ndim == 2 else value
    return rows[:, None]


def _show(request: AdapterRequest, made: Assembled, pipe: Any, scene: ReferenceSwap) -> None:
    """Hand diffusers what its projection keeps as state, and the ControlNet its own tokens."""
    layer = pipe.unet.encoder_hid_proj.image_projection_layers[0]
    guided = pipe_guides(made)
    if made.adapter.projection.config.kind == "faceid_plus":
        one, none = made.eyes.seen(_pictures(made))[1], made.eyes.blank()[1]
        layer.clip_embeds = (torch.cat([none, one]) if guided else one)[:, None]
        layer.shortcut = request.shortcut
    if pipe_has_own_tokens(request) and scene.images is not None:
        one, none = (layer(value[:, 0]) for value in scene.images)
        pipe.controlnet.own_tokens = (one, none)


def pipe_guides(made: Assembled) -> bool:
    """Whether two evaluations are made for each step."""
    return made.checkpoint.swap.sampling.guidance_scale > 1


def pipe_has_own_tokens(request: AdapterRequest) -> bool:
    """Whether the ControlNet reads the adapter's tokens."""
    return request.control is not None and request.control.tokens == "own"
