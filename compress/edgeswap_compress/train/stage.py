"""The training stage: a folder of pictures in, a teacher checkpoint out."""

from __future__ import annotations

from pathlib import Path

from edgeswap_compress._checks import usual_run
from edgeswap_compress.fit.loop import Cadence
from edgeswap_compress.fit.trackers import Tracker
from edgeswap_compress.progress import StageProgress
from edgeswap_compress.train._teacher import TeacherRun
from edgeswap_compress.train.checks import check_training
from edgeswap_compress.train.config import ExampleConfig, TeacherConfig


def train(
    data: Path,
    config: TeacherConfig,
    out: Path,
    *,
    held_out: Path,
    run: Path | None = None,
    init: Path | None = None,
    examples: ExampleConfig | None = None,
    cadence: Cadence | None = None,
    tracker: Tracker | None = None,
    progress: StageProgress | None = None,
) -> Path | None:
    """Train autoencoder, identity encoder and denoiser, and write them as a checkpoint.

    Args:
        data: rendered dataset, triplets, or aligned crops, see `open_pictures`.
        config: settings of the phases, fixed for the life of the run folder.
        out: new checkpoint folder.
        held_out: a folder of the same kind that is never trained on.
        run: folder with the state, which the same call continues; ``OUT.run`` when None.
        init: checkpoint folder to go on from, see `TeacherRun`.
        examples: how examples are drawn and augmented; as they come when None.
        cadence: how often to save and evaluate; when to stop early.
        tracker: receives the losses and figures.
        progress: told how much of each phase is done.

    Returns:
        ``out``, or None if the cadence stopped it early.

    Raises:
        OutputExists: ``out`` exists.
        EdgeswapError: a folder is missing or of another kind; the run folder is another run's.
    """
    run = run or usual_run(out)
    check_training(data, config, out, held_out=held_out, run=run, init=init)
    task = TeacherRun(data, held_out, config, run, init, examples)
    return task.execute(out, cadence=cadence or Cadence(), tracker=tracker, progress=progress)
