"""Find the weights files of a diffusers folder, without torch."""

from __future__ import annotations

from pathlib import Path

from edgeswap_compress._pruning_errors import BadUNetFolder
from edgeswap_runtime.strict_json import JsonError, read_json

STEM = "diffusion_pytorch_model"
WEIGHTS_NAME = f"{STEM}.safetensors"
INDEX_NAME = f"{STEM}.safetensors.index.json"
PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")


def weight_files(folder: Path) -> list[Path]:
    """List a folder's weights files: the plain ones if there are some, else the one variant."""
    if (folder / WEIGHTS_NAME).is_file():
        return [folder / WEIGHTS_NAME]
    if (folder / INDEX_NAME).is_file():
        return _shards(folder / INDEX_NAME)
    indices = sorted(
        {
            *folder.glob(f"{STEM}.safetensors.index.*.json"),
            *folder.glob(f"{STEM}.*.safetensors.index.json"),
        }
    )
    files = [
        path for path in sorted(folder.glob(f"{STEM}.*.safetensors")) if "-of-" not in path.name
    ]
    choices = [*files, *indices]
    if len(choices) == 1:
        return files or _shards(indices[0])
    if choices:
        names = ", ".join(path.name for path in choices)
        raise BadUNetFolder(folder, f"holds several variants of its weights ({names})", "keep one")
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES)
    if pickles:
        raise BadUNetFolder(
            folder,
            f"holds pickled weights ({pickles[0]}), which are never read",
            "save them with diffusers' save_pretrained, which writes safetensors",
        )
    raise BadUNetFolder(folder, f"there is no {WEIGHTS_NAME} and no {INDEX_NAME}")


def _shards(index: Path) -> list[Path]:
    """The files that an index names, which must lie beside it."""
    try:
        names = sorted(set(read_json(index)["weight_map"].values()))
    except (JsonError, KeyError, TypeError, AttributeError) as error:
        raise BadUNetFolder(index, f"is no index of weights files: {error!r}") from error
    for name in names:
        if not isinstance(name, str) or Path(name).name != name:
            raise BadUNetFolder(index, f"names {name!r}, expected files beside it")
        if not (index.parent / name).is_file():
            raise BadUNetFolder(index, f"names {name}, but there is no such file beside it")
    return [index.parent / name for name in names]
