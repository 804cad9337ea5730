"""Make stand-ins for a checkpoint's condition: right shapes, no meaning, nothing run."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Any

import torch

from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.conditioning.condition import Condition
from edgeswap_compress.conditioning.specs import (
    ConditionSpec,
    ConstantAddedSpec,
    ConstantTokensSpec,
    ProjectionSpec,
)


def blank_condition(swap: SwapConfig, encoder: Any, parts: Mapping[str, Any]) -> Condition:
    """Make a condition (batch 1) of the shapes a checkpoint's own has; projections give zeros.

    Args:
        swap: of the checkpoint, without plugins: those would have to be run.
        encoder: its `SourceConditioner`, which gives its null condition; None where it has none.
        parts: what its conditions name, see `Checkpoint.parts`.
    """
    each = (_blank(spec, encoder, parts) for spec in swap.conditions)
    return reduce(Condition.merged, each)


def _blank(spec: ConditionSpec, encoder: Any, parts: Mapping[str, Any]) -> Condition:
    if isinstance(spec, ConstantTokensSpec):
        return Condition(tokens=parts[spec.file]["tokens"])
    if isinstance(spec, ConstantAddedSpec):
        tensors = parts[spec.file]
        return Condition(added={k: tensors[k] for k in ("text_embeds", "time_ids")})
    if isinstance(spec, ProjectionSpec):
        config = parts[spec.folder].config
        shape = (1, config.width) if spec.gives == "vector" else (1, config.tokens, config.width)
        return Condition.of(spec.gives, torch.zeros(shape))
    given: Condition = encoder.null(1)
    return given
