"""Write the config.pbtxt of a Triton model.

Source:
    `ModelConfig` in model_config.proto of triton-inference-server/common, and the chapters "Model
    Configuration" and "Ensemble Models" of the server's user guide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgeswap_runtime.bundle.manifest import Tensor

KINDS = {"float32": "TYPE_FP32"}
"""numpy's name of an element type -> Triton's; inputs and outputs of a bundle are float32."""

ACCELERATORS = ("tensorrt",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """How the server joins requests to batches.

    Attributes:
        largest: most requests in a batch.
        preferred: size of a batch that is run without waiting.
        delay_us: microseconds that a request waits for others.
    """

    largest: int
    preferred: int
    delay_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One model of an ensemble.

    Attributes:
        model: its name.
        inputs: name of an input -> name of a tensor of the ensemble.
        outputs: the same of its outputs.
    """

    model: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


def model_config(
    name: str,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    batching: Batching,
    accelerator: str | None = None,
) -> str:
    """Write the config.pbtxt of one ONNX graph.

    Args:
        name: name of the model and of its folder.
        inputs: of the graph; the first axis is the batch, which Triton adds itself.
        outputs: likewise.
        batching: how requests are joined.
        accelerator: one of ACCELERATORS, for ONNX Runtime on a GPU; None for none.
    """
    lines = [
        f'name: "{name}"',
        'backend: "onnxruntime"',
        'default_model_filename: "model.onnx"',
        *_borders(inputs, outputs, batching),
        "dynamic_batching {",
        f"  preferred_batch_size: [ {batching.preferred} ]",
        f"  max_queue_delay_microseconds: {batching.delay_us}",
        "}",
    ]
    if accelerator is not None:
        lines += [
            "optimization { execution_accelerators {",
            f'  gpu_execution_accelerator [ {{ name: "{accelerator}" }} ]',
            "} }",
        ]
    return "\n".join(lines) + "\n"


def ensemble_config(
    name: str,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    batching: Batching,
    steps: Sequence[Step],
) -> str:
    """Write the config.pbtxt of an ensemble: models whose outputs feed each other in the server.

    Args:
        name: name of the ensemble and of its folder.
        inputs: of the ensemble; the first axis is the batch.
        outputs: likewise.
        batching: gives the largest batch.
        steps: the models, in order.
    """
    lines = [
        f'name: "{name}"',
        'platform: "ensemble"',
        *_borders(inputs, outputs, batching),
        "ensemble_scheduling {",
    ]
    for step in steps:
        lines += ["  step {", f'    model_name: "{step.model}"', "    model_version: -1"]
        for field, names in (("input_map", step.inputs), ("output_map", step.outputs)):
            lines += [
                f'    {field} {{ key: "{key}" value: "{value}" }}' for key, value in names.items()
            ]
        lines.append("  }")
    return "\n".join([*lines, "}"]) + "\n"


def _borders(inputs: Sequence[Tensor], outputs: Sequence[Tensor], batching: Batching) -> list[str]:
    lines = [f"max_batch_size: {batching.largest}"]
    for field, tensors in (("input", inputs), ("output", outputs)):
        for tensor in tensors:
            dims = ", ".join(str(size) for size in tensor.shape[1:])
            lines.append(
                f'{field} {{ name: "{tensor.name}" data_type: {KINDS[tensor.dtype]}'
                f" dims: [ {dims} ] }}"
            )
    return lines
