"""What is done with 40 hard pictures, and does it show in any that it was spoilt?

Packaged portraits, made hard one way at a time (light, gray, noise, compression, blur, size,
border, turn, crowd), and scenes of a rendered dataset that are hard by themselves (covered faces,
by what covers them; profiles). Each is swapped as `edgeswap swap --faces all` does. The table says
what was done with every face and why; the sheet shows all pictures before and after, for a person
to look at.

    edgeswap data render scenes --groups 300
    python benchmarks/studies/hard.py scenes [--sheet FILE.png]
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from edgeswap_compress.data import read_dataset
from edgeswap_runtime import EdgeswapError, Swapper, read_picture
from edgeswap_runtime.pictures.portraits import packaged_portraits
from edgeswap_runtime.pictures.sheet import SheetStyle, draw_sheet
from edgeswap_runtime.pictures.write import SWAPPED, save_marked

Pixels = NDArray[np.uint8]
GROUPS = 300
SIDE_PX = 384


def scaled(picture: Pixels, *gain: float) -> Pixels:
    found: Pixels = np.rint(picture * np.array(gain)).clip(0, 255).astype(np.uint8)
    return found


def jpeg(picture: Pixels, quality: int) -> Pixels:
    data = io.BytesIO()
    Image.fromarray(picture).save(data, "JPEG", quality=quality)
    return np.asarray(Image.open(data))


def small(picture: Pixels, side_px: int) -> Pixels:
    """The whole portrait so small, in the middle of a gray picture of 1280 x 720."""
    whole = Image.new("RGB", (1280, 720), (110, 110, 110))
    whole.paste(Image.fromarray(picture).resize((side_px, side_px)), (560, 300))
    return np.asarray(whole)


def blurred(picture: Pixels, sigma_px: float) -> Pixels:
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(sigma_px)))


def noisy(picture: Pixels, sigma: float) -> Pixels:
    noise = np.random.default_rng(0).normal(0, sigma, picture.shape)
    return np.rint(picture + noise).clip(0, 255).astype(np.uint8)


def gray(picture: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(picture).convert("L").convert("RGB"))


def split_light(picture: Pixels) -> Pixels:
    """The left half in deep shadow."""
    gain = np.linspace(0.15, 1.3, picture.shape[1])[None, :, None]
    return np.rint(picture * gain).clip(0, 255).astype(np.uint8)


def turned(picture: Pixels, degrees: float) -> Pixels:
    fill = tuple(int(v) for v in picture[0, 0])
    return np.asarray(Image.fromarray(picture).rotate(degrees, fillcolor=fill))


CHANGES: dict[str, Callable[[Pixels], Pixels]] = {
    "a fifth of the light": lambda p: scaled(p, 0.2, 0.2, 0.2),
    "twice the light": lambda p: scaled(p, 2.0, 2.0, 2.0),
    "green light": lambda p: scaled(p, 0.35, 1.0, 0.35),
    "blue light": lambda p: scaled(p, 0.35, 0.45, 1.0),
    "red light": lambda p: scaled(p, 1.0, 0.3, 0.3),
    "half in shadow": split_light,
    "gray": gray,
    "gray and dark": lambda p: scaled(gray(p), 0.3, 0.3, 0.3),
    "noise 25": lambda p: noisy(p, 25),
    "noise 60": lambda p: noisy(p, 60),
    "JPEG 10": lambda p: jpeg(p, 10),
    "blur 3 px": lambda p: blurred(p, 3),
    "blur 12 px": lambda p: blurred(p, 12),
    "48 px portrait": lambda p: small(p, 48),
    "30 px portrait": lambda p: small(p, 30),
    "20 px portrait": lambda p: small(p, 20),
    "left half cut": lambda p: p[:, p.shape[1] // 2 :],
    "chin cut": lambda p: p[: p.shape[0] * 5 // 8],
    "forehead cut": lambda p: p[p.shape[0] * 3 // 8 :],
    "on its side": lambda p: np.ascontiguousarray(np.rot90(p)),
    "on its head": lambda p: np.ascontiguousarray(np.rot90(p, 2)),
    "turned 40°": lambda p: turned(p, 40),
}


def crowds() -> Iterator[tuple[str, Pixels]]:
    """Several people in one picture."""
    people = [np.asarray(read_picture(path)) for path in packaged_portraits()]
    tiles = [np.asarray(Image.fromarray(p).resize((192, 192))) for p in people]
    yield "six people", np.vstack([np.hstack(tiles[:3]), np.hstack(tiles[3:])])
    uneven = Image.fromarray(np.hstack([people[0], people[1]]))
    uneven.paste(Image.fromarray(people[2]).resize((120, 120)), (450, 380))
    yield "one before two", np.asarray(uneven)


def rendered(folder: Path) -> Iterator[tuple[str, Pixels]]:
    """Scenes that are hard by themselves: one for each kind of occluders, four profiles."""
    dataset = read_dataset(folder)
    wanted: dict[str, int] = {"profile": 4, "beard": 1}
    for group in dataset.groups[:GROUPS]:
        for picture, scene in zip(
            dataset.images(group)[: dataset.identities], dataset.scenes(group), strict=False
        ):
            covered = float(scene["covered"])
            turn = abs(float(scene["yaw_deg"]))
            names = scene["occluders"]
            kind = "+".join(names) if covered > 0.02 else ""
            if turn > 42:
                kind = "profile"
            if not kind or wanted.setdefault(kind, 1) == 0:
                continue
            wanted[kind] -= 1
            words = f"{kind}, {turn:.0f}°" if turn > 42 else f"{kind}, {covered:.0%} covered"
            image = Image.fromarray(picture).resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)
            yield words, np.asarray(image)


def pictures(folder: Path, count: int) -> list[tuple[str, Pixels]]:
    portraits = [np.asarray(read_picture(path)) for path in packaged_portraits()]
    hard = [
        (name, change(portraits[number % len(portraits)]))
        for number, (name, change) in enumerate(CHANGES.items())
    ]
    return [*hard, *crowds(), *rendered(folder)][:count]


def swap(swapper: Swapper, picture: Pixels, identity: object) -> tuple[str, Pixels]:
    """What was done, in words, and the result."""
    try:
        judged = swapper.judge(picture, "all")
        result = swapper.swap(picture, identity, faces="all")  # type: ignore[arg-type]
    except EdgeswapError as error:
        return str(error).split(";")[0].split(": use")[0], picture
    left = [f"#{one.number} {one.problem}" for one in judged if one.problem]
    words = f"{len(judged) - len(left)} of {len(judged)} swapped"
    return words + (f"; left alone: {', '.join(left)}" if left else ""), result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("data", type=Path, help="folder made by edgeswap data render")
    parser.add_argument("--pictures", type=int, default=40, help="how many (default: 40)")
    parser.add_argument("--sheet", type=Path, help="picture to write (default: none)")
    args = parser.parse_args()
    tiles, captions = [], []
    with Swapper.open(threads=1) as swapper:
        identities = [swapper.identity(path) for path in packaged_portraits()[:2]]
        for number, (name, picture) in enumerate(pictures(args.data, args.pictures)):
            words, result = swap(swapper, picture, identities[(number + 1) % 2])
            print(f"{number + 1:2} {name:24} {words}", flush=True)
            tiles += [picture, result]
            captions += [f"{number + 1} {name}", words]
    if args.sheet is not None:
        tiles += [np.full((8, 8, 3), 255, np.uint8)] * (-len(tiles) % 8)
        captions += [""] * (len(tiles) - len(captions))
        rows = [tiles[at : at + 8] for at in range(0, len(tiles), 8)]
        lines = [captions[at : at + 8] for at in range(0, len(captions), 8)]
        sheet = draw_sheet(rows, captions=lines, style=SheetStyle(tile_px=176, gap_px=4))
        save_marked(args.sheet, sheet, SWAPPED, overwrite=True)


if __name__ == "__main__":
    main()
