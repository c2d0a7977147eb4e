"""Photos → pictures of people whose shape is known exactly: warped photos, and rendered heads.

A photo's label is a fit, with an identity near the mean; a picture made from a mesh shows that
mesh. New identities are drawn from the whole population.
"""

import os
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from prnet.data.face_crops import FACE_CROP_SIZE, FaceCrop
from prnet.data.rotate import inner_part, rotate
from prnet.errors import LabelError
from prnet.geometry.normals import vertex_normals
from prnet.geometry.pose import Pose, flip_y
from prnet.geometry.rasterize import rasterize
from prnet.geometry.sampling import push_pull, sample_map
from prnet.geometry.similarity import Similarity
from prnet.morphable.linear import CHART_QUADS, CHART_VERTICES, FaceModel
from prnet.uv.chart import ChartSampler, rasterize_chart, split_quads
from prnet.uv.texture import complete_texture, sample_texture
from prnet.uv.visibility import MeshView

Photo = NDArray[np.uint8]

LARGEST = 3.0  # standard deviations that a coefficient may reach
HEAD_VERTICES, HEAD_QUADS = 11248, 11144  # ICT: the chart, then the back of head and neck
MESH_SIZE = 128  # vertices along a side of a rendered face
TEXTURE_SIZE = 384
SUPERSAMPLING = 2
RIM_NEIGHBOURS = 32  # points of the face's rim whose colors the back of the head continues
AMBIENT = 0.5, 0.9  # share of light that comes from everywhere
AZIMUTH_DEG, ELEVATION_DEG = (-70.0, 70.0), (-15.0, 60.0)  # of the light
TINT = 0.06  # standard deviation of the light's color
GRAIN = 2.0  # standard deviation of noise, grey levels


class Population:
    """Draws people: identities that differ in shape, not in place, pose or size.

    Args:
        model: The face model of the coefficients.

    Attributes:
        directions: (≤ 7, I) float64, orthonormal rows: identities that shift, turn or scale the
            mean face as a whole. What is drawn has no part in them.
    """

    def __init__(self, model: FaceModel) -> None:
        centred = model.mesh.vertices - model.mesh.vertices.mean(0)
        axes = np.eye(3)
        moves = [np.broadcast_to(axis, centred.shape) for axis in axes]
        moves += [np.cross(axis, centred) for axis in axes] + [centred]
        # each mode's share in each move; an identity orthogonal to these rows moves nothing
        shares = np.stack(moves).reshape(7, -1) @ model.identity.reshape(len(model.identity), -1).T
        _, singular, rows = np.linalg.svd(shares, full_matrices=False)
        self.directions: NDArray[np.float64] = rows[singular > 1e-6 * singular[0]]

    def draw(
        self, around: NDArray[np.floating], spread: float, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """Draw somebody.

        Args:
            around: (I,) float, standard deviations: whom to resemble.
            spread: Standard deviation of the difference.
            rng: Source of randomness.

        Returns:
            (I,) float32, within ±LARGEST.
        """
        noise = rng.normal(0, spread, len(around))
        noise -= self.directions.T @ (self.directions @ noise)
        return np.clip(around + noise, -LARGEST, LARGEST).astype(np.float32)


def warp(
    face_crop: FaceCrop,
    is_photo: NDArray[np.bool_],
    model: FaceModel,
    identity: NDArray[np.float32],
    yaw_deg: float,
    pitch_deg: float = 0.0,
    background: Photo | None = None,
) -> FaceCrop:
    """Give the person in a photo another identity, and turn the head away from the camera.

    Args:
        face_crop: As `crop_record` gives it.
        is_photo: (192, 192) bool, as `crop_record` gives it.
        model: The face model of the labels.
        identity: (100,) float32, the new one; the expression stays.
        yaw_deg: Added |yaw|, to the side where the face looks already.
        pitch_deg: Added pitch.
        background: (192, 192, 3) uint8 RGB, see `prnet.data.rotate.rotate`.

    Returns:
        The warped face crop, whose shape is `model.shape(identity, face_crop.expression)`.
    """
    side = -1.0 if face_crop.pose.yaw < 0 else 1.0
    pixels, pose = rotate(
        face_crop.pixels,
        model.shape(face_crop.identity, face_crop.expression),
        model.mesh.triangles,
        face_crop.pose,
        side * yaw_deg,
        pitch_deg,
        new_vertices=model.shape(identity, face_crop.expression),
        is_photo=is_photo,
        background=background,
    )
    return FaceCrop(pixels, pose, identity, face_crop.expression, face_crop.openings, True)


@dataclass(frozen=True, eq=False)
class Skin:
    """What a photo gives a rendered head.

    Attributes:
        texture: (TEXTURE_SIZE, TEXTURE_SIZE, 3) uint8 RGB in UV space, complete: skin, eyes, mouth.
        expression: (53,) float32, the photo's, since that is how its eyes and mouth look.
        openings: (2,) float32, of eyes and mouth, the photo's.
    """

    texture: Photo
    expression: NDArray[np.float32]
    openings: NDArray[np.float32]


class HeadRenderer:
    """Draws heads of the face model with the skin of photos.

    The face is a grid over its UV chart whose holes (eyes, mouth, nostrils) are closed smoothly, so
    that they show what the photo shows there. The back of the head, which no photo shows, continues
    the colors of the face's rim.

    Args:
        path: `ict_face_model.npz`.
        model: The same, as `load_ict_face_model` reads it.

    Raises:
        LabelError: The file can't be read.
    """

    def __init__(self, path: str | os.PathLike[str], model: FaceModel) -> None:
        self._model = model
        mesh = model.mesh
        self._chart = rasterize_chart(mesh.uv, mesh.triangles, mesh.triangles_uv, MESH_SIZE)
        self._is_hole = _find_holes(self._chart)
        index = np.arange(MESH_SIZE**2).reshape(MESH_SIZE, MESH_SIZE)
        a, b, c, d = index[:-1, :-1], index[1:, :-1], index[:-1, 1:], index[1:, 1:]
        grid = np.concatenate([np.stack([a, b, c], -1), np.stack([c, b, d], -1)]).reshape(-1, 3)
        is_face = (self._chart.is_covered | self._is_hole).ravel()
        self._grid = grid[is_face[grid].all(1)].astype(np.int32)
        places = (np.arange(MESH_SIZE, dtype=np.float32) + 0.5) / MESH_SIZE
        self._grid_uv = np.stack(np.meshgrid(places, places), -1).reshape(-1, 2)
        self._back = _BackOfHead(path, model)
        self._triangles = np.concatenate([self._grid, self._back.triangles + len(self._grid_uv)])

    def skin(self, source: FaceCrop, is_photo: NDArray[np.bool_]) -> Skin:
        """Take the skin off a photo.

        Args:
            source: As `crop_record` gives it, the face nearly from the front.
            is_photo: (192, 192) bool, as `crop_record` gives it.
        """
        shape = self._model.shape(source.identity, source.expression)
        position_map = self._sample(source.pose.apply(shape))
        vertices, shape_hw = position_map.reshape(-1, 3), position_map.shape[:2]
        x, y = cv2.split(position_map[..., :2])
        inside = cv2.remap(inner_part(is_photo).astype(np.uint8), x, y, cv2.INTER_NEAREST) > 0
        view = MeshView(vertices, self._grid)
        seen = self._is_hole | view.is_visible.reshape(shape_hw)
        facing = view.normals[:, 2].reshape(shape_hw)
        facing = np.where(self._is_hole, np.float32(1), facing)
        texture = sample_texture(source.pixels, position_map, seen & inside, TEXTURE_SIZE)
        return Skin(complete_texture(texture, facing), source.expression, source.openings)

    def render(
        self,
        skin: Skin,
        identity: NDArray[np.float32],
        pose: Pose,
        background: Photo,
        rng: np.random.Generator,
    ) -> FaceCrop:
        """Draw a person.

        Args:
            skin: And expression.
            identity: (100,) float32.
            pose: In the picture.
            background: (192, 192, 3) uint8 RGB.
            rng: Chooses the light and the grain.

        Returns:
            A face crop whose shape is `model.shape(identity, skin.expression)`.
        """
        face = self._sample(self._model.shape(identity, skin.expression)).reshape(-1, 3)
        vertices = np.concatenate([face, self._back.shape(identity, skin.expression)])
        shift = np.full(2, (SUPERSAMPLING - 1) / 2)  # pixel centres are at integers in both
        posed = (Similarity(SUPERSAMPLING, np.eye(2), shift) @ pose).apply(vertices)
        size = SUPERSAMPLING * FACE_CROP_SIZE
        raster = rasterize(posed, self._triangles, (size, size))
        uv = np.concatenate([self._grid_uv, self._back.uv])
        colors = np.zeros((len(vertices), 4), np.float32)  # nothing in front, where the skin shows
        colors[len(face) :] = self._back.colors(skin.texture)
        values = np.column_stack([uv, colors, vertex_normals(flip_y(posed), self._triangles)])
        values = raster.interpolate(values, self._triangles)
        x, y = cv2.split(values[..., :2] * TEXTURE_SIZE - np.float32(0.5))
        skin_seen = cv2.remap(skin.texture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        seen = (1 - values[..., 5:6]) * skin_seen + values[..., 2:5]
        lit = seen * _light(values[..., 6:9], raster.is_covered, rng)
        behind = cv2.resize(background, (size, size), interpolation=cv2.INTER_LINEAR)
        picture = np.where(raster.is_covered[..., None], lit, behind)
        picture = cv2.resize(
            picture, (FACE_CROP_SIZE, FACE_CROP_SIZE), interpolation=cv2.INTER_AREA
        )
        grainy = picture + rng.normal(0, GRAIN, picture.shape)
        pixels = np.clip(np.rint(grainy), 0, 255).astype(np.uint8)
        return FaceCrop(pixels, pose, identity, skin.expression, skin.openings, True)

    def _sample(self, vertices: NDArray[np.floating]) -> NDArray[np.float32]:
        """The chart's vertices as a map (MESH_SIZE, MESH_SIZE, 3), closed over its holes."""
        values = self._chart.sample(vertices).astype(np.float32)
        is_known = (~self._is_hole).astype(np.float32)
        return np.where(
            self._is_hole[..., None], push_pull(values * is_known[..., None], is_known), values
        )


class _BackOfHead:
    """What lies behind the chart, with the chart's outermost ring: its mesh and its colors.

    Attributes:
        triangles: (T, 3) int32.
        uv: (B, 2) float32, places in the chart, or of the nearest point of its rim.
    """

    def __init__(self, path: str | os.PathLike[str], model: FaceModel) -> None:
        from scipy.spatial import cKDTree  # slow to import

        mesh = model.mesh
        try:
            with np.load(path) as arrays:
                back = split_quads(arrays["quads"][CHART_QUADS:HEAD_QUADS])
                rim = np.intersect1d(back, mesh.triangles)  # the two parts share these vertices
                ring = mesh.triangles[np.isin(mesh.triangles, rim).any(1)]  # no crack between them
                used, corners = np.unique(np.concatenate([back, ring]), return_inverse=True)
                self._mean = arrays["vertices"][used]
                modes = arrays["identity"][:, used], arrays["expression"][:, used]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise LabelError(f"{path}: not the ICT face model as .npz ({error})") from error
        self.triangles = corners.reshape(-1, 3).astype(np.int32)
        self._identity, self._expression = (each.astype(np.float32) for each in modes)
        self._is_back = used >= CHART_VERTICES
        uv_of_vertex = np.zeros((len(mesh.vertices), 2), np.float32)
        uv_of_vertex[mesh.triangles] = mesh.uv.astype(np.float32)[mesh.triangles_uv]
        self._rim_uv = uv_of_vertex[rim]
        self.uv = np.zeros((len(used), 2), np.float32)
        self.uv[~self._is_back] = uv_of_vertex[used[~self._is_back]]
        count = min(RIM_NEIGHBOURS, len(rim))
        if count:
            behind = self._mean[self._is_back]
            distance, self._nearest = cKDTree(mesh.vertices[rim]).query(behind, range(1, count + 1))
            weights = 1 / (distance + 0.1) ** 2
            self._weights = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
            self.uv[self._is_back] = self._rim_uv[self._nearest[:, 0]]

    def shape(
        self, identity: NDArray[np.floating], expression: NDArray[np.floating]
    ) -> NDArray[np.float32]:
        """Vertices (B, 3), canonical frame, cm."""
        moved = np.tensordot(identity, self._identity, 1)
        moved += np.tensordot(expression, self._expression, 1)
        return np.asarray(self._mean + moved, np.float32)

    def colors(self, texture: Photo) -> NDArray[np.float32]:
        """Colours that continue the face's, and how far they hide the texture: (B, 4) float32."""
        colors = np.zeros((len(self.uv), 4), np.float32)
        if self._is_back.any():
            soft = cv2.GaussianBlur(texture, (0, 0), TEXTURE_SIZE / 64)
            rim = sample_map(soft.astype(np.float32), self._rim_uv)
            colors[self._is_back, :3] = (self._weights[..., None] * rim[self._nearest]).sum(1)
            colors[self._is_back, 3] = 1
        return colors


def _find_holes(chart: ChartSampler) -> NDArray[np.bool_]:
    """Pixels of the chart's openings, (M, M) bool: uncovered, and not joined to the border."""
    _, parts = cv2.connectedComponents((~chart.is_covered).astype(np.uint8), connectivity=4)
    border = np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])
    return ~chart.is_covered & ~np.isin(parts, border)


def _light(
    normals: NDArray[np.floating], is_covered: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Light on a surface, (H, W, 3), with a mean of 1: some from everywhere, some from one side."""
    ambient = rng.uniform(*AMBIENT)
    azimuth, elevation = np.radians([rng.uniform(*AZIMUTH_DEG), rng.uniform(*ELEVATION_DEG)])
    toward = np.array([np.sin(azimuth), np.tan(elevation), np.cos(azimuth)]) * np.cos(elevation)
    direct = np.maximum(normals @ toward, 0)
    light = ambient + (1 - ambient) * direct
    light = light / max(float(light[is_covered].mean()), 1e-6) if is_covered.any() else light
    tint = np.exp(rng.normal(0, TINT, 3))
    return np.asarray(light[..., None] * tint, np.float32)


class Backgrounds:
    """The facekit's photos without people.

    Args:
        path: `backgrounds/bsds.tar`.

    Raises:
        LabelError: The file is missing or damaged.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        try:
            with tarfile.open(self._path, "r:") as tar:
                files = [tar.extractfile(member) for member in tar if member.isfile()]
                self._photos = [file.read() for file in files if file is not None]
        except (OSError, tarfile.TarError) as error:
            raise LabelError(f"{self._path}: can't read the facekit's photos ({error})") from error
        if not self._photos:
            raise LabelError(f"{self._path}: no photos in it")

    def draw(self, rng: np.random.Generator) -> Photo:
        """A square part of one of them, (192, 192, 3) uint8 RGB, mirrored half of the times."""
        encoded = self._photos[rng.integers(len(self._photos))]
        photo = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR_RGB)
        if photo is None:
            raise LabelError(f"{self._path}: holds something that is not a photo")
        side = round(min(photo.shape[:2]) * rng.uniform(0.6, 1))
        top, left = (rng.integers(length - side + 1) for length in photo.shape[:2])
        square = photo[top : top + side, left : left + side]
        if rng.random() < 0.5:
            square = square[:, ::-1]
        size = (FACE_CROP_SIZE, FACE_CROP_SIZE)
        shrunk = cv2.resize(np.ascontiguousarray(square), size, interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.GaussianBlur(shrunk, (0, 0), rng.uniform(0.5, 3)), np.uint8)
