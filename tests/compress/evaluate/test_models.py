"""Checkpoints in torch and bundles in the runtime, behind one face."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.checkpoint.latents import decode_sample, encode_crop
from edgeswap_compress.checkpoint.target_maps import TargetMaps
from edgeswap_compress.checkpoint.tiny import tiny_checkpoint
from edgeswap_compress.errors import InvalidSettings
from edgeswap_compress.evaluate._errors import InvalidEvaluation
from edgeswap_compress.evaluate.models import Sampling, open_bundle, open_model
from edgeswap_runtime import BadBundle, Bundle, FakeBackend
from edgeswap_runtime.bundle.manifest import (
    CropSpec,
    Graph,
    GraphInput,
    Manifest,
    Mask,
    Schedule,
    ScheduleRow,
    Tensor,
)
from edgeswap_runtime.errors import BadFolder, InvalidRequest

Arrays = dict[str, NDArray[Any]]
DETECTED = tuple(f"{kind}_{s}" for kind in ("cls", "obj", "bbox", "kps") for s in (8, 16, 32))
CONDITION = ("tokens", "vector", "source_latents")
ROLES = {
    "target": "crop:model/target",
    "source": "crop:model/source",
    "target_latents": "output:encode/target_latents",
    **{name: f"output:identity/{name}" for name in CONDITION},
}


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return tiny_checkpoint(guidance_scale=1.5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, checkpoint: Checkpoint) -> Path:
    return checkpoint.save(tmp_path_factory.mktemp("models") / "checkpoint")


@pytest.fixture
def crops() -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]:
    """Three targets, their sources, and the noise to start from."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (2, 3, 24, 24, 3), dtype=np.uint8)
    return pictures[0], pictures[1], rng.standard_normal((3, 4, 4, 4), dtype=np.float32)


def graph(name: str, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Graph:
    def tensor(name: str) -> Tensor:
        shape: tuple[int | str, ...] = (1, 4, 4, 4)  # latents
        if name in ("target", "source", "crop"):
            shape = (1, 3, 24, 24)
        elif name in ("tokens", "vector", *DETECTED):
            shape = (1, "size", "value")[: 2 if name == "vector" else 3]
        elif name in ("timestep", "guidance"):
            shape = (1,)
        return Tensor(name=name, dtype="float32", shape=shape, axes=tuple("nchw")[: len(shape)])

    picture = GraphInput(
        name="input", dtype="float32", shape=(1, 3, 64, 64), axes=tuple("nchw"), role="picture"
    )
    return Graph(
        file=f"{name}.onnx",
        precision="fp32",
        inputs=(picture,)
        if name == "detector"
        else tuple(
            GraphInput(role=ROLES.get(key, key), **dataclasses.asdict(tensor(key)))
            for key in inputs
        ),
        outputs=tuple(map(tensor, outputs)),
    )


def manifest(checkpoint: Checkpoint, *, guidance_input: bool = True) -> Manifest:
    """A bundle's manifest that means the checkpoint at one DDIM step, t = 999, where x0 = -v."""
    swap = checkpoint.swap
    given = ("sample", "timestep", "target_latents", *CONDITION)
    row = ScheduleRow(timestep=999.0, sample=0.0, output=-1.0)
    return Manifest(
        name="tiny",
        made_with={},
        crops={"model": CropSpec(size_px=swap.resolution_px, landmarks_px=swap.landmarks_px)},
        mask=Mask(**dataclasses.asdict(swap.mask)),
        graphs={
            "encode": graph("encode", ("target",), ("target_latents",)),
            "identity": graph("identity", ("source",), CONDITION),
            "denoise": graph(
                "denoise", (*given, "guidance") if guidance_input else given, ("output",)
            ),
            "decode": graph("decode", ("sample", "target_latents"), ("crop",)),
            "detector": graph("detector", (), DETECTED),
        },
        guidance_scale=swap.guidance_scale if guidance_input else 1.0,
        schedules={"one": Schedule(sampler="ddim", steps=1, initial_noise_scale=1.0, rows=(row,))},
        default_schedule="one",
        manifest_sha256="a" * 64,
    )


def graphs(checkpoint: Checkpoint) -> dict[str, Callable[[Arrays], Arrays]]:
    """The checkpoint's modules as a bundle's graphs."""
    vae, swap = checkpoint.vae, checkpoint.swap

    def torch_graph(function: Callable[..., dict[str, torch.Tensor]]) -> Callable[[Arrays], Arrays]:
        @torch.no_grad()
        def run(inputs: Arrays) -> Arrays:
            tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
            return {name: value.numpy() for name, value in function(**tensors).items()}

        return run

    def identity(source: torch.Tensor) -> dict[str, torch.Tensor]:
        condition = checkpoint.conditioner.condition(encode_crop(vae, swap, source))
        return {name: condition.named()[name] for name in CONDITION}

    def denoise(sample: Any, timestep: Any, target_latents: Any, **rest: Any) -> Any:
        null = checkpoint.conditioner.null(len(sample))
        condition = null.of_named({name: rest[name] for name in CONDITION})
        evaluate, target = checkpoint.denoiser().guided, TargetMaps(target_latents)
        scale = rest.get("guidance", 1.0)
        return {"output": evaluate(sample, timestep, target, condition, null, scale)}

    return {
        "encode": torch_graph(lambda target: {"target_latents": encode_crop(vae, swap, target)}),
        "identity": torch_graph(identity),
        "denoise": torch_graph(denoise),
        "decode": torch_graph(
            lambda sample, target_latents: {
                "crop": decode_sample(vae, swap, sample, target_latents)
            }
        ),
    }


def test_a_checkpoint_says_what_it_is(folder: Path, checkpoint: Checkpoint) -> None:
    with open_model(folder, Sampling(dtype="float32")) as model:
        facts = model.facts
    assert (facts.kind, facts.steps, facts.guidance) == ("checkpoint", 4, 1.5)
    assert (facts.sampler, facts.precision) == ("ddim", "float32")
    assert (facts.resolution_px, facts.latent_shape) == (24, (4, 4, 4))
    assert facts.landmarks_px == checkpoint.swap.landmarks_px
    assert facts.mask.radii_px == checkpoint.swap.mask.radii_px
    with open_model(folder, Sampling(steps=2, guidance=1.0, dtype="float32")) as model:
        assert (model.facts.steps, model.facts.guidance) == (2, 1.0)


def test_a_checkpoint_is_known_by_its_files(tmp_path: Path, folder: Path) -> None:
    def sha256(path: Path) -> str:
        with open_model(path, Sampling()) as model:
            return model.facts.sha256

    same = tiny_checkpoint(guidance_scale=1.5).save(tmp_path / "same")
    other = tiny_checkpoint(seed=1, guidance_scale=1.5).save(tmp_path / "other")
    assert sha256(folder) == sha256(same) != sha256(other)


def test_a_checkpoint_swaps_by_its_pipeline(folder: Path, crops: Any) -> None:
    from edgeswap_compress.checkpoint.pipeline import SwapPipeline
    from edgeswap_compress.fit.latent_cache import to_tensor

    targets, sources, noise = crops
    with open_model(folder, Sampling(steps=2, dtype="float32")) as model:
        swapped = model.swap(*crops)
        rebuilt = model.reconstruct(targets)
    pipeline = SwapPipeline.from_checkpoint(Checkpoint.load(folder))
    expected = pipeline(
        to_tensor(targets),
        to_tensor(sources),
        num_inference_steps=2,
        noise=torch.from_numpy(noise),
    ).crops.permute(0, 2, 3, 1)
    assert swapped.shape == (3, 24, 24, 3) and swapped.dtype == np.uint8
    assert np.abs(swapped - (expected.numpy() + 1) * 127.5).max() <= 0.51
    assert rebuilt is not None and rebuilt.shape == swapped.shape
    assert (rebuilt != swapped).any()


def test_bfloat16_is_near_float32(folder: Path, crops: Any) -> None:
    found = []
    for dtype in ("float32", "bfloat16"):
        with open_model(folder, Sampling(steps=1, guidance=1.0, dtype=dtype)) as model:
            assert model.facts.precision == dtype
            found.append(model.swap(*crops).astype(float))
    apart = np.abs(found[0] - found[1]).mean()
    assert 0 < apart < 3


@pytest.mark.parametrize("guidance", [None, 1.0, 2.0])
def test_bundle_and_checkpoint_give_the_same_swaps(
    folder: Path, checkpoint: Checkpoint, crops: Any, guidance: float | None
) -> None:
    bundle = Bundle(path=Path("tiny"), manifest=manifest(checkpoint))
    with open_model(folder, Sampling(steps=1, guidance=guidance, dtype="float32")) as model:
        in_torch = model.swap(*crops)
        facts = model.facts
    backend = FakeBackend(graphs(checkpoint))
    with open_bundle(bundle, Sampling(guidance=guidance), backend=backend) as model:
        in_runtime = model.swap(*crops)
        assert model.reconstruct(crops[0]) is None
        for name in ("steps", "guidance", "resolution_px", "latent_shape", "landmarks_px", "mask"):
            assert getattr(model.facts, name) == getattr(facts, name)
        assert (model.facts.kind, model.facts.precision) == ("bundle", "fp32")
        assert model.facts.sha256 == "a" * 64
    # one gray level: the two round the same float32 values, computed in other batches
    assert np.abs(in_torch.astype(int) - in_runtime).max() <= 1


def test_a_bundle_keeps_its_precision(checkpoint: Checkpoint) -> None:
    bundle = Bundle(path=Path("tiny"), manifest=manifest(checkpoint))
    with (
        pytest.raises(InvalidEvaluation, match="fixed at export: leave --dtype out"),
        open_bundle(bundle, Sampling(dtype="float32"), backend=FakeBackend({})),
    ):
        pass


def test_a_bundle_without_guidance_cannot_have_it(checkpoint: Checkpoint) -> None:
    plain = Bundle(path=Path("tiny"), manifest=manifest(checkpoint, guidance_input=False))
    with (
        pytest.raises(
            InvalidEvaluation, match=r"guidance 2\.0 cannot be asked of a bundle exported"
        ),
        open_bundle(plain, Sampling(guidance=2.0), backend=FakeBackend({})),
    ):
        pass
    with open_bundle(plain, Sampling(guidance=1.0), backend=FakeBackend({})) as model:
        assert model.facts.guidance == 1.0


def test_a_bundle_has_the_steps_it_was_exported_with(checkpoint: Checkpoint) -> None:
    bundle = Bundle(path=Path("tiny"), manifest=manifest(checkpoint))
    with (
        pytest.raises(InvalidRequest, match="no schedule of 7 steps"),
        open_bundle(bundle, Sampling(steps=7), backend=FakeBackend({})),
    ):
        pass


def test_neither_checkpoint_nor_bundle(tmp_path: Path) -> None:
    with (
        pytest.raises(
            BadFolder, match=r"a folder with swap\.json or manifest\.json, found an empty folder"
        ),
        open_model(tmp_path, Sampling()),
    ):
        pass
    with (
        pytest.raises(BadFolder, match="found nothing; make one with edgeswap train"),
        open_model(tmp_path / "none", Sampling()),
    ):
        pass


def test_a_damaged_bundle_is_told_by_the_runtime(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    with (
        pytest.raises(BadBundle, match="does not state a schema"),
        open_model(tmp_path, Sampling()),
    ):
        pass


def test_swaps_that_are_not_finite_are_refused(folder: Path, crops: Any) -> None:
    """As a model whose activations overflow gives them."""
    with open_model(folder, Sampling(steps=1, dtype="float32")) as model:
        opened: Any = model
        with torch.no_grad():
            opened._pipeline.vae.decoder.conv_out.bias.fill_(float("nan"))
        with pytest.raises(InvalidEvaluation, match="swaps hold values that are not finite"):
            model.swap(*crops)


@pytest.mark.parametrize(
    ("sampling", "message"),
    [
        ({"steps": 0}, "steps 0: expected 1 to 1000"),
        ({"steps": 1001}, "steps 1001: expected 1 to 1000"),
        ({"guidance": 0.5}, r"guidance 0.5: expected 1.0 \(none\) to 100"),
        ({"guidance": 1e30}, r"guidance 1e\+30: expected 1.0 \(none\) to 100"),
        ({"guidance": float("nan")}, "guidance nan"),
        ({"dtype": "int8"}, "dtype 'int8': expected one of auto, float32, bfloat16, float16"),
    ],
)
def test_impossible_sampling(sampling: dict[str, Any], message: str) -> None:
    with pytest.raises((InvalidEvaluation, InvalidSettings), match=message):
        Sampling(**sampling)
