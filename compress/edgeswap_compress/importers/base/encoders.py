"""Look at other people's ONNX recognizers and image encoders before they are taken in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeswap_compress.conditioning.onnx_features import ORT_ERRORS
from edgeswap_compress.importers.base.one_file import in_one_file
from edgeswap_compress.importers.errors import DoesNotFit, ImportRefused, PartMissing


@dataclass(frozen=True, slots=True)
class Encoder:
    """An ONNX file that looks at one picture.

    Attributes:
        path: of the file.
        given: what the user named, for messages.
        side_px: side of the picture it takes.
        output: name of the output that is read.
        shape: of that output for one picture, (1, ...).
    """

    path: Path
    given: Path
    side_px: int
    output: str
    shape: tuple[int, ...]


def read_encoder(
    path: Path,
    option: str,
    work: Path,
    *,
    usual_px: int,
    output: str | None = None,
    given: Path | None = None,
) -> Encoder:
    """Open an ONNX file, and run it on one picture.

    Args:
        path: of the file; weights beside it are taken into one file.
        option: that named it, for messages.
        work: existing folder for that file.
        usual_px: side of the picture where the file leaves it open.
        output: the output to read; None takes the only one.
        given: what the user named, where the file was made of it.

    Raises:
        PartMissing: there is no such file.
        ImportRefused: it is no ONNX file, takes something else than one picture, or its answer to
            a picture is not finite or is the same for every picture.
    """
    if not path.is_file():
        raise PartMissing(f"{option} {path}: expected an ONNX file, found nothing")
    session = _open(path, option)
    inputs, outputs = session.get_inputs(), [o.name for o in session.get_outputs()]
    if not _takes_a_picture(inputs):
        found = "; ".join(f"{value.name} {value.shape}" for value in inputs)
        raise ImportRefused(f"{option} {path}: expected one picture (N, 3, R, R), found {found}")
    shape = inputs[0].shape
    unsaid = output is None and len(outputs) > 1
    if unsaid or (output is not None and output not in outputs):
        raise ImportRefused(
            f"{option} {path}: expected the name of one of its outputs {outputs}, found {output}"
        )
    side = shape[2] if isinstance(shape[2], int) else usual_px
    if isinstance(shape[3], int) and shape[3] != side:
        raise ImportRefused(f"{option} {path}: expected a square picture, found {shape}")
    name = output or outputs[0]
    answers = [_run(session, inputs[0].name, name, side, seed, option, path) for seed in (0, 1)]
    if not all(np.isfinite(answer).all() for answer in answers):
        raise ImportRefused(f"{option} {path}: its answer to a picture is not finite")
    if np.array_equal(answers[0], answers[1]):
        raise ImportRefused(f"{option} {path}: it answers every picture alike")
    whole = in_one_file(path, work / f"{option.lstrip('-').replace(' ', '-')}-whole.onnx")
    return Encoder(whole, given or path, side, name, answers[0].shape)


def require_embedding(encoder: Encoder, size: int, option: str, *, of: Path) -> None:
    """Make sure that a recognizer's embedding is what a projection takes.

    Raises:
        DoesNotFit: it has another size.
    """
    if encoder.shape != (1, size):
        raise DoesNotFit(
            f"{option} {encoder.given}",
            expected=f"an embedding of {size} numbers, as {of} was trained on",
            found=f"an output of shape {encoder.shape}",
            remedy="name the recognizer the adapter was trained with",
        )


def require_features(encoder: Encoder, width: int, option: str, *, of: Path) -> None:
    """Make sure that an image encoder's states are what a projection takes.

    Raises:
        DoesNotFit: they have another width, or are one vector.
    """
    if len(encoder.shape) != 3 or encoder.shape[2] != width:
        raise DoesNotFit(
            f"{option} {encoder.given}",
            expected=f"hidden states (1, tokens, {width}), as {of} was trained on",
            found=f"an output of shape {encoder.shape}",
            remedy="name the image encoder the adapter was trained with",
        )


def run_encoder(encoder: Encoder, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run an encoder on pictures (N, 3, R, R), one after the other: (N, ...) float32."""
    session = _open(encoder.path, "encoder")
    name = session.get_inputs()[0].name
    rows = [session.run([encoder.output], {name: one[None]})[0] for one in pictures]
    found: NDArray[np.float32] = np.concatenate(rows)
    return found


def _takes_a_picture(inputs: Any) -> bool:
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        return False
    channels = inputs[0].shape[1]
    return channels == 3 or not isinstance(channels, int)


def _open(path: Path, option: str) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except ORT_ERRORS as error:
        found = str(error).splitlines()[0]
        raise ImportRefused(f"{option} {path}: expected an ONNX file, found {found}") from error


def _run(
    session: Any, name: str, output: str, side: int, seed: int, option: str, path: Path
) -> NDArray[np.float32]:
    picture = np.random.default_rng(seed).uniform(-1, 1, (1, 3, side, side)).astype(np.float32)
    try:
        answer: NDArray[np.float32] = session.run([output], {name: picture})[0]
    except ORT_ERRORS as error:
        found = str(error).splitlines()[0]
        raise ImportRefused(f"{option} {path}: it cannot be run: {found}") from error
    return answer
