"""Export a bare diffusers U-Net, whole or pruned, as one ONNX graph, and prove it."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgeswap_compress.diffusers_folder.example_inputs import example_inputs
from edgeswap_compress.fit.machine.device import AUTO, resolve_device
from edgeswap_compress.plan.folder import CONFIG_NAME, read_unet_folder, unet_home
from edgeswap_export._config import ExportConfig, license_of
from edgeswap_export._errors import UnsupportedExport
from edgeswap_export.graphs.example import SEED
from edgeswap_export.graphs.finite import require_finite_answers
from edgeswap_export.graphs.to_onnx import (
    check_file,
    require_dynamic_axes,
    strip,
    torch_program,
    write_onnx,
)
from edgeswap_export.parity.compare import output_parity
from edgeswap_export.precision.convert import allowed
from edgeswap_export.precision.run import open_session
from edgeswap_export.unet._half import PeakRecorder, float32_nodes, to_half
from edgeswap_runtime.files import canonical_json, new_folder, sha256_file, write_json

NAME = "denoise"
KIND = "edgeswap-unet"
PACKAGES = ("edgeswap", "torch", "diffusers", "onnx", "onnxscript", "onnxruntime")
PRECISIONS = ("fp32", "fp16")
MIDDLE = 500.0
"""The example's timestep: the middle of the 1000 of the Stable Diffusion family."""

_SETTINGS = ("name", "precision", "batch", "license", "origin")
_AXES = {
    "sample": ("batch", "channel", "height", "width"),
    "encoder_hidden_states": ("batch", "token", "channel"),
    "output": ("batch", "channel", "height", "width"),
    "timestep": ("batch",),
}


class UNetGraph(nn.Module):
    """One evaluation of a diffusers U-Net, with float32 inputs and outputs.

    Args:
        unet: the model, in `self.dtype`.
        names: names of the tensors that `forward` takes, in order.
    """

    def __init__(self, unet: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.unet, self.names = unet, names
        self.dtype = torch.float32

    def forward(self, *tensors: Tensor) -> tuple[Tensor]:
        """Evaluate the U-Net.

        Args:
            tensors: in the order of `names`.

        Returns:
            one tensor (N, C, S, S) float32, the U-Net's prediction.
        """
        given = dict(zip(self.names, tensors, strict=True))
        timestep = given.pop("timestep")
        # The U-Net joins these two with float32 sines, and casts them itself.
        added = {k: given.pop(k) for k in ("text_embeds", "time_ids") if k in given}
        cast: dict[str, Any] = {
            k: v.to(self.dtype) if v.is_floating_point() else v for k, v in given.items()
        }
        sample = cast.pop("sample")
        if added:
            cast["added_cond_kwargs"] = added
        answer: Tensor = self.unet(sample, timestep, **cast, return_dict=False)[0]
        return (answer.float(),)


def is_unet_folder(path: Path | str) -> bool:
    """Whether a folder holds a diffusers U-Net and is no swap checkpoint."""
    folder = Path(path)
    bare = [folder / CONFIG_NAME, folder / "unet" / CONFIG_NAME]
    return not (folder / "swap.json").exists() and any(file.is_file() for file in bare)


def export_unet(
    folder: Path | str,
    config: ExportConfig,
    out: Path | str,
    *,
    device: str = AUTO,
    progress: Callable[[str], None] = lambda line: None,
) -> Path:
    """Write a U-Net as an ONNX graph and prove that it computes what torch computes.

    Args:
        folder: of a diffusers U-Net, of a pipeline, or of what `edgeswap prune` made of one.
        config: name, precision (fp32 or fp16), batch, license and origin are used; the other
            settings are of swap checkpoints and must have their defaults.
        out: the folder to make: denoise.onnx, with its weights beside it above 1 GB, and
            denoise.json, which states tensors, precision, hashes and parity.
        device: that torch computes the reference on, see `check_device`.
        progress: called with one line for each thing begun.

    Returns:
        `out`.

    Raises:
        OutputExists: ``out`` exists.
        BadUNetFolder, UnsupportedModel, BadPlan: see `edgeswap_compress.prune.load_unet`.
        UnsupportedExport: a setting does not apply to a bare U-Net, or float16 cannot hold its
            values.
        ParityFailed: ONNX Runtime and torch differ by more than the precision allows.
        GraphNotExported: the graph could not be written.
    """
    _check_settings(config)
    reference = resolve_device(device, training=False)
    with new_folder(Path(out)) as partial:
        progress(f"loading {folder}")
        read = read_unet_folder(folder, dtype=torch.float32)
        plan = None if read.plan is None else read.plan.to_json()
        example = _example(read.unet.config)
        graph = UNetGraph(read.unet.requires_grad_(False), tuple(example)).eval()
        del read
        expected, kept = _answers(graph, example, config.graphs.precision, reference, progress)
        require_finite_answers(NAME, {"output": expected})
        progress("writing graph denoise")
        _write(partial, graph, example, config.graphs.batch)
        del graph
        check_file(partial / f"{NAME}.onnx", NAME)
        progress("comparing the graph with torch")
        parity = _prove(partial, example, expected, config.graphs.precision)
        stated = _statement(config, example, expected, kept, parity)
        stated["name"] = config.info.name or Path(folder).resolve().name
        stated["source"] = {
            "config_sha256": sha256_file(unet_home(Path(folder)) / CONFIG_NAME),
            "plan_sha256": plan and hashlib.sha256(canonical_json(plan)).hexdigest(),
        }
        stated["files"] = _hashes(partial)
        write_json(partial / f"{NAME}.json", stated)
    return Path(out)


def _check_settings(config: ExportConfig) -> None:
    plain = ExportConfig().to_json()
    for name, value in config.to_json().items():
        if name not in (*_SETTINGS, "detector") and value != plain[name]:
            raise UnsupportedExport(
                f"{name} is of no use for a bare U-Net, which has one graph and no sampler:"
                f" expected some of {', '.join(_SETTINGS)}"
            )
    if config.graphs.precision not in PRECISIONS:
        raise UnsupportedExport(
            f"a bare U-Net in {config.graphs.precision} cannot be calibrated or proven here:"
            f" expected {' or '.join(PRECISIONS)}"
        )


def _example(config: Any) -> dict[str, Tensor]:
    """Draw seeded standard normal inputs; labels are 0, the timestep is in the middle."""
    given = example_inputs(config)
    given |= given.pop("added_cond_kwargs", {})
    random = np.random.default_rng(SEED)
    example = {}
    for name, like in given.items():
        values = random.standard_normal(tuple(like.shape), dtype=np.float32)
        example[name] = torch.from_numpy(values).to(like.dtype)
    like = given["timestep"]
    middle = min(MIDDLE, (config.get("num_train_timesteps") or 2 * MIDDLE) // 2)
    example["timestep"] = torch.full(tuple(like.shape), middle, dtype=like.dtype)
    if "class_labels" in example and not example["class_labels"].is_floating_point():
        example["class_labels"] = torch.zeros_like(example["class_labels"])
    return example


@torch.no_grad()
def _answers(
    graph: UNetGraph,
    example: dict[str, Tensor],
    precision: str,
    device: torch.device,
    progress: Callable[[str], None],
) -> tuple[Tensor, list[str]]:
    """Compute torch's float32 output; for fp16 convert the U-Net.

    Returns:
        the output, and the names of the layers that stay float32.
    """
    progress("asking torch")
    nn.Module.to(graph, device)
    with PeakRecorder(graph.unet) as watch, torch.backends.cudnn.flags(allow_tf32=False):
        expected = graph(*(value.to(device) for value in example.values()))[0].cpu()
    nn.Module.to(graph, "cpu")
    if precision == "fp32":
        return expected, []
    kept = float32_nodes(graph.unet, watch.peaks)
    to_half(graph.unet, kept)
    graph.dtype = torch.float16
    return expected, kept


def _write(
    folder: Path,
    graph: UNetGraph,
    example: dict[str, Tensor],
    batch: tuple[int, int, int] | None,
) -> None:
    axes = None
    if batch is not None:
        example = {k: v.repeat(2, *[1] * (v.ndim - 1)) for k, v in example.items()}
        axes = {name: {0: "batch"} for name in example}
    model = torch_program(NAME, graph, example, ("output",), axes).model_proto
    strip(model, NAME)
    if axes is not None:
        require_dynamic_axes(model, NAME, axes)
    write_onnx(folder, NAME, model)


def _prove(
    folder: Path, example: dict[str, Tensor], expected: Tensor, precision: str
) -> dict[str, Any]:
    session = open_session(str(folder / f"{NAME}.onnx"), "basic", lean=True)
    (found,) = session.run(["output"], {name: value.numpy() for name, value in example.items()})
    tolerance = None if precision == "fp32" else allowed(precision)
    report = output_parity(
        NAME, {"output": found}, {"output": expected.numpy()}, tolerance, lambda name: None
    )
    return {
        "backend": f"onnxruntime cpu {precision}",
        "reference": "torch cpu fp32",
        "probe_seed": SEED,
        "graphs": {NAME: report},
        "tolerance_of": "rms" if tolerance else "relative",
    }


def _statement(
    config: ExportConfig,
    example: dict[str, Tensor],
    expected: Tensor,
    kept: list[str],
    parity: dict[str, Any],
) -> dict[str, Any]:
    def tensor(name: str, value: Tensor) -> dict[str, Any]:
        sizes: list[int | str] = list(value.shape)
        axes = _AXES.get(name, ("batch", "channel")[: value.ndim])
        dtype = str(value.dtype).removeprefix("torch.")
        if config.graphs.batch is not None:
            sizes[0] = "batch"
        return {"name": name, "dtype": dtype, "shape": sizes, "axes": list(axes)}

    license_name, origin = license_of(config)
    return {
        "schema": 1,
        "kind": KIND,
        "made_with": {name: importlib.metadata.version(name) for name in PACKAGES},
        "precision": config.graphs.precision,
        "float32_nodes": {"overflow": kept} if kept else {},
        "inputs": [tensor(name, value) for name, value in example.items()],
        "outputs": [tensor("output", expected)],
        "dynamic_axes": {} if config.graphs.batch is None else {"batch": list(config.graphs.batch)},
        "license": license_name,
        "origin": origin,
        "parity": parity,
    }


def _hashes(folder: Path) -> dict[str, dict[str, Any]]:
    return {
        path.name: {"sha256": sha256_file(path), "bytes": path.stat().st_size}
        for path in sorted(folder.iterdir())
    }
