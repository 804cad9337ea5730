"""Find a U-Net in a folder and read its config.json, without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeswap_compress._pruning_errors import BadUNetFolder, HasCompanion, UnsupportedModel
from edgeswap_compress.diffusers_folder.companions import companion_message, companion_of
from edgeswap_compress.diffusers_folder.config import config_problem
from edgeswap_compress.diffusers_folder.unet_kinds import unsupported_family
from edgeswap_runtime.files import require_folder
from edgeswap_runtime.strict_json import JsonError, read_json

CONFIG_NAME = "config.json"
PLAN_NAME = "pruning.json"
CLASS_NAMES = ("UNet2DConditionModel", "UNet2DModel")


def unet_home(folder: Path) -> Path:
    """Find the folder of a U-Net's config.json: the folder itself, or its `unet/`.

    Args:
        folder: of a U-Net, a diffusers pipeline or a swap checkpoint.

    Raises:
        BadFolder: it lies in neither.
        HasCompanion: a pipeline has a ControlNet, an adapter or LoRA weights beside its U-Net.
    """
    require_folder(
        folder,
        what="checkpoint and no diffusers U-Net",
        holds=(CONFIG_NAME, f"unet/{CONFIG_NAME}"),
        make="edgeswap train, or with diffusers' save_pretrained",
    )
    if (folder / CONFIG_NAME).is_file():
        return folder
    if (found := companion_of(folder)) is not None:
        raise HasCompanion(companion_message(folder, *found))
    return folder / "unet"


def read_unet_config(path: Path) -> dict[str, Any]:
    """Read a U-Net's config.json, and check that every value is within its bounds.

    Args:
        path: of the config.json.

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
    """Read a file that holds a JSON object.

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
