"""Serve a page's folder to this machine's browsers, with the headers that threads need.

Browsers give memory that threads share (and with it several threads to WebAssembly) only to pages
that are isolated from other sites: `Cross-Origin-Opener-Policy: same-origin` and
`Cross-Origin-Embedder-Policy: require-corp`.

Source: HTML standard, section 7.1.3, "Cross-origin opener policies", and 7.1.4, "Cross-origin
embedder policies".
"""

from __future__ import annotations

from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from edgeswap_runtime.errors import InvalidRequest
from edgeswap_runtime.files import require_folder

if TYPE_CHECKING:
    from pathlib import Path

HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Content-Security-Policy": "default-src 'self'; script-src 'self' 'wasm-unsafe-eval' blob:; "
    "worker-src 'self' blob:; img-src 'self' data: blob:; media-src blob:; "
    "connect-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


class _PageHandler(SimpleHTTPRequestHandler):
    extensions_map = {  # noqa: RUF012
        "": "application/octet-stream",
        ".html": "text/html; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".mjs": "text/javascript; charset=utf-8",
        ".json": "application/json",
        ".svg": "image/svg+xml",
        ".wasm": "application/wasm",
        ".txt": "text/plain; charset=utf-8",
    }

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def open_page_server(folder: Path, port: int = 0) -> ThreadingHTTPServer:
    """Open a server of a page's folder on 127.0.0.1; call its `serve_forever`.

    Args:
        folder: from `web`.
        port: 0 for any that is free.

    Raises:
        BadFolder: it holds no such page.
        InvalidRequest: the port is taken or not allowed.
    """
    require_folder(folder, what="page", holds=("settings.json",), make="edgeswap web")
    try:
        return ThreadingHTTPServer(
            ("127.0.0.1", port), partial(_PageHandler, directory=str(folder))
        )
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise InvalidRequest(f"cannot serve at port {port} ({why}): name another --port") from error
