"""Scans of heads, and photos of the same people → how far reconstructions are from the scans."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from prnet.data.florence import ScanRecord
from prnet.evaluate.icp import Surface, align, distances_to, match_moments
from prnet.evaluate.report import (
    Report,
    Row,
    column,
    found_share,
    known,
    summarise_errors,
)
from prnet.geometry.similarity import fit_similarity
from prnet.image.read import read_image
from prnet.landmarks import NOSE_TIP, interocular
from prnet.reconstructor import Reconstructor
from prnet.uv.atlas import FACE
from prnet.uv.position_map import decode_landmarks68

CROP_RADIUS = 1.0  # around the scan's nose tip, in outer interocular distances (about 9 cm)
TITLE = "Distance from the scan in % of the outer interocular distance, by predicted |yaw| (photos)"
KINDS = {
    "error": "aligned by ICP",
    "error_landmarks": "ICP, started at the landmarks",
    "mean_face_error": "mean face by ICP",
    "mean_face_error_landmarks": "mean face, started at the landmarks",
}


def evaluate_florence(
    records: Sequence[ScanRecord],
    reconstructor: Reconstructor,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Reconstruct people's photos and measure the distance of their scans from the result.

    The scan is cut to a ball around its nose tip, the reconstruction to its face (no ears, no neck)
    and freed of its pose. A similarity brings it onto the scan: trimmed ICP from where centre and
    spread agree, and as a variant from where the landmarks agree. The error is the mean distance
    from the scan's points to the nearest vertex, over the scan's outer interocular distance in
    space.

    Args:
        records: The people.
        reconstructor: The model to measure; its detector finds the faces that have no box, the
            largest one counts.
        progress: Called with photos done and photos in all.

    Returns:
        Report. Its metrics are `count` and `found_share`; `error`, `error_landmarks` and the mean
        face's own, `mean_face_error`, `mean_face_error_landmarks`: plain means in per cent over the
        photos with a face; each also as `_median`, `_yaw_0_30`, … and `_mean_of_bins`.

    Raises:
        ImageReadError: A photo can't be read.
        LabelError: A scan can't be read.
    """
    atlas = reconstructor.model.atlas
    is_face = atlas.region.ravel()[atlas.vertex_index] >= FACE
    mean_face = Surface(atlas.canonical_vertices[is_face])
    mean_landmarks = decode_landmarks68(atlas.canonical_map, atlas)
    total = sum(len(record.photos) for record in records)
    rows: list[Row] = []
    for record in records:
        scan = ScanTruth(record)
        mean_errors = {
            f"mean_face_{name}": value
            for name, value in scan.errors(mean_face, mean_landmarks).items()
        }
        for path in record.photos:
            photo = read_image(path)
            row: Row = {"person": record.person, "photo": path.name}
            boxes = record.boxes.get(path)
            found = reconstructor(photo, None if boxes is None else [boxes], max_faces=1)
            for face in found:
                landmarks = face.pose.remove(face.landmarks68)
                errors = scan.errors(Surface(face.frontal_vertices[is_face]), landmarks)
                row |= {"yaw_deg": face.pose.yaw} | errors | mean_errors
            rows.append(row)
            progress(len(rows), total)
    errors, table = summarise_errors(TITLE, rows, KINDS)
    metrics = {"count": len(rows), "found_share": found_share(rows, "error"), **errors}
    curves = {title: column(rows, name) for name, title in KINDS.items() if name in metrics}
    return Report(
        known(metrics),
        [table],
        rows,
        curves,
        curve_label="distance from the scan, % of the outer interocular distance",
    )


class ScanTruth:
    """A person's scan, cut to the face."""

    def __init__(self, record: ScanRecord) -> None:
        self._landmarks = points = record.landmarks
        self._eyes = interocular(points)
        vertices = record.read_vertices()
        self._points = vertices[_in_ball(vertices, points)]

    def errors(self, surface: Surface, landmarks68: NDArray[np.floating]) -> dict[str, float]:
        """Errors in per cent of a frontal surface with landmarks (68, 3), from both starts."""
        numbers = sorted(self._landmarks)
        cut = surface.points[_in_ball(surface.points, landmarks68)]
        starts = {
            "error": match_moments(cut, self._points),
            "error_landmarks": fit_similarity(
                landmarks68[numbers], np.array([self._landmarks[i] for i in numbers])
            ),
        }
        errors = {}
        for name, start in starts.items():
            placed = align(surface, self._points, start)
            distance = float(distances_to(surface, self._points, placed).mean())
            errors[name] = 100 * distance / self._eyes
        return errors


def _in_ball(
    points: NDArray[np.floating],
    landmarks: Mapping[int, NDArray[np.floating]] | NDArray[np.floating],
) -> NDArray[np.bool_]:
    """Which points (P, 3) lie around the nose tip, by the distance of the outer eye corners."""
    reach = CROP_RADIUS * interocular(landmarks)
    return np.linalg.norm(points - landmarks[NOSE_TIP], axis=1) <= reach
