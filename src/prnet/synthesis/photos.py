"""A pack's photos → tensors on the device that trains, with all that drawing them anew needs."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prnet.data.facekit import OPENINGS_YAW_DEG
from prnet.data.pack import PHOTO_SIZE, PackedPhotos
from prnet.landmarks import eye_opening, mouth_opening
from prnet.morphable.linear import FaceModel, LandmarkModel
from prnet.synthesis.relief import Relief, build_relief
from prnet.synthesis.warp import Pose
from prnet.train.openings import follow_reference

CHUNK = 256  # photos whose reliefs are found at once
FIRST_INNER = 17  # iBUG points from here on are set by humans where the mesh has them, too
MAX_SHIFT_CM = 0.6  # farther off, a human is more likely wrong than the fit
# how often photos are drawn, for each time that a photo of LFW is
SOURCE_WEIGHT = {"ibug": 3.0, "mix": 2.5, "web": 1.5}
PROFILE_YAW_DEG, PROFILE_WEIGHT = 35.0, 1.7  # real large poses
EXPRESSIVE_WEIGHT = 2.0


class Basis:
    """The face model as tensors.

    Args:
        model: The labels' face model.
        landmarks: Its iBUG points.
        device: Where to.

    Attributes:
        mean: (V, 3) float32, cm.
        modes: (K, V, 3) float32, cm per coefficient, identity then expression.
        landmarks: (68, 3) float32, cm.
        landmark_modes: (K, 68, 3) float32.
        identities: How many of the K are identity.
        resizing: (7, identities) float32: how far a coefficient moves, turns or scales the whole
            face, orthonormal rows.
    """

    def __init__(
        self, model: FaceModel, landmarks: LandmarkModel, device: torch.device | str
    ) -> None:
        def tensor(values: NDArray[np.floating]) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(values, np.float32)).to(device)

        self.mean = tensor(model.mesh.vertices)
        self.modes = tensor(np.concatenate([model.identity, model.expression]))
        self.landmarks, self.landmark_modes = tensor(landmarks.mean), tensor(landmarks.basis)
        self.identities = len(model.identity)
        x, y, z = (self.mean - self.mean.mean(0)).unbind(1)
        zero, one = torch.zeros_like(x), torch.ones_like(x)
        # to first order, moving, turning and scaling shift the vertices along these
        directions = torch.stack(
            [
                torch.stack(columns, 1)
                for columns in (
                    *((one, zero, zero), (zero, one, zero), (zero, zero, one)),
                    *((zero, -z, y), (z, zero, -x), (-y, x, zero), (x, y, z)),
                )
            ]
        )
        effect = torch.einsum("dvc,kvc->dk", directions, self.modes[: self.identities])
        self.resizing = torch.linalg.qr(effect.T.double())[0].T.float()

    def shape(self, coefficients: Tensor) -> Tensor:
        """(N, K) → vertices (N, V, 3), cm."""
        return self.mean + self.offset(coefficients)

    def offset(self, coefficients: Tensor) -> Tensor:
        """(N, K) → how far the vertices lie off the mean face's, (N, V, 3), cm."""
        return (coefficients @ self.modes.flatten(1)).view(len(coefficients), -1, 3)

    def points(self, coefficients: Tensor) -> Tensor:
        """(N, K) → the iBUG points (N, 68, 3), cm."""
        read = coefficients @ self.landmark_modes.flatten(1)
        return self.landmarks + read.view(len(coefficients), -1, 3)


@dataclass(frozen=True, eq=False)
class PhotoSet:
    """P labelled photos on one device.

    Attributes:
        pixels: (P, 3, S, S) uint8 RGB.
        bounds: (P, 4) float32, see PackedPhotos.
        pose: Canonical frame → photo, y up.
        coefficients: (P, 153) float32, identity then expression.
        human_shift: (P, 68, 3) float32, canonical frame, cm: from the fitted iBUG points to those
            that humans set, as far as the photo shows; 0 where there are none.
        openings: (P, 2) float32, of eyes and mouth as the facekit's dense teacher saw them.
        relief: Of the photos.
        weight: (P,) float32, how often to draw them.
        source: (P,) the facekit's sources.
    """

    pixels: Tensor
    bounds: Tensor
    pose: Pose
    coefficients: Tensor
    human_shift: Tensor
    openings: Tensor
    relief: Relief
    weight: Tensor
    source: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.pixels)


def load_photos(
    packed: PackedPhotos,
    model: FaceModel,
    landmarks: LandmarkModel,
    basis: Basis,
    match_openings: bool,
) -> PhotoSet:
    """Bring photos to the basis's device and find their reliefs.

    Args:
        packed: The photos.
        model: The labels' face model.
        landmarks: Its iBUG points.
        basis: The same as tensors.
        match_openings: Open eyes and mouths as far as the dense teacher saw, where no human did.
    """
    device = basis.mean.device
    coefficients = np.concatenate([packed.identity, packed.expression], 1)
    yaw = np.degrees(np.abs(np.arctan2(packed.rotation[:, 0, 2], packed.rotation[:, 2, 2])))
    points = landmarks.points(coefficients)
    is_human = np.asarray(np.isfinite(packed.human_offset).all((1, 2)))  # all 68 points
    if match_openings:
        is_valid = (yaw < OPENINGS_YAW_DEG) & np.isfinite(packed.openings).all(1)
        followed = follow_reference(
            coefficients,
            np.nan_to_num(packed.openings),
            is_valid & ~is_human,
            landmarks,
            model.expression_names,
        )
        coefficients = np.where(is_human[:, None], coefficients, followed)

    def tensor(values: NDArray[np.floating]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, np.float32)).to(device)

    pose = Pose(tensor(packed.scale), tensor(packed.rotation), tensor(packed.translation))
    every = tensor(coefficients)
    relief = _reliefs(basis, pose, every)
    return PhotoSet(
        pixels=torch.from_numpy(packed.pixels).to(device).permute(0, 3, 1, 2).contiguous(),
        bounds=tensor(packed.bounds),
        pose=pose,
        coefficients=every,
        human_shift=tensor(human_shift(packed, is_human)),
        openings=tensor(packed.openings),
        relief=relief,
        weight=tensor(_weights(packed.source, yaw, points)),
        source=packed.source,
    )


def _reliefs(basis: Basis, pose: Pose, coefficients: Tensor) -> Relief:
    """`build_relief` of many photos, some at a time."""
    parts = []
    for k in range(0, len(coefficients), CHUNK):
        some = slice(k, k + CHUNK)
        vertices = Pose(*(p[some] for p in pose)).apply(basis.shape(coefficients[some]))
        parts.append(build_relief(vertices * vertices.new_tensor([1, -1, 1]), PHOTO_SIZE))
    return Relief(*(torch.cat(columns) for columns in zip(*parts, strict=True)))


def human_shift(packed: PackedPhotos, is_whole: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Where humans set the inner iBUG points, seen from where the fit has them.

    Args:
        packed: N photos.
        is_whole: (N,) bool, those with all 68 points; they mean what the fit's points mean. The
            others' annotators meant other places, so each point's median offset is taken away.

    Returns:
        (N, 68, 3) float32, cm, canonical frame, in the plane of the photo; 0 where no human set a
        point, and on the jaw.
    """
    offset = packed.human_offset * np.array([1, -1], np.float32) / packed.scale[:, None, None]
    flat = np.concatenate([offset, np.zeros_like(offset[..., :1])], 2)
    shift = np.einsum("npc,ncd->npd", flat, packed.rotation)
    part = shift[~is_whole]
    if np.isfinite(part).any():
        has_any = np.isfinite(part).any((0, 2))
        median = np.zeros(part.shape[1:], np.float32)
        median[has_any] = np.nanmedian(part[:, has_any], 0)
        shift[~is_whole] = part - median
    shift[:, :FIRST_INNER] = 0
    shift = np.nan_to_num(shift)
    length = np.linalg.norm(shift, axis=2, keepdims=True)
    return (shift * np.minimum(1, MAX_SHIFT_CM / np.maximum(length, 1e-9))).astype(np.float32)


def _weights(
    source: NDArray[np.str_], yaw_deg: NDArray[np.floating], points: NDArray[np.floating]
) -> NDArray[np.float64]:
    """How often to draw photos: rare sources, real large poses and strong expressions more."""
    weight = np.array([SOURCE_WEIGHT.get(name, 1.0) for name in source.tolist()])
    weight *= np.where(yaw_deg > PROFILE_YAW_DEG, PROFILE_WEIGHT, 1.0)
    eyes, mouth = eye_opening(points), mouth_opening(points)
    low, high = np.quantile(eyes, [0.05, 0.95])
    is_expressive = (eyes <= low) | (eyes >= high) | (mouth >= np.quantile(mouth, 0.9))
    return np.where(is_expressive, EXPRESSIVE_WEIGHT, 1.0) * weight
