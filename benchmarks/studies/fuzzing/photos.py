"""Sound pictures: smooth colors in every format and depth that people have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def _picture(seed: int, side: int) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(40, 255, (5, 5, 3), np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)


def write_pictures(folder: Path, side: int) -> None:
    """Write a source, a target, aligned crops by person, triplets, and every format of picture.

    Args:
        folder: to write into.
        side: of the crops and triplets, in pixels.
    """
    for seed, name in enumerate(("source", "target")):
        _picture(seed, 64).save(folder / f"{name}.png")
    crops, triplets = folder / "crops", folder / "triplets"
    for person in ("anna", "bert"):
        (crops / person).mkdir(parents=True)
        for number in range(3):
            _picture(number, side).save(crops / person / f"{number}.png")
    triplets.mkdir()
    rows = ["source,target,truth"]
    for number in range(2):
        names = [f"{number}-{role}.png" for role in ("source", "target", "truth")]
        for seed, name in enumerate(names):
            _picture(10 * number + seed, side).save(triplets / name)
        rows.append(",".join(names))
    (triplets / "triplets.csv").write_text("\n".join(rows) + "\n")
    _write_formats(folder / "pictures")


def _write_formats(folder: Path) -> None:
    """One picture in every format and depth that people have."""
    folder.mkdir()
    picture = _picture(3, 64)
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(folder / "photo.jpg", exif=exif, quality=90)
    picture.save(folder / "progressive.jpg", progressive=True)
    picture.convert("CMYK").save(folder / "cmyk.jpg")
    picture.save(folder / "plain.png")
    picture.convert("P").save(folder / "palette.png")
    picture.convert("LA").save(folder / "alpha.png")
    picture.save(folder / "film.png", save_all=True, append_images=[_picture(4, 64)])
    deep = np.asarray(picture.convert("L")).astype(np.uint16) * 257
    Image.fromarray(deep).save(folder / "deep.png")
    Image.fromarray(deep).save(folder / "deep.tif")
    picture.save(folder / "plain.tif")
    picture.save(folder / "packed.tif", compression="tiff_lzw")
    picture.save(folder / "photo.webp")
    picture.save(folder / "exact.webp", lossless=True)
    picture.save(folder / "plain.bmp")
    picture.convert("P").save(folder / "film.gif", save_all=True, append_images=[_picture(4, 64)])
