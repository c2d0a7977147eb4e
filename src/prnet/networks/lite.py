"""The embedded network: crop → pose and canonical map → position map, for one CPU thread.

The face's pose and its pose-free shape are predicted apart and put together inside the network (the
idea of SADRNet, Ruan et al. 2021): the pose carries the precision, so the map of offsets from the
mean face is small and smooth. It is a cubic spline surface of 64 × 64 control points, read at
256 × 256. The rows of control points gather at the eyelids, which lie only a pixel and a half apart
in UV space: with even rows, eyes would never close.
"""

import numpy as np
import torch
from torch import Tensor, nn

from prnet.geometry.sampling import sample_map
from prnet.networks.mobilenet import convolution, mobilenet
from prnet.networks.prediction import Finished, Prediction
from prnet.uv.atlas import MAP_SIZE, Atlas
from prnet.uv.spline import (
    bilinear_rows,
    cubic_spline_matrix,
    lid_row,
    pixel_centres,
    share_of_rows,
)
from prnet.uv.spline_map import CONTROL_SIZE, spline_of

TRAIN_SIZE = 96  # side of the maps that the loss sees
SEED_SIZE, SEED_CHANNELS = 4, 96  # the decoder's first map
MEAN_SCALE = 0.09  # crop half-sides per cm: a face of 15 cm in a crop of 1.5 times its size


class Lite(nn.Module):
    """Light encoder-decoder with a MobileNetV1×0.5 encoder: 2.2 M parameters at 128 pixels.

    Its confidence is what it expects of exp(−NME / 5 %), the NME being that of its own 68 points: 1
    where they are exact, 0.7 at a usual error, 0 where there is no face.

    Args:
        atlas: The UV space; its mean face becomes part of the network.
        input_size: Side of the crop, a multiple of 32.
        latent: Width of the code between encoder and decoder.

    See `prnet.networks.prediction.PositionMapNetwork`; z is 0 on the face's mean.
    """

    name = "lite"
    pixel_mean, pixel_std = 127.5, 128.0  # those of the warm start's network
    crop_scale = 1.5
    depth_of_back = None

    canonical: Tensor
    canonical_small: Tensor
    canonical_landmarks: Tensor
    row_blocks: Tensor
    row_controls: Tensor
    columns: Tensor
    rows_small: Tensor
    columns_small: Tensor
    landmark_weights: Tensor

    def __init__(self, atlas: Atlas, input_size: int = 128, latent: int = 384) -> None:
        super().__init__()
        self.input_size = input_size
        side = input_size // 32
        self.encoder = mobilenet()
        self.squeeze = convolution(512, 64, 1)
        self.code = nn.Sequential(
            nn.Linear(512 + 64 * side**2, latent), nn.BatchNorm1d(latent), nn.ReLU()
        )
        self.pose = nn.Linear(latent, 10)  # rotation 6, log scale, translation 3
        self.confidence = nn.Sequential(nn.Linear(latent, 64), nn.ReLU(), nn.Linear(64, 1))
        self.seed = nn.Sequential(nn.Linear(latent, SEED_CHANNELS * SEED_SIZE**2), nn.ReLU())
        # resizing by repetition, then a convolution: transposed convolutions leave ridges
        self.decoder = nn.Sequential(
            nn.Upsample(scale_factor=2),
            convolution(SEED_CHANNELS, 96, 3),
            nn.Upsample(scale_factor=2),
            convolution(96, 64, 3),
            nn.Upsample(scale_factor=2),
            convolution(64, 32, 3),
            nn.Conv2d(32, 12, 3, padding=1),
            nn.PixelShuffle(2),
        )
        nn.init.normal_(self.pose.weight, std=0.01)
        nn.init.zeros_(self.pose.bias)
        lid_v = lid_row(atlas)
        even_small = pixel_centres(TRAIN_SIZE)
        fine = np.linspace(0, 1, 8 * MAP_SIZE)
        train_v = np.interp(even_small, share_of_rows(fine, lid_v), fine)
        self.train_uv = np.stack(np.meshgrid(even_small, train_v), -1).astype(np.float32)
        spline = spline_of(atlas)
        row_controls = torch.from_numpy(spline.row_controls)
        self.register_buffer("row_controls", row_controls, persistent=False)
        weights = bilinear_rows(atlas.landmarks68_uv, MAP_SIZE)
        small = sample_map(atlas.canonical_map, self.train_uv.reshape(-1, 2))
        for name, values in {
            "canonical": spline.canonical.reshape(-1, 3).T,
            "canonical_small": small.T,
            "canonical_landmarks": sample_map(atlas.canonical_map, atlas.landmarks68_uv).T,
            "row_blocks": spline.row_blocks,
            "columns": spline.columns,
            "rows_small": cubic_spline_matrix(CONTROL_SIZE, even_small),
            "columns_small": cubic_spline_matrix(CONTROL_SIZE, even_small),
            "landmark_weights": np.einsum(
                "pij,ia,jb->abp", weights, spline.rows, spline.columns, optimize=True
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
        with torch.autocast(crops.device.type, enabled=False):  # angles need all their digits
            pose = self.pose(code.float())
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

    def finish(self, crops: Tensor, drawn: Tensor | None = None) -> Finished:
        """Regress what a model folder's network gives.

        Args:
            crops: (N, 3, S, S) float RGB, scaled as the spec says.
            drawn: () int64, of how many crops, from the first on, the maps themselves are wanted;
                None for all.
        """
        turns, origin, controls, confidence = self._regress(crops)
        middle = (self.input_size - 1) / 2
        turns = self.input_size / 2 * turns
        origin = self.input_size / 2 * origin + origin.new_tensor([[middle], [middle], [0]])
        # the pose is applied to the 4,096 control points, not to the 65,536 of the map
        posed = turns @ controls.view(-1, 3, CONTROL_SIZE**2) + origin
        # (sizes are told, since those of no map can't be worked out)
        surface = posed[:drawn].view(-1, 3, CONTROL_SIZE, CONTROL_SIZE) @ self.columns.T
        blocks = surface.index_select(2, self.row_controls.flatten())
        blocks = self.row_blocks @ blocks.view(-1, 3, *self.row_controls.shape, MAP_SIZE)
        maps = turns[:drawn] @ self.canonical + blocks.view(-1, 3, MAP_SIZE**2)
        return Finished(
            maps.view(-1, 3, MAP_SIZE, MAP_SIZE).permute(0, 2, 3, 1),
            torch.sigmoid(confidence),
            posed.transpose(1, 2).reshape(-1, CONTROL_SIZE, CONTROL_SIZE, 3),
            turns,
        )


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
    first = _normalized(six[:, :3] + six.new_tensor([1, 0, 0]))
    second = six[:, 3:] + six.new_tensor([0, 1, 0])
    second = _normalized(second - (first * second).sum(1, keepdim=True) * first)
    # torch.cross exports to ONNX poorly, so it is written out
    yzx, zxy = [1, 2, 0], [2, 0, 1]
    third = first[:, yzx] * second[:, zxy] - first[:, zxy] * second[:, yzx]
    return torch.stack([first, second, third], 2)


def _normalized(vectors: Tensor) -> Tensor:
    """Vectors (N, 3) at length 1, in fewer steps of ONNX than by PyTorch's function."""
    return vectors / torch.linalg.vector_norm(vectors, dim=1, keepdim=True).clamp_min(1e-12)
