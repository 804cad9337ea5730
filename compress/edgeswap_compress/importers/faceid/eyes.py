"""Open the encoders that an adapter's projection needs, and check that they fit it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from edgeswap_compress.conditioning.crops import CropSpec
from edgeswap_compress.conditioning.projections import TokenProjection
from edgeswap_compress.conditioning.specs import PictureFeature
from edgeswap_compress.importers.base.clip_export import export_clip, vision_of_folder
from edgeswap_compress.importers.base.encoders import (
    Encoder,
    read_encoder,
    require_embedding,
    require_features,
    run_encoder,
)
from edgeswap_compress.importers.base.onnx_part import clip_crop, recognizer_crop
from edgeswap_compress.importers.errors import PartMissing
from edgeswap_compress.importers.faceid.request import FaceEncoders
from edgeswap_compress.importers.files.adapter_file import AdapterFile

RECOGNIZER, IMAGES = "recognizer", "image_encoder"
FACE_PX, PICTURE_PX = 112, 224


@dataclass(frozen=True, slots=True)
class Eyes:
    """Encoders of the source, in the order in which the projection takes what they say.

    Attributes:
        projection: of the adapter.
        encoders: name of the graph -> the ONNX file.
        crops: name of a crop -> its form.
        features: of the projection, in order.
    """

    projection: TokenProjection
    encoders: dict[str, Encoder]
    crops: dict[str, CropSpec]
    features: tuple[PictureFeature, ...]

    @property
    def files(self) -> dict[str, Path]:
        """Path in the checkpoint -> where the ONNX file lies now."""
        return {feature.file: self.encoders[feature.graph].path for feature in self.features}

    @property
    def sees_pictures(self) -> bool:
        """Whether an image encoder's hidden states are looked at: a blank picture has some too."""
        return any(len(self.encoders[f.graph].shape) == 3 for f in self.features)

    def seen(self, pictures: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """Run the encoders on pictures, named as the features name them: one row for each."""
        found = []
        for feature in self.features:
            given = pictures[feature.picture].numpy()
            value = torch.from_numpy(run_encoder(self.encoders[feature.graph], given))
            found.append(torch.nn.functional.normalize(value, dim=-1) if feature.l2 else value)
        return tuple(found)

    def blank(self) -> tuple[Tensor, ...]:
        """What guidance takes: an embedding of zeros, the states of a picture of zeros."""
        found = []
        for feature in self.features:
            encoder = self.encoders[feature.graph]
            if len(encoder.shape) == 2:
                found.append(torch.zeros(encoder.shape))
            else:
                side = encoder.side_px
                picture = np.zeros((1, 3, side, side), np.float32)
                found.append(torch.from_numpy(run_encoder(encoder, picture)))
        return tuple(found)


def open_eyes(given: FaceEncoders, adapter: AdapterFile, work: Path) -> Eyes:
    """Open what the adapter's projection needs.

    Args:
        given: the files.
        adapter: what it was trained on.
        work: existing folder, for the ONNX file of an image encoder that comes as a folder.

    Raises:
        PartMissing: an encoder is missing, or one is given that nothing looks at.
        DoesNotFit: what an encoder says has another size.
    """
    kind = adapter.projection.config.kind
    needs = _needs(kind, given)
    paths = {"--recognizer": given.recognizer, "--image-encoder": given.image_encoder}
    for option, path in paths.items():
        if (path is not None) != (option in needs):
            what = f"an adapter of kind {kind} looks at the face through {' and '.join(needs)}"
            missing = f"expected {option} FILE.onnx, found none"
            raise PartMissing(f"{what}: {missing if path is None else f'leave out {option}'}")
    config, encoders, crops = adapter.projection.config, {}, {}
    features: list[PictureFeature] = []
    if given.recognizer is not None:
        eye = given.recognizer_eye
        encoder = read_encoder(
            given.recognizer, "--recognizer", work, usual_px=FACE_PX, output=eye.output
        )
        require_embedding(encoder, config.input_size, "--recognizer", of=adapter.path)
        encoders[RECOGNIZER] = encoder
        crops["face"] = recognizer_crop(encoder.path, encoder.side_px, eye)
        features.append(_feature(RECOGNIZER, "face", encoder, l2=given.normalize))
    if given.image_encoder is not None:
        eye = given.image_eye
        named = path = given.image_encoder
        if path.is_dir():
            read = "embeds" if kind == "linear" else "states"
            path = export_clip(vision_of_folder(path), read, work / "image_encoder.onnx")
        encoder = read_encoder(
            path, "--image-encoder", work, usual_px=PICTURE_PX, output=eye.output, given=named
        )
        if kind == "linear":
            require_embedding(encoder, config.input_size, "--image-encoder", of=adapter.path)
        else:
            width = config.features_size if kind == "faceid_plus" else config.input_size
            require_features(encoder, width, "--image-encoder", of=adapter.path)
        encoders[IMAGES] = encoder
        crops["picture"] = clip_crop(encoder.side_px, eye)
        features.append(_feature(IMAGES, "picture", encoder, l2=False))
    return Eyes(adapter.projection, encoders, crops, tuple(features))


def _needs(kind: str, given: FaceEncoders) -> list[str]:
    """The options that a kind of projection needs; a resampler looks at what it was trained on."""
    if kind == "resampler":
        return ["--image-encoder"] if given.recognizer is None else ["--recognizer"]
    return {
        "faceid": ["--recognizer"],
        "faceid_plus": ["--recognizer", "--image-encoder"],
        "linear": ["--image-encoder"],
    }[kind]


def _feature(graph: str, crop: str, encoder: Encoder, *, l2: bool) -> PictureFeature:
    return PictureFeature(
        graph=graph,
        file=f"conditions/{graph}.onnx",
        crop=crop,
        output=encoder.output,
        l2=l2,
    )
