"""Does a swapped film keep time and sound, and each person their face; and how fast, how steady?

A film is drawn from packaged portraits: two people cross, with a tone and a variable frame rate.
It is swapped by `edgeswap video`'s pipeline; the larger person is chosen, who passes behind. Read
back: frames, timestamps and packets of sound against the source's; in each frame, whose face the
changed pixels lie on; how much landmarks tremble against the target's own; memory over the frames;
frames a second against two plain loops, all interleaved. The plain loop detects and swaps each
frame by itself, as one does with the library; the following loop follows faces as the pipeline
does, so that it differs from it by the order of work alone.

    python benchmarks/studies/video.py [--seconds 60] [--size 1280x720] [--rounds 3] [--json]
    python benchmarks/studies/video.py --seconds 400 --size 192x128 --rounds 0 --no-compare
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgeswap_runtime import Swapper
from edgeswap_runtime.backends.threads import usable_cores
from edgeswap_runtime.pictures.portraits import packaged_portraits
from edgeswap_runtime.video.encode import EncoderConfig, open_encoder
from edgeswap_runtime.video.film import TargetFilm, probe_film
from edgeswap_runtime.video.mux import FilmTrim
from edgeswap_runtime.video.pipeline import FilmConfig, FilmProgress, read_frames, swap_film
from edgeswap_runtime.video.planes import to_picture, with_picture
from edgeswap_runtime.video.tracks import FaceTracker

RATE = 25
SOUND_HZ = 48_000
ENCODER = EncoderConfig(name="libx264", quality=18)
_CROSSING_S = 6.0


def centers(moment_s: float, size: tuple[int, int]) -> tuple[float, float]:
    """Where the two people are, pixels from the left; they cross every six seconds."""
    swing = 0.5 + 0.28 * np.cos(np.pi * moment_s / _CROSSING_S)
    return size[0] * (1 - swing), size[0] * swing


def draw_film(path: Path, seconds: float, size: tuple[int, int]) -> None:
    """Draw the film: variable frame rate, in units of 1/90000 s, and a tone."""
    people = []
    for portrait, share in ((packaged_portraits()[3], 0.7), (packaged_portraits()[5], 0.55)):
        side = round(size[1] * share)
        with Image.open(portrait) as image:
            people.append(image.convert("RGB").resize((side, side), Image.Resampling.LANCZOS))
    generator, base = np.random.default_rng(0), Fraction(1, 90_000)
    with av.open(str(path), "w", options={"video_track_timescale": "90000"}) as container:
        video = container.add_stream("libx264", rate=RATE, options={"crf": "16"})
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        video.codec_context.time_base = video.time_base = base
        sound = container.add_stream("aac", rate=SOUND_HZ, layout="mono")
        for number in range(round(seconds * RATE)):
            pts = number * 3600 + int(generator.integers(0, 1500))
            picture = Image.new("RGB", size, (96, 104, 112))
            for person, x in zip(people, centers(float(pts * base), size), strict=True):
                picture.paste(person, (round(x - person.width / 2), size[1] // 5))
            frame = av.VideoFrame.from_image(picture).reformat(format="yuv420p")
            frame.pts, frame.time_base = pts, base
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for at in range(0, int(seconds * SOUND_HZ) - 1024, 1024):
            wave = 0.3 * np.sin(2 * np.pi * 440 * np.arange(at, at + 1024) / SOUND_HZ)
            chunk = av.AudioFrame.from_ndarray(
                wave[None].astype(np.float32), format="fltp", layout="mono"
            )
            chunk.sample_rate, chunk.pts = SOUND_HZ, at
            container.mux(sound.encode(chunk))
        container.mux(sound.encode(None))


def resident_mb() -> float:
    """Resident memory of this process, MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def plain_loop(
    film: TargetFilm, swapper: Swapper, identity: Any, trim: FilmTrim, *, follow: bool
) -> dict[str, float]:
    """The same graphs, one stage after the other; frames a second, and CPU ms a frame."""
    tracker, encoder = FaceTracker("largest"), open_encoder(film, ENCODER)
    start, begun, frames = time.perf_counter(), time.process_time(), 0
    for frame in read_frames(film, trim):
        picture = to_picture(frame, film)
        seconds = float((frame.pts or 0) * film.time_base)
        if follow:
            found = tracker.find(picture, swapper.detect, seconds)
            faces = tuple(one.face for one in found if one.chosen)
        else:
            faces = tracker.update(picture, swapper.detect(picture), seconds)
        made = frame
        if faces:
            after = swapper.swap(picture, identity, faces=faces)
            made = with_picture(frame, picture, after, film)
        made.pict_type = 0
        encoder.encode(made)
        frames += 1
    encoder.encode(None)
    spent_s, busy_s = time.perf_counter() - start, time.process_time() - begun
    return {"fps": frames / spent_s, "cpu_ms": 1e3 * busy_s / frames}


def packets(path: Path) -> list[tuple[Fraction, bytes]]:
    """The packets of sound with their moments."""
    with av.open(str(path)) as container:
        found = []
        for packet in container.demux(container.streams.audio[0]):
            if packet.dts is not None and packet.pts is not None:
                base = packet.time_base
                moment = packet.pts * Fraction(base.numerator, base.denominator)
                found.append((moment, bytes(packet)))
    return found


def compare(before: TargetFilm, after: TargetFilm, swapper: Swapper) -> dict[str, Any]:
    """Go through both films side by side."""
    size = (before.width_px, before.height_px)
    same_time, exchanged, touched, shakes = True, 0, 0, []
    count = [0, 0]
    trails: list[list[NDArray[np.float64]]] = [[], []]
    for old, new in zip(
        read_frames(before, FilmTrim()), read_frames(after, FilmTrim()), strict=True
    ):
        count = [count[0] + 1, count[1] + 1]
        old_pts, new_pts = old.pts or 0, new.pts or 0
        same_time &= old_pts * before.time_base == new_pts * after.time_base
        first, second = to_picture(old, before), to_picture(new, after)
        columns = (np.abs(first.astype(np.int16) - second).max(-1) > 40).sum(0)
        near, other = centers(float(old_pts * before.time_base), size)
        if columns.sum() > 50:
            middle = float(np.average(np.arange(len(columns)), weights=columns))
            touched += 1
            exchanged += abs(middle - near) > abs(middle - other) and abs(near - other) > 20
        for trail, picture in zip(trails, (first, second), strict=True):
            nearest = sorted(
                (abs(f.landmarks_px.mean(0)[0] - near), at, f)
                for at, f in enumerate(swapper.detect(picture, everywhere=False))
            )
            if nearest and nearest[0][0] < size[0] / 8:
                trail.append(nearest[0][2].landmarks_px - [near, 0])
            else:
                trail.clear()
        if all(len(trail) >= 3 for trail in trails):
            shakes.append([np.abs(t[-1] - 2 * t[-2] + t[-3]).mean() for t in trails])
    jitter: list[Any] = np.median(np.array(shakes), axis=0).tolist() if shakes else [None, None]
    return {
        "frames": count,
        "timestamps_equal": bool(same_time),
        "sound_equal": packets(before.path) == packets(after.path),
        "frames_changed": touched,
        "frames_with_the_wrong_person": int(exchanged),
        "jitter_px": jitter,
        "jitter_ratio": jitter[1] / jitter[0] if shakes else None,
    }


def study(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Draw, swap, compare, time."""
    path, out = folder / "film.mp4", folder / "swapped.mp4"
    width, _, height = args.size.partition("x")
    draw_film(path, args.seconds, (int(width), int(height)))
    film = probe_film(path)
    memory: list[float] = []

    def note(progress: FilmProgress) -> None:
        memory.append(resident_mb())

    half = max(1, (args.threads or usable_cores()) // 2)
    with (
        Swapper.open(threads=args.threads) as alone,
        Swapper.open(threads=half) as swapper,
        Swapper.open(threads=half) as finder,
    ):
        identity = swapper.identity(packaged_portraits()[1])
        config = FilmConfig(encoder=ENCODER)
        report = swap_film(film, swapper, identity, out, config, finder=finder, progress=note)
        settled = np.array(memory[len(memory) // 4 :])
        found: dict[str, Any] = {
            "fps": report.frames / report.seconds,
            "people": report.people,
            "frames_swapped": report.frames,
            "rss_mb": [float(settled.min()), float(settled.max())],
        }
        if args.compare:
            found |= compare(film, probe_film(out), swapper)
        trim = FilmTrim(end_s=Fraction(min(args.seconds, args.timed_seconds)))
        rounds = []
        for number in range(args.rounds):
            plain, following = (
                plain_loop(film, alone, identity, trim, follow=follow) for follow in (False, True)
            )
            timed = FilmConfig(encoder=ENCODER, trim=trim)
            path = folder / f"{number}.mp4"
            begun = time.process_time()
            piped = swap_film(film, swapper, identity, path, timed, finder=finder)
            busy_ms = 1e3 * (time.process_time() - begun) / piped.frames
            pipeline = {"fps": piped.frames / piped.seconds, "cpu_ms": busy_ms}
            rounds.append({"plain": plain, "following": following, "pipeline": pipeline})
        found["rounds"] = rounds
        for loop in ("plain", "following") if rounds else ():
            ratios = [each["pipeline"]["fps"] / each[loop]["fps"] for each in rounds]
            found[f"times_the_{loop}_loop"] = float(np.median(ratios))
    return found


def main() -> int:
    """Run the study."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the film")
    parser.add_argument("--size", default="1280x720", help="its size, WxH pixels")
    parser.add_argument("--rounds", type=int, default=3, help="times of loop and pipeline")
    parser.add_argument("--timed-seconds", type=float, default=10.0, help="of the film, a round")
    parser.add_argument("--threads", type=int, help="of the backend (default: its own choice)")
    parser.add_argument(
        "--no-compare", dest="compare", action="store_false", help="leave the comparison out"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = study(args, Path(folder))
    if args.json:
        print(json.dumps(found, indent=1))
    else:
        for name, value in found.items():
            print(f"{name:30} {value}")
    if not args.compare:
        return 0
    good = found["timestamps_equal"] and found["sound_equal"]
    return 0 if good and found["frames_with_the_wrong_person"] == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
