"""Put a checkpoint in Paint by Example's layout together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusers import DDIMScheduler
from torch import Tensor

from edgeswap_compress.checkpoint.folder import Checkpoint, ddim_config
from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.checkpoint.swap_parts import InputGroup
from edgeswap_compress.conditioning.attention import install_attention
from edgeswap_compress.conditioning.crops import MODEL_CROP, CropSpec, crop_of_template
from edgeswap_compress.conditioning.specs import AttentionSpec, PictureFeature, ProjectionSpec
from edgeswap_compress.importers.base.backbone import Backbone, read_single_file
from edgeswap_compress.importers.base.clip_export import export_clip, vision_of_state
from edgeswap_compress.importers.base.encoders import (
    Encoder,
    read_encoder,
    require_embedding,
)
from edgeswap_compress.importers.base.onnx_part import Eye, clip_crop, recognizer_crop
from edgeswap_compress.importers.errors import DoesNotFit, ImportRefused, PartMissing
from edgeswap_compress.importers.files.tensor_files import below, read_tensors
from edgeswap_compress.importers.reface.layout import (
    EXAMPLE,
    REFACE,
    Layout,
    Projection,
    layout_of,
    read_projection,
)
from edgeswap_compress.importers.reface.request import ExampleRequest, check_paths

TOKEN = "conditions/token"
LANDMARKS_PX = 512
"""Side of the crop in whose pixels REFace's landmarks were measured."""

GROUPS = (("noise", 4, None), ("masked_target", 4, None), ("mask", 1, "keep"))
"""The U-Net's input channels; 1 in the mask keeps the target (Paint by Example's `inpaint.py`)."""


@dataclass(frozen=True, slots=True)
class AssembledExample:
    """An imported model in memory, and what its proof needs.

    Attributes:
        checkpoint: float32.
        backbone: U-Net and autoencoder of the file.
        vision: CLIP's image encoder, of transformers.
        encoders: name of a graph -> its ONNX file.
        tensors: of the file.
        layout: the family's.
    """

    checkpoint: Checkpoint
    backbone: Backbone
    vision: Any
    encoders: dict[str, Encoder]
    tensors: dict[str, Tensor]
    layout: Layout


def assemble_example(request: ExampleRequest, out: Path, work: Path) -> AssembledExample:
    """Check and read everything, and put it together.

    Args:
        request: the import.
        out: folder that will be written.
        work: existing folder for the image encoder's ONNX file.

    Raises:
        ImportRefused: something is missing or does not fit.
    """
    check_paths(request, out)
    tensors = read_tensors(request.base)
    layout = layout_of(request.base, tensors)
    _check_needs(request, layout)
    projection = read_projection(
        request.base,
        tensors,
        layout,
        landmarks=request.landmarks is not None,
        weights=request.weights,
    )
    encoders = _encoders(request, projection, work)
    backbone = read_single_file(request.base, tensors, request.untold)
    unet = backbone.unet
    if unet.config.in_channels != (needed := sum(count for _, count, _ in GROUPS)):
        raise DoesNotFit(
            request.base,
            expected=f"a U-Net with {needed} input channels (noise, masked target, mask)",
            found=f"{unet.config.in_channels}, which these groups do not explain",
            remedy="name a checkpoint of this family",
        )
    vision = vision_of_state(request.base, below(tensors, layout.vision))
    clip = export_clip(vision, "pooled", work / "image_encoder.onnx")
    encoders["image_encoder"] = read_encoder(clip, "image encoder", work, usual_px=224)
    install_attention(unet, AttentionSpec(kind="one_token"))
    swap, files = _swap_config(request, backbone, encoders, projection)
    settings = dict(backbone.scheduler)
    checkpoint = Checkpoint(
        unet=unet,
        vae=backbone.vae,
        conditioner=None,
        scheduler=DDIMScheduler.from_config(ddim_config(settings)),
        scheduler_config=settings,
        swap=swap,
        parts={TOKEN: projection, **files},
    )
    return AssembledExample(checkpoint, backbone, vision, encoders, tensors, layout)


def _check_needs(request: ExampleRequest, layout: Layout) -> None:
    size = request.settings.crop.size_px
    if size % 64:
        raise ImportRefused(f"--size {size}: expected a multiple of 64, which the U-Net halves")
    if layout is REFACE and request.recognizer is None:
        raise PartMissing(
            f"{request.base} is told of an embedding: expected --recognizer FILE.onnx, found none"
        )
    for option, path in (("--recognizer", request.recognizer), ("--landmarks", request.landmarks)):
        if layout is EXAMPLE and path is not None:
            raise PartMissing(f"{request.base} is told of a picture alone: leave out {option}")


def _encoders(request: ExampleRequest, projection: Projection, work: Path) -> dict[str, Encoder]:
    found: dict[str, Encoder] = {}
    for option, path, size, side, eye in (
        ("--recognizer", request.recognizer, "identity_size", 112, request.recognizer_eye),
        ("--landmarks", request.landmarks, "landmarks_size", LANDMARKS_PX, None),
    ):
        if path is None:
            continue
        name = option[2:]
        found[name] = read_encoder(
            path, option, work, usual_px=side, output=eye.output if eye else None
        )
        require_embedding(found[name], projection.config[size], option, of=request.base)
    return found


def _swap_config(
    request: ExampleRequest,
    backbone: Backbone,
    encoders: dict[str, Encoder],
    projection: Projection,
) -> tuple[SwapConfig, dict[str, Any]]:
    settings = request.settings
    crop, sight = settings.crop.crop, request.image_align
    picture = clip_crop(encoders["image_encoder"].side_px, Eye(align=sight))
    crops: dict[str, CropSpec] = {MODEL_CROP: crop, "picture": picture}
    seen = [("image_encoder", "picture", "source")]
    if "recognizer" in encoders:
        face = encoders["recognizer"]
        crops["face"] = recognizer_crop(face.path, face.side_px, request.recognizer_eye)
        seen += [("image_encoder", "picture", "target"), ("recognizer", "face", "source")]
    if "landmarks" in encoders:
        side = encoders["landmarks"].side_px
        crops["landmarks"] = crop_of_template(settings.crop.align, side)
        seen.append(("landmarks", "landmarks", "target"))
    features, files = _features(seen, encoders)
    spec = ProjectionSpec(
        name="token", folder=TOKEN, features=features, gives="tokens", null="learned"
    )
    swap = SwapConfig(
        crops=crops,
        mask=settings.crop.mask,
        inputs=tuple(InputGroup(role=r, channels=c, one_is=one) for r, c, one in GROUPS),
        latents=backbone.latent_space(crop.size_px),
        conditions=(spec,),
        attention=AttentionSpec(kind="one_token"),
        sampling=settings.sampling.config,
        licenses=tuple(settings.licenses.of(name, path) for name, path in request.files.items()),
        weights_dtype=settings.weights_dtype or backbone.dtype,
        history=({"stage": "import", "config": _history(request)},),
    )
    return swap, files


def _features(
    seen: list[tuple[str, str, str]], encoders: dict[str, Encoder]
) -> tuple[tuple[PictureFeature, ...], dict[str, Any]]:
    """What the projection takes, in order; a graph that looks at two pictures has two names."""
    features, files = [], {}
    for name, crop, of in seen:
        file = f"conditions/{name}.onnx"
        graph = f"{name}_target" if (name, of) == ("image_encoder", "target") else name
        feature = PictureFeature(
            graph=graph,
            file=file,
            crop=crop,
            of=of,
            output=encoders[name].output,
            l2=name == "recognizer",
        )
        features.append(feature)
        files[file] = encoders[name].path
    return tuple(features), files


def _history(request: ExampleRequest) -> dict[str, Any]:
    return {
        "family": "reface",
        **request.settings.to_json(),
        "base": request.base.name,
        "weights": list(request.weights),
        "landmarks": request.landmarks is not None,
    }
