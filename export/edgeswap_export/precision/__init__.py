"""Convert graphs to float16, bfloat16, INT8 or FP8, but for nodes that must stay float32."""

from __future__ import annotations

PRECISIONS = ("fp32", "fp16", "bf16", "int8", "fp8")
"""Number formats that a graph can be exported in."""
