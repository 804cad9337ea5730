"""Choose a sampling schedule of a bundle by its name or by its number of steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeswap_runtime.errors import InvalidRequest

if TYPE_CHECKING:
    from edgeswap_runtime.bundle.manifest import Manifest


def choose_schedule(manifest: Manifest, name: str | None, steps: int | None) -> str:
    """Return the name of the schedule that is asked for.

    Args:
        manifest: of the bundle.
        name: the schedule itself, or None.
        steps: a number of steps, or None; among several schedules of that many, the one with the
            default's sampler is taken, else the first by name. With neither, the default.

    Raises:
        InvalidRequest: the bundle has no schedule of so many steps.
    """
    if name is not None or steps is None:
        return manifest.default_schedule if name is None else name
    fitting = sorted(key for key, value in manifest.schedules.items() if value.steps == steps)
    if not fitting:
        offered = ", ".join(f"{k} ({v.steps})" for k, v in sorted(manifest.schedules.items()))
        raise InvalidRequest(f"the bundle has no schedule of {steps} steps: expected of {offered}")
    usual = manifest.schedules[manifest.default_schedule].sampler
    alike = [key for key in fitting if manifest.schedules[key].sampler == usual]
    return (alike or fitting)[0]
