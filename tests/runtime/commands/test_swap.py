"""`edgeswap swap`, in process: what it writes, and one line and nothing else when it cannot."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from edgeswap_runtime import read_picture
from edgeswap_runtime.bundle.manifest import _self_hash
from edgeswap_runtime.bundle.schedules import choose_schedule
from edgeswap_runtime.cli import main
from edgeswap_runtime.errors import InvalidRequest
from edgeswap_runtime.faces.align import to_uint8
from edgeswap_runtime.faces.search import search_faces
from edgeswap_runtime.files import canonical_json
from edgeswap_runtime.pictures.mark import read_mark
from edgeswap_runtime.pictures.portraits import packaged_portraits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def arguments(bundle_folder: Path, photo_file: Any, tmp_path: Path) -> list[str]:
    """A command line that works."""
    source, target = photo_file("source.png", 1), photo_file("target.png", 2)
    return [
        "swap", str(bundle_folder), "--source", str(source), "--target", str(target),
        "--out", str(tmp_path / "out.png"), "--threads", "1",
    ]  # fmt: skip


def _refused(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], code: int = 2
) -> str:
    """Run; demand the exit code, one line on stderr, and no new file. Returns the line."""
    before = sorted(tmp_path.rglob("*"))
    assert main(arguments) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1 and shown.err.startswith("edgeswap: ")
    assert sorted(tmp_path.rglob("*")) == before
    return shown.err


def _replace(arguments: list[str], option: str, value: object) -> list[str]:
    changed = list(arguments)
    changed[changed.index(option) + 1] = str(value)
    return changed


def test_a_swap(arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    shown = capsys.readouterr()
    assert "1 of 1 face swapped in" in shown.out and "marked as generated" in shown.out
    target, swapped = read_picture(tmp_path / "target.png"), read_picture(tmp_path / "out.png")
    assert swapped.shape == target.shape
    changed = (swapped != target).any(-1)
    assert 100 < changed.sum() < 0.7 * changed.size
    mark = read_mark(tmp_path / "out.png")
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_bytes())
    assert mark is not None and mark.bundle_sha256 == manifest["manifest_sha256"]


def test_json_is_one_object(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--json", "--steps", "2", "--seed", "3", "--faces", "all"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["schedule"] == "two" and report["seed"] == 3
    assert report["faces_found"] == len(report["faces_swapped"]) == 1
    assert list(report["stages_ms"]) == ["detect", "align", "encode", "denoise", "decode", "paste"]
    assert (report["width_px"], report["height_px"]) == (64, 64)
    assert report["swap_ms"] >= sum(report["stages_ms"].values()) > 0
    canonical_json(report)  # no NaN, nothing that is not JSON


def test_the_same_command_writes_the_same_bytes(arguments: list[str], tmp_path: Path) -> None:
    """But for content credentials, which state a time and a number of their own."""
    unsigned = [*arguments, "--no-credentials"]
    assert main(unsigned) == 0
    first = (tmp_path / "out.png").read_bytes()
    assert main([*unsigned, "--overwrite"]) == 0
    assert (tmp_path / "out.png").read_bytes() == first


def test_detail_is_kept_where_it_is_asked_for(tmp_path: Path) -> None:
    """By the packaged bundle, in a face three times as large as its crop."""
    source, target = packaged_portraits()[:2]
    picture = read_picture(target)
    grain = np.random.default_rng(0).normal(0, 8, picture.shape[:2])[..., None]
    Image.fromarray(to_uint8(picture + grain)).resize((700, 700)).save(tmp_path / "target.png")
    line = ["swap", "--source", str(source), "--target", str(tmp_path / "target.png"), "--out"]
    assert main([*line, str(tmp_path / "plain.png")]) == 0
    assert main([*line, str(tmp_path / "kept.png"), "--keep-detail"]) == 0
    shown = [np.asarray(Image.open(tmp_path / f"{n}.png")) for n in ("target", "plain", "kept")]
    _, plain, kept = (np.abs(np.diff(one.astype(float), axis=0)) for one in shown)
    changed = (shown[1] != shown[0]).all(-1)[1:]
    assert kept[changed].mean() > 1.2 * plain[changed].mean()
    assert np.array_equal(shown[2][:50], shown[0][:50])


def test_several_sources(arguments: list[str], photo_file: Any, tmp_path: Path) -> None:
    at = arguments.index("--source") + 2
    second = str(photo_file("second.png", 5))
    assert main([*arguments[:at], "--source", second, *arguments[at:]]) == 0
    assert (tmp_path / "out.png").is_file()


def test_the_bundle_may_come_after_a_source(arguments: list[str], tmp_path: Path) -> None:
    """An option that takes any number of words would swallow it."""
    bundle = arguments.pop(1)
    for at in (3, 5, 7, 9):
        out = tmp_path / f"out{at}.png"
        line = _replace(arguments, "--out", out)
        assert main([*line[:at], bundle, *line[at:]]) == 0
        assert out.is_file()


def test_names_as_long_as_names_may_be(arguments: list[str], tmp_path: Path) -> None:
    for length in (240, 255):
        out = tmp_path / ("x" * (length - 4) + ".png")
        assert main(_replace(arguments, "--out", out)) == 0
        assert out.is_file()


def test_only_chosen_faces_are_looked_at_twice(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the command as by the library, so that both give the same picture."""
    from edgeswap_runtime.faces import find

    other = dataclasses.replace
    seen: list[int] = []

    def two_faces(picture: Any, run: Any, **options: Any) -> Any:
        (face,) = search_faces(picture, run, **options)
        return (face, other(face, landmarks_px=face.landmarks_px + 1))

    def refine(picture: Any, face: Any, run: Any, **options: Any) -> Any:
        seen.append(id(face))
        return face

    monkeypatch.setattr(find, "search_faces", two_faces)
    monkeypatch.setattr(find, "refine_face", refine)
    assert main([*arguments, "--faces", "largest"]) == 0
    assert len(seen) == 2  # one of the source's and one of the target's
    seen.clear()
    assert main([*arguments, "--faces", "all", "--overwrite"]) == 0
    assert len(seen) == 3


@pytest.mark.parametrize("length", [20_000, 10**9])
def test_an_absurd_bundle_is_refused_fast(
    arguments: list[str],
    bundle_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    length: int,
) -> None:
    path = bundle_folder / "manifest.json"
    body = json.loads(path.read_bytes())
    if length == 20_000:
        body["schedules"]["one"]["rows"] *= length
    else:
        body["crops"]["model"]["size_px"] = length
    body["manifest_sha256"] = _self_hash(body)
    path.write_text(json.dumps(body))
    begun = time.process_time()
    assert "is not a usable bundle" in _refused(arguments, tmp_path, capsys)
    assert time.process_time() - begun < 3


def test_an_existing_output_is_kept(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out.png").write_text("mine")
    line = _refused(arguments, tmp_path, capsys)
    assert "out.png already exists: name another path, or add --overwrite" in line
    assert (tmp_path / "out.png").read_text() == "mine"


def _black(path: Path) -> None:
    Image.new("RGB", (64, 64)).save(path)


def _truncated(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path, format="JPEG")
    path.write_bytes(path.read_bytes()[:1500])


def _text(path: Path) -> None:
    path.write_text("Dear Sir or Madam, this is not a picture.")


def _empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("option", ["--source", "--target"])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_black, "no face found in {path}: use a picture in which the face is uncovered"),
        (_truncated, "{path} cannot be read as a picture: it is damaged or cut short"),
        (_text, "{path} cannot be read as a picture: its content is none of JPEG, PNG"),
        (_empty, "{path} cannot be read as a picture: the file is empty"),
        (None, "{path} cannot be read as a picture: there is no such file"),
    ],
    ids=["no face", "truncated", "text", "empty", "missing"],
)
def test_bad_pictures(
    arguments: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    option: str,
    make: Callable[[Path], None] | None,
    message: str,
) -> None:
    path = tmp_path / "bad.png"
    if make is not None:
        make(path)
    line = _refused(_replace(arguments, option, path), tmp_path, capsys)
    assert message.format(path=path) in line


def test_a_target_that_is_no_file(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = _replace(arguments, "--target", "/dev/zero")
    assert "it is a pipe, device or socket" in _refused(line, tmp_path, capsys)


@pytest.mark.parametrize("option", ["--source", "--target"])
def test_a_picture_beyond_the_limit(
    arguments: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    png_header: Any,
    option: str,
) -> None:
    path = tmp_path / "huge.png"
    path.write_bytes(png_header(20_000, 20_000))
    line = _refused(_replace(arguments, option, path), tmp_path, capsys)
    assert "20000 x 20000 is 400.0 megapixels, the limit is 64.0: shrink it first" in line


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--faces", "3"], "only 1 face found in"),
        (["--faces", "0"], "faces is 0, expected 'largest', 'all' or a number from 1"),
        (["--faces", "most"], "faces is 'most', expected 'largest'"),
        (["--schedule", "ten"], "has no schedule 'ten': expected one of noise, one, two"),
        (["--steps", "50"], "no schedule of 50 steps: expected of noise (3), one (1), two (2)"),
        (["--backend", "magic"], "there is no backend 'magic': expected one of openvino, ort"),
        (["--device", "npu"], "has no device 'npu': expected one of cpu, cuda, tensorrt"),
        (["--threads", "0"], "threads is 0, expected at least 1 and at most"),
        (["--threads", "-1"], "threads is -1, expected at least 1 and at most"),
        (["--threads", "100000"], "4 for each core of this machine"),
        (["--seed", "-1"], "seed is -1, expected a whole number, 0 to 2**64 - 1"),
        (["--seed", str(2**64)], "expected a whole number, 0 to 2**64 - 1"),
        (["--out", "x" * 252 + ".png"], "has 256 bytes, expected at most 255"),
        (["--source", "/dev/zero"], "it is a pipe, device or socket, expected a file"),
        (["--out", "out.tga"], "cannot write out.tga: expected a name ending in .png"),
        (["--out", "nowhere/out.png"], "there is no folder nowhere, make it first"),
    ],
)
def test_bad_options(
    arguments: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    extra: list[str],
    message: str,
) -> None:
    assert message in _refused([*arguments, *extra], tmp_path, capsys)


def test_a_damaged_bundle(
    arguments: list[str],
    bundle_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = bundle_folder / "denoise.onnx"
    data = bytearray(file.read_bytes())
    data[40] ^= 0x10
    file.write_bytes(data)
    assert "denoise.onnx: expected sha256 " in _refused(arguments, tmp_path, capsys)


def test_a_bundle_without_a_detector(
    arguments: list[str], tiny: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments[1] = str(tiny.write_bundle(tmp_path / "crops", graphs=tiny.crop_graphs()))
    line = _refused(arguments, tmp_path, capsys)
    assert "crops holds no face detector, it takes aligned crops only: use swap_crop" in line
    assert "export the bundle again without --no-detector" in line


def test_usage_errors_are_argparses(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["swap"]) == 2
    assert "usage: edgeswap swap" in capsys.readouterr().err
    assert main([*arguments, "--steps", "1", "--schedule", "one"]) == 2
    assert "not allowed with" in capsys.readouterr().err
    assert main(["swap", "--help"]) == 0


def test_a_full_disk_simulated(
    arguments: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert "No space left on device; nothing was kept" in _refused(arguments, tmp_path, capsys)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 16 KB, where this user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16k", "none", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("a tmpfs can only be mounted by root on Linux")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_real(
    arguments: list[str], tiny_disk: Path, photo_file: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0).integers(1, 256, (200, 200, 3), dtype=np.uint8)
    target = tiny_disk.parent / "noisy.png"
    Image.fromarray(noise).save(target)
    changed = _replace(_replace(arguments, "--target", target), "--out", tiny_disk / "out.png")
    line = _refused(changed, tiny_disk, capsys)
    assert "No space left on device; nothing was kept, free some space and try again" in line
    assert list(tiny_disk.iterdir()) == []


def test_choosing_a_schedule_by_steps(tiny: Any) -> None:
    from dataclasses import replace

    manifest = tiny.manifest()
    assert choose_schedule(manifest, None, None) == "one"
    assert choose_schedule(manifest, "two", None) == "two"
    assert choose_schedule(manifest, None, 3) == "noise"
    other = replace(manifest.schedules["two"], sampler="euler")
    both = tiny.manifest(schedules={**manifest.schedules, "a": other})
    assert choose_schedule(both, None, 2) == "two"  # the default's sampler before the alphabet
    with pytest.raises(InvalidRequest, match="no schedule of 4 steps"):
        choose_schedule(both, None, 4)
