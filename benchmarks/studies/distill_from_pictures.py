"""How near does one step, learned from pictures alone, come to a noise-predicting teacher's 25?

The teacher is made of the packaged one: the same network taught to predict the noise, on a schedule
that keeps some signal at its end as Stable Diffusion's does, and sampled with guidance 5. The
student gets aligned crops of people and no truth: the teacher answers pairs of different people,
and pairs of one person are their own answer. Both are judged on held-out people by the exact truth
that the renderer knows.

    python benchmarks/studies/distill_from_pictures.py OUT --data faces --held-out faces-heldout \\
        --teacher-minutes 10 --minutes 30

Finished parts are kept in OUT and not made again; a stopped one goes on.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler
from numpy.typing import NDArray
from torch import Tensor

from edgeswap_compress import Checkpoint, default_checkpoint
from edgeswap_compress.checkpoint.target_maps import TargetMaps
from edgeswap_compress.conditioning.attention import use_plain_attention
from edgeswap_compress.conditioning.condition import Condition
from edgeswap_compress.data import read_dataset
from edgeswap_compress.distill.config import DistillConfig
from edgeswap_compress.distill.few_steps import refit_convolution
from edgeswap_compress.distill.stage import distill
from edgeswap_compress.evaluate import Sampling, metrics, open_model
from edgeswap_compress.evaluate.resized import resized
from edgeswap_compress.fit.config import FitOptions, changed
from edgeswap_compress.fit.latent_cache import LatentGroups, draw_triplets, encode_dataset
from edgeswap_compress.fit.loop import Cadence, Draw, fit
from edgeswap_compress.fit.machine.options import FitMachine
from edgeswap_compress.fit.noise_levels import NoiseLevels
from edgeswap_compress.fit.processes import taken_machine
from edgeswap_compress.fit.run_folder import steps_in
from edgeswap_compress.progress import stage_progress
from edgeswap_compress.train.denoiser import Denoiser
from edgeswap_runtime.files import write_json
from edgeswap_runtime.pictures.write import RENDERED, save_marked

GUIDANCE, STEPS = 5.0, 25
TERMINAL = 0.0047
"""Signal, squared, at the last timestep: that of Stable Diffusion's schedule."""

DROPPED = 0.15
BATCH = 16
BOOTSTRAPS = 2000
FITTED = 16


def noise_predicting(scheduler: Any) -> DDIMScheduler:
    """Shift the packaged schedule so that it ends at TERMINAL, and let it predict the noise."""
    signal = scheduler.alphas_cumprod.sqrt()
    left = TERMINAL**0.5
    alphas = (left + signal * (1.0 - left) / signal[0]).clamp(max=0.9999) ** 2
    betas = 1.0 - torch.cat([alphas[:1], alphas[1:] / alphas[:-1]])
    settings = {**dict(scheduler.config), "trained_betas": betas.tolist()}
    settings |= {"prediction_type": "epsilon", "rescale_betas_zero_snr": False}
    return DDIMScheduler.from_config(settings)


class NoiseObjective:
    """Teaches a network to predict the noise where another one predicts the velocity.

    Both see one noisy sample: the known network at its own timestep of the same noise level.
    """

    def __init__(self, known: Checkpoint, student: Checkpoint, data: LatentGroups) -> None:
        self._known, self._swap, self._data = known, student.swap, data
        for module in known.modules().values():
            module.requires_grad_(False)
        student.conditioner.requires_grad_(False)
        self.module = Denoiser(student.unet.train(), student.conditioner)
        self._levels = NoiseLevels(student.scheduler, predictions=("epsilon",))
        self._theirs = NoiseLevels(known.scheduler)
        signals = known.scheduler.alphas_cumprod.sqrt()
        wanted = student.scheduler.alphas_cumprod.sqrt()
        self._same = (wanted[:, None] - signals[None]).abs().argmin(1)
        self._dtype = next(student.unet.parameters()).dtype

    def loss(self, draw: Draw, batch_size: int, done: float) -> tuple[Tensor, dict[str, float]]:
        """Compute the loss of random pairs at random times, weighted as velocities would be."""
        x, steps, maps, condition = self._batch(draw, batch_size)
        with torch.no_grad():
            theirs = self._known.denoiser().predict(
                x.to(self._dtype), self._same[steps], maps, condition
            )
            a, s = self._levels.at(steps)
            wanted = a * theirs.float() + s * x
        found = replace(self._known.denoiser(), unet=self.module.unet).predict(
            x.to(self._dtype), steps, maps, condition
        )
        # an error of the noise is an error of the velocity divided by the signal
        error = (found.float() - wanted).square() / a.square().clamp(min=0.05)
        loss = error.mean()
        return loss, {"noise": float((found.float() - wanted).square().mean().detach())}

    def _batch(self, draw: Draw, n: int) -> tuple[Tensor, Tensor, TargetMaps, Condition]:
        t = draw_triplets(draw.rng, len(self._data), self._data.identities, n)
        target, truth, source = (
            self._data.read(t.group, place) for place in (t.target, t.truth, t.source)
        )
        clean = (truth - target) / torch.tensor(self._swap.residual_std).view(1, -1, 1, 1)
        steps = torch.from_numpy(draw.rng.integers(self._levels.terminal + 1, size=n))
        x = self._levels.add(clean, draw.normal(clean), steps)
        conditioner = self._known.conditioner
        given = conditioner.condition(source.to(self._dtype))
        kept = ~draw.chosen(DROPPED, clean)
        condition = given.where(kept, conditioner.null(n).to(self._dtype))
        return x, steps, TargetMaps(target.to(self._dtype)), condition

    @torch.no_grad()
    def answers(self, batches: int) -> Iterator[Tensor]:
        """Evaluate the network on batches, and give the noise that it should have told of each."""
        for number in range(batches):
            x, steps, maps, condition = self._batch(Draw.of(2, number), BATCH)
            known = self._known.denoiser()
            theirs = known.predict(x.to(self._dtype), self._same[steps], maps, condition)
            a, s = self._levels.at(steps)
            replace(known, unet=self.module.unet).predict(x.to(self._dtype), steps, maps, condition)
            yield a * theirs.float() + s * x

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Measure the loss on fixed pairs."""
        return {"held_out": float(self.loss(Draw.of(1, 2**30), 32, 0.0)[0])}


def make_teacher(out: Path, pictures: Any, minutes: float) -> None:
    """Teach the packaged network to predict the noise."""
    machine = taken_machine(FitMachine())
    compute = machine.compute()
    known, made = (Checkpoint.load(default_checkpoint("teacher")) for _ in range(2))
    for model in (known, made):
        model.to(compute.weights)
        use_plain_attention(model.unet)
    made.scheduler = noise_predicting(made.scheduler)
    run = out.with_suffix(".run")
    run.mkdir(parents=True, exist_ok=True)
    data = encode_dataset(
        known.vae, known.swap, pictures, run / "latents.safetensors", pictures.digest, flips=False
    )
    objective = NoiseObjective(known, made, data)
    refit_convolution(made.unet.conv_out, objective.answers(FITTED))
    options = FitOptions(batch_size=BATCH, learning_rate=4e-4)
    with stage_progress() as report:
        steps = steps_in(objective, minutes, BATCH, 0, run / "fit.json")
        fit(
            objective, options.fit_config(steps), run / "fit", compute=compute,
            cadence=Cadence(evaluate_s=120.0),
            progress=lambda i, n, text: report("teacher", i, n, text),
        )  # fmt: skip
    model = made.to(torch.float32)
    swap = model.swap.sampled(guidance_scale=GUIDANCE, steps=STEPS)
    details = {"from": "the packaged teacher", "minutes": minutes, "samples": steps * BATCH}
    model = replace(model, swap=swap.with_stage("predict-noise", details), scheduler_config=None)
    model.save(out)


class Resized:
    """Pictures of a rendered dataset in another size."""

    def __init__(self, dataset: Any, size_px: int, groups: int) -> None:
        self._dataset, self._size, self._groups = dataset, size_px, min(groups, len(dataset))
        self.pictures, self.identities = dataset.pictures, dataset.identities
        self.digest = f"{dataset.digest}-{size_px}-{self._groups}"

    def __len__(self) -> int:
        return self._groups

    def images(self, group: int) -> NDArray[np.uint8]:
        """Read the pictures (P, S, S, 3)."""
        return resized(self._dataset.images(group), self._size)

    def masks(self, group: int) -> NDArray[np.uint8]:
        """Read the masks (P, S, S)."""
        return resized(self._dataset.masks(group), self._size)


def write_people(out: Path, pictures: Resized) -> None:
    """Write each person's source view and natural picture into a folder of their own."""
    k = pictures.identities
    for group in range(len(pictures)):
        images = pictures.images(group)
        for person in range(k):
            folder = out / f"{group:04d}-{person}"
            folder.mkdir(parents=True)
            for place in (person, k + person * k + person):
                save_marked(folder / f"{place:02d}.png", images[place], RENDERED)


def held_out_pairs(pictures: Resized) -> Iterator[tuple[NDArray[np.uint8], ...]]:
    """Give (targets, sources, truths, masks) of each group: every untouched target, other faces."""
    k = pictures.identities
    rows = [(k + b * k + b, a, k + b * k + a) for b in range(k) for a in range(k) if a != b]
    for group in range(len(pictures)):
        images, masks = pictures.images(group), pictures.masks(group)
        target, source, truth = (np.array(column) for column in zip(*rows, strict=True))
        yield images[target], images[source], images[truth], masks[target]


def judge(model: Path, pictures: Resized, steps: int) -> NDArray[np.float64]:
    """Measure the PSNR inside the face against the truth: (groups, pairs), in dB."""
    rng, rows = np.random.default_rng(0), []
    with open_model(model, Sampling(steps=steps)) as opened:
        for target, source, truth, mask in held_out_pairs(pictures):
            noise = rng.standard_normal((len(target), *opened.facts.latent_shape))
            swaps = opened.swap(target, source, noise.astype(np.float32))
            inside = mask.astype(np.float32) / 255
            rows.append(metrics.psnr(swaps, truth, inside))
    return np.stack(rows)


def interval(rows: NDArray[np.float64]) -> list[float]:
    """Give the mean and its 95 % interval, from resampled groups."""
    means = rows.mean(1)
    picks = np.random.default_rng(0).integers(len(means), size=(BOOTSTRAPS, len(means)))
    low, high = np.quantile(means[picks].mean(1), [0.025, 0.975])
    return [float(means.mean()), float(low), float(high)]


def main() -> None:
    """Make teacher and student, judge both, and print the table."""
    args = parse()
    size = Checkpoint.load(default_checkpoint("teacher")).swap.resolution_px
    learned = Resized(read_dataset(args.data), size, args.groups)
    held_out = Resized(read_dataset(args.held_out), size, args.judged_groups)
    teacher, people = args.out / "teacher", args.out / "people"
    if not teacher.exists():
        make_teacher(teacher, learned, args.teacher_minutes)
    if not people.exists():
        write_people(people, learned)
    student = args.out / "student"
    changes = {
        "losses.truth_weight": args.truth_weight, "budget.minutes": args.minutes,
        "teacher.steps": STEPS, "teacher.targets": args.targets, "fit.batch_size": BATCH,
    }  # fmt: skip
    begun = time.monotonic()
    if not student.exists():
        with stage_progress() as report:
            distill(
                teacher, changed(DistillConfig(), changes), student, data=people, progress=report
            )
    facts: dict[str, Any] = {
        "distill_seconds": time.monotonic() - begun,
        "load_average": os.getloadavg()[0],
        "people": len(list(people.iterdir())),
    }
    rows = {}
    for name, model, steps in (("teacher", teacher, STEPS), ("student", student, 1)):
        rows[name] = judge(model, held_out, steps)
        facts[name] = {"steps": steps, "psnr_face_db": interval(rows[name])}
    unchanged = [
        metrics.psnr(target, truth, mask.astype(np.float32) / 255)
        for target, _, truth, mask in held_out_pairs(held_out)
    ]
    facts["unchanged"] = {"psnr_face_db": interval(np.stack(unchanged))}
    facts["student_over_teacher_db"] = interval(rows["student"] - rows["teacher"])
    write_json(args.out / "figures.json", facts)
    for name in ("unchanged", "teacher", "student"):
        mean, low, high = facts[name]["psnr_face_db"]
        print(f"{name:10} {mean:6.2f} dB [{low:.2f}, {high:.2f}]")
    mean, low, high = facts["student_over_teacher_db"]
    print(
        f"student's one step over the teacher's {STEPS}: {mean:+.2f} dB [{low:+.2f}, {high:+.2f}]"
    )


def parse() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("out", type=Path, help="folder to make, or to go on in")
    add("--data", type=Path, required=True, help="rendered dataset")
    add("--held-out", type=Path, required=True, help="rendered dataset of other people")
    add("--groups", type=int, default=200, help="groups of it to use (default 200)")
    add("--judged-groups", type=int, default=64, help="groups of the other (default 64)")
    add("--teacher-minutes", type=float, default=10.0, help="to make the teacher (default 10)")
    add("--minutes", type=float, default=30.0, help="of the distillation (default 30)")
    add("--targets", type=int, default=512, help="pairs that the teacher answers (default 512)")
    add("--truth-weight", type=float, default=0.25, help="share of the pairs of one person")
    return parser.parse_args()


if __name__ == "__main__":
    main()
