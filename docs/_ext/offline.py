"""Sphinx extension: the built pages must not ask another machine for anything."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.util import logging

REQUESTS = (
    re.compile(r"<(?:script|img|iframe|source|video|audio)\b[^>]*?\bsrc=[\"'](?P<url>[^\"']+)"),
    re.compile(r"<link\b(?![^>]*rel=[\"']canonical)[^>]*?\bhref=[\"'](?P<url>[^\"']+)"),
    re.compile(r"(?:url\(|@import )[\"']?(?P<url>[^\"')\s]+)"),
)
"""What makes a browser load something by itself; a plain link does not."""


def outside_requests(text: str) -> list[str]:
    """Find the addresses on other machines that a page or a style sheet loads by itself.

    Args:
        text: of an HTML or CSS file.

    Returns:
        the addresses, in the order in which they stand.
    """
    found = [match["url"] for pattern in REQUESTS for match in pattern.finditer(text)]
    return [url for url in found if re.match(r"(?:https?:)?//", url)]


def _check(app: Sphinx, error: Exception | None) -> None:
    if error is not None or app.builder.format != "html":
        return
    for path in sorted(Path(app.outdir).rglob("*")):
        if path.suffix in (".html", ".css"):
            for url in outside_requests(path.read_text(encoding="utf-8")):
                name = path.relative_to(app.outdir)
                logging.getLogger(__name__).warning(f"{name} loads {url} from another machine")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the check at the end of the build."""
    app.connect("build-finished", _check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
