"""Write CLIP's image encoder as one ONNX file, as recognizers come."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from edgeswap_compress.diffusers_folder.building import BUILD_ERRORS, first_line
from edgeswap_compress.importers.base.one_file import serialized
from edgeswap_compress.importers.base.reference import quiet
from edgeswap_compress.importers.errors import ImportRefused, UnreadableWeights

OPSET = 18
HEAD_WIDTH = 64
READS = ("pooled", "states", "embeds")
"""What is read off the encoder: the pooled output, the states before the last layer
(`hidden_states[-2]`), or the projected embedding."""


class ClipReader(nn.Module):
    """Picture (N, 3, R, R) -> what is read off CLIP's image encoder."""

    def __init__(self, model: nn.Module, read: str) -> None:
        super().__init__()
        self.model, self.read = model, read

    def forward(self, picture: Tensor) -> Tensor:
        """Encode."""
        said = self.model(pixel_values=picture, output_hidden_states=self.read == "states")
        if self.read == "states":
            answer: Tensor = said.hidden_states[-2]
        else:
            answer = said.image_embeds if self.read == "embeds" else said.pooler_output
        return answer


def vision_config(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Infer the config of CLIP's image encoder from its tensors (names below `vision_model.`)."""
    patches = state["embeddings.patch_embedding.weight"]
    places = state["embeddings.position_embedding.weight"].shape[0]
    layers = {m[1] for name in state if (m := re.match(r"encoder\.layers\.(\d+)\.", name))}
    return {
        "hidden_size": patches.shape[0],
        "intermediate_size": state["encoder.layers.0.mlp.fc1.weight"].shape[0],
        "num_hidden_layers": len(layers),
        "num_attention_heads": max(1, patches.shape[0] // HEAD_WIDTH),
        "patch_size": patches.shape[-1],
        "image_size": round((places - 1) ** 0.5) * patches.shape[-1],
    }


def vision_of_state(path: Path, state: Mapping[str, Tensor]) -> Any:
    """Build CLIP's image encoder of a checkpoint's tensors.

    Raises:
        UnreadableWeights: they are not those of one.
    """
    from transformers import CLIPVisionConfig, CLIPVisionModel

    kept = {name: t for name, t in state.items() if not name.endswith("position_ids")}
    try:
        model: Any = CLIPVisionModel(CLIPVisionConfig(**vision_config(kept)))
        inner = getattr(model, "vision_model", model)
        inner.load_state_dict({k: v.float() for k, v in kept.items()}, strict=True)
    except (KeyError, *BUILD_ERRORS) as error:
        found = f"others: {first_line(error)}"
        raise UnreadableWeights(
            path, expected="the tensors of CLIP's image encoder", found=found
        ) from error
    return model.eval()


def vision_of_folder(path: Path) -> Any:
    """Load CLIP's image encoder from a transformers folder.

    Raises:
        ImportRefused: it holds none.
    """
    from transformers import CLIPVisionModelWithProjection

    if not (path / "config.json").is_file():
        raise ImportRefused(
            f"--image-encoder {path}: expected a transformers folder with config.json, found none"
        )
    try:
        with quiet():
            model: Any = CLIPVisionModelWithProjection.from_pretrained(
                path, local_files_only=True, use_safetensors=True
            )
    except (OSError, *BUILD_ERRORS) as error:
        found = first_line(error)
        raise ImportRefused(
            f"--image-encoder {path}: expected CLIP's image encoder, found {found}"
        ) from error
    return nn.Module.float(model).eval()


@torch.no_grad()
def export_clip(model: Any, read: str, file: Path) -> Path:
    """Write an image encoder as an ONNX file, and compare it with torch.

    Args:
        model: of transformers, float32.
        read: one of `READS`.
        file: to write.

    Raises:
        ImportRefused: the file's answers are not torch's.
    """
    side = int(model.config.image_size)
    reader = ClipReader(model, read).eval()
    picture = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    level = logging.getLogger("torch.onnx").level
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                reader, (picture,), dynamo=True, opset_version=OPSET, verbose=False,
                input_names=["picture"], output_names=[read],
            )  # fmt: skip
    finally:
        logging.getLogger("torch.onnx").setLevel(level)
    proto = program.model_proto if program is not None else onnx.ModelProto()
    _strip(proto)
    data, half = serialized(proto)
    file.write_bytes(data)
    _require_same(reader, picture, file, 2e-2 if half else 1e-4)
    return file


def _require_same(reader: nn.Module, picture: Tensor, file: Path, allowed: float) -> None:
    import onnxruntime as ort

    session = ort.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    truth = reader(picture).numpy()
    found = session.run(None, {"picture": picture.numpy()})[0]
    off = float(abs(found - truth).max() / truth.std())
    if not off <= allowed:
        raise ImportRefused(
            f"the image encoder's ONNX file differs from torch by {off:.1e} standard deviations, "
            f"expected at most {allowed:.0e}"
        )


def _strip(proto: onnx.ModelProto) -> None:
    """Leave out paths and traces, so that the same weights give the same bytes."""
    del proto.metadata_props[:]
    proto.doc_string = ""
    for node in proto.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        del value.metadata_props[:]
    del proto.graph.value_info[:]
    del proto.graph.metadata_props[:]
