"""Describe one stage that a recipe asks for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRequest:
    """One stage to run.

    Attributes:
        stage: a name in STAGES.
        arguments: the arguments of its command, without the folders it reads and makes.
        inputs: the files and folders among the arguments, as the recipe writes them.
    """

    stage: str
    arguments: tuple[str, ...]
    inputs: tuple[str, ...]
