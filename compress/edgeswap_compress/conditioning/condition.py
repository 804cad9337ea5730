"""Hold what a U-Net is told of a swap, and the protocol of what computes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from edgeswap_compress.conditioning.crops import CropSpec

Pictures = Mapping[str, Tensor]
"""Name of a picture (see `picture_key`) -> (N, 3, R, R), normalized as its crop says. A hint is
named "keypoints:CROP/OWNER" and lies in [0, 1]."""

SOURCE_LATENTS = "source_latents"
"""Name of the map that the input group "source" takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What the denoiser is told, each part optional.

    Attributes:
        tokens: (N, T, D) keys and values of cross-attention.
        adapter_tokens: (N, A, D) of the adapter's own cross-attention.
        vector: (N, V) identity, added to the time embedding.
        added: further embeddings by diffusers' names, such as text_embeds (N, P).
        maps: (N, C, S, S) maps of the source, such as "source_latents" for the U-Net's input.
    """

    tokens: Tensor | None = None
    adapter_tokens: Tensor | None = None
    vector: Tensor | None = None
    added: Mapping[str, Tensor] = field(default_factory=dict)
    maps: Mapping[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, part: str, value: Tensor) -> Condition:
        """Make a condition of one part: "tokens", "adapter_tokens" or "vector"."""
        return cls().of_named({part: value})

    def each(self, change: Callable[[Tensor], Tensor]) -> Condition:
        """Change every tensor."""

        def changed(value: Tensor | None) -> Tensor | None:
            return None if value is None else change(value)

        return Condition(
            tokens=changed(self.tokens),
            adapter_tokens=changed(self.adapter_tokens),
            vector=changed(self.vector),
            added={name: change(value) for name, value in self.added.items()},
            maps={name: change(value) for name, value in self.maps.items()},
        )

    def to(self, dtype: torch.dtype) -> Condition:
        """Convert all values to another dtype."""
        return self.each(lambda value: value.to(dtype))

    def expanded(self, n: int) -> Condition:
        """Repeat a condition of one sample for a batch of ``n``, without copying."""
        return self.each(lambda value: value.expand(n, *value.shape[1:]))

    def merged(self, other: Condition) -> Condition:
        """Join two parts of a condition: tokens one behind the other, all else side by side."""

        def behind(one: Tensor | None, two: Tensor | None) -> Tensor | None:
            if one is None or two is None:
                return two if one is None else one
            return torch.cat([one, two], dim=1)

        return Condition(
            tokens=behind(self.tokens, other.tokens),
            adapter_tokens=behind(self.adapter_tokens, other.adapter_tokens),
            vector=other.vector if self.vector is None else self.vector,
            added={**self.added, **other.added},
            maps={**self.maps, **other.maps},
        )

    def named(self) -> dict[str, Tensor]:
        """List the tensors by name; `of_named` undoes it."""
        plain = {"tokens": self.tokens, "adapter_tokens": self.adapter_tokens,
                 "vector": self.vector}  # fmt: skip
        given = {name: value for name, value in plain.items() if value is not None}
        return {**given, **self.maps, **self.added}

    def of_named(self, values: Mapping[str, Tensor]) -> Condition:
        """Make a condition with the same parts of other tensors, by the names of `named`."""
        return replace(
            self,
            tokens=values.get("tokens"),
            adapter_tokens=values.get("adapter_tokens"),
            vector=values.get("vector"),
            added={name: values[name] for name in self.added},
            maps={name: values[name] for name in self.maps},
        )

    def joined(self, other: Condition, join: Callable[[Tensor, Tensor], Tensor]) -> Condition:
        """Join each tensor with that of another condition of the same parts."""
        mine, theirs = self.named(), other.named()
        return self.of_named({name: join(value, theirs[name]) for name, value in mine.items()})

    def stacked(self, other: Condition) -> Condition:
        """Put another batch behind this one."""
        return self.joined(other, lambda one, two: torch.cat([one, two]))

    def where(self, chosen: Tensor, other: Condition) -> Condition:
        """Take the other's rows where ``chosen`` (N,) bool does not hold."""

        def pick(one: Tensor, two: Tensor) -> Tensor:
            return torch.where(chosen.view(-1, *[1] * (one.ndim - 1)), one, two)

        return self.joined(other, pick)


class Conditioner(Protocol):
    """Computes the condition of a swap from pictures.

    `graphs` names what a bundle needs beside the denoiser: torch modules to export, or ONNX files
    that are taken as they are.
    """

    @property
    def crops(self) -> Mapping[str, CropSpec]:
        """Name of a picture it needs (see `picture_key`) -> the crop's form."""

    def graphs(self) -> Mapping[str, nn.Module | Path]:
        """Name of a graph -> the module, or the ONNX file."""

    def condition(self, crops: Pictures) -> Condition:
        """Compute the condition of a batch of pictures."""

    def null(self, n: int) -> Condition:
        """Make what guidance takes instead, for a batch of ``n``."""
