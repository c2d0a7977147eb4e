"""The embedded network: crop → pose and canonical map → position map, for one CPU thread.

The face's pose and its pose-free shape are predicted apart and put together inside the network (the
idea of SADRNet, Ruan et al. 2021): the pose carries the precision, so the map of offsets from the
mean face is small and smooth. It is a cubic spline surface of 64 × 64 control points, read at
256 × 256. The rows of control points gather at the eyelids, which lie only a pixel and a half apart
in UV space: with even rows, eyes would never close.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from prnet.landmarks import LIDS
from prnet.uv.atlas import MAP_SIZE, Atlas
from prnet.uv.position_map import sample_map

CONTROL_SIZE = 64  # side of the map of offsets' control points
TRAIN_SIZE = 96  # side of the maps that the loss sees
# share of the rows of control points that gather at the eyelids, and how close in v
LID_ROWS, LID_REACH = 0.12, 0.016
FIXED_POINT = 1024  # steps per unit, so that 16 bits hold the mean face within 5 µm
SEED_SIZE, SEED_CHANNELS = 4, 96  # the decoder's first map
# v of the lids in our chart. Weights know their rows, so these stay where an atlas has its points
# a little elsewhere; only another chart's lids, farther off than LID_V_NEAR, move them.
LID_V, LID_V_NEAR = 0.28221512, 0.01
MEAN_SCALE = 0.09  # crop half-sides per cm: a face of 15 cm in a crop of 1.5 times its size
# (output channels, stride) of MobileNetV1's 13 blocks at width 0.5, after a first layer of 16
ENCODER_BLOCKS = (
    ((32, 1), (64, 2), (64, 1), (128, 2), (128, 1), (256, 2))
    + 5 * ((256, 1),)
    + ((512, 2), (512, 1))
)


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

    def first(self, count: int) -> "Prediction":
        """What it says of the first crops."""
        return Prediction(
            self.position_map[:count],
            self.landmarks68[:count],
            None if self.shape is None else self.shape[:count],
            None if self.confidence is None else self.confidence[:count],
        )


class Lite(nn.Module):
    """Light encoder-decoder with a MobileNetV1×0.5 encoder: 2.2 M parameters at 128 pixels.

    Its confidence is what it expects of exp(−NME / 5 %), the NME being that of its own 68 points: 1
    where they are exact, 0.7 at a usual error, 0 where there is no face.

    Args:
        atlas: The UV space; its mean face becomes part of the network.
        input_size: Side of the crop, a multiple of 32.
        latent: Width of the code between encoder and decoder.

    Attributes:
        pixel_mean: Grey value that becomes 0.
        pixel_std: Grey values per unit.
        crop_scale: Side of the crop in units of the mean of the face box's width and height.
        train_uv: (M, M, 2) float32, the places in UV space at which `forward` gives maps.
        depth_of_back: None: z is 0 on the face's mean, not counted from its back.
    """

    pixel_mean, pixel_std = 127.5, 128.0  # those of the warm start's network
    crop_scale = 1.5
    depth_of_back = None

    canonical: Tensor
    canonical_small: Tensor
    canonical_landmarks: Tensor
    rows: Tensor
    columns: Tensor
    rows_small: Tensor
    columns_small: Tensor
    landmark_weights: Tensor

    def __init__(self, atlas: Atlas, input_size: int = 128, latent: int = 384) -> None:
        super().__init__()
        self.input_size = input_size
        side = input_size // 32
        self.encoder = _encoder()
        self.squeeze = _convolution(512, 64, 1)
        self.code = nn.Sequential(
            nn.Linear(512 + 64 * side**2, latent), nn.BatchNorm1d(latent), nn.ReLU()
        )
        self.pose = nn.Linear(latent, 10)  # rotation 6, log scale, translation 3
        self.confidence = nn.Sequential(nn.Linear(latent, 64), nn.ReLU(), nn.Linear(64, 1))
        self.seed = nn.Sequential(nn.Linear(latent, SEED_CHANNELS * SEED_SIZE**2), nn.ReLU())
        # resizing by repetition, then a convolution: transposed convolutions leave ridges
        self.decoder = nn.Sequential(
            nn.Upsample(scale_factor=2),
            _convolution(SEED_CHANNELS, 96, 3),
            nn.Upsample(scale_factor=2),
            _convolution(96, 64, 3),
            nn.Upsample(scale_factor=2),
            _convolution(64, 32, 3),
            nn.Conv2d(32, 12, 3, padding=1),
            nn.PixelShuffle(2),
        )
        nn.init.normal_(self.pose.weight, std=0.01)
        nn.init.zeros_(self.pose.bias)
        lid_v = float(atlas.landmarks68_uv[LIDS, 1].mean())
        lid_v = LID_V if abs(lid_v - LID_V) < LID_V_NEAR else lid_v
        even, even_small = pixel_centres(MAP_SIZE), pixel_centres(TRAIN_SIZE)
        fine = np.linspace(0, 1, 8 * MAP_SIZE)
        train_v = np.interp(even_small, share_of_rows(fine, lid_v), fine)
        self.train_uv = np.stack(np.meshgrid(even_small, train_v), -1).astype(np.float32)
        rows = cubic_spline_matrix(CONTROL_SIZE, share_of_rows(even, lid_v))
        columns = cubic_spline_matrix(CONTROL_SIZE, even)
        weights = bilinear_rows(atlas.landmarks68_uv, MAP_SIZE)
        small = sample_map(atlas.canonical_map, self.train_uv.reshape(-1, 2))
        for name, values in {
            "canonical": np.rint(FIXED_POINT * atlas.canonical_map.reshape(-1, 3).T) / FIXED_POINT,
            "canonical_small": small.T,
            "canonical_landmarks": sample_map(atlas.canonical_map, atlas.landmarks68_uv).T,
            "rows": in_steps(rows),
            "columns": in_steps(columns),
            "rows_small": cubic_spline_matrix(CONTROL_SIZE, even_small),
            "columns_small": cubic_spline_matrix(CONTROL_SIZE, even_small),
            "landmark_weights": np.einsum(
                "pij,ia,jb->abp", weights, rows, columns, optimize=True
            ).reshape(-1, 68),
        }.items():
            tensor = torch.from_numpy(np.ascontiguousarray(values, np.float32))
            self.register_buffer(name, tensor, persistent=False)

    def _regress(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Crops → turn (N, 3, 3) and move (N, 3, 1) to the crop frame, control points, confidence.

        The turn holds the pose's scale and the flip of y.
        """
        features = self.encoder(crops)
        pooled = features.mean((2, 3))
        code = self.code(torch.cat([pooled, self.squeeze(features).flatten(1)], 1))
        pose = self.pose(code).float()
        seed = self.seed(code).view(-1, SEED_CHANNELS, SEED_SIZE, SEED_SIZE)
        controls = self.decoder(seed).float().contiguous()
        flip = pose.new_tensor([[1], [-1], [1]])
        scale = MEAN_SCALE * torch.exp(pose[:, 6, None, None])
        turn = scale * rotation_from_six(pose[:, :6]) * flip
        # the confidence looks on: what it learns mustn't change what the faces are made of
        confidence = self.confidence(code.detach()).float()[:, 0]
        return turn, pose[:, 7:, None] * flip, controls, confidence

    def forward(self, crops: Tensor) -> Prediction:
        """Regress what the loss compares.

        Args:
            crops: (N, 3, S, S) float RGB, scaled as the spec says.

        Returns:
            Prediction with M = 96.
        """
        turn, origin, controls, confidence = self._regress(crops)
        with torch.autocast(crops.device.type, enabled=False):  # positions need all their digits
            offsets = _surface(controls, self.rows_small, self.columns_small)
            shape = self.canonical_small + offsets
            read = controls.view(-1, CONTROL_SIZE**2) @ self.landmark_weights
            landmarks = self.canonical_landmarks + read.view(-1, 3, 68)
            side = (-1, TRAIN_SIZE, TRAIN_SIZE, 3)
            return Prediction(
                (turn @ shape + origin).mT.view(side),
                (turn @ landmarks + origin).mT,
                shape.mT.view(side),
                confidence,
            )

    def finish(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Regress what a model folder's network gives.

        Args:
            crops: (N, 3, S, S) float RGB, scaled as the spec says.

        Returns:
            Maps (N, 256, 256, 3) float32, crop frame, units as in Prediction, and confidences (N,)
            float32 in [0, 1].
        """
        turn, origin, controls, confidence = self._regress(crops)
        # the pose is applied to the 4,096 control points, not to the 65,536 of the map
        posed = (turn @ controls.flatten(2) + origin).view(controls.shape)
        maps = turn @ self.canonical + _surface(posed, self.rows, self.columns)
        maps = maps.view(-1, 3, MAP_SIZE, MAP_SIZE).permute(0, 2, 3, 1)
        return maps, torch.sigmoid(confidence)


def _surface(controls: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Control points (N, 3, C, C) → points of the spline surface (N, 3, M²)."""
    return (rows @ (controls @ columns.T)).flatten(2)


def rotation_from_six(six: Tensor) -> Tensor:
    """Six numbers → rotation matrices, 0 giving the identity.

    Args:
        six: (N, 6) float: the first two columns, less the identity's.

    Returns:
        (N, 3, 3) float, orthonormal, determinant +1.

    Source: Zhou et al. 2019, "On the Continuity of Rotation Representations", appendix B.
    """
    first = functional.normalize(six[:, :3] + six.new_tensor([1, 0, 0]), dim=1)
    second = six[:, 3:] + six.new_tensor([0, 1, 0])
    second = functional.normalize(second - (first * second).sum(1, keepdim=True) * first, dim=1)
    # torch.cross exports to ONNX poorly, so it is written out
    (ax, ay, az), (bx, by, bz) = first.unbind(1), second.unbind(1)
    third = torch.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], 1)
    return torch.stack([first, second, third], 2)


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def _separable(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Depthwise 3×3, then 1×1 convolution, each with batch norm and ReLU (MobileNetV1's block)."""
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs),
        nn.ReLU(inplace=True),
        *_convolution(inputs, outputs, 1),
    )


def _encoder() -> nn.Sequential:
    """MobileNetV1×0.5 (Howard et al. 2017, table 1): (N, 3, S, S) → (N, 512, S/32, S/32)."""
    layers = [_convolution(3, 16, 3, stride=2)]
    inputs = 16
    for outputs, stride in ENCODER_BLOCKS:
        layers.append(_separable(inputs, outputs, stride))
        inputs = outputs
    return nn.Sequential(*layers)


def pixel_centres(size: int) -> NDArray[np.float64]:
    """Where the pixels of a row lie in [0, 1], (size,)."""
    return (np.arange(size) + 0.5) / size


def share_of_rows(v: NDArray[np.floating], lid_v: float) -> NDArray[np.float64]:
    """Find the share of the rows of control points that lie above places in UV space.

    Args:
        v: (P,) float in [0, 1].
        lid_v: Where the eyelids are.

    Returns:
        (P,) float64 in [0, 1], growing smoothly with v and fastest at the lids.
    """
    gathered, top, bottom = (
        np.tanh((np.asarray(place, np.float64) - lid_v) / LID_REACH) for place in (v, 0, 1)
    )
    return np.asarray((1 - LID_ROWS) * v + LID_ROWS * (gathered - top) / (bottom - top))


def cubic_spline_matrix(controls: int, places: NDArray[np.floating]) -> NDArray[np.float32]:
    """Make the matrix that reads a uniform cubic B-spline off a row of control points.

    Convention: the control points lie in [0, 1] at (k + ½)/controls; the border's repeat outwards.
    A surface made with it on both axes has a continuous curvature: no facets.

    Args:
        controls: Number of control points.
        places: (P,) float in [0, 1], where to read.

    Returns:
        (P, controls) float32, rows summing to 1.
    """
    position = places * controls - 0.5
    left = np.floor(position).astype(int)
    matrix = np.zeros((len(places), controls))
    for shift in range(-1, 3):
        distance = np.abs(position - (left + shift))
        near = 2 / 3 - distance**2 + distance**3 / 2
        far = (2 - distance) ** 3 / 6
        columns = np.clip(left + shift, 0, controls - 1)
        np.add.at(matrix, (np.arange(len(places)), columns), np.where(distance < 1, near, far))
    return matrix.astype(np.float32)


def in_steps(weights: NDArray[np.floating]) -> NDArray[np.float64]:
    """Round weights (P, C) to steps of 1/FIXED_POINT; the largest of a row keeps its sum 1."""
    steps = np.rint(FIXED_POINT * np.asarray(weights, np.float64))
    steps[np.arange(len(steps)), steps.argmax(1)] += FIXED_POINT - steps.sum(1)
    return np.asarray(steps / FIXED_POINT)


def bilinear_rows(uv: NDArray[np.floating], size: int) -> NDArray[np.float32]:
    """Make the weights with which `sample_map` samples a map.

    Args:
        uv: (P, 2) float in [0, 1], u right, v down.
        size: Side of the map.

    Returns:
        (P, size, size) float32, each point's weights summing to 1.
    """
    x, y = np.clip(np.asarray(uv, np.float64).T * size - 0.5, 0, size - 1)
    x0, y0 = np.minimum(x.astype(int), size - 2), np.minimum(y.astype(int), size - 2)
    fx, fy = x - x0, y - y0
    rows = np.zeros((len(uv), size, size), np.float32)
    index = np.arange(len(uv))
    for dy, wy in ((0, 1 - fy), (1, fy)):
        for dx, wx in ((0, 1 - fx), (1, fx)):
            rows[index, y0 + dy, x0 + dx] += wy * wx
    return rows


def warm_start(network: Lite, state: dict[str, Tensor]) -> None:
    """Copy the encoder of 3DDFA_V2's mb05_120x120.pth into the network.

    Args:
        network: Its encoder is changed in place.
        state: The file's state_dict; its network takes BGR, ours RGB.

    Raises:
        ValueError: The state isn't that network's.
    """
    source = {k: v for k, v in state.items() if ".fc" not in k}
    target = network.encoder.state_dict()
    if [v.shape for v in source.values()] != [v.shape for v in target.values()]:
        raise ValueError("the warm start must be a MobileNetV1×0.5 with the layers of mb05_120x120")
    renamed = dict(zip(target, source.values(), strict=True))
    first = next(iter(renamed))
    renamed[first] = renamed[first].flip(1)
    network.encoder.load_state_dict(renamed)
