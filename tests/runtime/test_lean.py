"""Importing the runtime costs nothing and drags nothing in."""

from __future__ import annotations

import json
import subprocess
import sys

import edgeswap_runtime

HEAVY = (
    "torch",
    "diffusers",
    "onnx",
    "onnxruntime",
    "scipy",
    "moderngl",
    "safetensors",
    "rich",
    "av",
)


def _loaded_after(code: str) -> set[str]:
    """Top-level modules a fresh interpreter holds after running the code."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return {name.partition(".")[0] for name in json.loads(done.stdout)}


def test_importing_the_package_imports_nothing() -> None:
    loaded = _loaded_after("import edgeswap_runtime, edgeswap_runtime.cli")
    assert not loaded & {*HEAVY, "numpy", "PIL"}


def test_importing_the_package_costs_at_most_150_ms() -> None:
    """Processor time, and the best of three: what else the machine does is not the package's."""
    script = (
        "import time; start = time.process_time(); import edgeswap_runtime; "
        "print(time.process_time() - start)"
    )
    spent = [
        float(
            subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout
        )
        for _ in range(3)
    ]
    assert min(spent) < 0.15


def test_every_public_name_without_the_training_stack() -> None:
    loaded = _loaded_after("from edgeswap_runtime import *")
    assert {"numpy", "PIL"} <= loaded
    assert not loaded & set(HEAVY)


def test_opening_a_bundle_brings_one_backend(bundle_folder: object) -> None:
    loaded = _loaded_after(
        f"from edgeswap_runtime import Swapper\nSwapper.open({str(bundle_folder)!r}).close()"
    )
    assert "onnxruntime" in loaded
    assert not loaded & (set(HEAVY) - {"onnxruntime"})


def test_all_is_complete_sorted_and_short() -> None:
    names = edgeswap_runtime.__all__
    assert names == sorted(names)
    assert len(names) <= 12
    for name in names:
        assert getattr(edgeswap_runtime, name).__module__.startswith("edgeswap_runtime")
        assert name in dir(edgeswap_runtime)


def test_unknown_names_raise() -> None:
    assert not hasattr(edgeswap_runtime, "NoSuchName")
