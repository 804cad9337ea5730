"""Compare an imported model in Paint by Example's layout with diffusers' own pipeline."""

from __future__ import annotations

import copy
import importlib
import tempfile
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, PaintByExamplePipeline, UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional as F

from edgeswap_compress.checkpoint.schedulers import SCHEDULERS
from edgeswap_compress.checkpoint.target_maps import face_pixels
from edgeswap_compress.importers.base.encoders import run_encoder
from edgeswap_compress.importers.base.parity import prove, steps_to_prove
from edgeswap_compress.importers.base.pictures import made_up_picture
from edgeswap_compress.importers.base.reference import EnoughSteps, OnStep, quiet, take_means
from edgeswap_compress.importers.files.tensor_files import below
from edgeswap_compress.importers.reface.build import TOKEN, AssembledExample
from edgeswap_compress.importers.reface.layout import EXAMPLE, NULL
from edgeswap_compress.importers.reface.request import ExampleRequest

SEED = 5


class TokenEncoder(nn.Module):
    """Stands where diffusers' pipeline expects an image encoder: gives a token and the null one."""

    def __init__(self, token: Tensor, null: Tensor) -> None:
        super().__init__()
        self.token, self.null = nn.Parameter(token), nn.Parameter(null)

    @property
    def device(self) -> torch.device:
        """Where it lies; pipelines ask each of their parts."""
        return self.token.device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of its tokens."""
        return self.token.dtype

    def forward(self, picture: Tensor, return_uncond_vector: bool = False) -> Any:
        """Give the token, whatever the picture."""
        return (self.token, self.null) if return_uncond_vector else self.token


def prove_example(request: ExampleRequest, made: AssembledExample) -> float:
    """Swap a made-up face by both pipelines; see `prove_adapter`.

    Diffusers' pipeline of Paint by Example encodes the source itself where the file is of that
    family. It knows no REFace: there it is given the token, and proves the rest.

    Raises:
        NotReproduced: they differ.
    """
    checkpoint = made.checkpoint
    swap = checkpoint.swap
    random = torch.Generator().manual_seed(SEED)
    sides = {f"model/{owner}": swap.resolution_px for owner in ("target", "source")}
    sides |= {feature.picture: swap.crops[feature.crop].size_px for feature in swap.features}
    pictures = {name: made_up_picture(side, random) for name, side in sides.items()}
    with quiet():
        unet, vae = _load_by_diffusers(made)
        encoder = _image_encoder(made, pictures)
    mask = face_pixels(swap.mask, swap.resolution_px)
    shape = (1, swap.latent_channels, swap.latent_size, swap.latent_size)
    sampling = swap.sampling
    kind = getattr(importlib.import_module("diffusers"), SCHEDULERS[sampling.sampler])
    settings = {k: v for k, v in checkpoint.noise_settings.items() if not k.startswith("_")}
    if sampling.spacing is not None:
        settings["timestep_spacing"] = sampling.spacing

    def reference(on_step: OnStep) -> None:
        with quiet(), torch.no_grad():
            pipe: Any = PaintByExamplePipeline(
                vae=take_means(vae), image_encoder=encoder, unet=unet,
                scheduler=kind.from_config(settings), safety_checker=None, feature_extractor=None,
                requires_safety_checker=False,
            )  # fmt: skip
            pipe.set_progress_bar_config(disable=True)
            generator = torch.Generator().manual_seed(SEED)
            try:
                pipe(
                    example_image=pictures["picture/source"],
                    image=pictures["model/target"],
                    mask_image=mask.clone(),
                    num_inference_steps=sampling.steps,
                    guidance_scale=sampling.guidance_scale,
                    latents=torch.randn(shape, generator=generator),
                    generator=generator,
                    output_type="latent",
                    callback=lambda step, _, latents: on_step(step, latents),
                )
            except EnoughSteps:
                return

    steps = steps_to_prove(checkpoint, request.settings.proven_steps)
    return prove(checkpoint, pictures, reference, steps=steps, seed=SEED)


def _load_by_diffusers(made: AssembledExample) -> tuple[Any, Any]:
    """U-Net and autoencoder as diffusers' own converter reads them, with its own attention."""
    checkpoint = made.checkpoint
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for kind, module in ((UNet2DConditionModel, checkpoint.unet),
                             (AutoencoderKL, checkpoint.vae)):  # fmt: skip
            place = Path(folder) / kind.__name__
            module.save_config(place)
            tensors = {
                n: t.float() if t.is_floating_point() else t for n, t in made.tensors.items()
            }
            found.append(kind.from_single_file(tensors, config=str(place)))
    return found[0], found[1]


def _image_encoder(made: AssembledExample, pictures: dict[str, Tensor]) -> Any:
    if made.layout is EXAMPLE:
        return _paint_by_example(made)
    features = []
    for feature in made.checkpoint.swap.features:
        name = feature.graph.removesuffix("_target")
        given = pictures[feature.picture].numpy()
        value = torch.from_numpy(run_encoder(made.encoders[name], given))
        features.append(F.normalize(value, dim=-1) if feature.l2 else value)
    projection = made.checkpoint.parts[TOKEN]
    with torch.no_grad():
        return TokenEncoder(projection(*features), projection.null_tokens.clone())


def _paint_by_example(made: AssembledExample) -> Any:
    """Diffusers' own encoder of that family, filled from the file."""
    module = importlib.import_module(
        "diffusers.pipelines.deprecated.paint_by_example.image_encoder"
    )
    tensors = made.tensors
    width = tensors[NULL].shape[-1]
    encoder: Any = module.PaintByExampleImageEncoder(made.vision.config, proj_size=width)
    inner = getattr(encoder.model, "vision_model", encoder.model)
    inner.load_state_dict(getattr(made.vision, "vision_model", made.vision).state_dict())
    names = {"attn.c_proj": "attn1.to_out.0", "ln_1": "norm1", "ln_2": "norm3",
             "mlp.c_fc": "ff.net.0.proj", "mlp.c_proj": "ff.net.2"}  # fmt: skip
    state = {}
    blocks = below(tensors, made.layout.mapper)
    for name, tensor in blocks.items():
        number, layer, parameter = name.split(".", 1)[0], *name.split(".", 1)[1].rsplit(".", 1)
        if layer == "attn.c_qkv":
            for part, third in zip(("to_q", "to_k", "to_v"), tensor.chunk(3), strict=True):
                state[f"blocks.{number}.attn1.{part}.{parameter}"] = third
        else:
            state[f"blocks.{number}.{names[layer]}.{parameter}"] = tensor
    count = 1 + max(int(name.split(".")[0]) for name in blocks)
    sized = copy.deepcopy(made.vision.config)
    sized.num_hidden_layers = 5 * count  # diffusers counts a block for every five of them
    encoder.mapper = module.PaintByExampleMapper(sized)
    encoder.mapper.load_state_dict({k: v.float() for k, v in state.items()})
    for layer, prefix in (
        (encoder.final_layer_norm, made.layout.norm),
        (encoder.proj_out, "proj_out."),
    ):
        layer.load_state_dict({k: v.float() for k, v in below(tensors, prefix).items()})
    encoder.uncond_vector.data = tensors[NULL].float()
    return encoder.eval()
