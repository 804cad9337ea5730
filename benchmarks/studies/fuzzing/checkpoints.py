"""Mutated checkpoints, bare U-Nets and pruning plans; the hashes in swap.json are right."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from random import Random
from typing import Any

from fuzzing import bytestrings, trees, weights
from fuzzing.case import Case, out_folder
from fuzzing.place import FAMILIES, Place, linked, replace
from fuzzing.sandbox import LONG

_DOCUMENTS = (
    "unet/config.json",
    "vae/config.json",
    "conditioner/config.json",
    "scheduler/scheduler_config.json",
    "swap.json",
    "model_index.json",
)
_WEIGHTS = tuple(
    f"{name}/diffusion_pytorch_model.safetensors" for name in ("unet", "vae", "conditioner")
)
_PLAN = "unet/pruning.json"
_PRUNE = ("--macs-ratio", "0.6", "--mode", "width", "--allocation", "share", "--latency-runs", "0")
CRAFTED_CHECKPOINTS = 140
CRAFTED_UNETS = 40
CRAFTED_PLANS = 40
CRAFTED_FAMILIES = 2 * len(FAMILIES)


def checkpoint(place: Place, seed: int, folder: Path) -> Case:
    """A random change of one of a checkpoint's documents or weights."""
    random = Random(seed)
    target = linked(place / "tiny", folder / "checkpoint")
    data: bytes | str
    if random.random() < 0.35:
        name = random.choice(_WEIGHTS)
        told, data = weights.mutate((target / name).read_bytes(), random)
    else:
        name = random.choice(_DOCUMENTS)
        told, data = _document(target / name, random)
    _relist(target, name, data)
    argv = command(random, target, place, folder)
    return Case(kind="checkpoint", seed=seed, description=f"{name}: {told}", argv=argv, limits=LONG)


def crafted_checkpoint(place: Place, seed: int, folder: Path) -> Case:
    """Nasty values in each document's fields in turn."""
    target = linked(place / "tiny", folder / "checkpoint")
    number, turn = divmod(seed, len(_DOCUMENTS))
    name = _DOCUMENTS[turn]
    told, tree = trees.crafted(json.loads((target / name).read_bytes()), number)
    _relist(target, name, trees.dumps(tree))
    argv = command(Random(seed), target, place, folder)
    return Case(
        kind="crafted-checkpoint", seed=seed, description=f"{name}: {told}", argv=argv, limits=LONG
    )


def spoilt_weights(place: Place, seed: int, folder: Path) -> Case:
    """NaN and infinity in a checkpoint that is exported, judged or trained on."""
    random = Random(seed)
    target = linked(place / "tiny", folder / "checkpoint")
    name = _WEIGHTS[seed % 3]
    fill = ("NaN", "infinity")[seed // 3 % 2]
    told, data = weights.filled((target / name).read_bytes(), random, fill)
    _relist(target, name, data)
    ways = ways_of_checkpoints(target, place, folder)
    argv = ways[("export", "prune", "distill", "personalize")[seed // 6 % 4]]
    return Case(
        kind="spoilt-weights",
        seed=seed,
        description=f"{name}: {told}",
        argv=argv,
        must_refuse=True,
        limits=LONG,
    )


def unet(place: Place, seed: int, folder: Path) -> Case:
    """A random change of a bare U-Net's configuration."""
    random = Random(seed)
    target = linked(place / "unet", folder / "unet")
    told, data = _document(target / "config.json", random)
    replace(target / "config.json", data)
    return Case(
        kind="unet", seed=seed, description=told, argv=_unet(target, folder, seed), limits=LONG
    )


def crafted_unet(place: Place, seed: int, folder: Path) -> Case:
    """Nasty values in a bare U-Net's configuration."""
    target = linked(place / "unet", folder / "unet")
    config = json.loads((target / "config.json").read_bytes())
    told, tree = trees.crafted(config, seed)
    replace(target / "config.json", trees.dumps(tree))
    argv = _unet(target, folder, seed)
    return Case(kind="crafted-unet", seed=seed, description=told, argv=argv, limits=LONG)


def family(place: Place, seed: int, folder: Path) -> Case:
    """U-Nets of other families: taken, or refused by name."""
    number, turn = divmod(seed, 2)
    name = list(FAMILIES)[number]
    argv = _unet(place / "families" / name, folder, 3 * turn)
    return Case(kind="family", seed=seed, description=name, argv=argv, limits=LONG)


def plan(place: Place, seed: int, folder: Path) -> Case:
    """A random change of a pruning plan: replayed, shown, or inside a checkpoint."""
    random = Random(seed)
    target = linked(place / "pruned", folder / "checkpoint")
    told, data = _document(target / _PLAN, random)
    return _plan_case("plan", seed, told, data, place, folder)


def crafted_plan(place: Place, seed: int, folder: Path) -> Case:
    """Nasty values in a plan, and layers that it forgets."""
    target = linked(place / "pruned", folder / "checkpoint")
    stated = json.loads((target / _PLAN).read_bytes())
    if seed % 2:
        told, tree = trees.crafted(stated, seed)
    else:
        name = list(stated["layers"])[seed]
        told, tree = f"without layer {name}", trees.drop(stated, ("layers", name))
    return _plan_case("crafted-plan", seed, told, trees.dumps(tree), place, folder)


def _plan_case(
    kind: str, seed: int, told: str, data: bytes | str, place: Place, folder: Path
) -> Case:
    target, made = folder / "checkpoint", str(out_folder(folder) / "made")
    _relist(target, _PLAN, data)
    file = str(target / _PLAN)
    replay = ("prune", str(place / "tiny"), made, "--plan", file, "--latency-runs", "0")
    ways = (
        replay,
        replay,
        ("inspect", file),
        ("inspect", str(target)),
        ("inspect", file, "--json"),
    )
    return Case(kind=kind, seed=seed, description=told, argv=ways[seed % len(ways)], limits=LONG)


def command(random: Random, target: Path, place: Place, folder: Path) -> tuple[str, ...]:
    """A command that opens a checkpoint; the slow ones less often."""
    ways = ways_of_checkpoints(target, place, folder)
    shares = (40, 14, 10, 14, 2, 1, 6, 4, 4, 3, 2)
    return random.choices(list(ways.values()), weights=shares)[0]


def ways_of_checkpoints(target: Path, place: Place, folder: Path) -> dict[str, tuple[str, ...]]:
    """Name -> a command line that opens the checkpoint ``target``."""
    opened, made, data = str(target), str(out_folder(folder) / "made"), str(place / "faces")
    tiny, plan = str(place / "tiny"), str(place / "pruned" / _PLAN)
    stop = ("--data", data, "--stop-after", "0")
    return {
        "inspect": ("inspect", opened),
        "json": ("inspect", opened, "--json", "--verify"),
        "verify": ("verify", opened),
        "replay": ("prune", opened, made, "--plan", plan, "--latency-runs", "0"),
        "prune": ("prune", opened, made, *_PRUNE, "--samples", "0"),
        "export": ("export", opened, made, "--no-detector", "--schedule", "ddim:1"),
        "distill": ("distill", opened, tiny, made, "--samples", "32", "--targets", "32", *stop),
        "small": ("distill", "autoencoder", opened, made, "--samples", "32", *stop),
        "personalize": (
            "personalize", opened, "--photos", str(place / "crops" / "anna"), "--aligned",
            "--out", made, "--consent", "Nobody, today, a test", "--samples", "32", *stop,
        ),
        "evaluate": ("evaluate", opened, "--data", str(place / "heldout"), "--limit", "2"),
        "train": (
            "train", data, made, "--held-out", data, "--run", f"{made}.run", "--init", opened,
            "--identity-samples", "32", "--denoiser-samples", "32", "--stop-after", "0",
        ),
    }  # fmt: skip


def _unet(target: Path, folder: Path, turn: int) -> tuple[str, ...]:
    made = str(out_folder(folder) / "made")
    if turn % 3:
        return ("prune", str(target), made, *_PRUNE, "--samples", "0", "--importance", "magnitude")
    return ("export", str(target), made)


def _document(file: Path, random: Random) -> tuple[str, bytes | str]:
    if random.random() < 0.1:
        return bytestrings.mutate(file.read_bytes(), random)
    told, tree = trees.mutate(json.loads(file.read_bytes()), random)
    return told, trees.dumps(tree)


def _relist(checkpoint: Path, name: str, data: bytes | str) -> None:
    """Put a file into a checkpoint and state its hash in swap.json."""
    replace(checkpoint / name, data)
    if name != "swap.json":
        stated: dict[str, Any] = json.loads((checkpoint / "swap.json").read_bytes())
        stated["files"][name] = hashlib.sha256((checkpoint / name).read_bytes()).hexdigest()
        replace(checkpoint / "swap.json", json.dumps(stated))
