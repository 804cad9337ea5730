"""The U-Net of a checkpoint or of a diffusers folder, in torch, as a function of named arrays."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch
from _worker import inputs


def torch_unet(
    options: argparse.Namespace, compile_it: Callable[[Any], Any] = lambda module: module
) -> Callable[[], Any]:
    """Load the U-Net in the asked dtype.

    Args:
        options: of the peer.
        compile_it: wraps the module.

    Returns:
        A function that evaluates it once and returns the output as a float32 array.
    """
    torch.set_num_threads(options.threads)
    dtype = getattr(torch, options.dtype)
    module, names = _load(options, dtype)
    module = module.eval().requires_grad_(False)
    if dtype == torch.bfloat16:
        module = module.to(memory_format=torch.channels_last)
    tensors = [_tensor(array, dtype) for array in _ordered(inputs(options), names)]
    run = compile_it(module)

    @torch.inference_mode()
    def call() -> Any:
        return run(*tensors)[0].float().numpy()

    return call


def _load(options: argparse.Namespace, dtype: torch.dtype) -> tuple[Any, list[str]]:
    """The module that the exporter writes, and the names of its inputs, in order."""
    if (options.model / "swap.json").is_file():
        from edgeswap_compress import Checkpoint
        from edgeswap_export.graphs.example import seeded_example
        from edgeswap_export.graphs.swap_graphs import torch_graphs

        checkpoint = Checkpoint.load(options.model)
        sample = seeded_example(checkpoint.swap)
        graphs = torch_graphs(checkpoint, sample.target, sample.source, sample.noise)
        return graphs["denoise"].module.to(dtype), list(graphs["denoise"].inputs)
    from edgeswap_compress.plan.folder import read_unet_folder
    from edgeswap_export.unet.stage import UNetGraph

    names = list(inputs(options))
    graph = UNetGraph(read_unet_folder(options.model, dtype=dtype).unet, tuple(names))
    graph.dtype = dtype
    return graph, names


def _ordered(arrays: dict[str, Any], names: list[str]) -> list[Any]:
    return [arrays[name] for name in names]


def _tensor(array: Any, dtype: torch.dtype) -> torch.Tensor:
    tensor = torch.from_numpy(array)
    return tensor.to(dtype) if tensor.is_floating_point() else tensor
