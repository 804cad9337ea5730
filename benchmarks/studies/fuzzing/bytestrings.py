"""Mutations of bytes: flips, cuts, repeats, foreign pieces."""

from __future__ import annotations

from random import Random

_PIECES = (b"", b"\0" * 64, b"\xff" * 64, b"%PDF-1.7", b"\x7fELF", b"PK\x03\x04", b"{" * 4096)


def mutate(data: bytes, random: Random) -> tuple[str, bytes]:
    """One random change of a byte string: (description, bytes)."""
    way = random.choice(("flip", "flip", "burst", "cut", "tail", "repeat", "insert", "remove"))
    at = random.randrange(max(1, len(data)))
    if random.random() < 0.5:
        at = min(at, random.randrange(256))  # headers matter most
    if way == "flip":
        changed, count = bytearray(data), random.choice((1, 1, 4, 32))
        for place in [at, *(random.randrange(len(data)) for _ in range(count - 1))]:
            changed[place] ^= 1 << random.randrange(8)
        return f"{count} bits flipped, the first in byte {at}", bytes(changed)
    if way == "burst":
        noise = random.randbytes(random.choice((2, 4, 8, 64)))
        return f"{len(noise)} random bytes at {at}", data[:at] + noise + data[at + len(noise) :]
    if way == "cut":
        return f"cut after {at} bytes", data[:at]
    if way == "tail":
        return f"all but the first {at} bytes", data[at:]
    if way == "repeat":
        piece = data[at : at + random.choice((4, 64, 1024))]
        return f"{len(piece)} bytes at {at} repeated", data[:at] + piece * 8 + data[at:]
    if way == "insert":
        piece = random.choice(_PIECES)
        return f"{piece[:8]!r} inserted at {at}", data[:at] + piece + data[at:]
    length = random.choice((1, 4, 64))
    return f"{length} bytes removed at {at}", data[:at] + data[at + length :]
