"""Write a report as one HTML file that asks for nothing else: no request leaves it."""

from __future__ import annotations

import base64
import html
import json
from importlib.resources import files
from typing import TYPE_CHECKING

from PIL import Image

from edgeswap_bench.report import sections
from edgeswap_runtime.bundle import schema as _schema
from edgeswap_runtime.pictures.write import ALIGNED, SWAPPED, encode_marked

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from edgeswap_bench.measure.results import Report

    Pictures = Mapping[str, tuple[NDArray[np.uint8], NDArray[np.uint8]]]
    """Subject's label -> its target and what it made of it."""

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_SIDE_PX = 640


def page(report: Report, pictures: Pictures | None = None) -> str:
    """Write a report as HTML.

    Args:
        report: from `bench`.
        pictures: shown one over the other, with a slider.
    """
    parts = [
        *sections.figures(report),
        *sections.ratios(report),
        *sections.latency(report),
        *sections.stages(report),
        *sections.memory(report),
        *sections.roofline(report),
        *sections.quality(report),
        *[_slider(label, *pair) for label, pair in (pictures or {}).items()],
        *sections.estimates(report),
        _details(report),
    ]
    here = files("edgeswap_bench.report")
    style = here.joinpath("style.css").read_text(encoding="utf-8")
    script = here.joinpath("script.js").read_text(encoding="utf-8")
    title = html.escape(f"edgeswap bench: {report.subjects[0].label}")
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            f'<link rel="icon" href="data:,"><title>{title}</title><style>{style}</style></head>',
            f"<body><header>{sections.head(report)}</header><main>",
            *parts,
            f"</main><script>{script}</script></body></html>\n",
        ]
    )


def _slider(label: str, target: NDArray[np.uint8], swapped: NDArray[np.uint8]) -> str:
    """Two pictures, one over the other; the slider says how much of the upper one is seen."""
    height, width = target.shape[:2]
    name = html.escape(label, quote=True)
    return (
        f'<section class="compare"><h2>Picture: {name}</h2>'
        f'<div class="frame" style="aspect-ratio:{width}/{height}">'
        f'<img alt="target" src="{_encoded(target, ALIGNED)}">'
        f'<img class="top" alt="swapped by {name}" src="{_encoded(swapped, SWAPPED)}"></div>'
        f'<label class="soft">left: swapped, right: target'
        f'<input type="range" min="0" max="100" value="50" aria-label="how much is swapped">'
        "</label></section>"
    )


def _encoded(picture: NDArray[np.uint8], origin: str) -> str:
    """A picture as a small WebP in a data URI, marked with where it is from."""
    image = Image.fromarray(picture)
    image.thumbnail((_SIDE_PX, _SIDE_PX))
    data = encode_marked(image, "WEBP", origin, quality=88)
    return f"data:image/webp;base64,{base64.b64encode(data).decode()}"


def _details(report: Report) -> str:
    """The machine, the software and the settings, as they are stored."""
    stored = {
        "config": report.config,
        "environment": report.environment,
        "before": _schema.encode(report.conditions.before),
        "after": _schema.encode(report.conditions.after),
        "subjects": {
            subject.label: {"artifact": subject.artifact, "settings": subject.settings}
            for subject in report.subjects
        },
    }
    text = html.escape(json.dumps(stored, indent=1, sort_keys=True))
    return (
        '<section class="wide"><details><summary>Machine, software and settings</summary>'
        f"<pre>{text}</pre></details></section>"
    )
