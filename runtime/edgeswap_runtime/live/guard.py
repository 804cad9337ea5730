"""Let in whom the server is for: this machine, or who knows the token; and no other site's pages.

A page of another site can send requests to a server on this machine, and, by letting its own name
point here (DNS rebinding), read the answers. So the `Host` must be a name of this machine, and the
`Origin` of whatever changes something must be the server's own. Beyond loopback a token is asked
for; it is given once in the address and then kept in a cookie.
"""

from __future__ import annotations

import hmac
import ipaddress
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.websockets import WebSocketClose

from edgeswap_runtime.errors import InvalidRequest

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

COOKIE = "edgeswap"
LEAST_TOKEN = 16
"""Characters of a token at least: 16 random letters and digits are 95 bits."""
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data: blob:; media-src blob:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


def is_loopback(host: str) -> bool:
    """Return whether a server that listens at this host is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def require_token(host: str, token: str | None) -> None:
    """Check, before anything slow, that a server beyond loopback has a token worth the name.

    Raises:
        InvalidRequest: it has none, or one that is too short or not of plain characters.
    """
    if token is None:
        if is_loopback(host):
            return
        raise InvalidRequest(
            f"--host {host} lets other machines in: add --token with at least {LEAST_TOKEN} "
            "letters and digits, such as the output of openssl rand -hex 16"
        )
    if len(token) < LEAST_TOKEN or not token.isascii() or not token.isalnum():
        raise InvalidRequest(
            f"--token has {len(token)} characters, expected at least {LEAST_TOKEN} letters and "
            "digits, such as the output of openssl rand -hex 16"
        )


class Guard:
    """ASGI middleware that turns away whom the server is not for.

    Args:
        app: what it guards.
        token: asked for where not None.
    """

    def __init__(self, app: ASGIApp, *, token: str | None) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is None:
            await self._app(scope, receive, _with_headers(send))
        elif scope["type"] == "websocket":
            await WebSocketClose(code=1008, reason=refusal)(scope, receive, send)
        elif self._brings_token(scope):
            response = RedirectResponse(_without_token(scope), status_code=303)
            response.set_cookie(COOKIE, self._token or "", httponly=True, samesite="strict")
            await response(scope, receive, _with_headers(send))
        else:
            await PlainTextResponse(f"{refusal}\n", 403)(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope, headers: Headers) -> str | None:
        host = headers.get("host", "")
        if self._token is None and _name(host) not in _LOCAL_NAMES:
            return "this server answers to localhost only"
        changes = scope["type"] == "websocket" or scope["method"] not in _READING
        origin = headers.get("origin")
        if changes and origin is not None and urlsplit(origin).netloc != host:
            return "this server takes requests of its own page only"
        if self._token is not None and not self._knows_token(headers):
            return "open the address that edgeswap live printed: it ends in the token"
        return None

    def _knows_token(self, headers: Headers) -> bool:
        given = headers.get("authorization", "").removeprefix("Bearer ")
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            cookie = None
        return self._is_token(given) or (cookie is not None and self._is_token(cookie.value))

    def _brings_token(self, scope: Scope) -> bool:
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])
        return self._token is not None and scope["method"] == "GET" and self._is_token(given[0])

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), (self._token or "").encode()) and bool(given)


def _without_token(scope: Scope) -> str:
    query = parse_qs(scope["query_string"].decode("latin-1"))
    query.pop("token", None)
    rest = urlencode(query, doseq=True)
    path: str = scope["path"]
    return f"{path}?{rest}" if rest else path


def _name(host: str) -> str:
    """The name in a Host header, without port and brackets."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _with_headers(send: Send) -> Send:
    async def with_them(message: dict[str, object]) -> None:
        if message["type"] == "http.response.start":
            given = list(message.get("headers", []))  # type: ignore[call-overload]
            given += [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
            message = {**message, "headers": given}
        await send(message)

    return with_them  # type: ignore[return-value]
