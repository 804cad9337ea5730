"""Scaling of the loss in float16, whose smallest numbers are larger than small gradients."""

from __future__ import annotations

FIRST = 2.0**14
LARGEST = 2.0**24
GROWS_AFTER = 1000
"""Steps without an overflow after which the scale doubles."""


class LossScale:
    """Dynamic loss scale (1710.03740, section 3.2): halved at an overflow, doubled after a while.

    Attributes:
        value: the factor of the loss; 1.0 where nothing is scaled.
    """

    def __init__(self, *, scales: bool) -> None:
        self.scales = scales
        self.value = FIRST if scales else 1.0
        self._since = 0

    def overflowed(self) -> bool:
        """Halve the scale after gradients that are not finite; tell whether the step may be left.

        Where nothing is scaled, or the scale is at 1, the gradients are at fault and not the scale.
        """
        if not self.scales or self.value <= 1.0:
            return False
        self.value, self._since = self.value / 2.0, 0
        return True

    def went_well(self) -> None:
        """Count a step whose gradients were finite."""
        self._since += 1
        if self.scales and self._since >= GROWS_AFTER:
            self.value, self._since = min(LARGEST, self.value * 2.0), 0
