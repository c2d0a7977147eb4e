"""What a network is to training, evaluation and export: the contract of every network here."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


class Prediction(NamedTuple):
    """What a network says of N crops; one unit of position is half the crop's side, 0 its middle.

    Attributes:
        position_map: (N, M, M, 3) float32, crop frame, at the network's own `train_uv`.
        landmarks68: (N, 68, 3) float32, crop frame.
        shape: (N, M, M, 3) float32, canonical frame, cm; None from networks that don't separate the
            pose.
        confidence: (N,) float32, before the sigmoid, see `Lite`; None from networks without one.
    """

    position_map: Tensor
    landmarks68: Tensor
    shape: Tensor | None
    confidence: Tensor | None

    def map(self, change: Callable[[Tensor], Tensor]) -> "Prediction":
        """The same with every part changed."""
        return Prediction(
            change(self.position_map),
            change(self.landmarks68),
            None if self.shape is None else change(self.shape),
            None if self.confidence is None else change(self.confidence),
        )

    def first(self, count: int) -> "Prediction":
        """What it says of the first crops."""
        return self.map(lambda part: part[:count])


class Finished(NamedTuple):
    """What a model folder's network says of N crops.

    Attributes:
        position_maps: (N, 256, 256, 3) float32, crop frame, in the spec's units.
        confidences: (N,) float32 in [0, 1]; None from networks without.
        controls: (N, 64, 64, 3) float32, crop frame, pixels, and
        turns: (N, 3, 3) float32: see `prnet.uv.spline_map`; None from networks whose maps are none
            of those.
    """

    position_maps: Tensor
    confidences: Tensor | None = None
    controls: Tensor | None = None
    turns: Tensor | None = None


class PositionMapNetwork(Protocol):
    """A network that regresses position maps; a `torch.nn.Module` with these besides.

    Attributes:
        name: In recipes and model folders.
        input_size: Side S of the crop in pixels.
        pixel_mean: Gray value that becomes 0.
        pixel_std: Gray values per unit.
        crop_scale: Side of the crop in units of the mean of the face box's width and height.
        train_uv: (M, M, 2) float32, the places in UV space at which `forward` gives maps.
        depth_of_back: z of the face's backmost point, in half the crop's side; None where z is 0 on
            the face's mean.
    """

    name: str
    input_size: int
    pixel_mean: float
    pixel_std: float
    crop_scale: float
    train_uv: NDArray[np.float32]
    depth_of_back: float | None

    def forward(self, crops: Tensor) -> Prediction:
        """Regress what the loss compares, of (N, 3, S, S) float RGB crops, scaled."""

    def finish(self, crops: Tensor) -> Finished:
        """Regress what a model folder's network gives.

        One that gives control points also takes `drawn`, () int64: of how many crops, from the
        first on, the maps themselves are wanted.
        """
