"""Check options, folders and files before torch is loaded."""

from __future__ import annotations

import shutil
from fnmatch import fnmatchcase
from pathlib import Path

from edgeswap_compress._pruning_errors import (
    AlreadyPruned,
    BadUNetFolder,
    HasCompanion,
    PruningError,
    UnsupportedModel,
)
from edgeswap_compress.checkpoint.defaults import calibration_dataset
from edgeswap_compress.checkpoint.swap_config import SwapConfig
from edgeswap_compress.diffusers_folder.companions import companion_message, companion_of
from edgeswap_compress.diffusers_folder.unet_home import (
    CONFIG_NAME,
    PLAN_NAME,
    read_unet_config,
    unet_home,
)
from edgeswap_compress.diffusers_folder.unet_kinds import unprunable_block
from edgeswap_compress.diffusers_folder.weight_files import weight_files
from edgeswap_compress.errors import InvalidCheckpoint
from edgeswap_compress.prune.config import NEED_SAMPLES, PruneConfig, RecoverConfig
from edgeswap_runtime.errors import OutputExists
from edgeswap_runtime.strict_json import JsonError, read_json_object

TOP = ("conv_in", "down_blocks", "mid_block", "up_blocks", "conv_out")
"""Parts of every U-Net; a pattern that protects them all leaves nothing to prune."""


def check_folders(checkpoint: Path, out: Path) -> None:
    """Check that an unpruned U-Net can be read, and that its pruned copy can be written.

    Raises:
        OutputExists: `out` is taken.
        BadUNetFolder, UnsupportedModel, InvalidCheckpoint: there is no U-Net as its config says.
        HasCompanion: something beside the U-Net would be lost.
        AlreadyPruned: it has a plan.
        PruningError: the disk is too small.
    """
    if out.exists() or out.is_symlink():
        raise OutputExists(out)
    home = checkpoint / "unet" if is_swap(checkpoint) else unet_home(checkpoint)
    if is_swap(checkpoint):
        swap = _swap_config(checkpoint)
        kept = () if swap is None or swap.controlnet is None else ("controlnet",)
        if (found := companion_of(checkpoint, kept=kept)) is not None:
            raise HasCompanion(companion_message(checkpoint, *found))
    if not (home / CONFIG_NAME).is_file():
        where = str(home / CONFIG_NAME)
        raise InvalidCheckpoint(where, expected="a JSON file", found="no file")
    block = unprunable_block(read_unet_config(home / CONFIG_NAME))
    if block is not None:
        raise UnsupportedModel(block)
    files = weight_files(home)
    if (home / PLAN_NAME).exists():
        raise AlreadyPruned(checkpoint)
    _check_disk(files, out)


def _check_disk(files: list[Path], out: Path) -> None:
    """A pruned U-Net takes no more than the whole one."""
    parent = next(folder for folder in out.absolute().parents if folder.exists())
    if not parent.is_dir():
        raise BadUNetFolder(
            parent, "is a file, so no folder can be made in it", "name another output"
        )
    needed, free = sum(file.stat().st_size for file in files), shutil.disk_usage(parent).free
    if needed > free:
        raise PruningError(
            f"{out} may take {needed / 1e6:.0f} MB, but {free / 1e6:.0f} MB are free in {parent}: "
            "free some space, or name an output on another disk"
        )


def check_config(
    config: PruneConfig,
    recover: RecoverConfig | None,
    checkpoint: Path,
    *,
    data: Path | None,
    held_out: Path | None,
    table: Path | None,
) -> None:
    """Check that the files named can give what a config asks for.

    Args:
        config: of the pruning.
        recover: of the training after it, or None.
        checkpoint: folder that `check_folders` has checked.
        data: dataset to compare plans on and to learn from, or None.
        held_out: dataset for the figures, or None.
        table: file of block latencies, or None.

    Raises:
        PruningError: samples, data or modules are missing, or a bare U-Net shall learn.
        BadFolder, DatasetDamaged: a dataset is not there.
    """
    for pattern in config.choice.protect:
        if all(fnmatchcase(name, pattern) for name in TOP):
            raise PruningError(
                f"the pattern '{pattern}' protects the whole U-Net, so nothing is left to prune: "
                "expected some modules, such as 'mid_block' or '*.attn2'"
            )
    from edgeswap_compress.data import open_pictures

    opened = {path: open_pictures(path, loose=True) for path in (data, held_out) if path}
    sizes = {path: pictures.images(0).shape[1] for path, pictures in opened.items()}
    if table is not None and table.exists():
        _check_table(table)
    if recover is not None and data is None:
        raise PruningError(
            "recovery learns from pictures, and there are none: "
            "name a dataset with --data, or leave --recover-minutes out"
        )
    if not is_swap(checkpoint):
        _check_bare(checkpoint, recover, data)
        return
    swap = _swap_config(checkpoint)
    side = None if swap is None else swap.resolution_px
    for path, size in sizes.items():
        if side is not None and size != side:
            raise PruningError(
                f"{path} has crops of {size} px, the checkpoint swaps {side} px: expected the "
                f"same; render with --size {side}, or edgeswap data align --size {side}"
            )
    needs = config.choice.compares or config.choice.importance in NEED_SAMPLES
    if needs and data is None and config.samples != 0 and side != _packaged_side():
        raise PruningError(
            f"--importance {config.choice.importance}, --mode {config.choice.mode} and "
            f"--allocation {config.choice.allocation} compare plans on samples, and no packaged "
            "ones have the checkpoint's size: name a dataset with --data, or use "
            "--importance magnitude --mode width --allocation share"
        )


def _check_bare(checkpoint: Path, recover: RecoverConfig | None, data: Path | None) -> None:
    if recover is not None:
        raise PruningError(
            f"{checkpoint} holds a bare U-Net, which nothing says how to train: expected "
            "a swap checkpoint; leave the recovery out"
        )
    if data is not None:
        raise PruningError(
            f"{checkpoint} holds a bare U-Net, which does not say how pictures become its inputs: "
            "expected a swap checkpoint with --data; leave --data out, and noise is taken"
        )


def _check_table(path: Path) -> None:
    """The shape alone; whether it is of this U-Net shows later."""
    try:
        good = isinstance(read_json_object(path).get("blocks"), dict)
    except (OSError, JsonError):
        good = False
    if not good:
        raise PruningError(f"{path} is no table of latencies: remove it, and it is measured anew")


def is_swap(checkpoint: Path) -> bool:
    """Tell whether a folder is a swap checkpoint rather than a bare U-Net."""
    return (checkpoint / "swap.json").exists()


def _swap_config(checkpoint: Path) -> SwapConfig | None:
    """Read a swap checkpoint's settings; None where its swap.json is damaged.

    Loading the checkpoint then says what is wrong.
    """
    try:
        raw = read_json_object(checkpoint / "swap.json")
        raw.pop("files", None)
        return SwapConfig.from_json(raw)
    except (OSError, JsonError, InvalidCheckpoint):
        return None


def _packaged_side() -> int:
    from edgeswap_compress.data import read_dataset

    return int(read_dataset(calibration_dataset()).images(0).shape[1])
