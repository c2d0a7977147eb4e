"""AFLW2000-3D: landmarks and, with BFM, dense points and shapes, by the field's protocols."""

from collections.abc import Callable, Sequence

import numpy as np

from prnet.data.aflw2000 import AFLW2000Record
from prnet.data.bfm import Bfm
from prnet.errors import ModelFileError
from prnet.evaluate.boxes import reconstruct_labelled
from prnet.evaluate.metrics import aligned_distance, angle_errors, point_errors
from prnet.evaluate.report import (
    Example,
    Report,
    Row,
    Table,
    Worst,
    column,
    found_share,
    known,
    number,
    summarise_errors,
)
from prnet.face import Face
from prnet.geometry.boxes import tight_box
from prnet.geometry.pose import Angles
from prnet.image.read import read_image
from prnet.landmarks import interocular
from prnet.reconstructor import Reconstructor
from prnet.uv.atlas import MAP_SIZE, Atlas
from prnet.uv.chart import ChartSampler, rasterize_chart
from prnet.uv.position_map import decode_vertices

OFFICIAL_VERTICES = 43_867  # of PRNet's own UV space, which the dense errors are measured over
LARGEST_ANGLE_DEG = 99.0  # photos with a larger one are left out of the pose error, as usual
TITLE = "AFLW2000-3D: error in %, by |yaw| (photos)"
POSE_TITLE = "AFLW2000-3D: mean absolute error of the pose in degrees"
POSE_COLUMNS = "", "photos", "mean of three", *Angles._fields
KINDS = {
    "nme68_2d": "68 points, 2D",
    "nme68_3d": "68 points, 3D",
    "nme_dense_2d": "dense, 2D",
    "nme_dense_3d": "dense, 3D",
    "reconstruction": "reconstruction",
}


def evaluate_aflw2000(
    records: Sequence[AFLW2000Record],
    reconstructor: Reconstructor,
    *,
    detector: bool = False,
    bfm: Bfm | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Reconstruct the photos and compare with their labels.

    Args:
        records: The photos.
        reconstructor: The model to measure.
        detector: Use the detector's boxes; otherwise boxes tight around the true landmarks.
        bfm: For the dense errors and the reconstruction error; they need a model with PRNet's
            official UV space.
        progress: Called with photos done and photos in all.

    Returns:
        Report. Its metrics are `count`; `nme68_2d` and, where the annotation has depth, `nme68_3d`:
        plain means in per cent; each also as `_median`, `_yaw_0_30`, `_yaw_30_60`, `_yaw_60_90` and
        `_mean_of_bins`; with BFM also `nme_dense_2d`, `nme_dense_3d` and `reconstruction`;
        `pose_mae`, `pose_mae_yaw`, `_pitch`, `_roll` in degrees over `pose_count` photos; with the
        detector `found_share` in per cent.

    Raises:
        ImageReadError: A photo can't be read.
        ModelFileError: BFM is given, and the model's UV space isn't the official one.
    """
    dense = None if bfm is None else DenseTruth(bfm, reconstructor.model.atlas)
    rows: list[Row] = []
    worst = Worst()
    for done, record in enumerate(records, 1):
        photo = read_image(record.photo)
        box = tight_box(record.landmarks68)
        row: Row = {"photo": record.photo.name, "yaw_deg": record.yaw_deg}
        for face in reconstruct_labelled(reconstructor, photo, box, detector):
            row |= point_errors(face.landmarks68, record.landmarks68)
            row |= _pose_errors(face, record)
            if dense is not None:
                row |= dense.errors(face, record, photo.shape[0])
            title = f"{record.photo.name}  yaw {record.yaw_deg:.0f}°  {row['nme68_2d']:.1f}%"
            worst.add(row["nme68_2d"], Example(title, photo, face.landmarks68, record.landmarks68))
        rows.append(row)
        progress(done, len(records))
    return _summarise(rows, worst.examples(), detector)


class DenseTruth:
    """Labelled faces as vertices of PRNet's official UV space.

    Args:
        bfm: The labels' face model.
        atlas: The predicted maps' UV space.

    Raises:
        ModelFileError: The UV space isn't the official one.
    """

    def __init__(self, bfm: Bfm, atlas: Atlas) -> None:
        if len(atlas.vertex_index) != OFFICIAL_VERTICES:
            raise ModelFileError(
                f"the dense error is measured over the {OFFICIAL_VERTICES} vertices of PRNet's "
                f"official UV space, this model has {len(atlas.vertex_index)} others; use one from "
                "`prnet convert` or trained by recipes/resfcn256-300wlp.toml, or leave out --bfm"
            )
        self._bfm, self._atlas = bfm, atlas
        self._sampler: ChartSampler = rasterize_chart(
            bfm.uv, bfm.triangles, bfm.triangles, MAP_SIZE
        )

    def errors(self, face: Face, record: AFLW2000Record, height: int) -> Row:
        """Dense errors in % of the face's size, reconstruction error in % of the eyes' distance.

        For the dense errors the mean z of all vertices is taken off and the size is that of all
        true vertices' box. For the reconstruction error the face is first aligned by a similarity;
        the outer eye corners' distance is that in space. `height` is the photo's, in pixels.
        """
        posed = self._bfm.vertices(record.shape_para, record.exp_para, record.pose_para, height)
        truth = decode_vertices(self._sampler.sample(posed), self._atlas)
        distance = aligned_distance(face.vertices, truth)
        eyes = interocular(posed[self._bfm.keypoints])
        return point_errors(face.vertices, truth, "_dense") | {
            "reconstruction": 100 * distance / eyes
        }


def _pose_errors(face: Face, record: AFLW2000Record) -> Row:
    """Errors of the angles in degrees, unless the label has one beyond what is counted."""
    if np.abs(record.angles).max() > LARGEST_ANGLE_DEG:
        return {}
    predicted = Angles(face.pose.yaw, face.pose.pitch, face.pose.roll)
    errors = angle_errors(predicted, record.angles)
    return {f"{name}_error_deg": error for name, error in errors._asdict().items()}


def _summarise(rows: Sequence[Row], worst: Sequence[Example], with_detector: bool) -> Report:
    """Average the rows and set them in tables."""
    errors, table = summarise_errors(TITLE, rows, KINDS)
    metrics: dict[str, float] = {"count": len(rows), **errors}
    tables = [table]
    if with_detector:
        metrics["found_share"] = found_share(rows, "nme68_2d")
        row = ["faces found in %", number(metrics["found_share"], 1)]
        tables.append(Table("The detector", ("", "all photos"), [row]))
    angles = np.stack([column(rows, f"{name}_error_deg") for name in Angles._fields], 1)
    angles = angles[~np.isnan(angles).any(1)]
    if len(angles):
        means = angles.mean(0).tolist()
        metrics |= {"pose_count": len(angles), "pose_mae": float(np.mean(means))}
        metrics |= {
            f"pose_mae_{name}": mean for name, mean in zip(Angles._fields, means, strict=True)
        }
        row = ["pose", str(len(angles)), *map(number, (metrics["pose_mae"], *means))]
        tables.append(Table(POSE_TITLE, POSE_COLUMNS, [row]))
    curves = {title: column(rows, name) for name, title in KINDS.items() if name in metrics}
    return Report(known(metrics), tables, rows, curves, {"worst": worst}, curve_label="error in %")
