"""``report.html``: the pictures and the table in one self-contained file."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgeswap_runtime.pictures import ALIGNED, RENDERED, SWAPPED, encode_marked

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem;
       color: #1c2430; background: #fff; }
h1 { font-size: 1.6rem; margin-bottom: 0; } p.lead { margin-top: .3rem; color: #55606e; }
.big { font-size: 2.2rem; font-weight: 650; }
table { border-collapse: collapse; margin: 1rem 0; } th, td { padding: .35rem .8rem; }
th { text-align: left; border-bottom: 2px solid #1c2430; } td { border-bottom: 1px solid #dde2e8; }
th + th, td.number { text-align: right; }
td.number { white-space: nowrap; font-variant-numeric: tabular-nums; }
.row { display: grid; grid-template-columns: repeat(5, 1fr); gap: .6rem; margin: 1rem 0; }
figure { margin: 0; } figure img { width: 100%; border-radius: 4px; display: block; }
figcaption { font-size: .85rem; color: #55606e; } footer { color: #55606e; font-size: .85rem; }
"""


def write_report(
    facts: Mapping[str, Any],
    rows: Sequence[Mapping[str, NDArray[np.uint8]]],
    titles: Sequence[str],
) -> str:
    """The page as text.

    Args:
        facts: what goes into ``demo.json``.
        rows: per pair, caption -> (H, W, 3) uint8 RGB picture, in the order to show.
        titles: a heading per pair.
    """
    galleries = "\n".join(
        f"<h2>{html.escape(title)}</h2>\n<div class='row'>{_figures(title, row)}</div>"
        for title, row in zip(titles, rows, strict=True)
    )
    cells = "".join(
        "<tr>"
        + f"<td>{html.escape(entry['name'])}</td>"
        + "".join(f"<td class='number'>{entry[key]}</td>" for key in COLUMNS)
        + "</tr>\n"
        for entry in table(facts)
    )
    heads = "".join(f"<th>{name}</th>" for name in ("model", *COLUMNS.values()))
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>edgeswap demo</title><style>{STYLE}</style>
<h1>edgeswap demo</h1>
<p class="lead">From a guided {facts["teacher_steps"]}-step teacher in torch to a one-step student
in the torch-free runtime, on this machine.</p>
<p class="big">{facts["speedup"]:.0f}× faster per swap</p>
<p class="lead">{facts["speedup_over_bfloat16"]:.0f}× against the teacher in bfloat16.</p>
<table><tr>{heads}</tr>
{cells}</table>
{galleries}
<footer><p>{html.escape(facts["how_timed"])}</p><p>{html.escape(facts["about_pictures"])}</p>
<p>{html.escape(facts["environment"]["summary"])}</p></footer></html>
"""


COLUMNS = {
    "median": "ms per swap (median)",
    "spread": "min – max",
    "runs": "runs",
    "evaluations": "U-Net evaluations",
    "macs": "U-Net MMACs each",
    "size": "model size, MB",
}


def table(facts: Mapping[str, Any]) -> list[dict[str, str]]:
    """One row per model, numbers formatted for reading."""
    return [
        {
            "name": row["name"],
            "median": f"{row['median_ms']:.1f}",
            "spread": f"{row['min_ms']:.1f} – {row['max_ms']:.1f}",
            "runs": str(row["n"]),
            "evaluations": str(row["unet_evaluations"]),
            "macs": f"{row['unet_macs'] / 1e6:.0f}",
            "size": f"{row['bytes'] / 1e6:.1f}",
        }
        for row in facts["rows"]
    ]


def _figures(title: str, row: Mapping[str, NDArray[np.uint8]]) -> str:
    figures = []
    for caption, picture in row.items():
        image, words = _data_uri(picture, _origin(title, caption)), html.escape(caption)
        figures.append(
            f"<figure><img alt='{words}' src='{image}'><figcaption>{words}</figcaption></figure>"
        )
    return "".join(figures)


def _origin(title: str, caption: str) -> str:
    """What a picture of the page is: a swap, a packaged render, or a photo of the user's."""
    if caption not in ("source", "target"):
        return SWAPPED
    return RENDERED if title.startswith("portrait") else ALIGNED


def _data_uri(picture: NDArray[np.uint8], origin: str, longest_px: int = 512) -> str:
    image = Image.fromarray(picture)
    image.thumbnail((longest_px, longest_px))
    data = encode_marked(image, "WEBP", origin, quality=90)
    return "data:image/webp;base64," + base64.b64encode(data).decode()
