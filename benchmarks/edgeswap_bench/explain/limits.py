"""Say in words what holds a graph back, and what to try."""

from __future__ import annotations

_KINDS = {
    "multiply": ("Conv", "FusedConv", "NhwcFusedConv", "QLinearConv", "Gemm", "FusedGemm", "MatMul",
                 "FusedMatMul", "QGemm", "QLinearMatMul", "MatMulInteger", "ConvTranspose",
                 "MatMulIntegerToFloat", "DynamicQuantizeMatMul", "ConvInteger", "Convolution",
                 "FullyConnected", "Deconvolution"),
    "attention": ("MultiHeadAttention", "Attention", "ScaledDotProductAttention", "SDPA"),
    "normalize": ("InstanceNormalization", "MVN", "LayerNormalization", "GroupNorm", "Softmax",
                  "SkipLayerNormalization", "SimplifiedLayerNormalization", "GroupNormalization"),
    "layout": ("ReorderInput", "ReorderOutput", "Reorder", "Transpose", "Reshape", "Concat",
               "Concatenation", "Slice", "StridedSlice", "Split", "Unsqueeze", "Squeeze", "Expand",
               "DepthToSpace", "SpaceToDepth", "Flatten", "Identity"),
    "quantize": ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "FakeQuantize"),
}  # fmt: skip
"""Our word for what a kernel does -> the backends' words. All others are "pointwise"."""


def kind_of(word: str) -> str:
    """Our word for what a backend's kernel does."""
    return next((kind for kind, words in _KINDS.items() if word in words), "pointwise")


def judge_limit(
    kinds: dict[str, float], measured_ms: float, ideal_ms: float, precision: str
) -> tuple[str, tuple[str, ...]]:
    """Say in words what holds a graph back, and what to try.

    Args:
        kinds: kind of kernel -> milliseconds.
        measured_ms: of whole runs.
        ideal_ms: what the ceilings allow.
        precision: what it computes in.

    Returns:
        The limit, and advice, the most promising first.
    """
    kernels = sum(kinds.values())
    if kernels <= 0:
        return "unknown: the profiler saw no kernel that takes time", ()
    shares = {kind: spent / kernels for kind, spent in kinds.items()}
    multiply = shares.pop("multiply", 0.0) + shares.pop("attention", 0.0)
    efficiency = ideal_ms / max(multiply * kernels, 1e-9)
    if multiply > 0.5 and efficiency > 1.1:
        return (
            "unknown: the kernels were faster than the ceilings that the probes found",
            ("measure again when nothing else runs on this machine",),
        )
    limit, advice = _main_limit(shares, multiply, efficiency, precision)
    idle = max(0.0, 1 - kernels / measured_ms)
    if idle > 0.15:
        advice.insert(
            0,
            f"{100 * idle:.0f} % of the time passes between kernels: try another number of "
            "--threads, or fewer and larger kernels (another --backend fuses more)",
        )
    if shares.get("layout", 0.0) > 0.1:
        advice.append(
            f"{100 * shares['layout']:.0f} % of the kernels' time changes layouts: keep channels "
            "in multiples of the vector width, and reshapes out"
        )
    return limit, tuple(advice)


def _main_limit(
    rest: dict[str, float], multiply: float, efficiency: float, precision: str
) -> tuple[str, list[str]]:
    """What takes most of the kernels' time, and the advice for that."""
    if multiply <= 0.5:
        worst = max(rest, key=lambda kind: rest[kind])
        return (
            f"{worst} kernels, {100 * rest[worst]:.0f} % of the kernels' time: moving bytes",
            [
                "fuse what does not multiply into what does: another --backend, or a graph with "
                "fewer normalizations and activations"
            ],
        )
    if efficiency > 0.6:
        lower = "int8" if precision == "bf16" else "bf16 or int8"
        return (
            f"multiplications, near this machine's ceiling ({100 * efficiency:.0f} % of it)",
            [
                f"compute in {lower} where the processor has it, or prune: fewer multiplications "
                "are what is left"
            ],
        )
    return (
        f"multiplications that reach {100 * efficiency:.0f} % of this machine's ceiling: the "
        "layers are small or of awkward shapes",
        ["channels in multiples of 16 or 32, a larger batch (--batch), or another --backend"],
    )
