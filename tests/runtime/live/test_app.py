"""The server, by requests of its own page, of others' pages, and of other machines."""

from __future__ import annotations

import http.client
import io
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from edgeswap_runtime.errors import InvalidRequest
from edgeswap_runtime.live.guard import is_loopback, require_token
from edgeswap_runtime.live.messages import pack_frame, unpack_answer
from edgeswap_runtime.live.serve import listen

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from PIL import Image

TOKEN = "0123456789abcdef0123"


def ask(
    address: str, path: str, method: str = "GET", body: bytes | None = None, **headers: str
) -> tuple[int, bytes, dict[str, str]]:
    place = urlsplit(address)
    connection = http.client.HTTPConnection(place.netloc, timeout=60)
    connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
    answer = connection.getresponse()
    found = answer.status, answer.read(), {k.lower(): v for k, v in answer.getheaders()}
    connection.close()
    return found


def socket_of(address: str, **more: Any) -> Any:
    return connect(f"ws://{urlsplit(address).netloc}/api/frames", **more)


def test_the_page_and_its_parts(served: Callable[..., str]) -> None:
    address = served()
    status, page, headers = ask(address, "/")
    assert status == 200 and b"<title>edgeswap<" in page
    assert "default-src 'none'" in headers["content-security-policy"]
    for name in ("main.js", "style.css", "icon.svg"):
        assert name.encode() in page and ask(address, f"/{name}")[0] == 200
    assert ask(address, "/../app.py")[0] == 404
    state = json.loads(ask(address, "/api/state")[1])
    assert state["sources"] == [] and state["bundle"]


def test_sources_come_and_go(served: Callable[..., str], source: Path) -> None:
    address = served()
    status, body, _ = ask(address, "/api/sources?name=a.png", "POST", source.read_bytes())
    assert status == 201 and json.loads(body)["key"] == "s1"
    status, body, _ = ask(address, "/api/sources", "POST", b"nothing")
    assert status == 400 and "cannot be read as a picture" in json.loads(body)["error"]
    for people in ("", "[]", '[{"at": 3}]', '[{"at": ["x", 1], "source": "s1"}]'):
        path = f"/api/photo?people={people.replace(' ', '%20')}"
        assert ask(address, path, "POST", source.read_bytes())[0] == 400
    assert ask(address, "/api/sources/s1", "DELETE")[0] == 204
    assert ask(address, "/api/sources/s1", "DELETE")[0] == 404


def test_other_sites_pages_are_turned_away(served: Callable[..., str]) -> None:
    """DNS rebinding comes with another Host, requests of other pages with another Origin."""
    address = served()
    own = urlsplit(address).netloc
    assert ask(address, "/api/state", Host="evil.example")[0] == 403
    assert ask(address, "/api/state", Host="evil.example:80")[0] == 403
    assert ask(address, "/api/state", Host=f"localhost:{own.rpartition(':')[2]}")[0] == 200
    assert ask(address, "/api/sources", "POST", b"x", Origin="http://evil.example")[0] == 403
    assert ask(address, "/api/sources", "POST", b"x", Origin="null")[0] == 403
    assert ask(address, "/api/sources", "POST", b"x", Origin=f"http://{own}")[0] == 400
    with pytest.raises(InvalidStatus):
        socket_of(address, origin="http://evil.example")
    with socket_of(address, origin=f"http://{own}") as socket:
        socket.send('{"people": {}}')


def test_a_token_is_asked_for(served: Callable[..., str]) -> None:
    address = served(token=TOKEN)
    assert address.endswith(f"/?token={TOKEN}")
    for path in ("/", "/?token=wrong", "/api/state", "/main.js"):
        status, body, _ = ask(address, path)
        assert status == 403 and b"token" in body and TOKEN.encode() not in body
    status, _, headers = ask(address, f"/?token={TOKEN}")
    cookie = headers["set-cookie"]
    assert status == 303 and headers["location"] == "/"
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie
    assert ask(address, "/", Cookie=cookie.partition(";")[0])[0] == 200
    assert ask(address, "/", Cookie="edgeswap=wrong")[0] == 403
    assert ask(address, "/api/state", Authorization=f"Bearer {TOKEN}")[0] == 200
    with pytest.raises(InvalidStatus):
        socket_of(address)
    with socket_of(address, additional_headers={"Authorization": f"Bearer {TOKEN}"}) as socket:
        socket.send("nonsense")
        assert "error" in json.loads(socket.recv(timeout=30))


def test_frames_are_dropped_and_not_queued(
    served: Callable[..., str], people: Callable[..., Image.Image]
) -> None:
    """Of forty frames sent at once the last is answered, after a few others, never all."""
    data = io.BytesIO()
    people().save(data, "JPEG")
    answered: list[int] = []
    with socket_of(served(), max_size=None) as socket:
        for number in range(1, 41):
            socket.send(pack_frame(number, number / 30, data.getvalue()))
        while not answered or answered[-1] < 40:
            facts, _ = unpack_answer(socket.recv(timeout=60))
            assert len(facts["faces"]) == 2
            answered.append(facts["number"])
    assert answered == sorted(answered) and len(answered) <= 20


def test_frames_beyond_the_limit_end_the_connection(served: Callable[..., str]) -> None:
    address = served()
    with socket_of(address) as socket:
        socket.send(pack_frame(1, 0.0, b"no jpeg"))
        facts, _ = unpack_answer(socket.recv(timeout=60))
        assert facts["number"] == 1 and "error" in facts
        with pytest.raises((ConnectionClosed, ConnectionError)):
            socket.send(b"x" * (5 << 20))
            socket.recv(timeout=30)


@pytest.mark.parametrize(
    ("host", "token", "words"),
    [
        ("0.0.0.0", None, "add --token"),
        ("camera.example", None, "add --token"),
        ("::", None, "add --token"),
        ("127.0.0.1", "short", "at least 16"),
        ("0.0.0.0", "with spaces and signs!", "letters and digits"),
    ],
)
def test_beyond_loopback_a_token_is_needed(host: str, token: str | None, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        require_token(host, token)


def test_loopback_needs_none() -> None:
    for host in ("127.0.0.1", "127.9.9.9", "localhost", "::1"):
        assert is_loopback(host)
        require_token(host, None)
    require_token("0.0.0.0", TOKEN)


def test_a_port_that_is_taken() -> None:
    with (
        listen("127.0.0.1", 0) as first,
        pytest.raises(InvalidRequest, match="name another --port"),
    ):
        listen("127.0.0.1", first.getsockname()[1])
    with pytest.raises(InvalidRequest, match="leads nowhere"):
        listen("no.such.host.invalid", 0)
