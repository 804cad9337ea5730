"""Write a page that swaps faces in the browser itself: swap.onnx, the detector and the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeswap_runtime.lazy import lazy_names

if TYPE_CHECKING:
    from edgeswap_export.web.page_server import open_page_server
    from edgeswap_export.web.stage import web
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "edgeswap_export.web.page_server": ("open_page_server",),
            "edgeswap_export.web.stage": ("web",),
        },
    )

__all__ = ["open_page_server", "web"]
