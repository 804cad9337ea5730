"""Mutations of safetensors files: of their bytes, their header and their tensors."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import numpy as np

from fuzzing import bytestrings, trees

_SIZES = {"F16": 2, "F32": 4, "U8": 1}
_FILLS = {"NaN": np.nan, "infinity": np.inf, "zero": 0.0, "60 000": 60_000.0}


def mutate(data: bytes, random: Random) -> tuple[str, bytes]:
    """One random change of a safetensors file: (description, bytes)."""
    way = random.random()
    if way < 0.3:
        return bytestrings.mutate(data, random)
    header, body = split(data)
    if way < 0.65:
        told, changed = trees.mutate(header, random)
        return f"header: {told}", join(trees.dumps(changed), body)
    return filled(data, random, random.choice(list(_FILLS)))


def filled(data: bytes, random: Random, fill: str) -> tuple[str, bytes]:
    """One tensor, or one value of it, made NaN, infinite, zero or large."""
    header, body = split(data)
    name = random.choice([key for key in header if key != "__metadata__"])
    entry = header[name]
    start, end = entry["data_offsets"]
    kind = {"F16": np.float16, "F32": np.float32, "U8": np.uint8}[entry["dtype"]]
    values = np.frombuffer(body[start:end], kind).copy()
    whole = random.random() < 0.5
    with np.errstate(invalid="ignore"):
        values[slice(None) if whole else random.randrange(len(values))] = (
            _FILLS[fill] if entry["dtype"] != "U8" else 255
        )
    changed = body[:start] + values.tobytes() + body[end:]
    return f"{name}{'' if whole else ', one value'}: {fill}", join(json.dumps(header), changed)


def split(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The header and the bytes of the tensors."""
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def join(header: str, body: bytes) -> bytes:
    """A file of a header's text and the bytes of the tensors."""
    text = header.encode("utf-8", "surrogatepass")
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + body
