"""Which families of face-swap checkpoints can be imported, and why others cannot."""

from __future__ import annotations

from collections.abc import Sequence

from edgeswap_compress.importers.errors import FamilyRefused

FAMILIES = {
    "faceid": "IP-Adapter FaceID, FaceID Plus v2 or Plus-face on Stable Diffusion 1 or XL",
    "instantid": "InstantID: Stable Diffusion XL, a ControlNet on keypoints, identity tokens",
    "reface": "REFace, or another .ckpt in the layout of Paint by Example",
    "python": "your own conditioning module beside a diffusers U-Net",
}
"""Family -> what it is."""

_TRANSFORMER = "its denoiser is a transformer, and pruning and export know U-Nets alone"
_REFERENCE = (
    "a second U-Net reads the source and hands its attention to the first in every layer, which "
    "swap.json cannot say"
)
_FILM = "it makes films; a frame cannot be swapped by itself"
_GRADIENT = "each step needs the gradient of a recognizer, which no inference engine computes"

REFUSED = {
    "rigface": _REFERENCE,
    "referencenet": _REFERENCE,
    "animateanyone": _REFERENCE,
    "diffface": _GRADIENT,
    "diffswap": "its latents and autoencoder are of its own code, which no public file describes",
    "dreamid": _TRANSFORMER,
    "dreamid-v": _TRANSFORMER,
    "flux": _TRANSFORMER,
    "sd3": _TRANSFORMER,
    "dit": _TRANSFORMER,
    "hifivfs": _FILM,
    "vividface": _FILM,
    "animatediff": _FILM,
    "svd": _FILM,
    "pulid": "it rewrites attention by what an EVA-CLIP says of the face; it is made to generate",
    "photomaker": "it rewrites the prompt's tokens for each source; it is made to generate",
    "arc2face": "it rewrites the prompt's tokens for each source; use python with your own module",
    "face-adapter": "its ControlNet looks at 3DMM landmarks, which the runtime does not draw",
    "inswapper": "it is one ONNX file that needs no import: run it where it runs today",
    "hyperswap": "it is one ONNX file that needs no import: run it where it runs today",
    "simswap": "it is one ONNX file that needs no import: run it where it runs today",
}
"""Family that cannot be imported -> why."""


REFUSED_OPTIONS = {
    ("reface", "--parser"): "the repainted face is a fixed oval, which the graphs and the paste "
    "share; a face parser would have to run on every picture, in every runtime: use --mask-scale",
}
"""(family, what its owner's code has and ours has not) -> why."""


def refuse(name: str, options: Sequence[str] = ()) -> None:
    """Say why a family, or a part of one, cannot be imported, where that is known.

    Args:
        name: of the family.
        options: of the command line.

    Raises:
        FamilyRefused: it is one of those.
    """
    key = name.lower().replace("_", "-")
    if key in REFUSED:
        raise FamilyRefused(name, REFUSED[key])
    given = {option.partition("=")[0] for option in options}
    for (family, option), why in REFUSED_OPTIONS.items():
        if family == key and option in given:
            raise FamilyRefused(f"{family} {option}", why)
