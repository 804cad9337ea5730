"""Evaluation of swap models on held-out triplets whose exact truth is known."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeswap_compress.evaluate import metrics
from edgeswap_compress.evaluate._errors import CropMismatch, InvalidEvaluation
from edgeswap_compress.evaluate._held_out import is_published
from edgeswap_compress.evaluate._measures import PictureMeasures, means, measures
from edgeswap_compress.evaluate._pairs import HeldOut, PairList, held_out_pairs
from edgeswap_compress.evaluate._statistics import frechet_score, resample_counts, score
from edgeswap_compress.evaluate.config import SPREAD_PAIRS, EvaluateConfig
from edgeswap_compress.evaluate.judges.landmarks import eye_distances
from edgeswap_compress.evaluate.pictures import TripletPictures, pasted, people
from edgeswap_compress.evaluate.report import JUDGED, EvaluationReport
from edgeswap_compress.evaluate.resized import TEMPLATE_TOLERANCE_PX, ResizedModel
from edgeswap_runtime.faces.align import TEMPLATE_96

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from edgeswap_compress.evaluate._measures import Ratio
    from edgeswap_compress.evaluate._statistics import Score
    from edgeswap_compress.evaluate.judges.dlib import Judge
    from edgeswap_compress.evaluate.judges.landmarks import Landmarker
    from edgeswap_compress.evaluate.models import ModelFacts, Sampling, SwapModel

    Crops = NDArray[np.uint8]  # (N, R, R, 3) RGB
    Progress = Callable[[int, int, str], None]


class Evaluation:
    """Evaluation of any number of models on the pairs of one held-out set.

    Every model starts a pair from the same noise, so that two reports differ by their models alone.

    Args:
        dataset: rendered of people no model was trained on.
        config: how to judge.
        judge: of identity; dlib's recognizer when None.
        landmarker: judge of pose and expression; MediaPipe's face mesh when None.
        progress: called with pictures done, pictures in all, and what is being done.

    Raises:
        InvalidEvaluation, PairsMismatch: the dataset does not hold the pairs asked for.
        AssetMissing: a judge's weights were not fetched.
    """

    def __init__(
        self,
        dataset: HeldOut,
        config: EvaluateConfig,
        *,
        judge: Judge | None = None,
        landmarker: Landmarker | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.dataset = dataset
        self.config = config
        self.pairs = held_out_pairs(dataset).first(config.limit)
        self.pairs.check(config.pairs_sha256)
        self._progress = progress or (lambda done, total, text: None)
        self._size = dataset.images(0).shape[1]
        self._judge = judge or self._dlib()
        self._landmarker = landmarker or self._face_mesh()
        self._shown = TripletPictures.of(dataset, self.pairs)
        self._of_models: dict[tuple[str, str], dict[str, PictureMeasures]] = {}

    def judge(
        self, model: SwapModel, *, teacher: EvaluationReport | None = None
    ) -> EvaluationReport:
        """Judge a model by what its swaps look like beside the exact truth.

        Args:
            model: from `open_model`; its crops may be of another side or alignment with
                ``EvaluateConfig.resize``.
            teacher: what `judge` found of another model, to be compared with.

        Returns:
            scores of the swaps and of the reference rows, with 95 % intervals.

        Raises:
            CropMismatch: the model's crops are not the dataset's.
            InvalidEvaluation: the two models' latents differ, so no noise is the same to both.
        """
        if self.config.resize:
            model = ResizedModel(model, self._template, self._size)
        self._check(model.facts, teacher)
        unpasted = self._swaps(model, self.pairs, self.config.seed)
        swaps = pasted(unpasted, self._shown.target, model.facts.mask)
        rows = {
            JUDGED: self._row(JUDGED, swaps),
            "unpasted": self._row("unpasted", unpasted),
            **self._bounds,
            **self._bounds_of(model),
        }
        ratios = {
            name: measures(row, self._bounds["truth"], self._bounds["target"], self._gallery,
                           self.pairs)
            for name, row in rows.items()
        }  # fmt: skip
        ratios[JUDGED] |= self._diversity(model, swaps)
        if teacher is not None:
            ratios[JUDGED] |= self._likeness(swaps, rows[JUDGED], teacher)
        scores = self._scores(rows, ratios)
        if teacher is not None:
            scores["teacher"] = teacher.rows[JUDGED]
        return EvaluationReport(
            model=model.facts,
            facts=self._facts(model.facts, teacher),
            rows=scores,
            pairs=self.pairs,
            swaps=swaps,
            embeddings=rows[JUDGED].embeddings,
            values={
                metric: tops
                for metric, (tops, bottoms) in ratios[JUDGED].items()
                if (bottoms == 1).all()
            },
        )

    @cached_property
    def _gallery(self) -> NDArray[np.floating]:
        """Embed everybody: (groups * K, D), in the order of `PairList.source_person`."""
        found: NDArray[np.floating] = self._each(
            "looking at the gallery", self._judge.embed, people(self.dataset)
        )
        return found

    @cached_property
    def _truth_landmarks(self) -> NDArray[np.float64]:
        found: NDArray[np.float64] = self._each(
            "finding the truths' landmarks", self._landmarker.find, self._shown.truth
        )
        return found

    @cached_property
    def _bounds(self) -> dict[str, PictureMeasures]:
        """Measure the ceiling and the floor that are the same for all models."""
        shown = {"truth": self._shown.truth, "target": self._shown.target}
        return {name: self._row(name, pictures) for name, pictures in shown.items()}

    def _bounds_of(self, model: SwapModel) -> dict[str, PictureMeasures]:
        """Measure ceilings and floors that depend on the model's mask and autoencoder."""
        key = model.facts.sha256, model.facts.precision
        if key not in self._of_models:
            mask, target = model.facts.mask, self._shown.target
            shown = {
                "truth_pasted": pasted(self._shown.truth, target, mask),
                "source": pasted(self._shown.source, target, mask),
            }
            rebuilt = self._parts("rebuilding the truths", model.reconstruct, self._shown.truth)
            if rebuilt[0] is not None:
                shown["autoencoder"] = np.concatenate(rebuilt)
            rows = {name: self._row(name, pictures) for name, pictures in shown.items()}
            self._of_models[key] = rows
        return self._of_models[key]

    def _scores(
        self, rows: dict[str, PictureMeasures], ratios: dict[str, dict[str, Ratio]]
    ) -> dict[str, dict[str, Score]]:
        """Compute every row's scores, with intervals from resampled groups."""
        groups, clusters = np.unique(self.pairs.group, return_inverse=True)
        rng = np.random.default_rng(self.config.seed)
        counts = resample_counts(len(groups), self.config.resamples, rng)
        truths = rows["truth"].embeddings
        return {
            name: {
                **{
                    metric: score(tops, bottoms, clusters, counts)
                    for metric, (tops, bottoms) in ratios[name].items()
                },
                "fid_identity": frechet_score(row.embeddings, truths, clusters, counts),
            }
            for name, row in rows.items()
        }

    def _diversity(self, model: SwapModel, swaps: Crops) -> dict[str, Ratio]:
        """Measure how the first pairs' swaps differ from noise to noise."""
        if self.config.seeds == 1:
            return {}
        n, total = min(SPREAD_PAIRS, len(self.pairs)), len(self.pairs)
        target, drawn = self._shown.target[:n], [swaps[:n]]
        for number in range(1, self.config.seeds):
            unpasted = self._swaps(model, self.pairs.first(n), self.config.seed + number)
            drawn.append(pasted(unpasted, target, model.facts.mask))
        embedded = [self._each("judging other noises", self._judge.embed, one) for one in drawn]
        pixels = metrics.pixel_spread(np.stack(drawn), self._shown[:n].inside)
        identities = metrics.embedding_spread(np.stack(embedded))
        return {
            "diversity": means(pixels, total),
            "diversity_identity": means(identities, total),
        }

    def _likeness(
        self, swaps: Crops, swap: PictureMeasures, teacher: EvaluationReport
    ) -> dict[str, Ratio]:
        """Measure how near the swaps are to a teacher's."""

        def compare(which: NDArray[np.int64]) -> NDArray[np.float64]:
            inside = self._shown[which].inside
            return metrics.psnr(swaps[which], teacher.swaps[which], inside)

        decibels = self._each("comparing with the teacher", compare, np.arange(len(swaps)))
        return {
            "psnr_teacher_db": means(decibels),
            "id_cosine_teacher": means(metrics.cosines(swap.embeddings, teacher.embeddings)),
        }

    def _swaps(self, model: SwapModel, pairs: PairList, seed: int) -> Crops:
        """Swap the pairs, not pasted: (n, R, R, 3)."""
        shape = model.facts.latent_shape

        def swap(which: NDArray[np.int64]) -> Crops:
            noise = pairs.pick(which).noise(seed, shape)
            return model.swap(self._shown.target[which], self._shown.source[which], noise)

        return self._each(f"swapping, seed {seed}", swap, np.arange(len(pairs)))

    def _row(self, name: str, pictures: Crops) -> PictureMeasures:
        def measure(which: NDArray[np.int64]) -> PictureMeasures:
            shown, beside = pictures[which], self._shown[which]
            landmarks = self._truth_landmarks[which]
            return PictureMeasures(
                psnr_face_db=metrics.psnr(shown, beside.truth, beside.inside),
                ssim_face=metrics.ssim(shown, beside.truth, beside.inside),
                psnr_outside_db=metrics.psnr(shown, beside.target, beside.outside),
                psnr_occluded_db=metrics.psnr_of_some(shown, beside.target, beside.occluded),
                fine_energy=metrics.fine_energy(shown, beside.inside),
                landmark_nme=metrics.landmark_error(
                    self._landmarker.find(shown),
                    landmarks,
                    eye_distances(landmarks, self._landmarker.eye_corners),
                ),
                embeddings=self._judge.embed(shown),
            )

        return PictureMeasures.joined(
            self._parts(f"judging {name}", measure, np.arange(len(pictures)))
        )

    def _each(self, text: str, function: Callable[[Any], Any], items: Any) -> Any:
        return np.concatenate(self._parts(text, function, items))

    def _parts(self, text: str, function: Callable[[Any], Any], items: Any) -> list[Any]:
        """Apply a function to each batch of the items, and report the progress."""
        parts = []
        for start in range(0, len(items), self.config.batch_size):
            self._progress(start, len(items), text)
            parts.append(function(items[start : start + self.config.batch_size]))
        self._progress(len(items), len(items), text)
        return parts

    def _dlib(self) -> Judge:
        from edgeswap_compress.evaluate.judges.dlib import DlibJudge

        return DlibJudge(self._template, threads=self.config.threads)

    def _face_mesh(self) -> Landmarker:
        from edgeswap_compress.evaluate.judges.landmarks import FaceMesh

        return FaceMesh(self._template, threads=self.config.threads)

    @property
    def _template(self) -> NDArray[np.float64]:
        """Give the landmarks (5, 2) that datasets are rendered to have."""
        return TEMPLATE_96 * self._size / 96

    def _check(self, facts: ModelFacts, teacher: EvaluationReport | None) -> None:
        if self._size != facts.resolution_px:
            raise CropMismatch(
                "resolution", expected=f"{facts.resolution_px} px", found=f"{self._size} px"
            )
        apart = float(np.abs(np.array(facts.landmarks_px) - self._template).max())
        apart *= 96 / self._size
        if apart > TEMPLATE_TOLERANCE_PX:
            raise CropMismatch(
                "alignment",
                expected="its own landmarks_px",
                found=f"up to {apart:.1f} px from them",
            )
        if teacher is not None and teacher.model.latent_shape != facts.latent_shape:
            raise InvalidEvaluation(
                f"the teacher's latents are {teacher.model.latent_shape}, the model's "
                f"{facts.latent_shape}: expected the same, so that both can start from the same "
                "noise; leave --teacher out"
            )

    def _facts(self, facts: ModelFacts, teacher: EvaluationReport | None) -> dict[str, Any]:
        found = {
            "model": facts.kind,
            "model_sha256": facts.sha256,
            "steps": facts.steps,
            "guidance": facts.guidance,
            "sampler": facts.sampler,
            "precision": facts.precision,
            "model_resolution_px": facts.own_resolution_px or facts.resolution_px,
            "evaluator": self._judge.name,
            "evaluator_sha256": self._judge.sha256,
            "landmarker": self._landmarker.name,
            "landmarker_sha256": self._landmarker.sha256,
            "dataset_digest": self.dataset.digest,
            "dataset_as_published": is_published(self.dataset.digest),
            "pairs_sha256": self.pairs.sha256,
            "n": len(self.pairs),
            "groups": len(np.unique(self.pairs.group)),
            "gallery": len(self._gallery),
            "chance_top1": 1 / len(self._gallery),
            "seed": self.config.seed,
            "seeds": self.config.seeds,
            "bootstrap_resamples": self.config.resamples,
        }
        if teacher is not None:
            names = ("model_sha256", "steps", "guidance", "precision")
            found |= {f"teacher_{name}": teacher.facts[name] for name in names}
        return found


def evaluate(
    model: Path,
    config: EvaluateConfig,
    *,
    dataset: HeldOut,
    sampling: Sampling | None = None,
    teacher: EvaluationReport | None = None,
    progress: Progress | None = None,
) -> EvaluationReport:
    """Judge one model, with the judges that were fetched; see `Evaluation` for several.

    Args:
        model: folder of a checkpoint or of a bundle.
        config: on what to judge.
        dataset: rendered of people the model was not trained on.
        sampling: steps, guidance and dtype; the model's own when None.
        teacher: what was found of another model, to be compared with.
        progress: called with pictures done, pictures in all, and what is being done.

    Raises:
        EdgeswapError: see `Evaluation` and `open_model`.
    """
    from edgeswap_compress.evaluate.models import Sampling, open_model

    evaluation = Evaluation(dataset, config, progress=progress)
    with open_model(model, sampling or Sampling()) as opened:
        return evaluation.judge(opened, teacher=teacher)
