"""A device that is not there: no tensor is left behind, as on a card.

Fake tensors of device cuda have no numbers, but an operation on two devices raises as on a card.
Autograd cannot run on them, so a training step runs on the device meta.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from edgeswap_compress import Checkpoint
from edgeswap_compress.checkpoint._tiny_kinds import tiny_kind
from edgeswap_compress.checkpoint.tiny import tiny_checkpoint
from edgeswap_compress.fit.config import changed
from edgeswap_compress.fit.latent_cache import LatentGroups
from edgeswap_compress.fit.material.pairs import PairSet
from edgeswap_compress.fit.pairing import LabeledPairing

CUDA = torch.device("cuda", 0)


class _Numbers(TorchDispatchMode):
    """Answer a number where a loss is read that has none; fake and meta tensors would refuse."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            return {True: 0.5, False: 1}[args[0].is_floating_point()]
        if func is torch.ops.aten.equal.default:
            return True
        return func(*args, **(kwargs or {}))


ANSWERS = {Tensor.__float__: 0.5, Tensor.__int__: 1, Tensor.__bool__: True}
"""What a number reads as that is none."""


class _Python(TorchFunctionMode):
    """Do by operations that dispatch what Python's bindings ask the CUDA library for."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.__getitem__:
            return _at(args[0], args[1])
        if func is Tensor.__setitem__:
            return torch.ops.aten.copy_(_at(args[0], args[1]), torch.as_tensor(args[2]))
        if func is Tensor.copy_:
            return torch.ops.aten.copy_(args[0], args[1])
        if func is Tensor.__invert__:
            return torch.logical_not(args[0])
        if func in ANSWERS:
            return ANSWERS[func]
        if func is Tensor.contiguous:
            return args[0].clone(
                memory_format=(kwargs or {}).get("memory_format", torch.contiguous_format)
            )
        return func(*args, **(kwargs or {}))


def _at(x: Tensor, index: Any) -> Tensor:
    """Index a tensor by slices, numbers, None and at most one run of tensors."""
    parts = list(index) if isinstance(index, tuple) else [index]
    if any(part is Ellipsis for part in parts):
        place = next(i for i, part in enumerate(parts) if part is Ellipsis)
        taken = sum(part is not None and part is not Ellipsis for part in parts)
        parts[place : place + 1] = [slice(None)] * (x.ndim - taken)
    dim, chosen = 0, dict[int, Tensor]()
    for part in parts:
        if part is None:
            x, dim = x.unsqueeze(dim), dim + 1
        elif isinstance(part, slice):
            x, dim = (
                torch.ops.aten.slice.Tensor(x, dim, part.start, part.stop, part.step or 1),
                dim + 1,
            )
        elif isinstance(part, int):
            x = x.select(dim, part)
        else:
            part = torch.as_tensor(part)
            if part.dtype != torch.bool:  # of which nobody knows how many hold: all stay
                chosen[dim] = part
            dim += 1
    if chosen:
        x = torch.ops.aten.index.Tensor(x, [chosen.get(i) for i in range(dim)])
    return x


def _copied(tensor: Tensor, memo: dict[int, Any]) -> Any:
    """Stand in for ``Tensor.__deepcopy__``, which looks at the memory."""
    made = tensor.detach().clone()
    if isinstance(tensor, nn.Parameter):
        made = nn.Parameter(made, tensor.requires_grad)
    memo[id(tensor)] = made
    return made


def _replace(module: nn.Module, convert: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
    """Stand in for ``nn.Module._apply``, which changes tensors in place; fake ones refuse that."""
    for child in module.children():
        child._apply(convert)
    for name, parameter in module._parameters.items():
        if parameter is not None:
            module._parameters[name] = nn.Parameter(convert(parameter), parameter.requires_grad)
    for name, buffer in module._buffers.items():
        if buffer is not None:
            module._buffers[name] = convert(buffer)
    return module


@contextmanager
def fake_card() -> Iterator[torch.device]:
    with (
        torch.no_grad(),  # outermost: it is left by `set_grad_enabled`, which is patched within
        pytest.MonkeyPatch.context() as patch,
        FakeTensorMode(allow_non_fake_inputs=True),
        _Numbers(),
        _Python(),
    ):
        patch.setattr(nn.Module, "_apply", _replace)
        for kind in (Tensor, nn.Parameter):
            patch.setattr(kind, "__deepcopy__", _copied)
        patch.setattr(torch, "set_grad_enabled", lambda mode: nullcontext())
        patch.setattr(F, "cross_entropy", lambda scores, labels: (scores.sum(1) - labels).mean())
        yield CUDA


@contextmanager
def meta() -> Iterator[torch.device]:
    with _Numbers():
        yield torch.device("meta")


@dataclasses.dataclass
class Given:
    """What objectives are made of, on a device."""

    device: torch.device
    dataset: Any
    folder: Path

    @property
    def groups(self) -> LatentGroups:
        """Stay in the host's memory, as they do."""
        return LatentGroups(torch.zeros(4, 6, 4, 4, 4).half(), torch.ones(4, 6, 4, 4).half(), 2)

    @property
    def pairs(self) -> PairSet:
        """Of rendered groups."""
        return PairSet(known=self.groups, own=self.groups)

    def checkpoint(self, **settings: Any) -> Checkpoint:
        return tiny_checkpoint(**settings).to(torch.float32, self.device)

    def config(self, config: Any) -> Any:
        """Take the device as decided: resolving it would look for a card."""
        return changed(config, {"fit.device": "cpu", "fit.dtype": "float32"})

    def imported(self) -> Checkpoint:
        """A model that begins at the target, is blended, and sees features of a recognizer."""
        return tiny_kind("img2img", self.folder).to(torch.float32, self.device)

    @property
    def imported_pairs(self) -> PairSet:
        """Of photographs of three people, with the features of the recognizer."""
        groups = LatentGroups(torch.zeros(6, 1, 4, 8, 8).half(), torch.ones(6, 1, 8, 8).half(), 1)
        pairing = LabeledPairing(np.array([0, 0, 1, 1, 2, 2]), 0.5)
        features = {"projection.0": torch.zeros(6, 12).half()}
        return PairSet(known=groups, own=groups, pairing=pairing, features=features,
                       own_features=features)  # fmt: skip
