"""A fake CUDA and a fake TensorRT, with the real ones' names and signatures and nothing else.

`tensorrt_names.json` was read from the real bindings by scripts/tensorrt_names.py. Every attribute
that is not in the chosen version, and every call that fits none of its signatures, fails here as it
would there. What the fakes *do* is invented: a "plan" is the ONNX file with a note in front, and is
computed by ONNX Runtime. So a test with them checks names, the order of calls, memory and shapes;
it says nothing about TensorRT's numbers or speed.

CUDA's fake is strict about time: what is enqueued on a stream happens when somebody waits for it.
"""

from __future__ import annotations

from ._building import MAGIC
from ._cuda import FakeCuda, FakeProperties
from ._names import NAMES
from ._tensorrt import FakeTensorRt

__all__ = ["MAGIC", "NAMES", "FakeCuda", "FakeProperties", "FakeTensorRt"]
