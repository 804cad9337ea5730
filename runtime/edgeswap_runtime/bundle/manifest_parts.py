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
from edgeswap_runtime.bundle.roles import NAME_PATTERN, ROLE_PATTERN, Role, parse_role
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
Name = Annotated[str, NAME_PATTERN]
"""A crop's or a graph's name."""
Channels = tuple[
    Annotated[float, Range(-1000, 1000)],
    Annotated[float, Range(-1000, 1000)],
    Annotated[float, Range(-1000, 1000)],
]
"""A number for each channel, in the crop's color order."""

MODEL_CROP = "model"
"""The crop that is swapped and pasted; the mask is in its pixels."""
LEAST_STD = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class CropSpec:
    """One of the square crops of a face that graphs look at.

    Attributes:
        size_px: its side.
        landmarks_px: (5, 2) where right eye (image left), left eye, nose, right and left mouth
            corner come to lie in it; pixel centers at integers.
        mean: subtracted from pixel / 255, in the order of `color`.
        std: what that is divided by.
        color: order of the channels that the graphs take.
    """

    size_px: SidePx
    landmarks_px: Annotated[tuple[tuple[PlacePx, PlacePx], ...], Size(5, 5)]
    mean: Channels = (0.5, 0.5, 0.5)
    std: Channels = (0.5, 0.5, 0.5)
    color: Annotated[str, Pattern("RGB|BGR", "RGB or BGR")] = "RGB"

    def __post_init__(self) -> None:
        if len(self.landmarks_px) != 5:
            raise schema.SchemaError(
                f"landmarks_px has {len(self.landmarks_px)} points, expected 5"
            )
        if min(self.std) < LEAST_STD:
            raise schema.SchemaError(f"std is {self.std}, expected at least {LEAST_STD} each")


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
class GraphInput(Tensor):
    """One input of a graph, and what fills it.

    Attributes:
        role: see `edgeswap_runtime.bundle.roles`, such as "crop:model/target".
    """

    role: Annotated[str, ROLE_PATTERN]

    @property
    def parsed_role(self) -> Role:
        """The role, taken apart."""
        return parse_role(self.role)


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
    inputs: Annotated[tuple[GraphInput, ...], Size(1, 32)]
    outputs: Annotated[tuple[Tensor, ...], Size(1, 32)]
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

    def input(self, name: str) -> GraphInput:
        """Return the input of that name; raise KeyError if there is none."""
        return {tensor.name: tensor for tensor in self.inputs}[name]

    def output(self, name: str) -> Tensor:
        """Return the output of that name; raise KeyError if there is none."""
        return {tensor.name: tensor for tensor in self.outputs}[name]

    def input_of_role(self, role: str) -> GraphInput | None:
        """Return the input that a role fills; None if there is none."""
        return next((tensor for tensor in self.inputs if tensor.role == role), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRow:
    """One evaluation of the denoiser, as scalars.

    With the sample x, the history m and standard normal noise eps:
    o = model(input_scale * x, timestep), x' = sample * x + output * o + noise * eps + history * m,
    m' = history_sample * x + history_output * o; m starts at 0.

    Where `blend_signal` or `blend_noise` is not 0, what is outside the repainted part is then the
    target again, as noisy as the sample: with the target's latents z, the latent mask k (1 where
    the swap repaints) and the noise eps0 that sampling started from, x' becomes
    k * x' + (1 - k) * (blend_signal * z + blend_noise * eps0).
    """

    timestep: Scalar
    input_scale: Scalar = 1.0
    sample: Scalar
    output: Scalar
    noise: Scalar = 0.0
    history: Scalar = 0.0
    history_sample: Scalar = 0.0
    history_output: Scalar = 0.0
    blend_signal: Scalar = 0.0
    blend_noise: Scalar = 0.0

    @property
    def blends(self) -> bool:
        """Whether the target's latents are blended in after this row."""
        return bool(self.blend_signal or self.blend_noise)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A sampler reduced to a table.

    x starts at `start_signal * z + initial_noise_scale * eps0`, z the target's latents.
    """

    sampler: Word
    steps: Annotated[int, Range(1, MAX_ROWS)]
    initial_noise_scale: Scalar
    start_signal: Scalar = 0.0
    rows: Annotated[tuple[ScheduleRow, ...], Size(1, MAX_ROWS)]

    def __post_init__(self) -> None:
        if not self.rows or self.steps < 1:
            raise schema.SchemaError(f"schedule '{self.sampler}' has no rows")

    @property
    def needs_target(self) -> bool:
        """Whether it starts from the target's latents, or blends them in."""
        return self.start_signal != 0 or self.blends

    @property
    def blends(self) -> bool:
        """Whether a row blends the target's latents in."""
        return any(row.blends for row in self.rows)


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
