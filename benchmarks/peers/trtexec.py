# /// script
# dependencies = ["numpy"]
# ///
"""NVIDIA's trtexec: TensorRT's own benchmark, run once; its latencies are handed out in turn.

So this row alone is not timed in turns with the others, and its output is not compared.
"""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from _worker import arguments

if __name__ == "__main__":
    options = arguments(__doc__)
    program = shutil.which("trtexec")
    if program is None:
        sys.exit("trtexec is not on the PATH: it comes with TensorRT or JetPack")
    with tempfile.TemporaryDirectory() as folder:
        times = Path(folder) / "times.json"
        command = [program, f"--onnx={options.onnx}", "--stronglyTyped", "--useCudaGraph",
                   "--noTF32", "--iterations=200", f"--exportTimes={times}"]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit((done.stderr.strip().splitlines() or ["trtexec failed"])[-1])
        latencies_ms = [row["latencyMs"] for row in json.loads(times.read_text())]
    print(json.dumps({"ready": {"tasks": ["unet"], "settings": {"in_turns": False}}}), flush=True)
    for _, latency_ms in zip(sys.stdin, itertools.cycle(latencies_ms), strict=False):
        print(json.dumps({"total_ns": int(latency_ms * 1e6)}), flush=True)
