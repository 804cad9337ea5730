"""What an import of a `.ckpt` in Paint by Example's layout is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edgeswap_compress._checks import check_out, check_range
from edgeswap_compress.importers.base.onnx_part import Eye
from edgeswap_compress.importers.base.settings import ImportSettings
from edgeswap_compress.importers.base.untold import Untold
from edgeswap_compress.importers.errors import PartMissing

FILE_NAMES = ("base", "recognizer", "landmarks")

WEIGHTS = (1.0, 10.0, 0.05)
"""Of pictures, embedding and landmarks in REFace's token (its `project_ffhq.yaml`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleRequest:
    """An import of a checkpoint whose U-Net reads one token of an example picture.

    Attributes:
        base: the `.ckpt` or safetensors file, with image encoder and autoencoder in it.
        image_align: where the face lies in the image encoder's picture.
        recognizer: ONNX file of the face recognizer; REFace alone needs it.
        recognizer_eye: how it is shown the face.
        landmarks: ONNX file that answers the target's crop with 68 landmarks (1, 136), pixels of a
            512 px crop; None leaves their share (0.05 of 11.05) out.
        weights: of pictures, embedding and landmarks, see `WEIGHTS`.
        settings: of every import.
        untold: what the file does not tell of its U-Net.
    """

    base: Path
    image_align: str = "ffhq"
    recognizer: Path | None = None
    recognizer_eye: Eye = field(default_factory=lambda: Eye(align="psp"))
    landmarks: Path | None = None
    weights: tuple[float, float, float] = WEIGHTS
    settings: ImportSettings
    untold: Untold = field(default_factory=Untold)

    def __post_init__(self) -> None:
        for weight in self.weights:
            check_range("--token-weights", weight, 0.0, 1000.0)

    @property
    def files(self) -> dict[str, Path]:
        """Name every file whose license has to be stated."""
        given = {"base": self.base, "recognizer": self.recognizer, "landmarks": self.landmarks}
        return {name: path for name, path in given.items() if path is not None}


def check_paths(request: ExampleRequest, out: Path) -> None:
    """Refuse what can be seen without opening a file.

    Raises:
        PartMissing: a file or an option is missing.
        OutputExists, InvalidSettings: the output cannot be written.
    """
    check_out(out)
    request.settings.licenses.check(request.files)
    for name, path in request.files.items():
        if not path.is_file():
            found = "a folder" if path.is_dir() else "nothing"
            raise PartMissing(f"{name} {path}: expected a file, found {found}")
