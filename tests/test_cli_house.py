"""The command line: help that is complete and quick, and one name for one thing in all commands."""

from __future__ import annotations

import argparse
import importlib
import re
import resource
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from edgeswap_runtime import cli
from edgeswap_runtime.cli import COMMANDS, SUBCOMMANDS, main

TARGETS = {name: target for name, (target, _, _) in COMMANDS.items()} | SUBCOMMANDS
MODULES = {name: target.partition(":")[0] for name, target in TARGETS.items()}
"""Command -> the module that holds its parser."""

MAKES_ONE_FILE = {"swap", "identity", "video", "live", "data sheet"}
"""Commands that write one file, not a folder."""

HELP_S = 0.5

MEANINGS = {
    "--adapter": "adapter's own file",
    "--align": "face lies in the crop",
    "--adversarial-weight": "discriminator's verdict",
    "--augment": "share of",
    "--backend": "library that runs|TensorRT to build with",
    "--batch": "batch",
    "--batch-size": "samples a step|pairs at a time",
    "--bundle": "folder of the bundle",
    "--certificate": "certificate chain to sign with",
    "--consent": "agreed|consent",
    "--begin": "begin at noise",
    "--blend": "mask after each step",
    "--checkpointing": "activations twice",
    "--compile": "torch.compile",
    "--data": "dataset|folder made by edgeswap data",
    "--device": "runs on|computes on",
    "--dtype": "number format torch computes",
    "--evaluate-every": "seconds between evaluations",
    "--faces": "faces of the target|people to swap",
    "--fine-weight": "weight of the fine detail",
    "--force": "swap also what the model cannot do well",
    "--guidance": "guidance",
    "--heads": "attention heads",
    "--held-out": "for the figures",
    "--identity-weight": "weight of the identity loss",
    "--image-encoder": "image encoder",
    "--image-encoder-align": "face lies in the image encoder",
    "--image-encoder-output": "output of the image encoder",
    "--json": "JSON|json",
    "--keep-detail": "own grain and pores",
    "--learning-rate": "largest learning rate",
    "--license": "license",
    "--lora": "LoRA",
    "--mask-scale": "repainted oval",
    "--metric-share": "0: measure errors on latents, 1: as they show in pixels",
    "--map": "put the face of this photo into",
    "--minutes": "minutes",
    "--no-credentials": "content credentials",
    "--no-watermark": "invisible watermark",
    "--negative-prompt": "leads away from",
    "--offload": "in the host's memory",
    "--optimizer": "optimizer",
    "--origin": "where",
    "--out": "the new|to write",
    "--overwrite": "replace",
    "--port": "port",
    "--precision": "precision|number format inside the graphs",
    "--prediction": "U-Net predicts",
    "--require-settled": "exit with 3",
    "--resume": "go on where the same command was ended",
    "--private-key": "private key of --certificate",
    "--prompt": "text, encoded once",
    "--prompt-embeds": "instead of a text",
    "--proven-steps": "compared with diffusers",
    "--recognizer": "ONNX face recognizer",
    "--recognizer-align": "face lies in the recognizer",
    "--recognizer-color": "color channels",
    "--recognizer-output": "output of the recognizer",
    "--patch-size": "side of the patches",
    "--run": "folder for the state",
    "--sampler": "sampler",
    "--samples": "images|samples",
    "--save-every": "seconds between saves",
    "--scale": "adapter's attention",
    "--schedule": "schedule",
    "--seed": "seed of",
    "--self-share": "share of the pairs",
    "--size": "side of|sizes",
    "--source": "photo",
    "--spacing": "timesteps are spaced",
    "--steps": "steps",
    "--stop-after": "minutes",
    "--strength": "share of the steps",
    "--target": "photo|film",
    "--teacher-guidance": "guidance scale of the teacher",
    "--teacher-steps": "steps of the teacher",
    "--threads": "threads",
    "--tracker": "metrics",
    "--weights-dtype": "weights on disk",
    "base": "base model|image encoder and all",
    "bundle": "folder",
    "checkpoint": "checkpoint",
    "out": "to make|to write",
    "path": "folder",
    "photos": "photo",
    "student": "checkpoint folder",
    "--width": "channels",
    "model": "checkpoint or of a bundle",
}
"""An argument that several commands take -> what each of its help texts must say."""

UNITS = {
    "--evaluate-every": "seconds", "--minutes": "minutes", "--patch-size": "pixels",
    "--save-every": "seconds", "--stop-after": "minutes", "--workspace-mib": "MiB",
}  # fmt: skip
"""Option -> the unit that its help must name."""

RETIRED = {
    "--by": "--mode", "--flavour": "--backend", "--grow": "--widen-latents",
    "--optimiser": "--optimizer", "--output": "OUT", "--resolution": "--size",
    "--scope": "--allocation", "--torch-dtype": "--dtype", "-o": "OUT or --out",
}  # fmt: skip
"""Names that nothing has any more -> what to use instead."""

BRITISH = re.compile(
    r"colour|flavour|grey\b|neighbour|licence|optimis|personalis|initialis|normalis|artefact|centre",
    re.IGNORECASE,
)


@cache
def parser_of(name: str) -> argparse.ArgumentParser:
    found = cli.parser_of(name)
    assert isinstance(found, argparse.ArgumentParser)
    return found


def with_children(
    name: str, parser: argparse.ArgumentParser
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """A parser and those of its sub-commands, by what one types."""
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, child in action.choices.items():
                yield from with_children(f"{name} {word}", child)


def arguments(name: str) -> Iterator[tuple[str, argparse.Action, str]]:
    """(what one types, argument, help with its default filled in), sub-commands included."""
    for typed, parser in with_children(name, parser_of(name)):
        for action in parser._actions:
            if not isinstance(action, argparse._HelpAction | argparse._SubParsersAction):
                told = parser._get_formatter()._expand_help(action) if action.help else ""
                yield typed, action, told


def is_chosen_of(typed: str, action: argparse.Action) -> bool:
    """True for an option of a group of which one must be given."""
    name = next(name for name in sorted(MODULES, key=len, reverse=True) if typed.startswith(name))
    parser = dict(with_children(name, parser_of(name)))[typed]
    groups = [group for group in parser._mutually_exclusive_groups if group.required]
    return any(action in group._group_actions for group in groups)


def label(action: argparse.Action) -> str:
    """The longest name of an option, or a positional argument's own."""
    return max(action.option_strings, key=len, default=action.dest)


@pytest.mark.parametrize("name", MODULES)
def test_a_command_is_a_module_with_a_parser_and_a_function(name: str) -> None:
    module = importlib.import_module(MODULES[name])
    assert callable(module.command)
    assert parser_of(name).prog == f"edgeswap {name}"
    assert parser_of(name).description


@pytest.mark.parametrize("name", MODULES)
def test_every_argument_says_what_it_is_and_its_default(name: str) -> None:
    untold = []
    for typed, action, told in arguments(name):
        required = action.required or is_chosen_of(typed, action)
        free = action.nargs != 0 and bool(action.option_strings) and not required
        if len(told) < 4 or (free and not re.search("default|instead|required", told)):
            untold.append(f"{typed} {label(action)}: {told!r}")
        unit = UNITS.get(label(action))
        if unit is not None and unit not in told:
            untold.append(f"{typed} {label(action)}: {told!r} lacks the unit {unit}")
    assert untold == []


def help_seconds(name: str) -> float:
    """Processor time of `edgeswap NAME --help` in a process of its own."""
    line = [sys.executable, "-m", "edgeswap_runtime", *name.split(), "--help"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(line, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.stdout.startswith(f"usage: edgeswap {name}".encode()) and not done.stderr
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("name", MODULES)
def test_help_is_quick(name: str) -> None:
    """The best of three: what else the machine does is not the command's."""
    assert any(help_seconds(name) <= HELP_S for _ in range(3))


PHOTOS = ["--source", "a.png", "--target", "b.png", "--out", "c.png"]
GIVEN_A_FOLDER = {
    "swap": ["FOLDER", *PHOTOS],
    "video": ["FOLDER", "--source", "a.png", "--target", "b.mp4", "--out", "c.mp4"],
    "identity": ["a.png", "out.identity", "--bundle", "FOLDER"],
    "batch": ["out", "--target", "a.png", "--source", "b.png", "--bundle", "FOLDER"],
    "live": ["FOLDER"],
    "inspect": ["FOLDER"],
    "verify": ["FOLDER"],
    "bench": ["FOLDER"],
    "data sheet": ["FOLDER", "sheet.png"],
    "train": ["FOLDER", "out", "--held-out", "FOLDER"],
    "prune": ["FOLDER", "out", "--macs-ratio", "0.5"],
    "distill": ["FOLDER", "FOLDER", "out"],
    "distill autoencoder": ["FOLDER", "out"],
    "distill decoder": ["FOLDER", "out"],
    "evaluate photos": ["FOLDER", "FOLDER", "--sources", "FOLDER"],
    "personalize": ["FOLDER", "out", "--photos", "FOLDER", "--consent", "A, 2026-01-01, tests"],
    "evaluate": ["FOLDER"],
    "export": ["FOLDER", "out"],
    "engine": ["FOLDER", "out", "--backend", "tensorrt_rtx", "--gpu", "sm86"],
    "triton": ["FOLDER", "out"],
    "web": ["FOLDER", "out"],
}
"""Command -> its least arguments, FOLDER where it takes one that must exist."""


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (name, found)
        for name in GIVEN_A_FOLDER
        for found in ("nothing", "a file", "an empty folder")
        if (name, found) != ("train", "an empty folder")  # of pictures of any name
    ],
)
def test_a_missing_or_wrong_folder_is_told_one_way(
    name: str,
    found: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    if found == "a file":
        Path("given").write_text("x")
    elif found == "an empty folder":
        Path("given").mkdir()
    line = ["given" if word == "FOLDER" else word for word in GIVEN_A_FOLDER[name]]
    assert main([*name.split(), *line]) == 2
    told = capsys.readouterr()
    form = (
        rf"edgeswap: given is no [^:]+: expected a folder[^,]*, found {found}; make one with .+\n"
    )
    assert re.fullmatch(form, told.err), told.err
    assert told.out == "" and not Path("out").exists()


def test_a_name_means_one_thing() -> None:
    """Each argument that several commands take says the same thing in all of them."""
    uses: dict[str, dict[str, str]] = defaultdict(dict)
    for name in MODULES:
        for typed, action, told in arguments(name):
            uses[label(action)][typed] = told
    shared = {argument: told for argument, told in uses.items() if len(told) > 1}
    undecided = sorted(set(shared) - set(MEANINGS))
    assert undecided == [], "state in MEANINGS what the argument means in every command"
    assert sorted(set(MEANINGS) - set(shared)) == [], "in MEANINGS, but not shared"
    wrong = [
        f"{typed} {argument}: {told}"
        for argument, texts in shared.items()
        for typed, told in texts.items()
        if not re.search(MEANINGS[argument], told)
    ]
    assert wrong == []


def test_outputs_are_named_one_way() -> None:
    """A new folder is the last positional argument, OUT; one file alone may be --out FILE."""
    for name in MODULES:
        for typed, parser in with_children(name, parser_of(name)):
            places = [action.dest for action in parser._get_positional_actions()]
            assert "out" not in places[:-1], f"{typed}: OUT comes last"
            if typed not in MAKES_ONE_FILE:
                assert "--out" not in parser._option_string_actions, f"{typed}: OUT is positional"


def test_no_retired_name_and_no_british_spelling() -> None:
    odd = []
    for name in MODULES:
        for typed, action, told in arguments(name):
            names = [*action.option_strings, action.dest]
            odd += [f"{typed} {n}: use {RETIRED[n]}" for n in names if n in RETIRED]
            odd += [f"{typed} {n}: {told}" for n in names if BRITISH.search(f"{n} {told}")]
    assert odd == []
