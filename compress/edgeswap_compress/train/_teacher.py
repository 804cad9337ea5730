"""A training run: its phases in order, each resumable, ending in a checkpoint folder."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from edgeswap_compress._checks import check_scheduler
from edgeswap_compress.checkpoint.folder import Checkpoint
from edgeswap_compress.checkpoint.latents import works_normalized
from edgeswap_compress.checkpoint.schedulers import noise_scheduler
from edgeswap_compress.checkpoint.swap_config import SwapConfig, residual_swap_config
from edgeswap_compress.checkpoint.swap_parts import LatentSpace, SampleSpace, SamplingConfig
from edgeswap_compress.conditioning.crops import crop_of_template
from edgeswap_compress.conditioning.source import SourceConditioner
from edgeswap_compress.data import Pictures, open_pictures
from edgeswap_compress.errors import TrainingStopped
from edgeswap_compress.fit.config import FitConfig
from edgeswap_compress.fit.dtype import note_dtype
from edgeswap_compress.fit.latent_cache import LatentGroups, encode_dataset, latent_statistics
from edgeswap_compress.fit.loop import Cadence, Draw, Objective, fit
from edgeswap_compress.fit.losses import decoder_metric
from edgeswap_compress.fit.machine.savings import move, prepare_unet
from edgeswap_compress.fit.pairing import pairing_of, truths_known
from edgeswap_compress.fit.processes import processes, taken_machine
from edgeswap_compress.fit.run_folder import claim, settings_of
from edgeswap_compress.fit.trackers import Tracker
from edgeswap_compress.progress import StageProgress
from edgeswap_compress.train._decoder import SwapDecoderObjective
from edgeswap_compress.train._widen_latents import widen_latents
from edgeswap_compress.train.autoencoder import AutoencoderObjective, build_autoencoder
from edgeswap_compress.train.config import ExampleConfig, TeacherConfig
from edgeswap_compress.train.denoiser import DenoiserObjective, build_denoiser
from edgeswap_compress.train.examples import Examples, residual_deviation
from edgeswap_compress.train.grow.crops import enlarge_crops
from edgeswap_compress.train.identity import IdentityObjective
from edgeswap_compress.train.online import OnlineEncoder
from edgeswap_runtime.errors import OutputExists
from edgeswap_runtime.files import canonical_json, sha256_file

HELD_OUT_FIGURES = {
    "autoencoder": ("psnr_db", "psnr_face_db", "hf_ratio"),
    "identity": ("truth_top1",),
    "denoiser": (
        "held_out_v_loss",
        "held_out_one_step_gain_db",
        "held_out_identity_margin",
        "held_out_outside_rms",
    ),
    "decoder": ("psnr_db", "psnr_face_db", "hf_ratio"),
    "swap-decoder": ("psnr_db", "psnr_face_db", "hf_ratio"),
}
"""What each stage may report of the held-out set, and the checkpoint's history keeps."""


Run = Callable[[str, Objective, FitConfig], None]
"""Fits an objective as the stage of that name."""


class _StoppedEarly(Exception):
    """The cadence cut a phase short; nothing went wrong."""


class TeacherRun:
    """A training run and its folder: settings, the state of each phase, and cached latents.

    Args:
        train, held_out: folders, of any kind that `open_pictures` knows.
        config: fixed for the life of the folder; a different one is refused.
        folder: made if missing, continued if there.
        init: checkpoint folder to go on from: its autoencoder is kept as it is, unless
            ``StartConfig.autoencoder_learns_on``; its conditioner and U-Net are where the
            denoiser starts. The identity encoder is trained anew, as the judge of the identity
            loss: a fresh one has not been gamed yet.
        examples: how they are drawn and augmented; as they come when None.
    """

    def __init__(
        self,
        train: Path,
        held_out: Path,
        config: TeacherConfig,
        folder: Path,
        init: Path | None = None,
        examples: ExampleConfig | None = None,
    ) -> None:
        self.config = taken_machine(config)
        self.compute = self.config.compute()
        self.folder = folder
        self.examples = examples or ExampleConfig()
        self.train, self.held_out = open_pictures(train), open_pictures(held_out)
        if init is not None:
            check_scheduler(init, velocity=True)  # as it will be trained
        self.init = None if init is None else Checkpoint.load(init)
        wanted: dict[str, Any] = {
            "config": settings_of(config),
            "dataset": self.train.digest,
        }
        if self.init is not None and init is not None:
            self.init = self._changed(self.init, init)
            auto = self.config.autoencoder
            shape = dataclasses.replace(auto.shape, patch_size=self.init.swap.patch_size)
            auto = dataclasses.replace(auto, shape=shape)
            self.config = dataclasses.replace(self.config, autoencoder=auto)
            wanted["init"] = sha256_file(init / "swap.json")  # which lists every file's hash
        self._check_sizes(train, held_out)
        if self.examples != ExampleConfig():
            wanted["examples"] = dataclasses.asdict(self.examples)
        with processes().main_first():
            claim(folder, wanted, of="training", same="settings and datasets")
            self._dtypes = note_dtype(folder, self.config.dtype)

    def execute(
        self,
        out: Path,
        *,
        cadence: Cadence,
        tracker: Tracker | None = None,
        progress: StageProgress | None = None,
    ) -> Path | None:
        """Run every phase that is not finished; return the checkpoint, or None if stopped early.

        Raises:
            OutputExists: ``out`` exists.
            TrainingStopped: a stage cannot go on.
        """
        if out.exists():
            raise OutputExists(out)

        def run(name: str, objective: Objective, settings: FitConfig) -> None:
            report = None if progress is None else lambda i, n, text: progress(name, i, n, text)
            if not fit(
                objective,
                settings,
                self.folder / name,
                compute=self.compute,
                cadence=cadence,
                tracker=tracker,
                progress=report,
            ):
                raise _StoppedEarly

        try:
            trained = self._stages(run, progress)
        except _StoppedEarly:
            return None
        with processes().main_first():
            return trained.save(out) if processes().main else out

    def _stages(self, run: Run, progress: StageProgress | None) -> Checkpoint:
        """Run all phases in order; ``run`` continues each, and raises where it is stopped early."""
        vae, swap = self._autoencoded(run)
        train, held_out = self._examples(vae, swap, progress)
        judge = self._prepare(lambda: self._encoder(swap), 1)
        identity = IdentityObjective(judge, self.config.identity, train, held_out)
        run("identity", identity, self.config.identity.fit)
        if self.init is None or self.config.start.autoencoder_learns_on:
            sample = SampleSpace(target="residual", std=residual_deviation(train))
            swap = dataclasses.replace(swap, sample=sample)
        start = self._start(vae, swap, judge)
        prepare_unet(start.unet, self.config, learns=True)
        known = truths_known(self.train)
        if not known:  # which trains one step alone, see `DenoiserObjective`
            start.swap = swap.sampled(steps=1)
        sight = train.cached(Draw.of(self.config.start.seed, 0), 16).to(self.compute.device)
        denoiser = DenoiserObjective(
            start.unet,
            start.conditioner,
            start.scheduler,
            start.swap,
            self.config.denoiser,
            train,
            held_out,
            judge=judge,
            structure_weight=0.0 if known else self.examples.structure_weight,
            metric=decoder_metric(vae, swap, sight.target, sight.mask),
        )
        rests = self.config.offload and self.examples.augment_share == 0
        if rests:  # latents are all that is asked for until the decoder learns
            move([vae], torch.device("cpu"))
        run("denoiser", denoiser, self.config.denoiser.fit)
        if rests:
            move([vae], self.compute.device)
        self._finetune_decoder(run, start, denoiser, (train, held_out) if known else None)
        details = {**self.config.to_json(), "dtype": self._dtypes, "dataset": self.train.digest}
        details["curves"] = self._curves()
        details["examples"] = dataclasses.asdict(self.examples)
        start.swap = start.swap.with_stage("train", details)
        return start

    def _autoencoded(self, run: Run) -> tuple[Any, SwapConfig]:
        """Train the autoencoder, freeze it, and give the settings of its latents."""
        if self.init is not None and not self.config.start.autoencoder_learns_on:
            vae, swap = self.compute.place(self.init.vae), self.init.swap
        else:
            vae, config = self._autoencoder(), self.config.autoencoder
            share = self.examples.augment_share
            objective = AutoencoderObjective(vae, config, self.train, self.held_out, share)
            run("autoencoder", objective, config.fit)
            swap = self._swap_config() if self.init is None else self.init.swap
            if not works_normalized(vae):
                swap = latent_statistics(vae.eval(), swap, self.train)
        vae.eval().requires_grad_(False)
        return vae, swap

    def _start(self, vae: Any, swap: SwapConfig, encoder: SourceConditioner) -> Checkpoint:
        """Give what the denoiser's training begins with: the trained encoder is its conditioner."""
        if self.init is None:
            return Checkpoint(
                unet=self._prepare(lambda: build_denoiser(self.config.denoiser, swap, encoder), 2),
                vae=vae,
                conditioner=encoder,
                scheduler=noise_scheduler(),
                swap=swap,
            )
        return dataclasses.replace(
            self.init,
            unet=self.compute.place(self.init.unet.train()),
            vae=vae,
            conditioner=self.compute.place(self.init.conditioner.train()),
            swap=swap,
        )

    def _finetune_decoder(
        self,
        run: Run,
        trained: Checkpoint,
        denoiser: DenoiserObjective,
        examples: tuple[Examples, Examples] | None,
    ) -> None:
        """Finetune the decoder; the second phase of it needs examples with truths."""
        config, vae = self.config, trained.vae
        if config.decoders.decoder is not None:
            finetuning = config.autoencoder.for_finetuning(config.decoders.decoder)
            vae.decoder.requires_grad_(True).train()
            objective: Objective = AutoencoderObjective(vae, finetuning, self.train, self.held_out)
            run("decoder", objective, finetuning.fit)
        if config.decoders.swap_decoder is not None and examples is not None:
            finetuning = config.autoencoder.for_finetuning(config.decoders.swap_decoder)
            vae.decoder.requires_grad_(True).train()
            train, held_out = (examples[0], self.train), (examples[1], self.held_out)
            objective = SwapDecoderObjective(
                vae, trained.swap, finetuning.fine_weight, denoiser, train, held_out
            )
            run("swap-decoder", objective, finetuning.fit)
        vae.eval()

    def _autoencoder(self) -> Any:
        """Build the autoencoder to train: a new one, or the checkpoint's, widened or enlarged."""
        if self.init is not None:
            return self.compute.place(self.init.vae.train())
        return self._prepare(
            lambda: build_autoencoder(self.config.autoencoder, self._resolution), 0
        )

    def _curves(self) -> dict[str, list[dict[str, float]]]:
        """Read the held-out figures of each phase over the samples it had seen, for the history."""
        curves = {}
        for name, figures in HELD_OUT_FIGURES.items():
            file = self.folder / name / "metrics.jsonl"
            lines = file.read_text().splitlines() if file.exists() else []
            rows = [json.loads(line) for line in lines]
            curves[name] = [
                {k: round(row[k], 4) for k in ("samples", *figures) if k in row} for row in rows
            ]
        return curves

    @property
    def _resolution(self) -> int:
        return int(self.train.images(0).shape[1])

    def _changed(self, init: Checkpoint, path: Path) -> Checkpoint:
        """Enlarge the crops and widen the latents of the checkpoint to go on from, as asked."""
        if self.config.start.enlarge_crops:
            init = enlarge_crops(init, self._resolution)
        else:
            _check_resolution(init, path, self._resolution)
        if self.config.start.widen_latents:
            wanted = self.config.autoencoder.shape.latent_channels
            init = widen_latents(init, wanted, self.config.start.seed)
        return init

    def _prepare(self, build: Callable[[], Any], salt: int) -> Any:
        """Build a module whose weights depend on the seed alone, in the compute dtype."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.start.seed * 1000 + salt)
            module = build()
        return self.compute.place(module.train())

    def _swap_config(self) -> SwapConfig:
        auto, usual = self.config.autoencoder.shape, self.config.denoiser.sampling
        latents = LatentSpace(
            channels=auto.latent_channels,
            size=self._resolution // auto.patch_size // 2 ** (len(auto.widths) - 1),
            patch_size=auto.patch_size,
        )
        sampling = SamplingConfig(steps=usual.default_steps, guidance_scale=usual.guidance_scale)
        crop = crop_of_template("tight", self._resolution)
        return residual_swap_config(crop, latents, sampling=sampling)

    def _encoder(self, swap: SwapConfig) -> SourceConditioner:
        identity = self.config.identity
        return SourceConditioner(
            latent_channels=swap.latent_channels,
            latent_size=swap.latent_size,
            widths=identity.widths,
            vector_size=identity.vector_size,
        )

    def _check_sizes(self, train: Path, held_out: Path) -> None:
        size, other = self._resolution, int(self.held_out.images(0).shape[1])
        if other != size:
            raise TrainingStopped(
                f"{held_out} holds crops of {other} px, {train} of {size} px: expected one size; "
                "align or render them again with the same --size"
            )
        auto = self.config.autoencoder.shape
        step = auto.patch_size * 2 ** len(auto.widths)  # the U-Net halves the latents once more
        if size % step:
            raise TrainingStopped(
                f"{train} holds crops of {size} px: expected a multiple of {step}; align or render "
                f"them again with --size {max(step, round(size / step) * step)}"
            )

    def _examples(
        self, vae: Any, swap: SwapConfig, progress: StageProgress | None
    ) -> tuple[Examples, Examples]:
        train, held_out = self._latents(vae, swap, progress)
        pairings = (
            pairing_of(some, self.examples.self_share) for some in (self.train, self.held_out)
        )
        share = self.examples.augment_share
        online = OnlineEncoder(vae, swap, self.train, share) if share > 0 else None
        return Examples(train, next(pairings), online), Examples(held_out, next(pairings))

    def _latents(
        self, vae: Any, swap: SwapConfig, progress: StageProgress | None
    ) -> tuple[LatentGroups, LatentGroups]:
        report = None if progress is None else lambda i, n, text: progress("latents", i, n, text)
        # private entries are diffusers' own notes, in an order that differs between processes
        settings = {key: value for key, value in vae.config.items() if not key.startswith("_")}
        settings["latents"] = dataclasses.asdict(swap.latents)
        digest = hashlib.sha256(canonical_json(settings))
        for _, tensor in sorted(vae.state_dict().items()):
            digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())

        def encode(dataset: Pictures, name: str, flips: bool) -> LatentGroups:
            return encode_dataset(
                vae,
                swap,
                dataset,
                self.folder / f"latents-{name}.safetensors",
                f"{digest.hexdigest()}-{dataset.digest}",
                flips=flips,
                progress=report,
            )

        with processes().main_first():  # the others read the cache
            return encode(self.train, "train", True), encode(self.held_out, "heldout", False)


def _check_resolution(init: Checkpoint, path: Path, resolution_px: int) -> None:
    if init.swap.resolution_px != resolution_px:
        raise TrainingStopped(
            f"{path} swaps crops of {init.swap.resolution_px} px, the dataset's are "
            f"{resolution_px} px: expected the same; render with --size {init.swap.resolution_px}, "
            "or add --enlarge-crops"
        )
