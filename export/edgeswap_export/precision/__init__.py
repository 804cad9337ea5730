"""Graphs in fewer bits: float16, bfloat16, INT8 and FP8, and what has to stay float32."""

from __future__ import annotations

PRECISIONS = ("fp32", "fp16", "bf16", "int8", "fp8")
