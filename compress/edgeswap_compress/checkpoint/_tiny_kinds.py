"""Tiny seeded checkpoints of every kind of condition, for tests and for trying a stage out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from diffusers import AutoencoderKL, ControlNetModel, DDIMScheduler, UNet2DConditionModel
from onnx import TensorProto, helper, numpy_helper

from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.checkpoint.swap_parts import (
    FaceMask,
    InputGroup,
    LatentSpace,
    SamplingConfig,
    SamplingStart,
    WeightLicense,
)
from edgeswap_compress.conditioning.attention import install_attention
from edgeswap_compress.conditioning.crops import MODEL_CROP, crop_of_template
from edgeswap_compress.conditioning.projections import TokenProjection
from edgeswap_compress.conditioning.specs import (
    AttentionSpec,
    ConditionSpec,
    ConstantAddedSpec,
    ConstantTokensSpec,
    ControlNetSpec,
    PictureFeature,
    ProjectionSpec,
)

KINDS = ("faceid", "img2img", "one_token", "instantid")
"""Kinds of tiny checkpoints: an inpainting U-Net with an adapter; one of four channels with an
adapter, which begins at the target and is blended with it; one token, in the order and polarity of
Paint-by-Example; added conditions, an adapter and a ControlNet."""

SIZE_PX, SIZE, WIDTH = 32, 8, 16
CHANNELS = {"noise": 4, "masked_target": 4, "mask": 1}


def tiny_kind(kind: str, folder: Path, seed: int = 0) -> Checkpoint:
    """Make a checkpoint with random weights: 32 px crops, latents 4 x 8 x 8, tokens of width 16.

    Args:
        kind: one of `KINDS`.
        folder: where its ONNX files are written; it is made.
        seed: of all weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        swap, parts = _described(kind, folder, seed)
        unet, controlnet = _unet(swap, added=kind == "instantid"), None
        if swap.controlnet is not None:
            controlnet = ControlNetModel.from_unet(
                unet, conditioning_channels=3, conditioning_embedding_out_channels=(8, 8, 16)
            )
            for name, weight in controlnet.named_parameters():  # fresh ones add exactly nothing
                if name.startswith(("controlnet_down", "controlnet_mid", "controlnet_cond")):
                    torch.nn.init.normal_(weight, std=0.2)
        install_attention(unet, swap.attention)
        vae = _vae()
    checkpoint = Checkpoint(
        unet=unet,
        vae=vae,
        conditioner=None,
        scheduler=DDIMScheduler.from_config(NOISE),
        scheduler_config=NOISE,
        swap=swap,
        controlnet=controlnet,
        parts=parts,
    )
    for module in checkpoint.modules().values():
        torch.nn.Module.to(module.eval(), torch.float16).float()  # values that fp16 holds exactly
    return checkpoint


NOISE: dict[str, Any] = {
    "_class_name": "PNDMScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "clip_sample": False,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "prediction_type": "epsilon",
}
"""Stable Diffusion's scheduler_config.json."""


def _described(kind: str, folder: Path, seed: int) -> tuple[SwapConfig, dict[str, Any]]:
    """The swap config of a kind, and what its conditions name."""
    folder.mkdir(parents=True, exist_ok=True)
    crops = {MODEL_CROP: crop_of_template("ffhq", SIZE_PX)}
    parts: dict[str, Any] = {}
    conditions: list[ConditionSpec] = []
    if kind != "one_token":
        conditions.append(ConstantTokensSpec(file="conditions/text.safetensors"))
        parts["conditions/text.safetensors"] = {
            name: torch.randn(1, 5, WIDTH) for name in ("tokens", "null_tokens")
        }
    roles, attention = ["noise"], AttentionSpec()
    sampling, controlnet = SamplingConfig(steps=3, guidance_scale=2.0), None
    crops["recognizer"] = crop_of_template("arcface", 28, color="BGR")
    tiny_recognizer(folder / "recognizer.onnx", 28, 12, seed)
    parts["conditions/recognizer.onnx"] = folder / "recognizer.onnx"
    spec, projection = _projection(kind)
    conditions.append(spec)
    parts[spec.folder] = projection
    if kind != "one_token":
        attention = AttentionSpec(kind="decoupled", scale=0.7, tokens=2)
    if kind == "faceid":
        roles = ["noise", "mask", "masked_target"]
    if kind == "one_token":
        roles, attention = ["noise", "masked_target", "mask"], AttentionSpec(kind="one_token")
    if kind in ("img2img", "instantid"):
        start = SamplingStart(at="target", strength=0.7)
        sampling = SamplingConfig(steps=3, guidance_scale=2.0, start=start, blend="latents")
    if kind == "instantid":
        conditions.append(ConstantAddedSpec(file="conditions/added.safetensors"))
        parts["conditions/added.safetensors"] = _added()
        controlnet = ControlNetSpec(scale=0.8)
    polarity = "keep" if kind == "one_token" else "repaint"
    swap = SwapConfig(
        crops=crops,
        mask=FaceMask(center_px=(16.0, 17.0), radii_px=(10.0, 12.0), feather_px=2.0),
        inputs=tuple(
            InputGroup(role=r, channels=CHANNELS[r], one_is=polarity if r == "mask" else None)
            for r in roles
        ),
        latents=LatentSpace(channels=4, size=SIZE, std=(1 / 0.18215,)),
        conditions=tuple(conditions),
        attention=attention,
        controlnet=controlnet,
        sampling=sampling,
        licenses=(WeightLicense(what="swap model", license="CC0-1.0", origin="random numbers"),),
        history=({"stage": "tiny", "config": {"kind": kind, "seed": seed}},),
    )
    return swap, parts


def _projection(kind: str) -> tuple[ProjectionSpec, Any]:
    """The projection of a kind: of the source, or of source and target."""
    feature = PictureFeature(
        graph="recognizer", file="conditions/recognizer.onnx", crop="recognizer", l2=True
    )
    if kind != "one_token":
        module = TokenProjection(kind="faceid", input_size=12, tokens=2, width=WIDTH, inner=20)
        return (
            ProjectionSpec(
                name="projection",
                folder="conditions/projection",
                features=(feature,),
                gives="adapter_tokens",
            ),
            module,
        )
    module = TokenProjection(kind="linear", input_size=12, tokens=1, width=WIDTH, null=True)
    torch.nn.init.normal_(module.null_tokens)
    return (
        ProjectionSpec(
            name="projection",
            folder="conditions/projection",
            features=(feature,),
            gives="tokens",
            null="learned",
        ),
        module,
    )


def _added() -> dict[str, torch.Tensor]:
    """SDXL's pooled text of width 10, and its six sizes."""
    sizes = torch.tensor([[32.0, 32.0, 0.0, 0.0, 32.0, 32.0]])
    return {
        "text_embeds": torch.randn(1, 10),
        "time_ids": sizes,
        "null_text_embeds": torch.randn(1, 10),
        "null_time_ids": sizes,
    }


def _unet(swap: SwapConfig, *, added: bool) -> Any:
    more: dict[str, Any] = {}
    if added:
        more = {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 10 + 6 * 8,
        }
    return UNet2DConditionModel(
        sample_size=SIZE,
        in_channels=swap.input_width,
        out_channels=4,
        block_out_channels=(16, 32),
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        norm_num_groups=8,
        **more,
    )


def _vae() -> Any:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8, 8, 16),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=SIZE_PX,
    )


def tiny_recognizer(path: Path, size_px: int, width: int, seed: int = 0) -> Path:
    """Write a random ONNX recognizer: picture (N, 3, R, R) -> embedding (N, width), not unit.

    Args:
        path: of the file.
        size_px: R, a multiple of 4.
        width: of the embedding.
        seed: of the weights.
    """
    random = np.random.default_rng(seed)
    side = size_px // 4
    weights = {
        "kernel": random.normal(0, 0.2, (6, 3, 4, 4)),
        "matrix": random.normal(0, 0.3, (6 * side * side, width)),
    }
    nodes = [
        helper.make_node("Conv", ["picture", "kernel"], ["maps"], strides=[4, 4]),
        helper.make_node("Relu", ["maps"], ["active"]),
        helper.make_node("Flatten", ["active"], ["flat"]),
        helper.make_node("MatMul", ["flat", "matrix"], ["embedding"]),
    ]
    graph = helper.make_graph(
        nodes,
        "recognizer",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, ["n", 3, size_px, size_px])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", width])],
        [numpy_helper.from_array(v.astype(np.float32), k) for k, v in weights.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path
