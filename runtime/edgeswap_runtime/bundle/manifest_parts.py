"""Define the parts of a manifest, and the bounds of every number and text in them.

The bounds stand in the annotations, and `schema.decode` checks what is read against them. They are
wide enough for any model that runs in a second, and small enough that a bundle within them takes
some hundred megabytes at most.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated

from edgeswap_runtime.bundle import schema
from edgeswap_runtime.bundle.schema import Pattern, Range, Size

MAX_ROWS = 1000
"""Most rows of a schedule: as many as DDPM has steps."""
MAX_ELEMENTS = 2**24
"""Most elements of one tensor: 64 MiB of float32."""

Word = Annotated[str, Size(1, 200)]
"""A name: of a bundle, graph, tensor, axis or sampler."""
Text = Annotated[str, Size(0, 4000)]
"""A sentence or two, such as a license's origin."""
FileName = Annotated[str, Size(1, 1000)]
"""A path inside the bundle."""
Sha256 = Annotated[str, Pattern("[0-9a-f]{64}", "64 hex digits")]
SidePx = Annotated[int, Range(8, 2048)]
"""Side of the aligned crop."""
PlacePx = Annotated[float, Range(-2048, 4096)]
"""A coordinate in the crop, or somewhat beyond it."""
LengthPx = Annotated[float, Range(0, 4096)]
Dimension = Annotated[int, Range(1, 65_536)]
"""One size of a tensor."""
Scalar = Annotated[float, Range(-1e6, 1e6)]
"""A coefficient or a timestep of a sampler's table."""
Count = Annotated[int, Range(0, 1_000_000)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One input or output of a graph.

    Attributes:
        name: its name in the ONNX file.
        dtype: numpy's name; the borders of every graph are "float32".
        shape: sizes; a name where the size is free.
        axes: what each axis is, such as ("batch", "channel", "height", "width").
    """

    name: Word
    dtype: Annotated[str, Pattern("float32", "float32")]
    shape: Annotated[tuple[Dimension | Word, ...], Size(1, 8)]
    axes: Annotated[tuple[Word, ...], Size(1, 8)]

    def __post_init__(self) -> None:
        if len(self.shape) != len(self.axes):
            raise schema.SchemaError(
                f"tensor '{self.name}' has shape {self.shape} but axes {self.axes}"
            )
        elements = math.prod(size for size in self.shape if isinstance(size, int))
        if elements > MAX_ELEMENTS:
            raise schema.SchemaError(
                f"tensor '{self.name}' of shape {self.shape} has {elements} elements, expected at "
                f"most {MAX_ELEMENTS}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """One ONNX file: its path in the bundle, its precision, its tensors.

    Attributes:
        float32_nodes: why nodes are in float32 nevertheless -> their names in the ONNX file.
        dynamic_axes: name of a dynamic axis in the shapes -> the least, the usual and the largest
            length it was made for.
        layers: element type of the weights, such as "float16" -> how many layers keep theirs so.
    """

    file: FileName
    precision: Word
    inputs: Annotated[tuple[Tensor, ...], Size(1, 16)]
    outputs: Annotated[tuple[Tensor, ...], Size(1, 16)]
    float32_nodes: Annotated[dict[str, tuple[str, ...]], Size(0, 1000)] = field(
        default_factory=dict
    )
    dynamic_axes: Annotated[dict[str, tuple[Dimension, Dimension, Dimension]], Size(0, 16)] = field(
        default_factory=dict
    )
    layers: Annotated[dict[str, Count], Size(0, 100)] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, (least, usual, largest) in self.dynamic_axes.items():
            if not least <= usual <= largest:
                raise schema.SchemaError(
                    f"dynamic axis '{name}' of {self.file} is {least} to {largest}, usually "
                    f"{usual}: expected them in rising order"
                )

    def input(self, name: str) -> Tensor:
        """Return the input of that name; raise KeyError if there is none."""
        return {tensor.name: tensor for tensor in self.inputs}[name]

    def output(self, name: str) -> Tensor:
        """Return the output of that name; raise KeyError if there is none."""
        return {tensor.name: tensor for tensor in self.outputs}[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRow:
    """One evaluation of the denoiser, as scalars.

    With the sample x, the history m and standard normal noise eps:
    o = model(input_scale * x, timestep), x' = sample * x + output * o + noise * eps + history * m,
    m' = history_sample * x + history_output * o; m starts at 0.
    """

    timestep: Scalar
    input_scale: Scalar = 1.0
    sample: Scalar
    output: Scalar
    noise: Scalar = 0.0
    history: Scalar = 0.0
    history_sample: Scalar = 0.0
    history_output: Scalar = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A sampler reduced to a table; x starts at `initial_noise_scale * eps`."""

    sampler: Word
    steps: Annotated[int, Range(1, MAX_ROWS)]
    initial_noise_scale: Scalar
    rows: Annotated[tuple[ScheduleRow, ...], Size(1, MAX_ROWS)]

    def __post_init__(self) -> None:
        if not self.rows or self.steps < 1:
            raise schema.SchemaError(f"schedule '{self.sampler}' has no rows")


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """Where the five landmarks lie in the crop: (5, 2) pixels, centers at integers."""

    landmarks_px: tuple[tuple[PlacePx, PlacePx], ...]

    def __post_init__(self) -> None:
        if len(self.landmarks_px) != 5:
            raise schema.SchemaError(
                f"alignment.landmarks_px has {len(self.landmarks_px)} points, expected 5"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Mask:
    """A superellipse in the crop, |x/rx|^n + |y/ry|^n <= 1, with a soft inner edge."""

    center_px: tuple[PlacePx, PlacePx]
    radii_px: tuple[LengthPx, LengthPx]
    exponent: Annotated[float, Range(0.1, 100)]
    feather_px: LengthPx

    def __post_init__(self) -> None:
        if min(*self.radii_px, self.exponent) <= 0 or self.feather_px < 0:
            raise schema.SchemaError(f"mask {schema.encode(self)} is not a superellipse")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """The size and hash that a file must have."""

    sha256: Sha256
    bytes: Annotated[int, Range(0, 2**40)]


@dataclass(frozen=True, slots=True, kw_only=True)
class License:
    """License and origin of one set of weights."""

    what: Text
    license: Text
    origin: Text
