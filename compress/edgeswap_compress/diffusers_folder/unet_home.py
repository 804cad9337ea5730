"""Where a U-Net lies in a folder and what its config.json says, read without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeswap_compress._pruning_errors import BadUNetFolder, HasCompanion, UnsupportedModel
from edgeswap_compress.diffusers_folder.companions import companion_message, companion_of
from edgeswap_compress.diffusers_folder.config import config_problem
from edgeswap_compress.diffusers_folder.unet_kinds import unsupported_family
from edgeswap_runtime.strict_json import JsonError, read_json

CONFIG_NAME = "config.json"
PLAN_NAME = "pruning.json"
CLASS_NAMES = ("UNet2DConditionModel", "UNet2DModel")
_REMEDY = "name a diffusers U-Net or pipeline folder, or a swap checkpoint"


def unet_home(folder: Path) -> Path:
    """Where a U-Net's config.json lies: the folder itself, or its `unet/`.

    Raises:
        BadUNetFolder: in neither.
        HasCompanion: a pipeline has a ControlNet, an adapter or LoRA weights beside its U-Net.
    """
    if (folder / CONFIG_NAME).is_file():
        return folder
    if (folder / "unet" / CONFIG_NAME).is_file():
        if (found := companion_of(folder)) is not None:
            raise HasCompanion(companion_message(folder, *found))
        return folder / "unet"
    if not folder.is_dir():
        raise BadUNetFolder(folder, "there is no such folder", _REMEDY)
    raise BadUNetFolder(folder, "there is no config.json in it or in its unet/", _REMEDY)


def read_unet_config(path: Path) -> dict[str, Any]:
    """A U-Net's config.json, with every value within its bounds.

    Raises:
        BadUNetFolder: it is missing, is not JSON, or holds a value of the wrong kind or size.
        UnsupportedModel: it is that of another kind of model, or of quantized weights.
    """
    config = read_object(path)
    name = config.get("_class_name")
    if not isinstance(name, str) or name not in CLASS_NAMES:
        raise UnsupportedModel(
            f"{path} describes a {name or 'model without _class_name'}, which cannot be pruned: "
            f"expected one of {', '.join(CLASS_NAMES)}"
        )
    if config.get("quantization_config") is not None:
        raise UnsupportedModel(
            f"{path} has a quantization_config, and quantized weights cannot be pruned: "
            "expected the float weights it was made from"
        )
    if (problem := config_problem(config)) is not None:
        raise BadUNetFolder(path, problem, "correct it, or copy the folder again")
    if (unsupported := unsupported_family(config)) is not None:
        raise UnsupportedModel(f"{path}: {unsupported}")
    return config


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        BadUNetFolder: the file is not one.
    """
    try:
        data = read_json(path)
    except JsonError as error:
        raise BadUNetFolder(path, f"is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise BadUNetFolder(path, f"expected a JSON object, found {type(data).__name__}")
    return data
