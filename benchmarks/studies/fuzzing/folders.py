"""Mutated recipes, datasets and pictures."""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from pathlib import Path
from random import Random

from fuzzing import bytestrings, trees, weights
from fuzzing.case import Case, out_folder
from fuzzing.place import Place, linked, replace
from fuzzing.sandbox import LONG

_SHARD = "shard-00000.safetensors"
_VALUES = (
    "-1", "0", "1e999", "nan", "inf", '""', '"text"', "[]", "[[]]", "true", "{}", "1979-05-27",
    '"\\u0000"', '"../.."', '"/dev/null"', "1000000000000", "0x10", "[1, 2]", '["a"]', "0.5",
)  # fmt: skip
CRAFTED_RECIPES = 50
CRAFTED_DATASETS = 40
CRAFTED_PICTURES = 40


def recipe(place: Place, seed: int, folder: Path) -> Case:
    """A random change of a recipe's text or of one of its lines."""
    random = Random(seed)
    text = (place / "recipe.toml").read_text()
    if random.random() < 0.3:
        told, data = bytestrings.mutate(text.encode(), random)
    else:
        told, changed = _line(text, random)
        data = changed.encode("utf-8", "surrogatepass")
    return _recipe_case("recipe", seed, told, data, place, folder)


def crafted_recipe(place: Place, seed: int, folder: Path) -> Case:
    """Nasty values on each line in turn."""
    random = Random(10_000 + seed)
    lines = (place / "recipe.toml").read_text().splitlines()
    numbers = [number for number, line in enumerate(lines) if "=" in line]
    number = numbers[seed % len(numbers)]
    name, value = lines[number].partition(" =")[0], random.choice(_VALUES)
    lines[number] = f"{name} = {value}"
    data = "\n".join(lines).encode()
    return _recipe_case("crafted-recipe", seed, lines[number], data, place, folder)


def _line(text: str, random: Random) -> tuple[str, str]:
    lines = text.splitlines()
    at = random.randrange(len(lines))
    way = random.choice(("value", "value", "value", "drop", "repeat", "swap", "rename", "add"))
    if way == "value" and "=" in lines[at]:
        lines[at] = f"{lines[at].partition(' =')[0]} = {random.choice(_VALUES)}"
    elif way == "repeat":
        lines[at:at] = [lines[at]] * random.choice((1, 1000))
    elif way == "swap":
        other = random.randrange(len(lines))
        lines[at], lines[other] = lines[other], lines[at]
    elif way == "rename":
        lines[at] = random.choice(("x", "-", "tables.")) + lines[at]
    elif way == "add":
        lines.insert(at, random.choice(("a = 1", "[unknown]", "[[export]]", "seed = -1", "\x00")))
    else:
        return f"without line {at + 1}: {lines.pop(at)}", "\n".join(lines)
    return f"{way} in line {at + 1}: {lines[at][:60]}", "\n".join(lines)


def _recipe_case(kind: str, seed: int, told: str, data: bytes, place: Place, folder: Path) -> Case:
    for name in ("pruned", "tiny", "faces", "heldout"):
        (folder / name).symlink_to(place / name)
    (folder / "recipe.toml").write_bytes(data)
    argv = ("build", str(folder / "recipe.toml"), str(out_folder(folder) / "made"))
    return Case(kind=kind, seed=seed, description=told, argv=argv, limits=LONG)


def dataset(place: Place, seed: int, folder: Path) -> Case:
    """A random change of a dataset's manifest, its shard, or a table of triplets."""
    random = Random(seed)
    if random.random() < 0.2:
        return _triplets(place, seed, folder, random)
    target = linked(place / "heldout", folder / "data")
    if random.random() < 0.4:
        told, data = weights.mutate((target / _SHARD).read_bytes(), random)
        _relist(target, data)
    else:
        told, tree = trees.mutate(json.loads((target / "manifest.json").read_bytes()), random)
        replace(target / "manifest.json", trees.dumps(tree))
    return _dataset_case("dataset", seed, told, place, folder)


def crafted_dataset(place: Place, seed: int, folder: Path) -> Case:
    """Nasty values in a dataset's manifest and in its shard's header."""
    target = linked(place / "heldout", folder / "data")
    if seed % 2:
        header, body = weights.split((target / _SHARD).read_bytes())
        told, tree = trees.crafted(header, seed)
        _relist(target, weights.join(trees.dumps(tree), body))
    else:
        stated = json.loads((target / "manifest.json").read_bytes())
        told, tree = trees.crafted(stated, seed)
        replace(target / "manifest.json", trees.dumps(tree))
    return _dataset_case("crafted-dataset", seed, told, place, folder)


def _triplets(place: Place, seed: int, folder: Path, random: Random) -> Case:
    target = linked(place / "triplets", folder / "data")
    name = random.choice(("triplets.csv", "triplets.csv", "0-source.png"))
    told, data = bytestrings.mutate((target / name).read_bytes(), random)
    replace(target / name, data)
    return _dataset_case("dataset", seed, f"{name}: {told}", place, folder)


def _dataset_case(kind: str, seed: int, told: str, place: Place, folder: Path) -> Case:
    data, made = str(folder / "data"), str(out_folder(folder) / "made")
    tiny = str(place / "tiny")
    stop = ("--stop-after", "0", "--samples", "32")
    train = (
        "train", data, made, "--held-out", str(place / "faces"), "--run", f"{made}.run",
        "--init", tiny, "--identity-samples", "32", "--denoiser-samples", "32", *stop[:2],
    )  # fmt: skip
    ways: tuple[tuple[str, ...], ...] = (
        ("data", "sheet", data, f"{made}.png"),
        ("evaluate", tiny, "--data", data, "--limit", "2"),
        ("distill", tiny, tiny, made, "--data", data, "--targets", "32", *stop),
        ("prune", tiny, made, "--macs-ratio", "0.6", "--mode", "width", "--allocation", "share",
         "--data", data, "--samples", "4", "--latency-runs", "0"),
        train,
    )  # fmt: skip
    if not (folder / "data" / "manifest.json").exists():
        ways = (train,)
    return Case(kind=kind, seed=seed, description=told, argv=ways[seed % len(ways)], limits=LONG)


def picture(place: Place, seed: int, folder: Path, bundle: str = "bundle") -> Case:
    """A random change of a picture's bytes, swapped from or into."""
    random = Random(seed)
    file = random.choice(sorted((place / "pictures").iterdir()))
    told, data = bytestrings.mutate(file.read_bytes(), random)
    changed = folder / file.name
    changed.write_bytes(data)
    return _picture_case("picture", seed, f"{file.name}: {told}", changed, place, bundle, folder)


def crafted_picture(place: Place, seed: int, folder: Path) -> Case:
    """Every format as it is, and headers that claim what the file does not hold."""
    files = sorted((place / "pictures").iterdir())
    if seed < len(files):
        changed, told = files[seed], f"{files[seed].name} as it is"
    else:
        made = _claims()
        told, suffix, data = made[(seed - len(files)) % len(made)]
        changed = folder / f"claims{suffix}"
        changed.write_bytes(data)
    return _picture_case("crafted-picture", seed, told, changed, place, "bundle", folder)


def _picture_case(
    kind: str, seed: int, told: str, changed: Path, place: Place, bundle: str, folder: Path
) -> Case:
    source, target = str(place / "source.png"), str(changed)
    if seed % 4 == 3:
        source, target = target, str(place / "target.png")
    suffix = (".png", ".jpg", ".webp")[seed % 3]
    made = str(out_folder(folder) / f"made{suffix}")
    argv = ("swap", str(place / bundle), "--source", source, "--target", target, "--out", made)
    return Case(kind=kind, seed=seed, description=told, argv=argv)


def _claims() -> list[tuple[str, str, bytes]]:
    """Pictures whose header claims a size: (description, suffix, bytes)."""
    sizes = ((0, 0), (1, 1), (7, 7), (1, 60_000), (60_000, 1), (60_000, 60_000), (2**31 - 1,) * 2)
    made = [(f"a PNG of {w} x {h}", ".png", _png(w, h)) for w, h in sizes]
    made += [(f"a BMP of {w} x {h}", ".bmp", _bmp(w, h)) for w, h in sizes]
    made += [("no bytes", ".png", b""), ("zeros", ".jpg", bytes(10_000))]
    return [*made, ("a text", ".png", b"hello"), ("an SVG", ".png", b"<svg width='9'/>")]


def _png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        checked = kind + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + header + data + chunk(b"IEND", b"")


def _bmp(width: int, height: int) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + header + bytes(300)


def _relist(folder: Path, data: bytes) -> None:
    """Put a shard into a dataset and state its size and hash."""
    replace(folder / _SHARD, data)
    stated = json.loads((folder / "manifest.json").read_bytes())
    sha256 = hashlib.sha256(data).hexdigest()
    stated["shards"][0] |= {"bytes": len(data), "sha256": sha256}
    replace(folder / "manifest.json", json.dumps(stated))
