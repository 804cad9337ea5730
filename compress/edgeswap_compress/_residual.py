"""The smallest residual block, which our small convolutional networks are made of."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class SmallResidual(nn.Module):
    """Two 3 x 3 convolutions beside the identity: (N, C, H, W) to (N, C, H, W), not below 0.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Add what the convolutions make of it."""
        return F.relu(x + self.conv2(F.relu(self.conv1(x))))
