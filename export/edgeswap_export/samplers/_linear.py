"""Compute with linear functions of the sample and the model's output, as the papers write them."""

from __future__ import annotations

from dataclasses import dataclass

from edgeswap_export._errors import UnsupportedPrediction


@dataclass(frozen=True, slots=True)
class Linear:
    """The function `sample * x + output * model(x)`.

    Sums and multiples of such functions are such functions again. That is all a sampler needs, and
    why it can be written as a table.

    Attributes:
        sample: factor of the sample x, float64.
        output: factor of the model's output, float64.
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
    """Express the predicted clean sample and noise by the sample and the model's output.

    Args:
        prediction_type: what the model predicts: "epsilon", "sample" or "v_prediction".
        alpha: signal scale of the noisy sample, sqrt(alphas_cumprod).
        sigma: noise scale of the noisy sample, sqrt(1 - alphas_cumprod); alpha^2 + sigma^2 = 1.

    Returns:
        (x0, eps) with `x = alpha * x0 + sigma * eps`.

    Raises:
        UnsupportedPrediction: the prediction type is none of the three.

    Source:
        v = alpha * eps - sigma * x0: Salimans & Ho, arXiv 2202.00512, appendix D.
    """
    if prediction_type == "epsilon":
        return (1.0 / alpha) * (SAMPLE - sigma * OUTPUT), OUTPUT
    if prediction_type == "sample":
        return OUTPUT, (1.0 / sigma) * (SAMPLE - alpha * OUTPUT)
    if prediction_type == "v_prediction":
        return alpha * SAMPLE - sigma * OUTPUT, alpha * OUTPUT + sigma * SAMPLE
    raise UnsupportedPrediction(prediction_type)
