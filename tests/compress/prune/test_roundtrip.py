"""Every family x ratio x importance, and every way of pruning: saved, loaded in a new process, as
ONNX. The default run takes each family at both ratios with one importance; the rest is slow."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from edgeswap_compress._macs import count_macs
from edgeswap_compress.diffusers_folder.example_inputs import example_inputs
from edgeswap_compress.plan.folder import write_unet_folder
from edgeswap_compress.prune._calibration import CalibrationSamples
from edgeswap_compress.prune._calibration_samples import noise_samples
from edgeswap_compress.prune.config import PruneChoice, PruneConfig, PruneTarget
from edgeswap_compress.prune.latency.sessions import open_session
from edgeswap_compress.prune.search.choice import PlanInputs, build_plan
from edgeswap_compress.prune.search.importance import IMPORTANCES
from edgeswap_compress.prune.search.replay import pruned_copy
from edgeswap_compress.prune.structure._families import FAMILIES, tiny_unet
from edgeswap_compress.prune.structure.analysis import PrunableStructure, analyze

TOKENS = 5
RATIOS = (0.3, 0.6)
# float32 sums in another order on outputs of about 1: about a hundred times what is found
PARITY = 1e-4

LOADER = """
import sys
from pathlib import Path
import numpy, torch
from safetensors.torch import load_file
from edgeswap_compress.prune import load_unet

torch.set_num_threads(int(sys.argv[1]))
torch.set_grad_enabled(False)
for folder in map(Path, sys.stdin.read().splitlines()):
    stored = load_file(folder.with_suffix(".safetensors"))
    inputs = {name: tensor.clone() for name, tensor in stored.items()}  # out of the mapped file
    added = {k.split(".")[1]: inputs.pop(k) for k in list(inputs) if "." in k}
    if added:
        inputs["added_cond_kwargs"] = added
    numpy.save(folder.with_suffix(".npy"), load_unet(folder)(**inputs).sample.numpy())
    assert not [name for name in sys.modules if name.startswith("torch_pruning")]
"""


@dataclass(frozen=True, slots=True)
class Case:
    """One model: a family and how it is pruned."""

    family: str
    macs_ratio: float
    importance: str
    mode: str = "width"
    allocation: str = "share"
    resample: bool = False

    @property
    def config(self) -> PruneConfig:
        return PruneConfig(
            target=PruneTarget(macs_ratio=self.macs_ratio),
            choice=PruneChoice(
                importance=self.importance,
                mode=self.mode,
                allocation=self.allocation,
                resample=self.resample,
            ),
        )

    def __str__(self) -> str:
        ways = [self.mode, self.allocation, "resample" if self.resample else ""]
        named = [way for way in ways if way not in ("width", "share", "")]
        return "-".join([self.family, str(self.macs_ratio), self.importance, *named])


@dataclass(frozen=True, slots=True)
class Made:
    """A pruned U-Net in memory and on disk."""

    unet: Any
    inputs: dict[str, Any]
    output: Tensor
    folder: Path


WAYS: tuple[dict[str, Any], ...] = (
    {"mode": "depth"},
    {"mode": "both", "allocation": "global"},
    {"resample": True},
    {"allocation": "uniform"},
)
NAMES, HOWS = list(FAMILIES), list(IMPORTANCES)
GRID = [Case(family, r, how) for family in NAMES for r in RATIOS for how in HOWS]
OTHERS = [
    Case(family, 0.6, "magnitude" if way.get("resample") else "taylor", **way)
    for family in NAMES
    for way in WAYS
]


def is_quick(case: Case) -> bool:
    """Each family once, or twice where a way has its turn; ratios, importances and ways in turn."""
    index = NAMES.index(case.family)
    if case in GRID:
        ratio = RATIOS[index // len(HOWS) % len(RATIOS)]
        return (case.macs_ratio, case.importance) == (ratio, HOWS[index % len(HOWS)])
    turn = index + RATIOS.index(case.macs_ratio)
    return case in OTHERS[turn % len(WAYS) :: len(WAYS)] and turn % 3 == 0


QUICK = [case for case in (*GRID, *OTHERS) if is_quick(case)]
SLOW = [case for case in (*GRID, *OTHERS) if not is_quick(case)]


@cache
def original(family: str) -> Any:
    return tiny_unet(family)


@cache
def structure(family: str) -> PrunableStructure:
    return analyze(original(family), tokens=TOKENS)


@cache
def samples_of(family: str) -> CalibrationSamples:
    return noise_samples(original(family).config, tokens=TOKENS, samples=4, seed=0)


def inputs_of(family: str) -> dict[str, Any]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return example_inputs(original(family).config, tokens=TOKENS, batch=2, device="cpu")


def make(case: Case, root: Path) -> Made:
    """Prune, run and save a case's U-Net, and the inputs beside it."""
    plan_inputs = PlanInputs(tokens=TOKENS, samples=samples_of(case.family))
    plan = build_plan(
        original(case.family), case.config, structure(case.family), inputs=plan_inputs
    )
    unet, inputs = pruned_copy(original(case.family), plan), inputs_of(case.family)
    with torch.no_grad():
        output: Tensor = unet(**inputs).sample
    folder = write_unet_folder(root / str(case).replace(" ", "_").replace(".", "_"), unet, plan)
    flat = {k: v for k, v in inputs.items() if isinstance(v, Tensor)}
    flat |= {f"added.{k}": v for k, v in inputs.get("added_cond_kwargs", {}).items()}
    save_file(flat, folder.with_suffix(".safetensors"))
    return Made(unet=unet, inputs=inputs, output=output, folder=folder)


class Shelf:
    """Cases made so far."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._made: dict[Case, Made] = {}

    def get(self, case: Case) -> Made:
        if case not in self._made:
            self._made[case] = make(case, self._root)
        return self._made[case]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return Shelf(tmp_path_factory.mktemp("unets"))


def check(made: Made, case: Case) -> None:
    assert made.output.isfinite().all()
    size = made.inputs["sample"].shape[2:]
    assert made.output.shape == (2, original(case.family).config.out_channels, *size)
    once = {k: v[:1] if isinstance(v, Tensor) else v for k, v in inputs_of(case.family).items()}
    if "added_cond_kwargs" in once:
        once["added_cond_kwargs"] = {k: v[:1] for k, v in once["added_cond_kwargs"].items()}
    macs = [count_macs(unet, once) for unet in (made.unet, original(case.family))]
    assert macs[0] / macs[1] == pytest.approx(case.macs_ratio, rel=0.05)
    assert {path.name for path in made.folder.iterdir()} == {
        "config.json",
        "diffusion_pytorch_model.safetensors",
        "pruning.json",
    }
    found = open_session(made.unet, kwargs=made.inputs)()
    assert np.abs(found - made.output.numpy()).max() <= PARITY


def check_fresh(cases: list[Case], shelf: Shelf) -> None:
    """All of them in one new process, which has not seen them being made."""
    made = {case: shelf.get(case) for case in cases}
    subprocess.run(
        [sys.executable, "-c", LOADER, str(torch.get_num_threads())],
        input="\n".join(str(entry.folder) for entry in made.values()),
        text=True,
        check=True,
    )
    for case, entry in made.items():
        found = np.load(entry.folder.with_suffix(".npy"))
        assert found.tobytes() == entry.output.numpy().tobytes(), case


@pytest.mark.parametrize("case", QUICK, ids=str)
def test_a_pruned_unet_runs_and_onnx_runtime_agrees(case: Case, shelf: Shelf) -> None:
    check(shelf.get(case), case)


def test_all_give_the_same_bits_in_a_new_process(shelf: Shelf) -> None:
    check_fresh(QUICK, shelf)


@pytest.mark.slow
@pytest.mark.parametrize("case", SLOW, ids=str)
def test_the_rest_of_the_grid_runs_and_onnx_runtime_agrees(case: Case, shelf: Shelf) -> None:
    check(shelf.get(case), case)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_rest_of_the_grid_gives_the_same_bits_in_a_new_process(shelf: Shelf) -> None:
    check_fresh(SLOW, shelf)


def test_the_grid_is_whole() -> None:
    assert len(FAMILIES) >= 12
    assert {(case.family, case.macs_ratio, case.importance) for case in (*QUICK, *SLOW)} >= {
        (family, r, how) for family in FAMILIES for r in (0.3, 0.6) for how in IMPORTANCES
    }
    assert not set(QUICK) & set(SLOW)
