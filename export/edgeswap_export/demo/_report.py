"""Write report.html: what was gained and lost, the pictures and the times, in one file."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgeswap_export.demo._progress import clock_time
from edgeswap_export.demo._style import STYLE
from edgeswap_runtime.pictures.write import ALIGNED, RENDERED, SWAPPED, encode_marked

COLUMNS = {
    "median": "ms per swap (median)",
    "spread": "min – max",
    "runs": "runs",
    "evaluations": "U-Net evaluations",
    "macs": "U-Net MMACs each",
    "size": "weights, MB",
    "fidelity": "PSNR in the face, dB",
}
WAY = {
    "prune the teacher": "Half of the U-Net's multiplications go: whole blocks and channels, chosen"
    " by how little the outputs change without them.",
    "distill a student": "The smaller U-Net learns to do in one evaluation what the teacher does in"
    " {evaluations}: from {targets} of its trajectories and from exact truths, {samples} samples.",
    "export it": "Four ONNX graphs and a manifest, each compared with torch before it is kept.",
    "swap faces": "The pictures above.",
    "compare with the truth": "Rendered pairs have a true swap to compare with.",
    "time all models": "In turns, so that what else the machine does hits all alike.",
}
"""Step -> what it is for."""


def write_report(
    facts: Mapping[str, Any],
    rows: Sequence[Mapping[str, NDArray[np.uint8]]],
    titles: Sequence[str],
) -> str:
    """Write the page, which needs no other file and no network.

    Args:
        facts: the content of demo.json.
        rows: for each pair, caption -> (H, W, 3) uint8 RGB picture, in the order to show.
        titles: a heading for each pair.

    Returns:
        the HTML.
    """
    galleries = "\n".join(
        f"<section><h3>{html.escape(title)}</h3>\n<div class='row'>{_figures(row, title, facts)}"
        "</div></section>"
        for title, row in zip(titles, rows, strict=True)
    )
    notes = "".join(
        f"<p>{html.escape(facts[key])}</p>"
        for key in ("how_timed", "how_compared", "about_pictures")
    )
    busy = f"<p class='lead'>{html.escape(facts['busy'])}</p>\n" if facts["busy"] else ""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>edgeswap demo</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><style>{STYLE}</style></head>
<body><main>
<header><h1>edgeswap demo</h1>
<p class="lead">From a guided {facts["teacher_steps"]}-step teacher in torch to one-step students
in a runtime without torch, on this machine, in {clock_time(facts["seconds"])} minutes.</p></header>
{_cards(facts)}
{busy}<h2>Swaps</h2>
{galleries}
<h2>How the new student was made</h2>
{_way(facts)}
<h2>All figures</h2>
{_table(facts)}
<footer>{notes}<p>{html.escape(facts["environment"]["summary"])}</p></footer>
</main></body></html>
"""


def _cards(facts: Mapping[str, Any]) -> str:
    """Write for each student what it gained and lost against the teacher."""
    db = facts["fidelity_db"]
    cards = []
    for key, name, speedup, ms in (
        ("student", "The packaged student", facts["speedup"], facts["student_runtime_ms"]),
        (
            "made-student", "The student made just now", facts["made_speedup"],
            facts["made_student_runtime_ms"],
        ),
    ):  # fmt: skip
        change = db[key] - db["teacher"]
        word, kind = ("nearer to", "gain") if change >= 0 else ("further from", "loss")
        cards.append(
            f"<div class='card'><h2>{name}</h2>"
            f"<p class='big gain'>{speedup:.0f}× faster</p>"
            f"<p>{ms:.1f} ms a swap; the teacher takes {facts['teacher_torch_ms']:.0f} ms</p>"
            f"<p class='big {kind}'>{abs(change):.1f} dB {word} the truth</p>"
            f"<p>{db[key]:.1f} dB in the face; the teacher has {db['teacher']:.1f} dB</p></div>"
        )
    return f"<div class='cards'>{''.join(cards)}</div>"


def _way(facts: Mapping[str, Any]) -> str:
    """Write the steps, each with its time and a bar."""
    longest = max(step["seconds"] for step in facts["steps"]) or 1.0
    teacher = facts["rows"][0]
    told = {"evaluations": teacher["unet_evaluations"], **facts["work"]}
    items = "".join(
        f"<li><div class='head'><b>{html.escape(step['name'])}</b>"
        f"<span>{step['seconds']:.1f} s</span></div>"
        f"<div class='bar'><i style='width:{100 * step['seconds'] / longest:.1f}%'></i></div>"
        f"<p>{html.escape(WAY[step['name']].format(**told))}</p></li>\n"
        for step in facts["steps"]
    )
    return f"<ol class='way'>{items}</ol>"


def _table(facts: Mapping[str, Any]) -> str:
    heads = "".join(f"<th scope='col'>{name}</th>" for name in ("model", *COLUMNS.values()))
    cells = "".join(
        f"<tr><th scope='row'>{html.escape(entry['name'])}</th>"
        + "".join(
            f"<td data-label='{html.escape(COLUMNS[key])}'>{entry[key]}</td>" for key in COLUMNS
        )
        + "</tr>\n"
        for entry in table(facts)
    )
    return f"<table><thead><tr>{heads}</tr></thead><tbody>\n{cells}</tbody></table>"


def table(facts: Mapping[str, Any]) -> list[dict[str, str]]:
    """Format one row for each model."""
    return [
        {
            "name": row["name"],
            "median": f"{row['median_ms']:.1f}",
            "spread": f"{row['min_ms']:.1f} – {row['max_ms']:.1f}",
            "runs": str(row["n"]),
            "evaluations": str(row["unet_evaluations"]),
            "macs": f"{row['unet_macs'] / 1e6:.0f}",
            "size": f"{row['bytes'] / 1e6:.1f}",
            "fidelity": "–" if row["fidelity_db"] is None else f"{row['fidelity_db']:.1f}",
        }
        for row in facts["rows"]
    ]


def _figures(row: Mapping[str, NDArray[np.uint8]], title: str, facts: Mapping[str, Any]) -> str:
    times = {
        "teacher": facts["teacher_torch_ms"],
        "student": facts["student_runtime_ms"],
        "made just now": facts["made_student_runtime_ms"],
    }
    figures = []
    for caption, picture in row.items():
        known = caption in times
        time = f"<span>{times[caption]:.1f} ms</span>" if known else ""
        what = f"swapped by the {caption}" if known else caption
        figures.append(
            f"<figure><img alt='{html.escape(f'{title}: {what}', quote=True)}'"
            f" src='{_data_uri(picture, _origin(title, caption))}'>"
            f"<figcaption>{html.escape(caption)}{time}</figcaption></figure>"
        )
    return "".join(figures)


def _origin(title: str, caption: str) -> str:
    """Tell what a picture is: a swap, a packaged render, or a photo of the user's."""
    if caption not in ("source", "target"):
        return SWAPPED
    return RENDERED if title.startswith("portrait") else ALIGNED


def _data_uri(picture: NDArray[np.uint8], origin: str, longest_px: int = 512) -> str:
    image = Image.fromarray(picture)
    image.thumbnail((longest_px, longest_px))
    data = encode_marked(image, "WEBP", origin, quality=90)
    return "data:image/webp;base64," + base64.b64encode(data).decode()
