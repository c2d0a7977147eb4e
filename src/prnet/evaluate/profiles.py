"""CFP's real profiles with points that humans set → errors there, and shape seen from the front.

The annotators mean other places than the model's points, each by a constant offset, so errors are
given raw and less the median offset of each point, measured on the other half of the people.
Photos that show the left side are mirrored first, their points renamed: all show points 36–39.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from prnet.data.facekit import Facekit, FacekitRecord
from prnet.errors import LabelError
from prnet.evaluate.facekit import begin_row, spread_evenly
from prnet.evaluate.fused import FusedPeople
from prnet.evaluate.metrics import face_size
from prnet.evaluate.report import (
    Example,
    Report,
    Row,
    Table,
    Worst,
    column,
    known,
    number,
    summarise_errors,
)
from prnet.geometry.pose import rotation_from_angles
from prnet.geometry.weak_perspective import fit_weak_perspective
from prnet.landmarks import MIRROR68
from prnet.reconstructor import Reconstructor
from prnet.uv.position_map import decode_landmarks68

Array = NDArray[np.floating]

SOURCE = "cfp"
PHOTO = "photo"
INNER = range(27, 68)
RIGID = (17, 19, 21, 36, 39, *range(27, 34))  # of the side that shows, which is the right one
RIGHT_EYE = 36  # set by the annotators where the right side shows
STARTS = np.stack([rotation_from_angles(yaw, 0, 0) for yaw in (0, -30, -60, -90)])
RESAMPLINGS, SEED = 10_000, 4  # of the people
INTERVAL = (2.5, 97.5)  # percentiles
ERRORS = {"nme_inner_2d": "raw", "nme_inner_less_median_2d": "less the annotators' median"}
ACCURACY_TITLE = "Profiles: NME of the human points from 27 on, % of their box, by |yaw| (photos)"
RATIO_TITLE = (
    "Front to profile: a shape posed onto the profiles' rigid human points, % of their box"
)
RATIO_COLUMNS = "shape", "people", "raw", "less median", "ratio", "95% interval"
NO_FRONT_NOTE = "no front-to-profile ratio: it takes two people with frontal and profile photos"


def evaluate_profiles(
    folder: str | os.PathLike[str],
    reconstructor: Reconstructor,
    *,
    split: Literal["train", "val"] = "val",
    limit: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Reconstruct CFP's photos in the labels' boxes, compare with the profiles' human points.

    Args:
        folder: The facekit.
        reconstructor: The model to measure.
        split: `val` or `train`.
        limit: Only so many people, spread evenly over the split; None for all.
        progress: Called with photos done and photos in all.

    Returns:
        Report, see `summarise`.

    Raises:
        LabelError: The facekit is incomplete, has no human points, or a profile lacks some.
        ValueError: limit isn't positive.
    """
    kit = Facekit(folder, split, (SOURCE,))
    everyone = sorted({record.person for record in kit.records})
    people = {everyone[i] for i in spread_evenly(len(everyone), limit)}
    chosen = (record for record in kit.records if record.person in people)
    records = sorted(chosen, key=lambda record: record.person)
    fused = FusedPeople()
    human: list[Array] = []
    predicted: list[Array] = []
    rows: list[Row] = []
    fronts: dict[int, list[Array]] = {}
    label_fronts: dict[int, list[Array]] = {}
    worst = Worst()
    for done, record in enumerate(records, 1):
        photo, truth = kit.photo(record), _human_points(kit, record)
        is_set = np.isfinite(truth[:, 0])
        (face,) = reconstructor(photo, boxes=[record.box])
        fused.add(record.person, face, bool(is_set.any()))
        if not is_set.any():
            fronts.setdefault(record.person, []).append(face.pose.remove(face.landmarks68))
            shape = record.pose.remove(record.landmarks68)
            label_fronts.setdefault(record.person, []).append(shape)
        else:
            human.append(truth)
            predicted.append(face.landmarks68[:, :2])
            rows.append(begin_row(PHOTO, record, record.pose) | {"person": record.person})
            error = float(inner_errors(predicted[-1][None], truth[None], np.zeros(1, int))[0][0])
            title = f"{record.filename}  yaw {rows[-1]['yaw_deg']:.0f}°  {error:.1f}%"
            seen = np.where(is_set[:, None], face.landmarks68[:, :2], np.nan)
            worst.add(error, Example(title, photo, seen, truth))
        progress(done, len(records))
    fused.finish()
    if not human:
        raise LabelError(f"{kit.folder}: no photo of {SOURCE} in {split} has human points")
    points, persons = np.stack(human), np.array([row["person"] for row in rows])
    raw, less_median = inner_errors(np.stack(predicted), points, persons)
    for row, *errors in zip(rows, raw, less_median, strict=True):
        row |= dict(zip(ERRORS, map(float, errors), strict=True))

    atlas = reconstructor.model.atlas
    mean = decode_landmarks68(atlas.canonical_map, atlas)
    comparisons = {
        name: front_to_profile(points, persons, shapes, mean)
        for name, shapes in (
            ("", _average(fronts)),
            ("fused_", fused.landmarks68),
            ("label_", _average(label_fronts)),
        )
        if len(set(shapes) & set(persons)) > 1
    }
    return summarise(rows, comparisons, worst.examples(), fused)


@dataclass(frozen=True, eq=False)
class FrontToProfile:
    """How far shapes seen from the front miss real profiles, beside the mean face's.

    Attributes:
        residuals: (K,) float64, per person: mean over the rigid points of the norm of the residual,
            less the median over the other half of the people, averaged over the person's profiles;
            % of √(w · h) of the human points' box.
        mean_face: (K,) float64, the same of the mean face.
        raw: Mean distance over photos and points, nothing taken away, in the same unit.
        mean_face_raw: The same of the mean face.
    """

    residuals: NDArray[np.float64]
    mean_face: NDArray[np.float64]
    raw: float
    mean_face_raw: float

    @property
    def ratio(self) -> float:
        """Mean residual over the mean face's: under 1 where shapes are the people's own."""
        return float(self.residuals.mean() / self.mean_face.mean())

    def interval(self) -> tuple[float, float]:
        """The ratio's bootstrap interval: INTERVAL's percentiles over resampled people."""
        rng = np.random.default_rng(SEED)
        drawn = rng.integers(len(self.residuals), size=(RESAMPLINGS, len(self.residuals)))
        ratios = self.residuals[drawn].mean(1) / self.mean_face[drawn].mean(1)
        low, high = np.percentile(ratios, INTERVAL).tolist()
        return low, high


def front_to_profile(
    human68: Array, persons: NDArray[np.integer], shapes: Mapping[int, Array], mean_shape: Array
) -> FrontToProfile:
    """Pose people's shapes onto the human points of their profiles, and the mean shape too.

    Args:
        human68: (N, 68, 2) float, photo frame: the profiles' human points, NaN where none is set.
        persons: (N,) int, whom each profile shows.
        shapes: (68, 3) float, canonical frame, by person; whoever has none is left out.
        mean_shape: (68, 3) float, canonical frame.

    Returns:
        FrontToProfile; its people are those of `shapes` among `persons`, in ascending order.

    Raises:
        ValueError: Fewer than two people have both.
    """
    has_shape = np.isin(persons, list(shapes))
    human, persons = human68[has_shape], persons[has_shape]
    people = np.unique(persons)
    if len(people) < 2:
        raise ValueError(f"shapes must be of two or more people with profiles, got {len(people)}")
    points, is_mirrored = show_right(human)
    sizes = box_sizes(human)
    target = points[:, RIGID] * [1, -1]

    def residuals(every: Array) -> tuple[NDArray[np.float64], float]:
        """Per person, and raw, of shapes (N, 68, 3)."""
        shown = np.where(is_mirrored[:, None, None], every[:, MIRROR68] * [-1, 1, 1], every)
        shown = shown[:, RIGID]
        seen = fit_weak_perspective(shown, target, STARTS).apply(shown)
        offsets = 100 * (seen - target) / sizes[:, None, None]
        left = take_median_away(offsets, persons)
        own = np.stack([left[persons == person].mean(0) for person in people])
        return np.linalg.norm(own, axis=2).mean(1), float(np.linalg.norm(offsets, axis=2).mean())

    own, own_raw = residuals(np.stack([shapes[person] for person in persons.tolist()]))
    mean, mean_raw = residuals(np.repeat(mean_shape[None], len(persons), axis=0))
    return FrontToProfile(own, mean, own_raw, mean_raw)


def inner_errors(
    predicted: Array, human68: Array, persons: NDArray[np.integer]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Errors of the points from 27 on that humans set.

    Args:
        predicted: (N, 68, 2) float, photo frame.
        human68: (N, 68, 2) float, photo frame, NaN where none is set.
        persons: (N,) int, whom each photo shows.

    Returns:
        (N,) raw and (N,) less each point's median offset over the other half of the people: mean
        distance in % of √(w · h) of the human points' box.
    """
    truth, is_mirrored = show_right(human68)
    shown = np.where(is_mirrored[:, None, None], predicted[:, MIRROR68] * [-1, 1], predicted)
    offsets = 100 * (shown - truth)[:, INNER] / box_sizes(human68)[:, None, None]
    offsets = offsets[:, np.isfinite(offsets).all((0, 2))]
    corrected = take_median_away(offsets, persons)
    return np.linalg.norm(offsets, axis=2).mean(1), np.linalg.norm(corrected, axis=2).mean(1)


def show_right(human68: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Mirror the profiles that show the left side: (N, 68, 2) points, (N,) which were mirrored.

    x changes its sign about 0, the points their names.
    """
    is_mirrored = np.isnan(human68[:, RIGHT_EYE, 0])
    mirrored = human68[:, MIRROR68] * [-1, 1]
    return np.where(is_mirrored[:, None, None], mirrored, human68), is_mirrored


def box_sizes(human68: Array) -> NDArray[np.float64]:
    """√(w · h) of the boxes tight around those points (N, 68, 2) that are set: (N,) float64."""
    return np.array([face_size(points[np.isfinite(points).all(1)]) for points in human68])


def take_median_away(offsets: Array, persons: NDArray[np.integer]) -> Array:
    """Correct offsets by what the annotators meant, learned from other people.

    Args:
        offsets: (N, P, 2) float.
        persons: (N,) int. Every second one in ascending order makes one half; with a single person
            there is no other half, and NaN comes out.

    Returns:
        (N, P, 2) float: each half's offsets less the median over the other half's photos.
    """
    is_first = np.isin(persons, np.unique(persons)[::2])
    corrected = np.full_like(offsets, np.nan)
    for half in (is_first, ~is_first):
        if half.any() and not half.all():
            corrected[half] = offsets[half] - np.median(offsets[~half], axis=0)
    return corrected


def _average(shapes: Mapping[int, Sequence[Array]]) -> dict[int, Array]:
    """Each person's mean shape over their photos."""
    return {person: np.mean(those, axis=0) for person, those in shapes.items()}


def _human_points(kit: Facekit, record: FacekitRecord) -> Array:
    """A record's (68, 2) human points, all NaN on a frontal photo; LabelError if some lack."""
    path = kit.folder / "labels" / f"{record.source}.npz"
    points, _ = show_right(record.human68[None])
    if np.isfinite(record.human68).any() and not np.isfinite(points[:, RIGID]).all():
        raise LabelError(f"{path}: {record.filename} lacks some of the points of human68")
    return record.human68


def summarise(
    rows: Sequence[Row],
    comparisons: Mapping[str, FrontToProfile],
    worst: Sequence[Example] = (),
    fused: FusedPeople | None = None,
) -> Report:
    """Average the rows of `evaluate_profiles` and set them in tables.

    The metrics are `count` (profiles); each of ERRORS, also `_median`, `_yaw_30_60` and so on;
    `front_to_profile_ratio`, `_ratio_low` and `_ratio_high` (its interval), `front_to_profile` and
    `front_to_profile_raw` in %, `mean_face_to_profile`, `mean_face_to_profile_raw`, `people`; and
    with `label_` before it the same ratio of the labels' shapes, which have seen the profiles, with
    `fused_` that of shapes fused from all fronts; and `single_gap_mm`, `fused_gap_mm`.

    Args:
        rows: Per profile.
        comparisons: Of the predicted shapes by the name "", of those fused by `fused_`, of the
            labels' by `label_`.
        worst: The profiles with the largest raw errors.
        fused: The people's fused shapes.
    """
    errors, accuracy = summarise_errors(ACCURACY_TITLE, rows, ERRORS)
    metrics: dict[str, float] = {"count": len(rows), **errors}
    cells = []
    titles = {"": "predicted from the front", "fused_": "fused from the fronts"}
    titles |= {"label_": "labels, which saw these profiles"}
    for prefix, found in comparisons.items():
        low, high = found.interval()
        metrics |= {
            f"{prefix}front_to_profile_ratio": found.ratio,
            f"{prefix}front_to_profile_ratio_low": low,
            f"{prefix}front_to_profile_ratio_high": high,
            f"{prefix}front_to_profile": float(found.residuals.mean()),
            f"{prefix}front_to_profile_raw": found.raw,
        }
        numbers = number(found.raw), number(found.residuals.mean()), number(found.ratio, 3)
        people = str(len(found.residuals))
        cells.append([titles[prefix], people, *numbers, f"{low:.3f}–{high:.3f}"])
    if "" in comparisons:
        found = comparisons[""]
        mean = float(found.mean_face.mean())
        metrics |= {
            "mean_face_to_profile": mean,
            "mean_face_to_profile_raw": found.mean_face_raw,
            "people": len(found.residuals),
        }
        numbers = number(found.mean_face_raw), number(mean), number(1, 3)
        cells.append(["mean face", str(len(found.residuals)), *numbers, number(np.nan)])
    tables = [accuracy]
    if cells:
        tables.append(Table(RATIO_TITLE, RATIO_COLUMNS, cells))
    if fused is not None:
        metrics |= fused.metrics()
        tables += fused.tables()
    curves = {title: column(rows, name) for name, title in ERRORS.items()}
    notes = [] if "" in comparisons else [NO_FRONT_NOTE]
    label = "NME of the inner human points, % of the size of their box"
    return Report(known(metrics), tables, rows, curves, {"worst": worst}, notes, curve_label=label)
