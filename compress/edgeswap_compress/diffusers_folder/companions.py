"""Find what a pipeline folder holds beside its U-Net, and would lose without it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgeswap_runtime.strict_json import JsonError, read_json_object

COMPANIONS = {
    "controlnet": "a ControlNet",
    "adapter": "a T2I-Adapter",
    "t2i_adapter": "a T2I-Adapter",
    "image_encoder": "the image encoder of an IP-Adapter",
    "ip_adapter": "an IP-Adapter",
    "lora": "LoRA weights",
}
"""Folder, or entry of model_index.json -> what it is."""

FILES = {"*lora*.safetensors": "LoRA weights", "*ip-adapter*.safetensors": "an IP-Adapter",
         "*ip_adapter*.safetensors": "an IP-Adapter"}  # fmt: skip

KEYS = {"_ip.": "an IP-Adapter", "image_projection": "an IP-Adapter", "lora_": "LoRA weights",
        "lora.": "LoRA weights"}  # fmt: skip
"""Part of a tensor's name -> whose tensor that is."""


def companion_of(folder: Path, *, kept: Sequence[str] = ()) -> tuple[str, str] | None:
    """Find the first thing in a pipeline folder that changes what its U-Net does.

    Args:
        folder: of the pipeline.
        kept: names in `COMPANIONS` that the caller reads too.

    Returns:
        (file or folder or entry, what it is), or None where the U-Net is alone.
    """
    for name, what in COMPANIONS.items():
        if name not in kept and (folder / name).is_dir():
            return f"{name}/", what
    for home in (folder, folder / "unet"):
        for pattern, what in FILES.items():
            for found in sorted(home.glob(pattern)):
                return found.name, what
    for name, entry in _index(folder).items():
        base = name.rstrip("s_0123456789")
        if base in COMPANIONS and base not in kept and isinstance(entry, list) and any(entry):
            return f"model_index.json: {name}", COMPANIONS[base]
    return None


def _index(folder: Path) -> dict[str, object]:
    try:
        return read_json_object(folder / "model_index.json")
    except (OSError, JsonError):
        return {}  # not read for its own sake; whoever needs it says what is wrong with it


def companion_message(folder: Path, found: str, what: str) -> str:
    """Say in one line what was found, what would be lost, and what to type instead."""
    return (
        f"{folder} holds {what} ({found}), which would be lost: the U-Net alone is read, pruned "
        f"and exported; if that is what you want, name {folder / 'unet'} instead"
    )


def tensor_owner(name: str) -> str | None:
    """Tell what a tensor belongs to, where it is not the U-Net's own."""
    return next((what for part, what in KEYS.items() if part in name), None)
