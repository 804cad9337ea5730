"""Checkpoints and bundles behind one interface: crops and noise in, swapped crops out."""

from __future__ import annotations

import dataclasses
import hashlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from edgeswap_compress.evaluate._errors import InvalidEvaluation
from edgeswap_compress.fit.dtype import AUTO, check_dtype, resolve_dtype
from edgeswap_compress.fit.machine.device import check_device, resolve_device
from edgeswap_runtime.bundle.folder import Bundle
from edgeswap_runtime.bundle.manifest import Mask
from edgeswap_runtime.bundle.schedules import choose_schedule
from edgeswap_runtime.errors import BadFolder
from edgeswap_runtime.files import canonical_json, require_folder, sha256_file
from edgeswap_runtime.strict_json import JsonError, read_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from edgeswap_compress.checkpoint.pipeline import SwapPipeline
    from edgeswap_runtime.backends.protocol import Backend
    from edgeswap_runtime.swapper import Swapper

    Crops = NDArray[np.uint8]  # (N, R, R, 3) RGB


MOST_GUIDANCE = 100.0
"""Largest guidance scale; above it nothing is left of a picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """Facts about a judged model, for the report.

    Attributes:
        kind: "checkpoint" or "bundle".
        sha256: of everything in its folder.
        steps, guidance, sampler: how it was sampled.
        precision: of the computation.
        resolution_px: R.
        latent_shape: (C, S, S) of the noise.
        landmarks_px: (5, 2) alignment template.
        mask: where a paste-back changes the crop.
        own_resolution_px: of the model itself, where it is judged on crops of another side.
    """

    kind: str
    sha256: str
    steps: int
    guidance: float
    sampler: str
    precision: str
    resolution_px: int
    latent_shape: tuple[int, ...]
    landmarks_px: tuple[tuple[float, float], ...]
    mask: Mask
    own_resolution_px: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How to run a model; None leaves a choice to the model.

    Attributes:
        steps: of its sampler.
        guidance: classifier-free guidance scale; 1.0 is none.
        dtype: of a checkpoint's modules, one of `DTYPES`. A bundle's was fixed at its export, so
            only "auto" can be asked of it.
        threads: CPU threads of a bundle's backend; torch's are the process's own.
        device: that a checkpoint computes on, see `check_device`; a bundle here is the processor's.
    """

    steps: int | None = None
    guidance: float | None = None
    dtype: str = AUTO
    threads: int | None = None
    device: str = AUTO

    def __post_init__(self) -> None:
        if self.steps is not None and not 1 <= self.steps <= 1000:
            raise InvalidEvaluation(f"steps {self.steps}: expected 1 to 1000")
        guidance = self.guidance
        if guidance is not None and not 1 <= guidance <= MOST_GUIDANCE:
            raise InvalidEvaluation(
                f"guidance {guidance}: expected 1.0 (none) to {MOST_GUIDANCE:g}"
            )
        check_dtype(self.dtype)
        check_device(self.device)


class SwapModel(Protocol):
    """Swap model, opened and ready to run."""

    @property
    def facts(self) -> ModelFacts:
        """Give its facts."""

    def swap(self, targets: Crops, sources: Crops, noise: NDArray[np.float32]) -> Crops:
        """Swap the inner face of each source into its target, not pasted.

        Where the model says what stays of the target, the crop is laid over it.

        Args:
            targets: (N, R, R, 3) uint8, RGB, aligned.
            sources: of the same shape.
            noise: (N, C, S, S) standard normal.
        """

    def reconstruct(self, crops: Crops) -> Crops | None:
        """Encode and decode crops by the autoencoder; None where that cannot be told apart."""


@contextmanager
def open_model(path: Path | str, sampling: Sampling) -> Iterator[SwapModel]:
    """Open a checkpoint in torch or a bundle in the runtime.

    Raises:
        BadFolder: the folder is neither.
        InvalidEvaluation, InvalidRequest: the model cannot be sampled as asked.
        InvalidCheckpoint, BadBundle: it is damaged.
    """
    folder = Path(path)
    if model_kind(folder) == "bundle":
        with open_bundle(Bundle.open(folder), sampling) as model:
            yield model
    else:
        yield CheckpointModel(folder, sampling)


MAKE = "edgeswap train (a checkpoint) or edgeswap export (a bundle)"


def model_kind(folder: Path) -> str:
    """Tell what a folder holds, "checkpoint" or "bundle".

    Raises:
        BadFolder: neither.
    """
    from edgeswap_compress.data.shards import KIND as DATASET  # which imports numpy

    require_folder(folder, what="model", holds=("swap.json", "manifest.json"), make=MAKE)
    if (folder / "swap.json").is_file():
        return "checkpoint"
    try:
        raw = read_json(folder / "manifest.json")
    except JsonError:
        return "bundle"  # a damaged one, as opening it will tell
    if isinstance(raw, dict) and raw.get("kind") == DATASET:
        raise BadFolder(
            folder, what="model", expected="a checkpoint or a bundle", found="a dataset", make=MAKE
        )
    return "bundle"


def require_possible(kind: str, sampling: Sampling) -> None:
    """Refuse what cannot be asked of a model of this kind.

    Raises:
        InvalidEvaluation: another dtype of a bundle.
    """
    if kind == "bundle" and sampling.device not in (AUTO, "cpu"):
        raise InvalidEvaluation(
            f"device '{sampling.device}' cannot be asked of a bundle, which ONNX Runtime evaluates "
            "on the processor: leave --device out"
        )
    if kind == "bundle" and sampling.dtype != AUTO:
        raise InvalidEvaluation(
            f"dtype '{sampling.dtype}' cannot be asked of a bundle, its precision was fixed at "
            "export: leave --dtype out"
        )


class CheckpointModel:
    """A checkpoint in the reference pipeline."""

    def __init__(self, folder: Path, sampling: Sampling) -> None:
        from edgeswap_compress.checkpoint.folder import Checkpoint
        from edgeswap_compress.checkpoint.pipeline import SwapPipeline

        device = resolve_device(sampling.device, training=False)
        dtype = resolve_dtype(sampling.dtype, device, training=False)
        checkpoint = Checkpoint.load(folder).to(dtype, device)
        swap = checkpoint.swap
        self._pipeline: SwapPipeline = SwapPipeline.from_checkpoint(checkpoint)
        self.facts = ModelFacts(
            kind="checkpoint",
            sha256=_folder_sha256(folder),
            steps=sampling.steps or swap.default_steps,
            guidance=swap.guidance_scale if sampling.guidance is None else sampling.guidance,
            sampler=_sampler_name(self._pipeline.scheduler),
            precision=str(dtype).removeprefix("torch."),
            resolution_px=swap.resolution_px,
            latent_shape=(swap.latent_channels, swap.latent_size, swap.latent_size),
            landmarks_px=swap.landmarks_px,
            mask=Mask(**dataclasses.asdict(swap.mask)),
        )

    def swap(self, targets: Crops, sources: Crops, noise: NDArray[np.float32]) -> Crops:
        """Swap as `SwapModel.swap`, in one batch."""
        import torch

        from edgeswap_compress.autoencoders.target_overlay import laid_over
        from edgeswap_compress.fit.latent_cache import to_tensor

        pictures = to_tensor(targets)
        output = self._pipeline(
            pictures,
            to_tensor(sources),
            num_inference_steps=self.facts.steps,
            guidance_scale=self.facts.guidance,
            noise=torch.from_numpy(noise),
        )
        return _to_crops(laid_over(output.crops, output.alpha, pictures))

    def reconstruct(self, crops: Crops) -> Crops:
        """Encode and decode crops, see `SwapModel.reconstruct`."""
        import torch

        from edgeswap_compress.checkpoint.latents import decode_latents, encode_crop
        from edgeswap_compress.fit.latent_cache import to_tensor
        from edgeswap_compress.fit.machine.placement import like_module

        vae, swap = self._pipeline.vae, self._pipeline.swap
        with torch.no_grad():
            tensor = like_module(vae, to_tensor(crops))
            return _to_crops(decode_latents(vae, swap, encode_crop(vae, swap, tensor)).float())


@contextmanager
def open_bundle(
    bundle: Bundle, sampling: Sampling, *, backend: Backend[Any] | str = "ort"
) -> Iterator[BundleModel]:
    """Open a bundle on a backend of the runtime.

    Raises:
        InvalidEvaluation: another precision, or guidance its denoiser was not exported with.
        InvalidRequest: no schedule of that many steps.
    """
    from edgeswap_runtime.swapper import Swapper  # slow: it would be paid for by every --help

    require_possible("bundle", sampling)
    manifest = bundle.manifest
    guidance = manifest.guidance_scale if sampling.guidance is None else sampling.guidance
    takes = {tensor.name for tensor in manifest.graphs["denoise"].inputs}
    if guidance != manifest.guidance_scale and "guidance" not in takes:
        raise InvalidEvaluation(
            f"guidance {guidance} cannot be asked of a bundle exported without guidance: "
            "leave --guidance out, or export the checkpoint with a guidance scale"
        )
    # The runtime hands the manifest's scale to the denoiser at every evaluation.
    asked = dataclasses.replace(manifest, guidance_scale=guidance)
    schedule = choose_schedule(manifest, None, sampling.steps)
    with Swapper.open(
        Bundle(path=bundle.path, manifest=asked),
        backend=backend,
        schedule=schedule,
        threads=sampling.threads,
    ) as swapper:
        yield BundleModel(swapper, sha256=manifest.manifest_sha256)


class BundleModel:
    """A bundle in the runtime, one crop at a time as on the device."""

    def __init__(self, swapper: Swapper, *, sha256: str) -> None:
        manifest, schedule = swapper.bundle.manifest, swapper.schedule
        shape = manifest.graphs["denoise"].input("sample").shape[1:]
        self._swapper = swapper
        self.facts = ModelFacts(
            kind="bundle",
            sha256=sha256,
            steps=schedule.steps,
            guidance=manifest.guidance_scale,
            sampler=schedule.sampler,
            precision=manifest.graphs["denoise"].precision,
            resolution_px=manifest.resolution_px,
            latent_shape=tuple(int(size) for size in shape),
            landmarks_px=manifest.model_crop.landmarks_px,
            mask=manifest.mask,
        )

    def swap(self, targets: Crops, sources: Crops, noise: NDArray[np.float32]) -> Crops:
        """Swap as `SwapModel.swap`, crop by crop."""
        import numpy as np  # which help does without

        swapped = [
            self._swapper.swap_crop(
                target,
                self._swapper.identity_of_crops([source]),
                noise=start[None],
                keep_occluders=True,
            )
            for target, source, start in zip(targets, sources, noise, strict=True)
        ]
        return np.stack(swapped)

    def reconstruct(self, crops: Crops) -> Crops | None:
        """Give None: a bundle's decoder takes samples, not latents."""
        return None


def _sampler_name(scheduler: Any) -> str:
    return type(scheduler).__name__.removesuffix("Scheduler").lower()


def _folder_sha256(folder: Path) -> str:
    """Hash the names and contents of all files of a folder."""
    files = {
        path.relative_to(folder).as_posix(): sha256_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    return hashlib.sha256(canonical_json(files)).hexdigest()


def _to_crops(tensor: Any) -> Crops:
    """Turn (N, 3, R, R) in [-1, 1] into (N, R, R, 3) uint8, rounded as the runtime does.

    Raises:
        InvalidEvaluation: values are not finite.
    """
    import numpy as np  # which help does without

    from edgeswap_runtime.faces.align import to_uint8

    pictures = tensor.permute(0, 2, 3, 1).cpu().numpy()
    if not np.isfinite(pictures).all():
        raise InvalidEvaluation(
            "the model's swaps hold values that are not finite: expected pictures; its weights may "
            "be damaged (edgeswap verify tells), or the guidance too large"
        )
    return to_uint8((pictures + 1) * np.float32(127.5))
