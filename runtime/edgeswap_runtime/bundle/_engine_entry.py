"""Describe one TensorRT engine of a bundle: its graph, file, and the inputs of its build."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Annotated, Any

from edgeswap_runtime.bundle import schema
from edgeswap_runtime.bundle.schema import Pattern, Range, Size
from edgeswap_runtime.files import canonical_json

_Name = Annotated[str, Size(1, 1000)]

RTX = "tensorrt_rtx"
STANDARD = "tensorrt"
AMPERE_PLUS = "ampere-plus"
SAME_COMPUTE_CAPABILITY = "same-compute-capability"
JETSONS = ("SM72", "SM87", "SM101", "SM110")
"""Architectures of GPUs that share the CPU's memory: Xavier, Orin, Thor (and its first name)."""

_Shape = Annotated[tuple[Annotated[int, Range(0, 65_536)], ...], Size(0, 8)]
Shapes = tuple[_Shape, _Shape, _Shape]
"""Least, usual and largest shape of an input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInputs:
    """Everything that decides what an engine computes and where it runs; the hash is its key.

    Attributes:
        onnx: file name -> sha256, of the graph and of the file with its weights, if it has one.
        backend: "tensorrt_rtx" or "tensorrt".
        version: of that library.
        architectures: such as "SM86", that it was built for.
        precision: of the graph, such as "fp16".
        profiles: input with dynamic axes -> its optimization profile.
        flags: builder settings that differ from ours, which are the library's but for TF32, which
            is off.
        refitted_from: key of the engine whose weights were replaced, if this one was made so.
    """

    onnx: Annotated[dict[str, str], Size(0, 16)]
    backend: _Name
    version: _Name
    architectures: Annotated[
        tuple[Annotated[str, Pattern("SM[0-9]{2,3}", "SM86 or the like")], ...], Size(0, 64)
    ]
    precision: _Name
    profiles: Annotated[dict[str, Shapes], Size(0, 64)] = field(default_factory=dict)
    flags: Annotated[dict[str, Any], Size(0, 100)] = field(default_factory=dict)
    refitted_from: str | None = None

    @property
    def key(self) -> str:
        """The sha256 of every field as canonical JSON: 64 hex digits."""
        return hashlib.sha256(canonical_json(schema.encode(self))).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineEntry:
    """One engine of a bundle.

    Attributes:
        graph: which graph it computes.
        file: the engine's path in the bundle.
        structure_sha256: of the graph without its weights' numbers; only a graph of the same
            structure can lend an engine its weights.
        inputs: what it was made from.
    """

    graph: _Name
    file: _Name
    structure_sha256: _Name
    inputs: EngineInputs
