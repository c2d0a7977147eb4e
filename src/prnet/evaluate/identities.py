"""Pictures of people whose shape is known exactly → whether a model sees shape at all.

Half of them are `val` photos whose face was warped to another identity, half are rendered heads;
both nearly from the front and rotated wide, with identities as different as the population's.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from prnet.data.face_crops import FACE_CROP_SCALE, FACE_CROP_SIZE, FaceCrop, crop_record
from prnet.data.facekit import FACE_MODEL_FILE, Facekit, FacekitRecord
from prnet.data.identities import Backgrounds, HeadRenderer, Population, warp
from prnet.errors import LabelError
from prnet.evaluate.facekit import SHAPE_NOTE, spread_evenly
from prnet.evaluate.metrics import point_errors
from prnet.evaluate.report import Example, Report, Row, Table, Worst, column, known, number
from prnet.evaluate.shape import MM_PER_CM, ShapeComparison
from prnet.geometry.boxes import tight_box
from prnet.geometry.pose import Pose, flip_y, rotation_from_angles
from prnet.geometry.similarity import fit_similarity
from prnet.morphable.linear import FaceModel, load_ict_face_model
from prnet.reconstructor import Reconstructor
from prnet.uv.atlas import FACE, Atlas

Array = NDArray[np.floating]

SOURCES = ("lfw", "utk", "ibug")
BACKGROUNDS_FILE = "backgrounds/bsds.tar"
SEED = 5  # of all that is random; each photo's own
PHOTOS = 150  # each gives two warped and two rendered pictures
FRONTAL_DEG = 20.0  # largest |yaw| of the photos
FRONT_DEG = 30.0  # from this |yaw| on a picture counts as rotated wide
LABEL_SPREAD = 0.35  # standard deviation of the labels' identities; the population's is 1
LITTLE_DEG, FRONT_YAW_DEG = (0.0, 8.0), (-25.0, 25.0)  # added to a photo's |yaw|; of a rendered one
WIDE_YAW_DEG = (32.0, 75.0)  # |yaw|
TILT_DEG = 8.0  # standard deviation of rendered heads' pitch and roll
BACKGROUND_SHARE = 0.6  # of the photos rotated wide
WARPED, RENDERED = "warped", "rendered"
GROUPS = {
    (WARPED, "front"): "warped photos, near the front",
    (WARPED, "wide"): "warped photos, rotated wide",
    (RENDERED, "front"): "rendered heads, near the front",
    (RENDERED, "wide"): "rendered heads, rotated wide",
}
TITLE = "Shape of known identities: mean distance after alignment, mm; depth; 68-point NME, %"
COLUMNS = (
    *("", "pictures", "predicted", "mean face", "ratio", "mean identity", "ratio"),
    *("depth slope", "correlation", "NME"),
)


def evaluate_identities(
    folder: str | os.PathLike[str],
    reconstructor: Reconstructor,
    *,
    split: Literal["train", "val"] = "val",
    limit: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Reconstruct pictures of known people, in the boxes of their true landmarks.

    Args:
        folder: The facekit.
        reconstructor: The model to measure.
        split: Whose photos the pictures are made of: `val` or `train`.
        limit: Only so many photos, spread evenly; None for PHOTOS.
        progress: Called with photos done and photos in all.

    Returns:
        Report, see `summarise`.

    Raises:
        LabelError: The facekit is incomplete, or has no frontal photos.
        ValueError: limit isn't positive.
    """
    kit = Facekit(folder, split, SOURCES)
    model = load_ict_face_model(kit.folder / FACE_MODEL_FILE)
    pictures = KnownPeople(kit, model)
    atlas = reconstructor.model.atlas
    shapes, depth = ShapeComparison(model, atlas), DepthComparison(atlas)
    rows: list[Row] = []
    worst = {WARPED: Worst(), RENDERED: Worst()}
    chosen = spread_evenly(len(pictures.records), PHOTOS if limit is None else limit)
    for done, index in enumerate(chosen, 1):
        record = pictures.records[index]
        for kind, picture in pictures.make(index):
            truth = true_landmarks(model, picture)
            (face,) = reconstructor(picture.pixels, boxes=[tight_box(truth)])
            shapes.aim_at(replace(picture, identity=np.zeros_like(picture.identity)))
            nobody = shapes.truth
            shapes.aim_at(picture)
            row = begin_row(kind, record, picture) | point_errors(face.landmarks68, truth)
            row |= shapes.measure(face)
            if shapes.is_possible:
                row["mean_identity_mm"] = shapes.distance_mm(nobody)
                row |= depth.measure(flip_y(face.vertices), shapes.truth)
                title = f"{record.filename}  yaw {row['yaw_deg']:.0f}°  {row['shape_mm']:.1f} mm"
                example = Example(title, picture.pixels, face.landmarks68, truth)
                worst[kind].add(row["shape_mm"], example)
            rows.append(row)
        progress(done, len(chosen))
    examples = {f"worst_{kind}": some.examples() for kind, some in worst.items()}
    return summarise(rows, examples, [] if shapes.is_possible else [SHAPE_NOTE])


class KnownPeople:
    """Makes the pictures; a photo's are the same every time.

    Attributes:
        records: The kit's photos that are frontal enough.

    Raises:
        LabelError: There is none, or the kit lacks its backgrounds.
    """

    def __init__(self, kit: Facekit, model: FaceModel) -> None:
        self._kit, self._model = kit, model
        self._population = Population(model)
        self._renderer = HeadRenderer(kit.folder / FACE_MODEL_FILE, model)
        self._backgrounds = Backgrounds(kit.folder / BACKGROUNDS_FILE)
        self.records = [record for record in kit.records if abs(record.pose.yaw) < FRONTAL_DEG]
        if not self.records:
            raise LabelError(f"{kit.folder}: no photo within {FRONTAL_DEG:.0f}° of the front")

    def make(self, index: int) -> Iterator[tuple[str, FaceCrop]]:
        """The pictures of a record by its index: kinds and pictures, each kind front and wide."""
        record, rng = self.records[index], np.random.default_rng([SEED, index])
        photo, is_photo = crop_record(self._kit.photo(record), record)
        yaw = abs(record.pose.yaw)
        spread = float(np.sqrt(1 - LABEL_SPREAD**2))
        for added in (rng.uniform(*LITTLE_DEG), rng.uniform(*WIDE_YAW_DEG) - yaw):
            identity = self._population.draw(photo.identity, spread, rng)
            behind = None
            if added > LITTLE_DEG[1] and rng.random() < BACKGROUND_SHARE:
                behind = self._backgrounds.draw(rng)
            yield WARPED, warp(photo, is_photo, self._model, identity, added, 0.0, behind)
        skin = self._renderer.skin(photo, is_photo)
        for yaw in (
            rng.uniform(*FRONT_YAW_DEG),
            rng.choice([-1, 1]) * rng.uniform(*WIDE_YAW_DEG),
        ):
            identity = self._population.draw(np.zeros_like(photo.identity), 1.0, rng)
            rotation = rotation_from_angles(yaw, *rng.normal(0, TILT_DEG, 2))
            pose = self._centre(identity, skin.expression, rotation)
            behind = self._backgrounds.draw(rng)
            yield RENDERED, self._renderer.render(skin, identity, pose, behind, rng)

    def _centre(self, identity: Array, expression: Array, rotation: NDArray[np.float64]) -> Pose:
        """The pose that shows a face in the middle of a face crop, as large as photos show it."""
        turned = model_landmarks(self._model, identity, expression) @ rotation.T
        x0, y0, x1, y1 = tight_box(turned).astype(float)
        scale = FACE_CROP_SIZE / (FACE_CROP_SCALE * (x1 - x0 + y1 - y0) / 2)
        middle = (FACE_CROP_SIZE - 1) / 2 * np.array([1, -1, 0])
        return Pose(scale, rotation, middle - scale * np.array([x0 + x1, y0 + y1, 0]) / 2)


def model_landmarks(model: FaceModel, identity: Array, expression: Array) -> Array:
    """The 68 points of a face without pose: (68, 3) float, canonical frame, cm."""
    corners = model.shape(identity, expression)[model.mesh.landmarks68_vertices]
    points: Array = (model.mesh.landmarks68_barycentric[..., None] * corners).sum(1)
    return points


def true_landmarks(model: FaceModel, picture: FaceCrop) -> Array:
    """The 68 points of a picture: (68, 3) float, its pixels, y down."""
    points = model_landmarks(model, picture.identity, picture.expression)
    return picture.pose.apply(points)


def begin_row(kind: str, record: FacekitRecord, picture: FaceCrop) -> Row:
    """What identifies a picture; yaw with 300W-LP's sign."""
    yaw = picture.pose.yaw
    view = "front" if abs(yaw) < FRONT_DEG else "wide"
    row: Row = {"kind": kind, "view": view, "source": record.source, "filename": record.filename}
    return row | {"yaw_deg": yaw}


class DepthComparison:
    """How the depth that a face has beyond the mean face's follows the true one."""

    def __init__(self, atlas: Atlas) -> None:
        self._is_face = atlas.region.ravel()[atlas.vertex_index] >= FACE  # no ears, no neck
        self._mean = atlas.canonical_vertices[self._is_face].astype(np.float64)

    def measure(self, vertices: Array, truth: Array) -> Row:
        """Moments of the deviations in z, mm², over the vertices of the face.

        Args:
            vertices: (V, 3) float, predicted, any frame that isn't mirrored.
            truth: (V, 3) float, canonical frame.

        Returns:
            `depth_covariance` of predicted and true deviation, `depth_variance` of the true one,
            `depth_predicted_variance`. Both faces are first brought onto the mean face by the
            similarity that fits best, so only their shapes count.
        """
        predicted, true = (self._deviation_mm(each) for each in (vertices, truth))
        return {
            "depth_covariance": float((predicted * true).mean()),
            "depth_variance": float((true**2).mean()),
            "depth_predicted_variance": float((predicted**2).mean()),
        }

    def _deviation_mm(self, vertices: Array) -> Array:
        """How much nearer than the mean face's the vertices lie, less the mean of that."""
        points = vertices[self._is_face].astype(np.float64)
        moved = fit_similarity(points, self._mean).apply(points)
        deviation = MM_PER_CM * (moved - self._mean)[:, 2]
        centred: Array = deviation - deviation.mean()
        return centred


def summarise(
    rows: Sequence[Row], worst: Mapping[str, Sequence[Example]], notes: Sequence[str] = ()
) -> Report:
    """Average the rows of `evaluate_identities` and set them in a table.

    The metrics are `count`, and for each of GROUPS, after `warped_front_`, `warped_wide_`,
    `rendered_front_` or `rendered_wide_`: `count`, `shape_mm`, `mean_face_mm` and their
    `shape_ratio`, `mean_identity_mm` (the mean person with the true expression) and with it
    `identity_ratio`, `depth_slope` and `depth_correlation`, `nme68_2d`.
    """
    metrics: dict[str, float] = {"count": len(rows)}
    cells = []
    curves = {}
    for (kind, view), title in GROUPS.items():
        group = [row for row in rows if (row["kind"], row["view"]) == (kind, view)]
        if group:
            numbers = _average(group)
            metrics |= {f"{kind}_{view}_{name}": value for name, value in numbers.items()}
            cells.append([title, str(len(group)), *map(number, list(numbers.values())[1:])])
            curves[title] = 100 * column(group, "shape_mm") / column(group, "mean_face_mm")
    label = "shape error, % of the mean face's"
    some = {name: examples for name, examples in worst.items() if examples}
    curves = {name: errors for name, errors in curves.items() if not np.isnan(errors).all()}
    table = Table(TITLE, COLUMNS, cells)
    return Report(known(metrics), [table], rows, curves, some, notes, curve_label=label)


def _average(rows: Sequence[Row]) -> dict[str, float]:
    """The metrics of a group without their prefix, in the order of COLUMNS."""
    shape, mean_face, mean_identity = (
        float(column(rows, name).mean())
        for name in ("shape_mm", "mean_face_mm", "mean_identity_mm")
    )
    covariance, variance, predicted = (
        float(column(rows, f"depth_{name}").mean())
        for name in ("covariance", "variance", "predicted_variance")
    )
    return {
        "count": len(rows),
        "shape_mm": shape,
        "mean_face_mm": mean_face,
        "shape_ratio": shape / mean_face,
        "mean_identity_mm": mean_identity,
        "identity_ratio": shape / mean_identity,
        "depth_slope": covariance / variance,
        "depth_correlation": covariance / np.sqrt(variance * predicted) if predicted else np.nan,
        "nme68_2d": float(column(rows, "nme68_2d").mean()),
    }
