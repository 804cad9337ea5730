"""Comparing: in turns in one run, with worker processes, and from two stored reports."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest

from edgeswap_bench import BenchConfig, BundleSubject, bench
from edgeswap_bench.compare import against
from edgeswap_bench.compare.against import open_against, tasks_for
from edgeswap_bench.compare.reports import parse_percent
from edgeswap_bench.compare.worker import WorkerSubject
from edgeswap_bench.measure.subject import Task
from edgeswap_runtime.cli import main
from edgeswap_runtime.errors import EdgeswapFailure, InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

UNET = Task(name="unet")
WORKER = """
import json, sys
print("a library says hello")
print(json.dumps({"ready": {"tasks": ["unet"], "settings": {"threads": 1}}}), flush=True)
for line in sys.stdin:
    print(json.dumps({"total_ns": 5000000, "task": line.strip()}), flush=True)
"""


@pytest.fixture
def worker(tmp_path: Path) -> Callable[..., WorkerSubject]:
    """Starts a script: worker("print(1)")."""

    def make(script: str = WORKER) -> WorkerSubject:
        (tmp_path / "peer.py").write_text(script)
        return WorkerSubject("peer", [], label="a peer", kind="peer", folder=tmp_path)

    return make


@pytest.fixture
def report(subject: Callable[..., BundleSubject], tmp_path: Path) -> Callable[..., Path]:
    """Stores a report whose picture takes so many milliseconds: report("a.json", 10)."""
    measured = bench([subject()], BenchConfig(runs=20, warmup=0)).to_json()

    def make(name: str, ms: float, **environment: Any) -> Path:
        body = json.loads(json.dumps(measured))
        body["environment"] |= environment
        for task in body["subjects"][0]["tasks"]:
            samples = [ms + 0.01 * (k % 3) for k in range(20)]
            task["end_to_end"] |= {"samples_ms": samples, "median": ms}
            task["verdict"] = {"state": "settled", "reasons": []}
        (tmp_path / name).write_text(json.dumps(body))
        return tmp_path / name

    return make


def test_a_worker_takes_turns(worker: Callable[..., WorkerSubject]) -> None:
    with contextlib.closing(worker()) as made:
        assert made.run(UNET).total_ns == 5_000_000
        assert made.describe()["settings"] == {"threads": 1}
        assert made.pid is not None and made.tasks == ("unet",)
    made.close()


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("import sys; sys.exit('no such library')", "a peer ended: no such library"),
        ("""print('{"failed": "it needs a GPU"}')""", "a peer failed: it needs a GPU"),
        ("import nowhere_at_all", "No module named 'nowhere_at_all'"),
    ],
)
def test_a_worker_that_does_not_start_says_why(
    worker: Callable[..., WorkerSubject], script: str, message: str
) -> None:
    with pytest.raises(EdgeswapFailure, match=message):
        worker(script)


def test_a_worker_that_ends_early_says_why(worker: Callable[..., WorkerSubject]) -> None:
    ends = WORKER.replace("for line in sys.stdin:", "for line in sys.stdin:\n    sys.exit('spent')")
    with contextlib.closing(worker(ends)) as made, pytest.raises(EdgeswapFailure, match="spent"):
        made.run(UNET)


def test_a_script_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EdgeswapFailure, match="which only a source checkout of edgeswap has"):
        WorkerSubject("none", [], label="x", kind="peer", folder=tmp_path)


def test_everything_is_opened_or_is_a_row(
    subject: Callable[..., BundleSubject], bundle_folder: Path, photo: Any, tmp_path: Path,
    report: Callable[..., Path], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "swap.json").write_text("{}")
    monkeypatch.setattr(
        against, "WorkerSubject", lambda *a, **k: (_ for _ in ()).throw(EdgeswapFailure("no torch"))
    )
    texts = [f"{bundle_folder},threads=1,label=one", str(tmp_path / "checkpoint"),
             str(report("old.json", 500))]  # fmt: skip
    assert tasks_for(texts) == ("identity", "picture", "crop")
    with contextlib.ExitStack() as stack:
        found = open_against(texts, subject(), photo, photo, stack)
        config = BenchConfig(runs=6, warmup=0, tasks=("picture",))
        measured = found.with_reports(bench([subject(), *found.subjects], config,
                                            failed=found.failed))  # fmt: skip
    assert [s.label for s in measured.subjects] == [
        "tiny",
        "one",
        "checkpoint in torch",
        "old: tiny",
    ]
    assert [s.error for s in measured.subjects] == [None, None, "no torch", None]
    assert [(r.subject, r.paired) for r in measured.ratios] == [("one", True), ("old: tiny", False)]
    assert measured.ratios[1].ratio > 2
    assert measured.subjects[1].settings["threads"] == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nowhere", "--against nowhere does not exist: expected a bundle folder"),
        (".", "holds neither manifest.json nor swap.json"),
        ("nowhere,speed=9", "'speed=9' is not an option, expected NAME=VALUE with a name of"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    subject: Callable[..., BundleSubject], tmp_path: Path, photo: Any, text: str, message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidRequest, match=message), contextlib.ExitStack() as stack:
        open_against([text], subject(), photo, photo, stack)


def test_threads_must_be_a_number(
    subject: Callable[..., BundleSubject], bundle_folder: Path, photo: Any
) -> None:
    with (
        pytest.raises(InvalidRequest, match="threads is 'many', expected at least 1"),
        contextlib.ExitStack() as stack,
    ):
        open_against([f"{bundle_folder},threads=many"], subject(), photo, photo, stack)


@pytest.mark.parametrize(
    ("second_ms", "limit", "code"), [(10.2, "5%", 0), (11, "5%", 3), (11, "20", 0), (9, "0", 0)]
)
def test_two_reports(
    report: Callable[..., Path], capsys: pytest.CaptureFixture[str], second_ms: float, limit: str,
    code: int,
) -> None:  # fmt: skip
    files = [str(report("a.json", 10)), str(report("b.json", second_ms))]
    assert main(["bench", "compare", *files, "--fail-above", limit]) == code
    shown = capsys.readouterr().out
    assert "the bundle, picture 64 x 64" in shown and f"{second_ms / 10:.2f}" in shown
    assert ("SLOWER" in shown) == (code == 3)


def test_differences_of_the_machines_are_told(
    report: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(report("a.json", 10)), str(report("b.json", 10, python="2.7"))]
    assert main(["bench", "compare", *files, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["slower"] is False and found["limit"] is None
    assert any(note.startswith("python differs") and "2.7" in note for note in found["notes"])


def test_a_figure_that_failed_fails_the_check(
    report: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = report("a.json", 10), report("b.json", 10)
    body = json.loads(second.read_text())
    body["subjects"][0]["tasks"][1] |= {"error": "no face", "end_to_end": None, "stages": {}}
    second.write_text(json.dumps(body))
    files = [str(first), str(second)]
    assert main(["bench", "compare", *files]) == 0
    assert main(["bench", "compare", *files, "--fail-above", "5%"]) == 3
    assert "in one report only: the bundle, picture 64 x 64" in capsys.readouterr().out


def test_unsettled_figures_fail_where_asked(report: Callable[..., Path]) -> None:
    first, second = report("a.json", 10), report("b.json", 10)
    second.write_text(second.read_text().replace('"state": "settled"', '"state": "noisy"'))
    files = ["bench", "compare", str(first), str(second)]
    assert (main(files), main([*files, "--require-settled"])) == (0, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there is no file"),
        ("{", "is not JSON"),
        ("[]", "is not a report of edgeswap bench"),
        ('{"kind": "edgeswap-bench", "schema": 1}', "is of schema 1, this edgeswap reads schema 3"),
        ('{"kind": "edgeswap-bench", "schema": 3}', "is a damaged report (report lacks the field"),
    ],
)
def test_what_is_not_a_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, message: str
) -> None:
    path = tmp_path / "x.json"
    if text is not None:
        path.write_text(text)
    assert main(["bench", "compare", str(path), str(path)]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


@pytest.mark.parametrize("text", ["much", "-1%", "nan", "inf"])
def test_what_is_not_a_percentage(text: str) -> None:
    with pytest.raises(InvalidRequest, match="is not a percentage: expected 0 or more, such as 5%"):
        parse_percent(text)


def test_a_changed_field_is_refused(report: Callable[..., Path]) -> None:
    from edgeswap_bench import read_report

    path = report("a.json", 10)
    assert dataclasses.is_dataclass(read_report(path))
    path.write_text(path.read_text().replace('"ratios"', '"rates"'))
    with pytest.raises(InvalidRequest, match="damaged report \\(report has an unknown field"):
        read_report(path)
