"""Run recognizers and image encoders, which are ONNX files, on crops of torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors
from torch import Tensor

from edgeswap_compress.conditioning.specs import PictureFeature
from edgeswap_compress.errors import InvalidCheckpoint

ORT_ERRORS: tuple[type[Exception], ...] = (
    RuntimeError,
    *(e for e in vars(ort_errors).values() if isinstance(e, type) and issubclass(e, Exception)),
)
"""Everything that ONNX Runtime raises; there is no common base."""


class OnnxFeatures:
    """Computes features by ONNX files on the CPU; a file is opened when it is first needed.

    Args:
        files: name of a file, as swap.json has it -> where it lies.
    """

    def __init__(self, files: Mapping[str, Path]) -> None:
        self.files = dict(files)
        self._sessions: dict[str, Any] = {}

    def __call__(self, feature: PictureFeature, crops: Tensor) -> Tensor:
        """Compute a feature of each crop.

        Args:
            feature: the file, and its output.
            crops: (N, 3, R, R), normalized as its crop says.

        Returns:
            (N, ...) float32, as the file gives it.
        """
        session = self._session(feature)
        name, given = self.output(feature), session.get_inputs()[0].name
        pictures = crops.detach().cpu().float().numpy()
        rows = [session.run([name], {given: pictures[i : i + 1]})[0] for i in range(len(pictures))]
        return torch.from_numpy(np.concatenate(rows)).to(crops.device)

    def output(self, feature: PictureFeature) -> str:
        """Name the output of the file that a feature is.

        Raises:
            InvalidCheckpoint: the file has no such output, or several and none is named.
        """
        names = [output.name for output in self._session(feature).get_outputs()]
        wanted = names[0] if feature.output is None and len(names) == 1 else feature.output
        if wanted not in names:
            raise InvalidCheckpoint(
                f"{feature.file}: output", expected=f"one of {names}", found=feature.output
            )
        return str(wanted)

    def shape(self, feature: PictureFeature) -> tuple[int, ...]:
        """Give the shape (1, ...) of a feature of one crop."""
        session = self._session(feature)
        given = session.get_inputs()[0]
        side = [size if isinstance(size, int) else 1 for size in given.shape]
        stated = {output.name: output.shape for output in session.get_outputs()}
        shape = stated[self.output(feature)]
        if all(isinstance(size, int) for size in shape[1:]):
            return (1, *shape[1:])
        blank = {given.name: np.zeros(side, np.float32)}
        found = session.run([self.output(feature)], blank)[0].shape
        return (1, *found[1:])

    def ports(self, feature: PictureFeature) -> tuple[list[Any], list[Any]]:
        """List the file's inputs and outputs: onnxruntime's, each with name, type and shape."""
        session = self._session(feature)
        return session.get_inputs(), session.get_outputs()

    def _session(self, feature: PictureFeature) -> Any:
        if feature.file not in self._sessions:
            self._sessions[feature.file] = self._open(feature.file)
        return self._sessions[feature.file]

    def _open(self, file: str) -> Any:
        options = ort.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4
        path = self.files[file]
        try:
            session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except ORT_ERRORS as error:
            first = str(error).splitlines()[0]
            raise InvalidCheckpoint(str(path), expected="an ONNX file", found=first) from error
        inputs = session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4:
            found = [f"{value.name} {value.shape}" for value in inputs]
            raise InvalidCheckpoint(
                f"{path}: inputs", expected="one picture (1, 3, R, R)", found=found
            )
        return session
