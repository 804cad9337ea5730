"""Put base model, adapter, LoRA, encoders and ControlNet together as one checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import Tensor

from edgeswap_compress.checkpoint.folder import Checkpoint, ddim_config
from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.checkpoint.swap_parts import InputGroup, LatentSpace
from edgeswap_compress.conditioning.crops import MODEL_CROP
from edgeswap_compress.conditioning.projections import TokenProjection
from edgeswap_compress.conditioning.specs import (
    AttentionSpec,
    ConstantAddedSpec,
    ConstantTokensSpec,
    ControlNetSpec,
    ProjectionSpec,
)
from edgeswap_compress.diffusers_folder.building import public_config
from edgeswap_compress.diffusers_folder.config import token_widths
from edgeswap_compress.diffusers_folder.unet_home import read_object
from edgeswap_compress.importers.base.backbone import (
    Backbone,
    check_base,
    check_size,
    check_told,
    read_base,
    read_controlnet,
)
from edgeswap_compress.importers.base.prompt_request import check_prompt
from edgeswap_compress.importers.base.text import Prompt, read_prompt
from edgeswap_compress.importers.errors import DoesNotFit, ImportRefused
from edgeswap_compress.importers.faceid.eyes import Eyes, open_eyes
from edgeswap_compress.importers.faceid.request import AdapterRequest, check_paths
from edgeswap_compress.importers.files.adapter_file import (
    AdapterFile,
    check_backbone,
    low_rank_updates,
    put_adapter,
    read_adapter,
)
from edgeswap_compress.importers.files.lora import TEXT_ENCODERS, fuse_updates, read_updates
from edgeswap_compress.importers.files.tensor_files import read_tensors


def input_groups(width: int, channels: int) -> tuple[InputGroup, ...]:
    """Say what a U-Net's input channels are, in diffusers' order; none where no group explains it.

    Args:
        width: how many there are.
        channels: of the latents.
    """
    noise, mask = (
        InputGroup(role="noise", channels=channels),
        InputGroup(role="mask", channels=1, one_is="repaint"),
    )
    masked = InputGroup(role="masked_target", channels=channels)
    # diffusers' pipelines repaint by 9 channels alone, so that nothing would prove another number
    known = ((noise,), (noise, mask, masked)) if channels == 4 else ((noise,),)
    return next((one for one in known if sum(g.channels for g in one) == width), ())


PROMPT, ADDED, ADAPTER = (f"conditions/{name}" for name in (
    "prompt.safetensors", "added.safetensors", "adapter"))  # fmt: skip


@dataclass(slots=True)
class Assembled:
    """An imported model in memory, and what its proof needs.

    Attributes:
        checkpoint: float32.
        backbone: the base model; its U-Net is the checkpoint's, adapter and LoRA in it.
        adapter: as its file has it.
        prompt: what the text encoders said.
        eyes: encoders of the source.
    """

    checkpoint: Checkpoint
    backbone: Backbone
    adapter: AdapterFile
    prompt: Prompt
    eyes: Eyes


def assemble(request: AdapterRequest, out: Path, work: Path) -> Assembled:
    """Check and read everything, cheap things first, and put it together.

    Args:
        request: the import.
        out: folder that will be written.
        work: existing folder for files that have to be made.

    Raises:
        ImportRefused, BadFolder, PruningError: something is missing or does not fit.
    """
    check_paths(request, out)
    config = check_base(request.base)
    adapter = read_adapter(request.adapter, shortcut=request.shortcut)
    if config:
        vae, unet = read_object(request.base / "vae" / "config.json"), _meta(config)
        if "block_out_channels" in vae:  # else it is refused with the rest of its config
            check_size(request.settings.crop.size_px, unet.config, vae)
        _check_fit(request, adapter, unet, vae.get("latent_channels", 4))
    eyes = open_eyes(request.encoders, adapter, work)
    control = read_controlnet(request.control.path) if request.control else None
    backbone = read_base(request.base, request.untold)
    unet = backbone.unet
    if not config:
        _check_fit(request, adapter, unet, int(backbone.vae.config.latent_channels))
    latents = backbone.latent_space(request.settings.crop.size_px)
    xl = is_xl(unet.config)
    (width,) = token_widths(unet.config)
    prompt = read_prompt(request.prompt, request.base, width, xl=xl)
    _check_added(request, unet.config, prompt)
    if control is not None:
        check_control(request, control, unet)
    _adapt(request, adapter, unet)
    swap = _swap_config(request, backbone, latents, adapter, eyes, control)
    checkpoint = _checkpoint(request, backbone, swap, prompt, eyes, control)
    return Assembled(checkpoint, backbone, adapter, prompt, eyes)


def is_xl(config: Any) -> bool:
    """Tell from a U-Net's config whether it is told pooled text and sizes, as XL's is."""
    return config.get("addition_embed_type") == "text_time"


def _meta(config: dict[str, Any]) -> Any:
    with torch.device("meta"):
        return UNet2DConditionModel.from_config(public_config(config))


def _check_fit(request: AdapterRequest, adapter: AdapterFile, unet: Any, channels: int) -> None:
    """What a U-Net's form alone can refuse; it may lie on the meta device."""
    width, given = unet.config.in_channels, unet.config.out_channels
    if not input_groups(width, channels) or given != channels:
        raise DoesNotFit(
            request.base,
            expected=f"a U-Net with {channels} input channels (noise)"
            f"{' or 9 (noise, mask, masked target)' if channels == 4 else ''} and {channels} output"
            " channels, as its autoencoder has",
            found=f"{width}, which these groups do not explain"
            if given == channels
            else f"{given} output channels",
            remedy="name a base model of one of these forms",
        )
    check_told(request.base, unet.config)
    check_backbone(adapter, unet, what=str(request.base))
    check_prompt(request.prompt, request.base, xl=is_xl(unet.config))
    low_rank_updates(adapter, unet, 1.0)
    for lora in request.loras:
        read_updates(lora.path, _lora_tensors(lora.path), unet, lora.scale)


def _check_added(request: AdapterRequest, config: Any, prompt: Prompt) -> None:
    """Make sure that Stable Diffusion XL is told six sizes beside the text, and no more."""
    if prompt.pooled is None:
        return
    expected = int(config.projection_class_embeddings_input_dim)
    sizes = int(config.addition_time_embed_dim)
    if (found := prompt.pooled.shape[1] + 6 * sizes) != expected:
        raise DoesNotFit(
            request.base,
            expected=f"a U-Net that is told {found} numbers, the pooled text of "
            f"{prompt.pooled.shape[1]} and 6 sizes of {sizes} each",
            found=f"one that is told {expected}",
            remedy="name the base model of Stable Diffusion XL, not its refiner, and text of its "
            "own encoders",
        )


def _lora_tensors(path: Path) -> dict[str, Tensor]:
    tensors = read_tensors(path)
    if told := sorted(name for name in tensors if name.startswith(TEXT_ENCODERS)):
        raise ImportRefused(
            f"{path}: it changes the text encoder too ({told[0]}): expected a LoRA of the U-Net "
            "alone; encode the prompt with it in diffusers, give --prompt-embeds, and a copy of "
            "the file without those tensors"
        )
    return tensors


def check_control(request: AdapterRequest, control: Any, unet: Any) -> None:
    """Make sure that a ControlNet was made for this U-Net.

    Raises:
        DoesNotFit: its blocks or its tokens are others.
    """
    assert request.control is not None  # noqa: S101 there is one
    for name in ("block_out_channels", "layers_per_block", "cross_attention_dim",
                 "addition_embed_type"):  # fmt: skip
        mine, theirs = (_plain(module.config.get(name)) for module in (unet, control))
        if mine != theirs:
            raise DoesNotFit(
                request.control.path,
                expected=f"{name} {mine}, as {request.base} has",
                found=str(theirs),
                remedy="name the ControlNet that was made for this base model",
            )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, list | tuple) else value


def _adapt(request: AdapterRequest, adapter: AdapterFile, unet: Any) -> None:
    """Fuse every LoRA, then put the adapter in."""
    fuse_updates(unet, low_rank_updates(adapter, unet, 1.0))
    for lora in request.loras:
        fuse_updates(unet, read_updates(lora.path, read_tensors(lora.path), unet, lora.scale))
    put_adapter(adapter, unet, request.scale)


def _swap_config(
    request: AdapterRequest,
    backbone: Backbone,
    latents: LatentSpace,
    adapter: AdapterFile,
    eyes: Eyes,
    control: Any,
) -> SwapConfig:
    settings, unet = request.settings, backbone.unet
    crop = settings.crop.crop
    projection = ProjectionSpec(
        name="adapter",
        folder=ADAPTER,
        features=eyes.features,
        gives="adapter_tokens",
        null="learned" if eyes.sees_pictures else "project_zero",
    )
    conditions: list[Any] = [ConstantTokensSpec(file=PROMPT)]
    if is_xl(unet.config):
        conditions.append(ConstantAddedSpec(file=ADDED))
    conditions.append(projection)
    licenses = [
        settings.licenses.of(name, _license_file(name, path, backbone))
        for name, path in request.files.items()
    ]
    return SwapConfig(
        crops={MODEL_CROP: crop, **eyes.crops},
        mask=settings.crop.mask,
        inputs=input_groups(unet.config.in_channels, latents.channels),
        latents=latents,
        conditions=tuple(conditions),
        attention=AttentionSpec(
            kind="decoupled", scale=request.scale, tokens=int(adapter.projection.config.tokens)
        ),
        controlnet=_control_spec(request, control),
        sampling=settings.sampling.config,
        licenses=tuple(licenses),
        weights_dtype=settings.weights_dtype or backbone.dtype,
        history=({"stage": "import", "config": _history(request)},),
    )


def _control_spec(request: AdapterRequest, control: Any) -> ControlNetSpec | None:
    if control is None or request.control is None:
        return None
    return ControlNetSpec(scale=request.control.scale, tokens=request.control.tokens)


def _license_file(name: str, path: Path, backbone: Backbone) -> Path:
    """The file whose hash stands for a part; of a folder, its weights."""
    if name == "base":
        return backbone.files[0]
    if path.is_file():
        return path
    return next(iter(sorted(path.glob("*.safetensors"))), path / "config.json")


def _history(request: AdapterRequest) -> dict[str, Any]:
    return {
        "family": request.family,
        **request.settings.to_json(),
        "base": request.base.name,
        "adapter": request.adapter.name,
        "scale": request.scale,
        "loras": [[lora.path.name, lora.scale] for lora in request.loras],
        "prompt": request.prompt.prompt,
        "negative_prompt": request.prompt.negative,
    }


def _checkpoint(
    request: AdapterRequest,
    backbone: Backbone,
    swap: SwapConfig,
    prompt: Prompt,
    eyes: Eyes,
    control: Any,
) -> Checkpoint:
    parts: dict[str, Any] = {
        PROMPT: {"tokens": prompt.tokens, "null_tokens": prompt.null_tokens},
        ADAPTER: _with_null(eyes),
        **eyes.files,
    }
    if prompt.pooled is not None and prompt.null_pooled is not None:
        side = request.settings.crop.size_px
        ids = torch.tensor([[side, side, 0, 0, side, side]], dtype=torch.float32)
        parts[ADDED] = {
            "text_embeds": prompt.pooled,
            "time_ids": ids,
            "null_text_embeds": prompt.null_pooled,
            "null_time_ids": ids.clone(),
        }
    settings = dict(backbone.scheduler)
    return Checkpoint(
        unet=backbone.unet,
        vae=backbone.vae,
        conditioner=None,
        scheduler=DDIMScheduler.from_config(ddim_config(settings)),
        scheduler_config=settings,
        swap=swap,
        controlnet=control,
        parts=parts,
    )


def _with_null(eyes: Eyes) -> TokenProjection:
    """The projection; with the tokens of a blank picture, where it looks at pictures."""
    given = eyes.projection
    if not eyes.sees_pictures:
        return given
    config = {k: v for k, v in public_config(dict(given.config)).items() if k != "null"}
    module = TokenProjection(**config, null=True)
    with torch.no_grad():
        null = given(*eyes.blank()).detach()
    module.load_state_dict({**given.state_dict(), "null_tokens": null})
    return module.eval()
