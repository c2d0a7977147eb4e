"""Labels of a batch → the position maps and landmarks that the loss compares with."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from prnet.geometry.sampling import sample_map
from prnet.landmarks import MIRROR68
from prnet.morphable.linear import FaceModel, LandmarkModel
from prnet.train.samples import CoefficientBatch, MapBatch
from prnet.uv.atlas import FACE, MAP_SIZE, Atlas
from prnet.uv.chart import rasterize_chart
from prnet.uv.spline import bilinear_rows


class Target(NamedTuple):
    """What a network should say of N crops; units and frames as in networks.lite.Prediction.

    Attributes:
        position_map: (N, M, M, 3) crop frame; z is 0 on the face's mean, or counts from its back.
        landmarks68: (N, 68, 3) crop frame.
        shape: (N, M, M, 3) canonical frame, cm; None where the labels are maps without pose.
        to_canonical: (N, 3, 3), takes a difference in the crop frame to the canonical frame, cm;
            None where the labels are maps without pose.
        mirrored: (N,) bool, whether the crop shows a mirrored face; None where the labels are maps.
    """

    position_map: Tensor
    landmarks68: Tensor
    shape: Tensor | None
    to_canonical: Tensor | None
    mirrored: Tensor | None


class CoefficientTargets(nn.Module):
    """The face model's basis as maps: targets need no files and no rounding, only a matrix product.

    Args:
        model: The labels' face model.
        atlas: The UV space.
        train_uv: (M, M, 2) float32, where in UV space the network gives its maps.
        depth_of_back: z that the face's backmost point gets; None puts z = 0 on the face's mean.

    Attributes:
        region: (M, M) uint8, the atlas's regions at those places.
        is_face: (M²,) bool, pixels of the face without ears and neck.
    """

    mean: Tensor
    basis: Tensor
    landmarks_mean: Tensor
    landmarks_basis: Tensor
    is_face: Tensor

    def __init__(
        self,
        model: FaceModel,
        atlas: Atlas,
        train_uv: NDArray[np.float32],
        depth_of_back: float | None = None,
    ) -> None:
        super().__init__()
        mesh = model.mesh
        self.size, self.depth_of_back = len(train_uv), depth_of_back
        sampler = rasterize_chart(mesh.uv, mesh.triangles, mesh.triangles_uv, MAP_SIZE)
        places = train_uv.reshape(-1, 2)
        modes = np.concatenate([model.identity, model.expression])
        self._register("mean", sample_map(sampler.sample(mesh.vertices), places))
        # several modes at a time, so that a vertex's numbers lie side by side
        columns = np.array_split(np.hstack(list(modes)), len(modes) // 8 + 1, axis=1)
        spread = np.hstack([sample_map(sampler.sample(part), places) for part in columns])
        self._register("basis", spread.reshape(len(places), len(modes), 3).transpose(1, 0, 2))
        corners, weights = mesh.landmarks68_vertices, mesh.landmarks68_barycentric
        self._register("landmarks_mean", _at(mesh.vertices, corners, weights))
        self._register("landmarks_basis", np.stack([_at(m, corners, weights) for m in modes]))
        column, row = (places.T * MAP_SIZE).astype(int)
        self.region = atlas.region[row, column].reshape(train_uv.shape[:2])
        self.register_buffer("is_face", torch.from_numpy(self.region.ravel() >= FACE))

    @property
    def landmark_model(self) -> LandmarkModel:
        """The face model's 68 points."""
        return LandmarkModel(self.landmarks_mean.numpy(), self.landmarks_basis.numpy())

    def _register(self, name: str, values: NDArray[np.floating]) -> None:
        self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(values, np.float32)))

    @torch.no_grad()
    def forward(self, batch: CoefficientBatch) -> Target:
        """Make a batch's targets.

        Args:
            batch: N samples.

        Returns:
            Target with maps of side M.
        """
        count = len(batch.coefficients)
        shape = self.mean + (batch.coefficients @ self.basis.flatten(1)).view(count, -1, 3)
        grid = shape.view(count, self.size, self.size, 3)
        points = self.landmarks_mean + torch.einsum(
            "nk,kpd->npd", batch.coefficients, self.landmarks_basis
        )
        mirror = grid.new_tensor([-1, 1, 1])
        is_mirrored = batch.mirrored[:, None, None]
        shape = torch.where(is_mirrored[..., None], grid.flip(2) * mirror, grid).flatten(1, 2)
        points = torch.where(is_mirrored, points[:, MIRROR68.tolist()] * mirror, points)
        position = self._pose(shape, batch)
        landmarks = self._pose(points, batch)
        shift = _depth_shift(position[:, self.is_face, 2], self.depth_of_back)
        side = (count, self.size, self.size, 3)
        flip = batch.rotation.new_tensor([1, -1, 1])
        to_canonical = batch.rotation.mT * flip / batch.scale[:, None, None]
        maps = (position - shift).view(side)
        return Target(maps, landmarks - shift, shape.view(side), to_canonical, batch.mirrored)

    def _pose(self, points: Tensor, batch: CoefficientBatch) -> Tensor:
        """Canonical (N, P, 3), y up → crop frame, y down."""
        moved = batch.scale[:, None, None] * (points @ batch.rotation.transpose(1, 2))
        return (moved + batch.translation[:, None]) * points.new_tensor([1, -1, 1])


class MapTargets(nn.Module):
    """Labels that are position maps already.

    Args:
        atlas: The maps' UV space.
        depth_of_back: See CoefficientTargets.

    Attributes:
        region: (256, 256) uint8, the atlas's regions.
        is_face: (256²,) bool, pixels of the face without ears and neck.
    """

    is_face: Tensor
    landmark_rows: Tensor

    def __init__(self, atlas: Atlas, depth_of_back: float | None = None) -> None:
        super().__init__()
        self.region, self.depth_of_back = atlas.region, depth_of_back
        self.register_buffer("is_face", torch.from_numpy(atlas.region.ravel() >= FACE))
        rows = bilinear_rows(atlas.landmarks68_uv, MAP_SIZE).reshape(68, -1)
        self.register_buffer("landmark_rows", torch.from_numpy(rows))

    @torch.no_grad()
    def forward(self, batch: MapBatch) -> Target:
        """Make a batch's targets.

        Args:
            batch: N samples.

        Returns:
            Target with maps of side 256 and no shape.
        """
        position = batch.position_map.flatten(1, 2)
        shift = _depth_shift(position[:, self.is_face, 2], self.depth_of_back)
        position = position - shift
        landmarks = self.landmark_rows @ position
        return Target(position.view(batch.position_map.shape), landmarks, None, None, None)


def _depth_shift(depth: Tensor, depth_of_back: float | None) -> Tensor:
    """What to take off the positions of N faces with (N, P) depths: (N, 1, 3), x and y 0."""
    zero = depth.mean(1) if depth_of_back is None else depth.amin(1) - depth_of_back
    return torch.stack([torch.zeros_like(zero), torch.zeros_like(zero), zero], 1)[:, None]


def _at(
    values: NDArray[np.floating], corners: NDArray[np.integer], weights: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Values (V, D) at points given by three vertices and weights each: (P, D)."""
    return np.asarray(np.einsum("pk,pkd->pd", weights, values[corners]))
