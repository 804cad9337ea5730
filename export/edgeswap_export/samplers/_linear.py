"""Linear functions of (sample, model output), so that a sampler's row reads like its paper."""

from __future__ import annotations

from dataclasses import dataclass

from edgeswap_export._errors import UnsupportedPrediction


@dataclass(frozen=True, slots=True)
class Linear:
    """The function ``sample * x + output * model(x)``, in float64 scalars.

    Sums and scalar multiples of such functions are such functions again; that is all a sampler
    needs, and it is why a sampler can be written down as a table.
    """

    sample: float
    output: float

    def __add__(self, other: Linear) -> Linear:
        return Linear(self.sample + other.sample, self.output + other.output)

    def __sub__(self, other: Linear) -> Linear:
        return Linear(self.sample - other.sample, self.output - other.output)

    def __rmul__(self, factor: float) -> Linear:
        return Linear(factor * self.sample, factor * self.output)


SAMPLE = Linear(1.0, 0.0)
OUTPUT = Linear(0.0, 1.0)


def predictions(prediction_type: str, alpha: float, sigma: float) -> tuple[Linear, Linear]:
    """State the predicted clean sample and the predicted noise in terms of what the model says.

    Args:
        prediction_type: What the model was trained to say: "epsilon", "sample" or "v_prediction".
        alpha: Signal scale of the noisy sample, sqrt(alphas_cumprod).
        sigma: Noise scale of the noisy sample, sqrt(1 - alphas_cumprod); alpha^2 + sigma^2 = 1.

    Returns:
        (x0, eps) with ``x = alpha * x0 + sigma * eps``.

    Raises:
        UnsupportedPrediction: The prediction type is none of the three.

    Source: v is alpha * eps - sigma * x0, Salimans & Ho, arXiv 2202.00512, appendix D.
    """
    if prediction_type == "epsilon":
        return (1.0 / alpha) * (SAMPLE - sigma * OUTPUT), OUTPUT
    if prediction_type == "sample":
        return OUTPUT, (1.0 / sigma) * (SAMPLE - alpha * OUTPUT)
    if prediction_type == "v_prediction":
        return alpha * SAMPLE - sigma * OUTPUT, alpha * OUTPUT + sigma * SAMPLE
    raise UnsupportedPrediction(prediction_type)
