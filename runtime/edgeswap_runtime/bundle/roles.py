"""Say what fills each input of a graph: its role, such as `crop:model/target`.

| role | what fills the input |
|---|---|
| `crop:NAME/source`, `crop:NAME/target` | the crop NAME of a source photo's or the target's face |
| `keypoints:NAME/source`, `keypoints:NAME/target` | its five landmarks, drawn on black |
| `output:GRAPH/TENSOR` | what another graph gave |
| `sample`, `timestep`, `guidance` | the sampler's; `guidance` is the manifest's `guidance_scale` |
| `constant:FILE.npy` | a float32 array that is a file of the bundle |
| `picture` | a whole picture, letterboxed: the detector's input alone |
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Literal

from edgeswap_runtime.bundle.schema import Pattern, SchemaError

NAME = "[A-Za-z0-9_-]{1,60}"
"""A crop's or a graph's name."""
ROLE = (
    rf"(crop|keypoints):{NAME}/(source|target)|output:{NAME}/.{{1,200}}"
    r"|constant:.{1,1000}\.npy|sample|timestep|guidance|picture"
)
ROLE_PATTERN = Pattern(
    ROLE,
    "crop:NAME/source, crop:NAME/target, keypoints:NAME/source, keypoints:NAME/target, "
    "output:GRAPH/TENSOR, constant:FILE.npy, sample, timestep, guidance or picture",
)
NAME_PATTERN = Pattern(NAME, "1 to 60 letters, digits, '_' or '-'")

RoleKind = Literal[
    "crop", "keypoints", "output", "constant", "sample", "timestep", "guidance", "picture"
]


@dataclass(frozen=True, slots=True)
class Role:
    """A role, taken apart.

    Attributes:
        kind: the word before the colon.
        name: of the crop, the graph or the file; empty where the kind has none.
        part: "source" or "target", or the tensor's name; empty where the kind has none.
    """

    kind: RoleKind
    name: str = ""
    part: str = ""

    def __str__(self) -> str:
        place = f"{self.name}/{self.part}" if self.part else self.name
        return f"{self.kind}:{place}" if place else self.kind


@functools.cache
def parse_role(text: str) -> Role:
    """Take a role apart.

    Raises:
        SchemaError: it is none.
    """
    if re.fullmatch(ROLE, text) is None:
        raise SchemaError(f"role is {text[:80]!r}, expected {ROLE_PATTERN.words}")
    kind, _, place = text.partition(":")
    if kind == "constant":
        return Role("constant", place)
    name, _, part = place.partition("/")
    return Role(kind, name, part)  # type: ignore[arg-type]


def output_role(graph: str, tensor: str) -> str:
    """The role of an input that a graph's output fills."""
    return f"output:{graph}/{tensor}"
