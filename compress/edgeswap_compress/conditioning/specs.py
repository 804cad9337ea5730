"""Describe what a U-Net is told, as data: the conditions, attention and ControlNet of swap.json."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated

from edgeswap_compress.conditioning.crops import MODEL_CROP, OWNERS, picture_key
from edgeswap_compress.errors import InvalidCheckpoint
from edgeswap_runtime.bundle.manifest_parts import FileName, Word
from edgeswap_runtime.bundle.schema import Range, Size

HOME = "conditions"
"""Folder of a checkpoint with the files that its conditions name."""

GIVES = ("tokens", "adapter_tokens", "vector")
"""Parts of a `Condition` that a projection may compute."""

NULLS = ("project_zero", "zeros", "learned")
"""What guidance takes instead of a projection's output: the projection of zero features, zeros, or
the module's own parameter `null_tokens`."""

ATTENTIONS = ("plain", "decoupled", "one_token")
"""Kinds of cross-attention, see `AttentionSpec`."""

HINTS = ("keypoints5",)
"""Pictures that a ControlNet may look at: five landmarks drawn as in InstantID."""

HINT_TOKENS = ("own", "same")

AdapterScale = Annotated[float, Range(0.0, 10.0)]
TokenCount = Annotated[int, Range(1, 4096)]


def _require(passed: bool, name: str, expected: object, found: object) -> None:
    if not passed:
        raise InvalidCheckpoint(f"swap.json: {name}", expected=expected, found=found)


def _require_file(name: str, file: str, suffix: str) -> None:
    path = PurePosixPath(file)
    inside = path.parts[:1] == (HOME,) and ".." not in path.parts and "\\" not in file
    expected = f"a file {HOME}/NAME{suffix}" if suffix else f"a folder {HOME}/NAME"
    _require(inside and len(path.parts) > 1 and path.suffix == suffix, name, expected, file)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceEncoderSpec:
    """The small encoder of the source's latents, in `conditioner/`: tokens, vector and latents."""

    kind: str = "source_encoder"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstantTokensSpec:
    """Tokens that are always the same, such as those of a prompt.

    Attributes:
        file: safetensors with `tokens` and `null_tokens`, each (1, T, D); the second is what
            guidance takes, such as the negative prompt's.
    """

    kind: str = "constant_tokens"
    file: FileName

    def __post_init__(self) -> None:
        _require_file("conditions: file", self.file, ".safetensors")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstantAddedSpec:
    """Added conditions that are always the same: those of Stable Diffusion XL.

    Attributes:
        file: safetensors with `text_embeds` (1, P) and `time_ids` (1, 6), and the same names with
            `null_` before them for guidance.
    """

    kind: str = "constant_added"
    file: FileName

    def __post_init__(self) -> None:
        _require_file("conditions: file", self.file, ".safetensors")


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureFeature:
    """What an ONNX file says of a crop: a recognizer's embedding, an image encoder's states.

    Attributes:
        graph: name of the graph in the bundle, such as "recognizer"; features of one file and crop
            share it.
        file: the ONNX file, which goes into the bundle as it is.
        crop: name of the crop it looks at.
        of: whose picture that is, "source" or "target".
        output: name of the output; None where the file has one.
        l2: whether the output is divided by its Euclidean norm along the last axis.
    """

    graph: Word
    file: FileName
    crop: Word
    of: Word = "source"
    output: Word | None = None
    l2: bool = False

    def __post_init__(self) -> None:
        _require_file("features: file", self.file, ".onnx")
        _require(self.of in OWNERS, "features: of", f"one of {OWNERS}", self.of)

    @property
    def picture(self) -> str:
        """Name the picture it looks at, see `picture_key`."""
        return picture_key(self.crop, self.of)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectionSpec:
    """A trained module that turns features of pictures into a part of the condition.

    Attributes:
        name: of the module's graph in the bundle, and the manifest's name of its output.
        folder: with the module's config.json and weights; its config names the class, one of
            `edgeswap_compress.conditioning.projections.PROJECTIONS`.
        features: what it takes, in order.
        gives: the part of the condition: "tokens", "adapter_tokens" or "vector".
        null: see `NULLS`.
    """

    kind: str = "projection"
    name: Word
    folder: FileName
    features: Annotated[tuple[PictureFeature, ...], Size(1, 8)]
    gives: Word
    null: Word = "project_zero"

    def __post_init__(self) -> None:
        _require_file("conditions: folder", self.folder, "")
        _require(self.gives in GIVES, "conditions: gives", f"one of {GIVES}", self.gives)
        _require(self.null in NULLS, "conditions: null", f"one of {NULLS}", self.null)


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginSpec:
    """A module of somebody else's, installed as an entry point of `edgeswap.conditioners`.

    Attributes:
        entry: name of the entry point, which makes a `Conditioner` from the folder.
        folder: whatever files it needs.
    """

    kind: str = "plugin"
    entry: Word
    folder: FileName

    def __post_init__(self) -> None:
        _require_file("conditions: folder", self.folder, "")


ConditionSpec = (
    SourceEncoderSpec | ConstantTokensSpec | ConstantAddedSpec | ProjectionSpec | PluginSpec
)
"""One part of what a U-Net is told; its field `kind` says which of these it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionSpec:
    """How cross-attention reads the tokens.

    Attributes:
        kind: "plain": as in diffusers; "decoupled": tokens and adapter tokens are read apart, and
            `scale` times the second is added to the first (2308.06721, eq. 5); "one_token": there
            is one token, so that its value is the answer and queries and keys are not computed.
        scale: of the adapter's part.
        tokens: how many adapter tokens there are; 0 where the attention is not decoupled.
    """

    kind: Word = "plain"
    scale: AdapterScale = 1.0
    tokens: Annotated[int, Range(0, 4096)] = 0

    def __post_init__(self) -> None:
        _require(self.kind in ATTENTIONS, "attention: kind", f"one of {ATTENTIONS}", self.kind)
        expected = "1 or more" if self.kind == "decoupled" else "0"
        right = (self.tokens > 0) == (self.kind == "decoupled")
        _require(right, "attention: tokens", expected, self.tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlNetSpec:
    """A ControlNet beside the U-Net, its weights in `controlnet/`.

    Attributes:
        hint: picture it looks at: "keypoints5", five landmarks drawn on black.
        crop: name of the crop the hint is drawn in.
        of: whose landmarks are drawn.
        scale: factor of what it adds to the U-Net.
        tokens: "own": its cross-attention reads the adapter tokens; "same": the U-Net's tokens.
    """

    hint: Word = "keypoints5"
    crop: Word = MODEL_CROP
    of: Word = "target"
    scale: AdapterScale = 1.0
    tokens: Word = "own"

    def __post_init__(self) -> None:
        for name, choices in (("hint", HINTS), ("of", OWNERS), ("tokens", HINT_TOKENS)):
            found = getattr(self, name)
            _require(found in choices, f"controlnet: {name}", f"one of {choices}", found)

    @property
    def picture(self) -> str:
        """Name the hint's picture: "keypoints:model/target"."""
        return f"keypoints:{picture_key(self.crop, self.of)}"
