"""Compare an imported model in Paint by Example's layout with diffusers' own pipeline."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Mapping
from typing import Any

import torch
from diffusers import PaintByExamplePipeline
from torch import Tensor, nn
from torch.nn import functional as F

from edgeswap_compress.checkpoint.schedulers import SCHEDULERS
from edgeswap_compress.checkpoint.target_maps import face_pixels
from edgeswap_compress.importers.base.by_diffusers import load_by_diffusers
from edgeswap_compress.importers.base.encoders import run_encoder
from edgeswap_compress.importers.base.parity import prove, steps_to_prove
from edgeswap_compress.importers.base.pictures import made_up_picture
from edgeswap_compress.importers.base.reference import EnoughSteps, OnStep, quiet
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
    family. It knows no REFace: there it is given the token of `reface_token`.

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
        unet, vae = load_by_diffusers(request.base, made.backbone)
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
                vae=vae, image_encoder=encoder, unet=unet,
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


def _image_encoder(made: AssembledExample, pictures: dict[str, Tensor]) -> Any:
    if made.layout is EXAMPLE:
        return _paint_by_example(made)
    with torch.no_grad():
        token = reface_token(made, pictures)
    return TokenEncoder(token, made.tensors[NULL].float().reshape(1, 1, -1))


def reface_token(made: AssembledExample, pictures: dict[str, Tensor]) -> Tensor:
    """Compute REFace's token from the file's own tensors, by transformers' and diffusers' layers.

    That is CLIP in torch, a mapper with the whole attention, and the weighted mean of its paper's
    code (`ldm/models/diffusion/ddpm.py`, `conditioning_with_feat`), where ours runs ONNX files and
    computes values alone.

    Args:
        made: the import.
        pictures: name -> (1, 3, R, R).

    Returns:
        (1, 1, D).
    """
    tensors, weights = made.tensors, made.checkpoint.parts[TOKEN].config.weights
    visual = made.layout.layers["visual"]
    mapper = _mapper(made, tensors[f"{visual}.weight"].shape[0])
    norm = nn.LayerNorm(tensors[f"{made.layout.norm}weight"].shape[0])
    _fill(norm, tensors, made.layout.norm)

    def linear(name: str, value: Tensor) -> Tensor:
        theirs = made.layout.layers[name]
        bias = tensors.get(f"{theirs}.bias")
        weight = tensors[f"{theirs}.weight"].float()
        return F.linear(value, weight, None if bias is None else bias.float())

    def seen(picture: str) -> Tensor:
        pooled = made.vision(pixel_values=pictures[picture]).pooler_output
        return norm(mapper(linear("visual", pooled)[:, None]))[:, 0]

    parts = {"picture": linear("source", seen("picture/source"))}
    parts["picture"] = parts["picture"] + linear("target", seen("picture/target"))
    embedding = _answer(made, "recognizer", pictures["face/source"])
    parts["identity"] = linear("identity", F.normalize(embedding, dim=-1))
    if "landmarks" in made.encoders:
        places = _answer(made, "landmarks", pictures["landmarks/target"])
        parts["landmarks"] = linear("landmarks", places)
    shares = dict(zip(("picture", "identity", "landmarks"), weights, strict=True))
    mixed = sum(shares[name] * part for name, part in parts.items())
    answer: Tensor = mixed / sum(shares[name] for name in parts)
    return answer[:, None]


def _answer(made: AssembledExample, name: str, picture: Tensor) -> Tensor:
    return torch.from_numpy(run_encoder(made.encoders[name], picture.numpy()))


def _fill(layer: nn.Module, tensors: Mapping[str, Tensor], prefix: str) -> None:
    layer.load_state_dict({k: v.float() for k, v in below(tensors, prefix).items()})


def _family() -> Any:
    return importlib.import_module("diffusers.pipelines.deprecated.paint_by_example.image_encoder")


def _mapper(made: AssembledExample, width: int) -> Any:
    """Diffusers' own transformer behind the image encoder, filled from the file."""
    names = {"attn.c_proj": "attn1.to_out.0", "ln_1": "norm1", "ln_2": "norm3",
             "mlp.c_fc": "ff.net.0.proj", "mlp.c_proj": "ff.net.2"}  # fmt: skip
    state = {}
    blocks = below(made.tensors, made.layout.mapper)
    for name, tensor in blocks.items():
        number, layer, parameter = name.split(".", 1)[0], *name.split(".", 1)[1].rsplit(".", 1)
        if layer == "attn.c_qkv":
            for part, third in zip(("to_q", "to_k", "to_v"), tensor.chunk(3), strict=True):
                state[f"blocks.{number}.attn1.{part}.{parameter}"] = third
        else:
            state[f"blocks.{number}.{names[layer]}.{parameter}"] = tensor
    sized = copy.deepcopy(made.vision.config)
    # diffusers counts a block for every five layers of the image encoder
    sized.num_hidden_layers = 5 * (1 + max(int(name.split(".")[0]) for name in blocks))
    sized.hidden_size = width
    mapper = _family().PaintByExampleMapper(sized)
    mapper.load_state_dict({k: v.float() for k, v in state.items()})
    return mapper.eval()


def _paint_by_example(made: AssembledExample) -> Any:
    """Diffusers' own encoder of that family, filled from the file."""
    tensors = made.tensors
    width = tensors[NULL].shape[-1]
    encoder: Any = _family().PaintByExampleImageEncoder(made.vision.config, proj_size=width)
    inner = getattr(encoder.model, "vision_model", encoder.model)
    inner.load_state_dict(getattr(made.vision, "vision_model", made.vision).state_dict())
    encoder.mapper = _mapper(made, made.vision.config.hidden_size)
    _fill(encoder.final_layer_norm, tensors, made.layout.norm)
    _fill(encoder.proj_out, tensors, "proj_out.")
    encoder.uncond_vector.data = tensors[NULL].float()
    return encoder.eval()
