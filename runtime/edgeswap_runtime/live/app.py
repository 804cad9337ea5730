"""The page's server: sources, single photos, and frames over a WebSocket."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from anyio import to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocketDisconnect

from edgeswap_runtime.errors import EdgeswapError, InvalidRequest
from edgeswap_runtime.live.guard import Guard
from edgeswap_runtime.live.latest import Latest
from edgeswap_runtime.live.session import LiveSession, swap_photo
from edgeswap_runtime.live.shelf import MAX_PHOTO_BYTES, picture_from_bytes
from edgeswap_runtime.strict_json import JsonError, parse_json

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.websockets import WebSocket

    from edgeswap_runtime.live.shelf import SourceShelf
    from edgeswap_runtime.swapper import Swapper

PAGE = Path(__file__).with_name("page")
_LONGEST_NAME = 200


def make_app(swapper: Swapper, shelf: SourceShelf, *, token: str | None = None) -> Starlette:
    """Make the ASGI application.

    Args:
        swapper: does all swaps, one at a time.
        shelf: the sources to begin with.
        token: asked for where not None.
    """
    server = _Server(swapper, shelf)
    routes = [
        Route("/api/state", server.state),
        Route("/api/sources", server.add_source, methods=["POST"]),
        Route("/api/sources/{key}", server.remove_source, methods=["DELETE"]),
        Route("/api/photo", server.photo, methods=["POST"]),
        WebSocketRoute("/api/frames", server.frames),
        Mount("/", StaticFiles(directory=PAGE, html=True)),
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(Guard, token=token)],
        exception_handlers={EdgeswapError: _refuse},
    )


class _Server:
    """What the routes share."""

    def __init__(self, swapper: Swapper, shelf: SourceShelf) -> None:
        self._swapper, self._shelf = swapper, shelf

    async def state(self, request: Request) -> Response:
        """What a page needs to begin."""
        sources = [source.to_json() for source in self._shelf]
        return JSONResponse({"bundle": self._swapper.bundle.manifest.name, "sources": sources})

    async def add_source(self, request: Request) -> Response:
        """Read a person from the photo in the body."""
        data = await _body(request)
        name = request.query_params.get("name", "photo")[:_LONGEST_NAME]
        source = await to_thread.run_sync(self._shelf.add_file, data, name)
        return JSONResponse(source.to_json(), 201)

    async def remove_source(self, request: Request) -> Response:
        """Forget a person."""
        known = self._shelf.remove(request.path_params["key"])
        return Response(status_code=204 if known else 404)

    async def photo(self, request: Request) -> Response:
        """Swap the photo in the body at its full size; who is where stands in the address."""
        people = _people_at(request.query_params.get("people", ""))
        data = await _body(request)

        def work() -> bytes:
            return swap_photo(self._swapper, self._shelf, picture_from_bytes(data), people)

        return Response(await to_thread.run_sync(work), media_type="image/png")

    async def frames(self, socket: WebSocket) -> None:
        """Answer frames: the newest next, the others never."""
        await socket.accept()
        session, latest = LiveSession(self._swapper, self._shelf), Latest[bytes]()

        async def answer() -> None:
            while True:
                data = await to_thread.run_sync(latest.take, abandon_on_cancel=True)
                if data is None:
                    return
                made = await to_thread.run_sync(session.answer, data)
                try:
                    await socket.send_bytes(made)
                except WebSocketDisconnect:
                    return

        async with anyio.create_task_group() as group:
            group.start_soon(answer)
            try:
                while True:
                    message = await socket.receive()
                    if message["type"] == "websocket.disconnect":
                        break
                    if message.get("bytes") is not None:
                        latest.put(message["bytes"])
                    else:
                        await _tell(session, socket, message.get("text") or "")
            except WebSocketDisconnect:
                pass
            finally:
                latest.close()
                group.cancel_scope.cancel()


async def _tell(session: LiveSession, socket: WebSocket, text: str) -> None:
    try:
        session.tell(text)
    except EdgeswapError as error:
        await socket.send_text(json.dumps({"error": str(error)}))


async def _body(request: Request) -> bytes:
    """The body, if it is not too long; it is not read any further than that."""
    parts, length = [], 0
    async for part in request.stream():
        length += len(part)
        if length > MAX_PHOTO_BYTES:
            raise InvalidRequest(f"a photo is larger than {MAX_PHOTO_BYTES / 1e6:.0f} MB")
        parts.append(part)
    return b"".join(parts)


def _people_at(text: str) -> list[dict[str, Any]]:
    """Who is put where in a photo, from `[{"at": [0.5, 0.4], "source": "s1"}]`."""
    try:
        told = parse_json(text.encode(), limit_bytes=20_000)
        people = [
            {"at": [float(x), float(y)], "source": str(source)}
            for (x, y), source in ((one["at"], one["source"]) for one in told)
        ]
    except (JsonError, TypeError, KeyError, ValueError) as error:
        raise InvalidRequest('expected people=[{"at": [x, y], "source": "s1"}]') from error
    if not people:
        raise InvalidRequest("nobody is chosen: click a face first")
    return people


async def _refuse(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 400)
