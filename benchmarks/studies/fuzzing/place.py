"""The sound inputs that are mutated: small, seeded, made once per folder."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from edgeswap_runtime.files import sha256_file, write_json
from fuzzing.films import write_films
from fuzzing.photos import write_pictures

_ROOT = Path(__file__).parents[3]
SIDE = 24  # of the tiny checkpoint's crops
GROUPS = 3
RECIPE = """checkpoint = "pruned"

[prune]
macs-ratio = 0.6
importance = "magnitude"
mode = "width"
allocation = "share"
samples = 0
round-to = 8
protect = ["conv_in", "mid_block.attentions.*"]

[distill]
steps = 1
samples = 64
targets = 32
batch-size = 8
learning-rate = 1e-4
data = "faces"

[export]
no-detector = true
single-file = true
schedule = ["ddim:1", "ddim:2"]

[evaluate]
data = "heldout"
limit = 2
"""
"""Sound for the recipe's reader; its first stage then refuses, since nothing is pruned twice."""


@dataclass(frozen=True, slots=True)
class Place:
    """A folder of sound inputs."""

    folder: Path

    def __truediv__(self, name: str) -> Path:
        return self.folder / name


def make_place(folder: Path, *, families: bool = True) -> Place:
    """Make the inputs in a process of its own, or take those that are there.

    Args:
        folder: to make.
        families: the U-Nets of other families too.
    """
    if not (folder / "done").exists():
        shutil.rmtree(folder, ignore_errors=True)
        script = "import pathlib, sys; from fuzzing.place import write; "
        script += f"write(pathlib.Path(sys.argv[1]), families={families})"
        _run(["-c", script, str(folder)])
        (folder / "done").touch()
    return Place(folder)


def make_packaged(place: Place) -> Path:
    """The bundle of the packaged student, exported once."""
    from edgeswap_compress import default_checkpoint

    bundle = place / "packaged"
    if not bundle.exists():
        command = ["export", str(default_checkpoint("student")), str(bundle)]
        _run(["-m", "edgeswap_runtime", *command])
    return bundle


def write(folder: Path, *, families: bool) -> None:
    """Write every input but the packaged student's bundle."""
    from edgeswap_runtime.cli import main

    folder.mkdir(parents=True)
    _write_checkpoints(folder)
    for name, changes in FAMILIES.items() if families else ():
        _write_family(folder / "families" / name, changes)
    module(_ROOT / "tests/runtime/tiny_bundle.py").write_bundle(folder / "bundle")
    options = ["--macs-ratio", "0.6", "--mode", "width", "--samples", "0", "--latency-runs", "0"]
    if main(["prune", str(folder / "tiny"), str(folder / "pruned"), *options]):
        raise RuntimeError("the tiny checkpoint could not be pruned")
    for split in ("train", "heldout"):
        write_dataset(folder / {"train": "faces", "heldout": "heldout"}[split], split)
    write_pictures(folder, SIDE)
    write_films(folder / "films")
    (folder / "recipe.toml").write_text(RECIPE)
    (folder / "plain.toml").write_text(RECIPE.replace('"pruned"', '"tiny"'))


def linked(folder: Path, target: Path) -> Path:
    """A copy of a folder whose files are hard links: replace them, never write into them."""
    shutil.copytree(folder, target, copy_function=os.link)
    return target


def replace(file: Path, data: bytes | str) -> None:
    """Put other bytes in a linked file's place."""
    file.unlink(missing_ok=True)
    file.write_bytes(data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data)


def fingerprint(place: Place) -> dict[str, str]:
    """sha256 of every input, to see that no command changed one."""
    files = sorted(path for path in place.folder.rglob("*") if path.is_file())
    return {str(path): sha256_file(path) for path in files}


def _run(arguments: list[str]) -> None:
    here = str(Path(__file__).parents[1])
    path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    subprocess.run(
        [sys.executable, *arguments],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path},
    )


def module(file: Path) -> ModuleType:
    """Import a file that is in no package, such as one of the tests'."""
    spec = importlib.util.spec_from_file_location(f"fuzzing_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _write_checkpoints(folder: Path) -> None:
    from edgeswap_compress.checkpoint.tiny import tiny_checkpoint

    checkpoint = tiny_checkpoint(seed=1)
    checkpoint.swap = checkpoint.swap.sampled(steps=1)
    checkpoint.save(folder / "tiny")
    shutil.copytree(folder / "tiny" / "unet", folder / "unet")


FAMILIES: dict[str, dict[str, Any]] = {
    "tokens-per-block": {"cross_attention_dim": [16, 24]},
    "tokens-missing": {"cross_attention_dim": [None, 16]},
    "learned-time": {"time_embedding_type": "fourier"},
    "indivisible": {"sample_size": 7},
    "dual": {"dual_cross_attention": True},
    "class-timestep": {
        "class_embed_type": "timestep",
        "projection_class_embeddings_input_dim": None,
    },
    "simple-cross": {
        "down_block_types": ("DownBlock2D", "SimpleCrossAttnDownBlock2D"),
        "up_block_types": ("SimpleCrossAttnUpBlock2D", "UpBlock2D"),
        "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
    },
    "no-mid": {"mid_block_type": None},
    "text-time": {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "class_embed_type": None,
        "projection_class_embeddings_input_dim": 64,
    },
}
"""U-Nets that people have, as changes of the tiny one's configuration."""


def _write_family(folder: Path, changes: dict[str, Any]) -> None:
    import torch
    from diffusers import UNet2DConditionModel

    config = json.loads((folder.parents[1] / "unet" / "config.json").read_text())
    config = {key: value for key, value in config.items() if not key.startswith("_")}
    torch.manual_seed(0)
    UNet2DConditionModel(**{**config, **changes}).save_pretrained(folder)


def write_dataset(folder: Path, split: str) -> None:
    """Noise in the shape of a rendered dataset."""
    from edgeswap_compress.data.grid import Group, GroupSettings
    from edgeswap_compress.data.shard_files import shard_name, write_shard
    from edgeswap_compress.data.shards import KIND, MANIFEST, SCHEMA

    folder.mkdir()
    random = np.random.default_rng(0)
    settings = GroupSettings(split=split, identities=2, size_px=SIDE)
    pictures = settings.identities * (settings.identities + 1)
    groups = [
        Group(
            images=random.integers(0, 256, (pictures, SIDE, SIDE, 3), np.uint8),
            masks=random.integers(0, 256, (pictures, SIDE, SIDE), np.uint8),
            landmarks=random.uniform(0, SIDE, (pictures, 5, 2)).astype(np.float32),
        )
        for _ in range(GROUPS)
    ]
    shard = folder / shard_name(0)
    write_shard(shard, groups)
    names = ("split", "seed", "identities", "size_px", "supersampling")
    entry = {"file": shard.name, "groups": GROUPS, "bytes": shard.stat().st_size}
    manifest = {
        "schema": SCHEMA,
        "kind": KIND,
        "renderer_version": 0,
        "assets": {},
        "environments": [],
        "pictures": GROUPS * pictures,
        "settings": {name: getattr(settings, name) for name in names},
        "groups": GROUPS,
        "groups_per_shard": GROUPS,
        "shards": [{**entry, "sha256": sha256_file(shard)}],
    }
    write_json(folder / MANIFEST, manifest)
