"""Run the page's server until it is interrupted."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import uvicorn

from edgeswap_runtime.errors import InvalidRequest
from edgeswap_runtime.live.messages import MAX_FRAME_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp

_CLOSING_S = 2


def listen(host: str, port: int) -> socket.socket:
    """Open the port.

    Args:
        host: name or address to listen at.
        port: 0 for any that is free.

    Raises:
        InvalidRequest: the host is none of this machine's, or the port is taken or not allowed.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        opened = socket.socket(family, kind, protocol)
    except OSError as error:
        raise InvalidRequest(f"--host {host} leads nowhere: {error.strerror or error}") from error
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen()  # who connects before the server runs waits
    except OSError as error:
        opened.close()
        raise InvalidRequest(
            f"cannot listen at {host}, port {port} ({error.strerror or error}): name another --port"
        ) from error
    return opened


def address_of(opened: socket.socket, host: str, token: str | None) -> str:
    """The address to open in a browser."""
    name = f"[{host}]" if ":" in host else host
    query = "" if token is None else f"?token={token}"
    return f"http://{name}:{opened.getsockname()[1]}/{query}"


def serve(
    app: ASGIApp, opened: socket.socket, *, started: Callable[[uvicorn.Server], None] | None = None
) -> None:
    """Serve until interrupted.

    Args:
        app: the application.
        opened: from `listen`; closed afterwards.
        started: called with the server before it runs, to end it from elsewhere.
    """
    config = uvicorn.Config(
        app,
        ws="websockets-sansio",
        ws_max_size=MAX_FRAME_BYTES,
        ws_per_message_deflate=False,  # JPEG does not shrink
        lifespan="off",
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=_CLOSING_S,
    )
    server = uvicorn.Server(config)
    if started is not None:
        started(server)
    with opened:
        server.run(sockets=[opened])
