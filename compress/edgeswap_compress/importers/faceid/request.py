"""What an import of an IP-Adapter is asked for, and what can be refused before any work."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edgeswap_compress._checks import check_out, check_range
from edgeswap_compress.importers.base.onnx_part import Eye
from edgeswap_compress.importers.base.prompt_request import PromptRequest
from edgeswap_compress.importers.base.settings import ImportSettings
from edgeswap_compress.importers.base.untold import Untold
from edgeswap_compress.importers.errors import PartMissing

SCALE = (0.0, 10.0)


@dataclass(frozen=True, slots=True)
class LoraFile:
    """A LoRA to fuse.

    Attributes:
        path: safetensors or pickle.
        scale: 1 for the strength it was made for.
    """

    path: Path
    scale: float = 1.0

    @classmethod
    def parse(cls, text: str) -> LoraFile:
        """Read "FILE" or "FILE:SCALE"."""
        path, colon, scale = text.rpartition(":")
        try:
            return cls(Path(path), float(scale)) if colon else cls(Path(text))
        except ValueError:
            return cls(Path(text))

    def __post_init__(self) -> None:
        check_range("--lora scale", self.scale, -10.0, 10.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceEncoders:
    """ONNX files that look at the source's face.

    Attributes:
        recognizer: file of a face recognizer; None where the adapter needs none.
        recognizer_eye: how it is shown the face.
        normalize: whether its embedding is divided by its norm.
        image_encoder: ONNX file, or transformers folder, of an image encoder; None likewise.
        image_eye: how it is shown the face.
    """

    recognizer: Path | None = None
    recognizer_eye: Eye = field(default_factory=lambda: Eye(align="arcface"))
    normalize: bool = True
    image_encoder: Path | None = None
    image_eye: Eye = field(default_factory=lambda: Eye(align="arcface"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlRequest:
    """A ControlNet that looks at drawn landmarks.

    Attributes:
        path: its folder.
        scale: factor of what it adds.
        tokens: "own": it reads the adapter's tokens; "same": the prompt's.
    """

    path: Path
    scale: float = 0.8
    tokens: str = "own"

    def __post_init__(self) -> None:
        check_range("--control-scale", self.scale, *SCALE)


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterRequest:
    """An import of an IP-Adapter of faces.

    Attributes:
        base: diffusers pipeline folder, or one file.
        adapter: the adapter's own file.
        scale: of the adapter's attention.
        shortcut: whether FaceID Plus adds its shortcut, as v2 does.
        encoders: that look at the source.
        prompt: the words told with every swap.
        loras: fused in order.
        control: a ControlNet, or None.
        settings: of every import.
        untold: what a single file does not tell of its U-Net.
        family: its name in history.
    """

    base: Path
    adapter: Path
    scale: float = 0.8
    shortcut: bool = True
    encoders: FaceEncoders
    prompt: PromptRequest
    loras: tuple[LoraFile, ...] = ()
    control: ControlRequest | None = None
    settings: ImportSettings
    untold: Untold = field(default_factory=Untold)
    family: str = "faceid"

    def __post_init__(self) -> None:
        check_range("--scale", self.scale, *SCALE)

    @property
    def files(self) -> dict[str, Path]:
        """Name every file whose license has to be stated."""
        given = {
            "base": self.base,
            "adapter": self.adapter,
            "controlnet": self.control.path if self.control else None,
            "recognizer": self.encoders.recognizer,
            "image-encoder": self.encoders.image_encoder,
        }
        named = {name: path for name, path in given.items() if path is not None}
        loras = {f"lora{i or ''}": lora.path for i, lora in enumerate(self.loras)}
        return named | loras


FILE_NAMES = ("base", "adapter", "controlnet", "recognizer", "image-encoder", "lora", "lora1",
              "lora2", "lora3")  # fmt: skip
"""Files whose license is stated by name, as the command line has them."""


def check_paths(request: AdapterRequest, out: Path) -> None:
    """Refuse what can be seen without opening a file: places, licenses, contradictions.

    Raises:
        PartMissing: a file or an option is missing.
        OutputExists, InvalidSettings: the output cannot be written.
    """
    check_out(out)
    request.settings.licenses.check(request.files)
    for name, path in request.files.items():
        folders = name in ("base", "controlnet", "image-encoder")
        if not (path.exists() if folders else path.is_file()):
            found = "a folder" if path.is_dir() else "nothing"
            kind = "a file or a folder" if folders else "a file"
            raise PartMissing(f"{name} {path}: expected {kind}, found {found}")
