"""The mark that says a film was generated, in the container's metadata.

It stands in `comment`, which MP4, QuickTime, Matroska and WebM all keep; the film's own comment
follows it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edgeswap_runtime.pictures.mark import Mark
from edgeswap_runtime.video.film import opened_film

if TYPE_CHECKING:
    from pathlib import Path

_FORM = "Generated: faces swapped by {}. DigitalSourceType: {}. Bundle SHA-256: {}."
_MARK = re.compile(
    r"Generated: faces swapped by (.+?)\. DigitalSourceType: (\S+)\. Bundle SHA-256: (\w+)\."
)
_DROPPED = ("major_brand", "minor_version", "compatible_brands", "encoder")


def with_mark(metadata: dict[str, str], mark: Mark) -> dict[str, str]:
    """A container's metadata with the mark; what describes the old file itself is left out."""
    kept = {name: text for name, text in metadata.items() if name.lower() not in _DROPPED}
    words = _FORM.format(mark.software, mark.digital_source_type, mark.bundle_sha256 or "none")
    old = next((kept.pop(name) for name in list(kept) if name.lower() == "comment"), "")
    # The mark of an earlier swap gives way: it would be read first in some players.
    old = _MARK.sub("", old).strip()
    return kept | {"comment": f"{words} {old}".strip()}


def read_film_mark(path: Path) -> Mark | None:
    """Read the mark of a film that edgeswap wrote; None when it has none.

    Raises:
        UnreadableFilm: it is no film.
    """
    with opened_film(path) as container:
        text = next((v for k, v in container.metadata.items() if k.lower() == "comment"), "")
    match = _MARK.search(text.encode(errors="replace").decode())  # PyAV may give half characters
    if match is None:
        return None
    software, source_type, bundle = match.groups()
    return Mark(
        software=software,
        bundle_sha256=None if bundle == "none" else bundle,
        digital_source_type=source_type,
    )
