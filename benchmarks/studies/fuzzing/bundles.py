"""Mutated bundles: manifests whose own hash is right again, and graphs that the manifest lists."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from random import Random
from typing import Any

from edgeswap_runtime.files import canonical_json
from fuzzing import bytestrings, graphs, trees
from fuzzing.case import Case, out_folder
from fuzzing.place import Place, linked, replace

_NAMES = ("encode", "identity", "denoise", "decode", "detector")
CRAFTED_MANIFESTS = 140


def manifest(place: Place, seed: int, folder: Path, bundle: str = "bundle") -> Case:
    """A random change of the manifest's JSON, now and then of its bytes."""
    random = Random(seed)
    target = linked(place / bundle, folder / "bundle")
    stated = json.loads((target / "manifest.json").read_bytes())
    if random.random() < 0.08:
        told, data = bytestrings.mutate((target / "manifest.json").read_bytes(), random)
        replace(target / "manifest.json", data)
    else:
        told, changed = trees.mutate(stated, random)
        replace(target / "manifest.json", sealed(changed))
    argv = command(random, target, place, folder)
    return Case(kind="manifest", seed=seed, description=told, argv=argv)


def crafted_manifest(place: Place, seed: int, folder: Path) -> Case:
    """A nasty value in each field in turn, and sizes that are absurd only together."""
    target = linked(place / "bundle", folder / "bundle")
    stated = json.loads((target / "manifest.json").read_bytes())
    special = _absurd(place)
    more = seed - len(special)
    told, changed = special[seed] if more < 0 else trees.crafted(stated, more)
    replace(target / "manifest.json", sealed(changed))
    random = Random(seed)
    argv = _swap(target, place, folder) if seed % 2 else command(random, target, place, folder)
    return Case(kind="crafted-manifest", seed=seed, description=told, argv=argv)


def graph(place: Place, seed: int, folder: Path) -> Case:
    """A random change of one graph, its bytes or its nodes, listed by the manifest as it is."""
    random = Random(seed)
    target = linked(place / "bundle", folder / "bundle")
    name = random.choice(_NAMES)
    told, data = graphs.mutate((target / f"{name}.onnx").read_bytes(), random)
    relist(target, f"{name}.onnx", data)
    argv = command(random, target, place, folder, swaps=0.9)
    return Case(kind="graph", seed=seed, description=f"{name}: {told}", argv=argv)


def crafted_graph(place: Place, seed: int, folder: Path) -> Case:
    """Each way of spoiling a graph, on each graph."""
    way, name = divmod(seed, len(_NAMES))
    target = linked(place / "bundle", folder / "bundle")
    told, data = graphs.crafted((target / f"{_NAMES[name]}.onnx").read_bytes(), way)
    relist(target, f"{_NAMES[name]}.onnx", data)
    argv = _swap(target, place, folder)
    return Case(kind="crafted-graph", seed=seed, description=f"{_NAMES[name]}: {told}", argv=argv)


CRAFTED_GRAPHS = len(graphs.WAYS) * len(_NAMES)


def packaged(place: Place, seed: int, folder: Path) -> Case:
    """The packaged student's bundle, its manifest or a picture changed; for the memory it takes."""
    random = Random(seed)
    target = linked(place / "packaged", folder / "bundle")
    stated = json.loads((target / "manifest.json").read_bytes())
    told, changed = trees.mutate(stated, random)
    replace(target / "manifest.json", sealed(changed))
    argv = command(random, target, place, folder, swaps=0.8)
    return Case(kind="packaged", seed=seed, description=told, argv=argv)


def sealed(tree: Any) -> str:
    """A manifest's text, `manifest_sha256` made right where it can be."""
    if isinstance(tree, dict):
        rest = {key: value for key, value in tree.items() if key != "manifest_sha256"}
        try:
            body = json.loads(trees.dumps(rest))
            sha256 = hashlib.sha256(canonical_json(body)).hexdigest()
        except (ValueError, RecursionError):
            sha256 = "0" * 64
        if "manifest_sha256" in tree and isinstance(tree["manifest_sha256"], str):
            tree = {**rest, "manifest_sha256": sha256}
    return trees.dumps(tree)


def relist(bundle: Path, name: str, data: bytes) -> None:
    """Put a file into a bundle and state its size and hash."""
    replace(bundle / name, data)
    stated = json.loads((bundle / "manifest.json").read_bytes())
    stated["files"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    replace(bundle / "manifest.json", sealed(stated))


def command(
    random: Random, bundle: Path, place: Place, folder: Path, swaps: float = 0.55
) -> tuple[str, ...]:
    """A command that opens a bundle, most often a swap."""
    if random.random() < swaps:
        return _swap(bundle, place, folder)
    target = str(place / "target.png")
    timed = ("bench", str(bundle), "--runs", "1", "--warmup", "0", "--target", target)
    made = str(out_folder(folder) / "made")
    return random.choice(
        (
            ("inspect", str(bundle)),
            ("inspect", str(bundle), "--json"),
            ("inspect", str(bundle), "--verify"),
            ("verify", str(bundle)),
            ("verify", str(bundle), "--json"),
            (*timed, "--source", str(place / "source.png")),
            ("triton", str(bundle), made),
            ("engine", str(bundle), made, "--backend", "tensorrt"),
        )
    )


def _swap(bundle: Path, place: Place, folder: Path) -> tuple[str, ...]:
    pictures = ("--source", str(place / "source.png"), "--target", str(place / "target.png"))
    return ("swap", str(bundle), *pictures, "--out", str(out_folder(folder) / "made.png"))


@functools.cache
def _absurd(place: Place) -> list[tuple[str, Any]]:
    """Changes that a single value does not make."""
    stated = json.loads((place / "bundle" / "manifest.json").read_bytes())
    name = stated["default_schedule"]
    rows = ("schedules", name, "rows")
    row = trees.get(stated, rows)[0]
    made: list[tuple[str, Any]] = []
    for count in (0, 2, 1_001, 20_000, 100_000):
        longer = trees.put(stated, rows, [row] * count)
        made.append((f"{count} rows", longer))
        made.append(
            (f"{count} rows and steps", trees.put(longer, ("schedules", name, "steps"), count))
        )
    for size in (-1, 0, 8, 64_000, 10**9):
        places = [path for path in trees.places(stated) if path[-1] in (2, 3) and "shape" in path]
        changed = stated
        for path in places:
            changed = trees.put(changed, path, size)
        made.append((f"height and width {size} in every shape", changed))
        detector = trees.put(stated, ("graphs", "detector", "inputs", 0, "shape", 2), size)
        detector = trees.put(detector, ("graphs", "detector", "inputs", 0, "shape", 3), size)
        made.append((f"a detector canvas of {size}", detector))
    for scale in (0, 1e-12, 1e12, 1e200, -1):
        place_of_points = ("crops", "model", "landmarks_px")
        points = [[scale * value for value in p] for p in trees.get(stated, place_of_points)]
        made.append((f"landmarks times {scale}", trees.put(stated, place_of_points, points)))
    parity = {"backend": 1, "reference": [], "graphs": [], "swaps": None}
    made.append(("parity of odd types", {**stated, "parity": parity}))
    parity = {"backend": "a", "reference": "b", "graphs": {"encode": {"x": {}}}, "swaps": {"a": {}}}
    made.append(("parity without figures", {**stated, "parity": parity}))
    made.append(("a history of numbers", {**stated, "history": [1, None, {"stage": {"a": []}}]}))
    made.append(("a file of another graph", _crossed(stated)))
    for role in ("output:decode/crop", "output:identity/vector", "crop:none/target", "sample",
                 "constant:../a.npy", "keypoints:model/source"):  # fmt: skip
        for graph in ("encode", "denoise"):
            place_of_role = ("graphs", graph, "inputs", 0, "role")
            made.append((f"{graph} takes {role}", trees.put(stated, place_of_role, role)))
    made.append(("a free batch of a fixed graph", _freed(stated)))
    return made


def _crossed(stated: dict[str, Any]) -> Any:
    """encode and decode exchange their files."""
    changed = trees.put(stated, ("graphs", "encode", "file"), "decode.onnx")
    return trees.put(changed, ("graphs", "decode", "file"), "encode.onnx")


def _freed(stated: dict[str, Any]) -> Any:
    changed = stated
    for path in trees.places(stated):
        if path[-2:] == ("shape", 0) and trees.get(stated, path) == 1:
            changed = trees.put(changed, path, "batch")
    return changed
