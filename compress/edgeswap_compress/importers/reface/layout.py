"""Read the conditioning of Paint by Example's layout, and of REFace's, out of a checkpoint."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgeswap_compress.conditioning.one_token import ExampleProjection, MixedProjection
from edgeswap_compress.importers.errors import UnreadableWeights
from edgeswap_compress.importers.files.tensor_files import below

Projection = ExampleProjection | MixedProjection


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a family's tensors lie.

    Attributes:
        vision: of CLIP's image encoder.
        mapper: of the transformer behind it.
        norm: behind that.
        layers: name in our projection -> name in the file.
    """

    vision: str
    mapper: str
    norm: str
    layers: Mapping[str, str]


EXAMPLE = Layout(
    "cond_stage_model.transformer.vision_model.",
    "cond_stage_model.mapper.resblocks.",
    "cond_stage_model.final_ln.",
    {"project": "proj_out"},
)
"""Paint by Example."""

REFACE = Layout(
    "cond_stage_model.model.vision_model.",
    "cond_stage_model.mapper2.resblocks.",
    "cond_stage_model.final_ln2.",
    {
        "visual": "cond_stage_model.model.visual_projection",
        "source": "proj_out_source",
        "target": "proj_out_target",
        "identity": "ID_proj_out",
        "landmarks": "landmark_proj_out",
    },
)

NULL = "learnable_vector"

_BLOCK = {"attn.c_proj": "out", "mlp.c_fc": "up", "mlp.c_proj": "down", "ln_1": "ln_1",
          "ln_2": "ln_2"}  # fmt: skip


def layout_of(path: Path, tensors: Mapping[str, Tensor]) -> Layout:
    """Tell the family from the tensors' names.

    Raises:
        UnreadableWeights: it is neither.
    """
    for layout in (EXAMPLE, REFACE):
        if any(name.startswith(layout.mapper) for name in tensors) and NULL in tensors:
            return layout
    expected = f"a mapper behind CLIP ({EXAMPLE.mapper}* or {REFACE.mapper}*) and a {NULL}"
    raise UnreadableWeights(path, expected=expected, found="none of them")


def read_projection(
    path: Path,
    tensors: Mapping[str, Tensor],
    layout: Layout,
    *,
    landmarks: bool,
    weights: tuple[float, float, float],
) -> Projection:
    """Build the projection to the one token.

    Args:
        path: of the file, for messages.
        tensors: all of them.
        layout: the family's.
        landmarks: whether the target's landmarks are seen.
        weights: of the parts of the token; for REFace alone.

    Raises:
        UnreadableWeights: a tensor is missing.
    """
    state = _mapper(path, tensors, layout)
    depth = len({name.split(".")[1] for name in state if name.startswith("blocks.")})
    for name, theirs in layout.layers.items():
        if name == "landmarks" and not landmarks:
            continue
        for parameter, tensor in below(tensors, f"{theirs}.").items():
            state[f"{name}.{parameter}"] = tensor
    state["null_tokens"] = tensors[NULL].reshape(1, 1, -1)
    try:
        width = state["null_tokens"].shape[-1]
        if layout is EXAMPLE:
            made: Projection = ExampleProjection(state["project.weight"].shape[1], width, depth)
        else:
            made = MixedProjection(
                input_size=state["visual.weight"].shape[1],
                inner=state["visual.weight"].shape[0],
                width=width,
                depth=depth,
                identity_size=state["identity.weight"].shape[1],
                landmarks_size=state["landmarks.weight"].shape[1] if landmarks else 0,
                weights=weights,
            )
        made.load_state_dict({k: v.float() for k, v in state.items()})
    except (KeyError, RuntimeError) as error:
        found = str(error).splitlines()[-1].strip()
        raise UnreadableWeights(
            path, expected="the layers of its image projection", found=found
        ) from error
    return made.eval()


def _mapper(path: Path, tensors: Mapping[str, Tensor], layout: Layout) -> dict[str, Any]:
    """The blocks; of queries, keys and values to a single token only values count."""
    state: dict[str, Tensor] = {}
    for name, tensor in below(tensors, layout.mapper).items():
        match = re.match(r"(\d+)\.(.+)\.(weight|bias)$", name)
        if match is None:
            raise UnreadableWeights(path, expected="blocks of a transformer", found=name)
        number, layer, parameter = match.groups()
        if layer == "attn.c_qkv":
            state[f"blocks.{number}.value.{parameter}"] = torch.chunk(tensor, 3)[2]
        else:
            state[f"blocks.{number}.{_BLOCK.get(layer, layer)}.{parameter}"] = tensor
    for parameter, tensor in below(tensors, layout.norm).items():
        state[f"norm.{parameter}"] = tensor
    return state
