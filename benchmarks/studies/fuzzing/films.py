"""Films whose bytes are changed: swapped, or asked for their marks."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import av
import numpy as np
from PIL import Image

from edgeswap_runtime.pictures.portraits import packaged_portraits
from fuzzing import bytestrings
from fuzzing.case import Case, out_folder
from fuzzing.sandbox import LONG

if TYPE_CHECKING:
    from fuzzing.place import Place

_NAMES = ("film.mp4", "film.mov", "film.mkv")
_FRAMES, _SIZE, _SOUND_HZ = 6, (160, 96), 16_000


def write_films(folder: Path) -> None:
    """Write a film in each container: a portrait that moves, and a tone."""
    folder.mkdir()
    for name in _NAMES:
        _write(folder / name)


def film(place: Place, seed: int, folder: Path) -> Case:
    """A random change of a film's bytes."""
    random = Random(seed)
    file = random.choice(sorted((place / "films").iterdir()))
    told, data = bytestrings.mutate(file.read_bytes(), random)
    changed = folder / file.name
    changed.write_bytes(data)
    argv: tuple[str, ...] = ("verify", str(changed))
    if seed % 4:
        made = str(out_folder(folder) / f"made{file.suffix}")
        argv = ("video", str(place / "bundle"), "--source", str(place / "source.png"),
                "--target", str(changed), "--out", made)  # fmt: skip
    return Case(kind="film", seed=seed, description=f"{file.name}: {told}", argv=argv, limits=LONG)


def _write(path: Path) -> None:
    portrait = Image.open(packaged_portraits()[3]).convert("RGB").resize((80, 80))
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "a walk"
        video = container.add_stream("libx264", rate=25, options={"threads": "1"})
        video.width, video.height, video.pix_fmt = *_SIZE, "yuv420p"
        audio = container.add_stream("aac", rate=_SOUND_HZ, layout="mono")
        for at in range(_FRAMES):
            picture = Image.new("RGB", _SIZE, (96, 104, 112))
            picture.paste(portrait, (10 + 6 * at, 8))
            frame = av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")
            frame.pts, frame.time_base = at, Fraction(1, 25)
            container.mux(video.encode(frame))
        tone = np.sin(np.arange(_SOUND_HZ // 4) / 8, dtype=np.float32)[None]
        sound = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
        sound.sample_rate, sound.pts = _SOUND_HZ, 0
        container.mux(audio.encode(sound))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
