"""`edgeswap web`: what is refused before anything is written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

from edgeswap_export.web import open_page_server
from edgeswap_runtime.cli import main
from edgeswap_runtime.errors import BadFolder, InvalidRequest


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["out", "--port", "8000"], "needs --serve"),
        (["out", "--serve", "--port", "70000"], "takes 0 to 65535"),
        (["no-bundle", "out"], "no-bundle is no bundle"),
        (["taken"], "taken already exists"),
        (["a-bundle", "taken", "--serve"], "taken already exists"),
        (["taken", "--serve"], "taken is no page"),
    ],
)
def test_what_is_refused(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("taken").mkdir()
    assert main(["web", *arguments]) == 2
    told = capsys.readouterr()
    assert told.err.count("\n") == 1 and words in told.err, told.err
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_server_needs_a_page_and_a_port(tmp_path: Path) -> None:
    with pytest.raises(BadFolder, match="edgeswap web"):
        open_page_server(tmp_path)
    (tmp_path / "settings.json").write_text("{}")
    with (
        open_page_server(tmp_path) as server,
        pytest.raises(InvalidRequest, match="name another --port"),
    ):
        open_page_server(tmp_path, server.server_address[1])


def test_a_page_made_before_is_served(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text("{}")
    line = [
        sys.executable,
        "-m",
        "edgeswap_runtime",
        "web",
        str(tmp_path),
        "--serve",
        "--port",
        "0",
    ]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[1]
        with urlopen(f"{address}settings.json") as answer:
            assert answer.read() == b"{}"
        process.terminate()
