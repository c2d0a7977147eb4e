"""The facekit's photos made harder, moved, mirrored or without a face → how a model bears it."""

import os
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from prnet.data.facekit import FACE_MODEL_FILE, Facekit, FacekitRecord
from prnet.evaluate.facekit import begin_row
from prnet.evaluate.metrics import aligned_distance, nme, point_deviation
from prnet.evaluate.perturb import (
    boxes_beside,
    cover,
    jitter_box,
    make_texture,
    mirror,
    object_boxes,
    object_pictures,
    shrink,
)
from prnet.evaluate.ranks import rank_correlation, roc_auc
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
    where,
)
from prnet.evaluate.shape import MM_PER_CM, ShapeComparison
from prnet.face import Face
from prnet.geometry.boxes import face_size, tight_box
from prnet.geometry.sampling import spread_evenly
from prnet.geometry.surface import mean_bend_deg, neighbouring_triangles
from prnet.landmarks import EYES_AND_MOUTH, mirror_landmarks
from prnet.morphable.linear import FaceModel, load_ict_face_model
from prnet.reconstructor import Reconstructor
from prnet.uv.atlas import FACE, Atlas
from prnet.uv.position_map import decode_landmarks68

SEED = 3  # of all that is random; each photo's own, so that a limit doesn't change it
JITTERED = 16  # crops of a photo that jitter is measured over
CROPS_BESIDE = 2  # of a photo, without its face
CROPS_OF_OBJECT = 8
PEOPLE_SOURCE = "lfw"  # the one with several photos of a person
PHOTOS_OF_PERSON, OTHER_PEOPLE = 3, 3  # at most, that a shape is compared with
PHOTO, BESIDE, TEXTURE, OBJECT = "photo", "beside", "texture", "object"  # kinds of rows
SAME, DIFFERENT = "same person", "different people"
HARDER = {
    "nme68_2d": "original photos",
    "covered_nme68_2d": "a third of the face covered",
    "small_nme68_2d": "faces of 32 pixels",
}
STEADY = {"jitter": "landmark jitter under box perturbation", "flip_error": "flip error"}
NO_FACE = {BESIDE: "crops beside the face", TEXTURE: "textures", OBJECT: "objects"}
HARDER_TITLE = "In the boxes of the labels: 68-point NME in % of face size, by |yaw| (photos)"
STEADY_TITLE = "Jitter and flip error of the 68 points, in % of face size"
STEADY_COLUMNS = "", "photos", "mean", "median"
SHAPE_TITLE = "Shape: roughness ratio, and intra-identity shape ratio"
SHAPE_COLUMNS = "", "measured", "against", "ratio"
SCORE_TITLE = "Confidence: scores of faces and of what is none"
SCORE_COLUMNS = "", "boxes", "mean score", "area under ROC curve"
ORDER_TITLE = "Confidence: rank correlation of the score with the error, turned round"
NO_LABEL_NOTE = (
    "no roughness ratio: the model's UV space is not made of the labels' face model, so there is "
    "no label's mesh to compare with"
)
NO_PEOPLE_NOTE = "no intra-identity shape ratio: the photos don't show two people twice each"
NO_SCORE_NOTE = "no confidence: the model's score is the same for every box"

T = TypeVar("T")


def evaluate_robustness(
    folder: str | os.PathLike[str],
    reconstructor: Reconstructor,
    *,
    split: Literal["train", "val"] = "val",
    limit: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Reconstruct a split's original photos and disturbed, in boxes made from the labels'.

    Args:
        folder: The facekit.
        reconstructor: The model to measure; its detector isn't asked.
        split: `val` or `train`.
        limit: Only so many photos, spread evenly over the split, and so many people; None for all.
        progress: Called with photos done and photos in all.

    Returns:
        Report, see `summarise`.

    Raises:
        LabelError: The facekit is incomplete.
        ValueError: limit isn't positive.
    """
    kit = Facekit(folder, split)
    chosen = spread_evenly(len(kit.records), limit)
    model = load_ict_face_model(kit.folder / FACE_MODEL_FILE)
    trial = Trial(kit, model, reconstructor)
    rows = [*trial.objects(), *trial.people(limit)]
    for done, index in enumerate(chosen, 1):
        rows += trial.photo(index)
        progress(done, len(chosen))
    return summarise(rows, trial.worst.examples(), trial.has_label_meshes)


class Trial:
    """Puts a model to the test, one photo or kind of picture at a time.

    Attributes:
        worst: The covered photos with the largest errors.
        has_label_meshes: Whether the labels can be put on the model's own mesh.
    """

    def __init__(self, kit: Facekit, model: FaceModel, reconstructor: Reconstructor) -> None:
        self._kit, self._reconstructor = kit, reconstructor
        self._atlas = reconstructor.model.atlas
        self._shapes = ShapeComparison(model, self._atlas)
        self._neighbours = neighbouring_triangles(self._atlas.triangles)
        self._things = object_pictures()
        self.worst = Worst()
        self.has_label_meshes = self._shapes.is_possible

    def photo(self, index: int) -> list[Row]:
        """Measure a photo by the facekit's index, and what has no face in it, and a texture."""
        record = self._kit.records[index]
        photo, truth, box = self._kit.photo(record), record.landmarks68, record.box
        rng = np.random.default_rng([SEED, index])
        crops = jitter_box(box, JITTERED, rng)
        beside = boxes_beside(box, photo.shape, CROPS_BESIDE, rng)
        face, *moved = self._reconstructor(photo, boxes=[box, *crops, *beside])
        size = face_size(truth)
        row = begin_row(PHOTO, record, record.pose) | _accuracy("", face, truth)
        points = np.stack([each.landmarks68[:, :2] for each in moved[:JITTERED]])
        row["jitter"] = 100 * point_deviation(points) / size

        thing = list(self._things.values())[rng.integers(len(self._things))]
        covered = cover(photo, box, thing, rng)
        (face_covered,) = self._reconstructor(covered, boxes=[box])
        row |= _accuracy("covered_", face_covered, truth)
        title = f"{record.source}/{record.filename}  {row['covered_nme68_2d']:.1f}%"
        example = Example(title, covered, face_covered.landmarks68, truth)
        self.worst.add(row["covered_nme68_2d"], example)

        small, truth_small = shrink(photo, truth)
        (face_small,) = self._reconstructor(small, boxes=[tight_box(truth_small)])
        row |= _accuracy("small_", face_small, truth_small)

        mirrored, truth_mirrored = mirror(photo, truth)
        (face_mirrored,) = self._reconstructor(mirrored, boxes=[tight_box(truth_mirrored)])
        back = mirror_landmarks(face_mirrored.landmarks68, photo.shape[1])
        row["flip_error"] = nme(back[:, :2], face.landmarks68[:, :2], size)

        if self.has_label_meshes:
            self._shapes.aim_at(record)
            row["bend_deg"] = self._bend_deg(face.vertices)
            row["label_bend_deg"] = self._bend_deg(self._shapes.truth)
        texture = self._reconstructor(*make_texture(rng))
        without = {BESIDE: moved[JITTERED:], TEXTURE: texture}
        return [row] + [
            {"kind": kind, "source": record.source, "filename": record.filename, "score": f.score}
            for kind, faces in without.items()
            for f in faces
        ]

    def objects(self) -> list[Row]:
        """Score boxes anywhere in pictures of things."""
        rng = np.random.default_rng(SEED)
        return [
            {"kind": OBJECT, "source": "scikit-image", "filename": name, "score": face.score}
            for name, picture in self._things.items()
            for face in self._reconstructor(
                picture, boxes=object_boxes(picture.shape, CROPS_OF_OBJECT, rng)
            )
        ]

    def people(self, limit: int | None) -> list[Row]:
        """Compare the shapes of people who have several photos, at most `limit` of them."""
        people: dict[int, list[FacekitRecord]] = {}
        for record in self._kit.records:
            if record.source == PEOPLE_SOURCE:
                people.setdefault(record.person, []).append(record)
        several = [photos[:PHOTOS_OF_PERSON] for photos in people.values() if len(photos) > 1]
        chosen = [several[i] for i in spread_evenly(len(several), limit)]
        is_kept = identity_vertices(self._atlas)

        def reconstruct(record: FacekitRecord) -> tuple[str, NDArray[np.float32]]:
            """A photo's name and its face's shape without pose, cm."""
            (face,) = self._reconstructor(self._kit.photo(record), boxes=[record.box])
            return record.filename, face.frontal_vertices[is_kept]

        same, different = pair_people([[reconstruct(each) for each in p] for p in chosen])
        return [
            {
                **{"kind": kind, "source": PEOPLE_SOURCE, "filename": f"{name} {other_name}"},
                "distance_mm": MM_PER_CM * aligned_distance(shape, other),
            }
            for kind, pairs in ((SAME, same), (DIFFERENT, different))
            for (name, shape), (other_name, other) in pairs
        ]

    def _bend_deg(self, vertices: NDArray[np.floating]) -> float:
        """How rough the atlas's mesh is with these vertices."""
        return mean_bend_deg(vertices, self._atlas.triangles, self._neighbours)


def identity_vertices(atlas: Atlas) -> NDArray[np.bool_]:
    """Choose the vertices that tell people apart, whatever their eyes and mouth do.

    Returns:
        (V,) bool, true on the face (no ears, no neck) where, on the mean face, the nearest of the
        68 points is none of the eyes' or the mouth's: forehead, brows, nose, outer cheeks, jaw.
    """
    from scipy.spatial import cKDTree  # slow to import

    points = decode_landmarks68(atlas.canonical_map, atlas)
    nearest = cKDTree(points).query(atlas.canonical_vertices)[1]
    is_face = atlas.region.ravel()[atlas.vertex_index] >= FACE
    is_kept: NDArray[np.bool_] = is_face & ~np.isin(nearest, np.r_[EYES_AND_MOUTH])
    return is_kept


def pair_people(people: Sequence[Sequence[T]]) -> tuple[list[tuple[T, T]], list[tuple[T, T]]]:
    """Pair photos of one person, and photos of different people.

    Args:
        people: The photos of each person.

    Returns:
        Every two photos of a person; and each photo with those of the three people after its own,
        around the end, first with first, second with second and so on.
    """
    count = len(people)
    same = [pair for photos in people for pair in combinations(photos, 2)]
    different = [
        pair
        for k, photos in enumerate(people)
        for step in range(1, min(OTHER_PEOPLE, count - 1) + 1)
        for pair in zip(photos, people[(k + step) % count], strict=False)
    ]
    return same, different


def summarise(
    rows: Sequence[Row], worst_covered: Sequence[Example] = (), has_label_meshes: bool = True
) -> Report:
    """Average the rows of `Trial` and set them in tables.

    The metrics are `count`; `nme68_2d`, `covered_nme68_2d`, `small_nme68_2d`, each also `_median`,
    `_yaw_0_30` and so on; `jitter` and `flip_error`, also `_median`; `bend_deg`, `label_bend_deg`
    and their ratio `roughness_ratio`; `same_person_mm`, `different_people_mm` and their ratio
    `intra_identity_shape_ratio`; `confidence_auc`, also `_beside`, `_texture`, `_object`, and
    `confidence_rank_correlation`, also `_harder`, with the covered and small faces.
    """
    photos = where(rows, "kind", PHOTO)
    errors, table = summarise_errors(HARDER_TITLE, photos, HARDER)
    metrics: dict[str, float] = {"count": len(photos), **errors}
    tables = [table]
    steady = []
    for name, title in STEADY.items():
        values = column(photos, name)
        metrics |= {name: float(values.mean()), f"{name}_median": float(np.median(values))}
        averages = number(metrics[name]), number(metrics[f"{name}_median"])
        steady.append([title, str(len(values)), *averages])
    tables.append(Table(STEADY_TITLE, STEADY_COLUMNS, steady))
    notes, ratios = [], []
    if has_label_meshes:
        bends = [float(column(photos, name).mean()) for name in ("bend_deg", "label_bend_deg")]
        metrics |= {"bend_deg": bends[0], "label_bend_deg": bends[1]}
        metrics["roughness_ratio"] = _ratio(*bends)
        title = "angle between neighbouring triangles against the labels', degrees"
        ratios.append([title, *map(number, (*bends, metrics["roughness_ratio"]))])
    else:
        notes.append(NO_LABEL_NOTE)
    distances = [column(where(rows, "kind", kind), "distance_mm") for kind in (SAME, DIFFERENT)]
    if all(map(len, distances)):
        means = [float(each.mean()) for each in distances]
        metrics |= {"same_person_mm": means[0], "different_people_mm": means[1]}
        metrics["intra_identity_shape_ratio"] = _ratio(*means)
        title = "distance between shapes of one person against two people's, mm"
        ratios.append([title, *map(number, (*means, metrics["intra_identity_shape_ratio"]))])
    else:
        notes.append(NO_PEOPLE_NOTE)
    if ratios:
        tables.append(Table(SHAPE_TITLE, SHAPE_COLUMNS, ratios))
    scores = column(rows, "score")
    if np.nanmin(scores) < np.nanmax(scores):
        numbers, score_tables = _confidence(photos, rows)
        metrics |= numbers
        tables += score_tables
    else:
        notes.append(NO_SCORE_NOTE)
    curves = {title: column(photos, name) for name, title in HARDER.items()}
    return Report(known(metrics), tables, rows, curves, {"worst_covered": worst_covered}, notes)


def _confidence(photos: Sequence[Row], rows: Sequence[Row]) -> tuple[dict[str, float], list[Table]]:
    """How well the scores tell faces from what is none, and small errors from large ones."""
    scores = column(photos, "score")
    none = {kind: column(where(rows, "kind", kind), "score") for kind in NO_FACE}
    every = np.concatenate(list(none.values()))
    metrics = {"confidence_auc": roc_auc(scores, every)}
    cells = [["faces", str(len(scores)), number(scores.mean()), number(np.nan)]]
    for kind, title in NO_FACE.items():
        if len(none[kind]):
            area = metrics[f"confidence_auc_{kind}"] = roc_auc(scores, none[kind])
            mean = number(none[kind].mean())
            cells.append([title, str(len(none[kind])), mean, number(area, 4)])
    overall = number(metrics["confidence_auc"], 4)
    cells.append(["all without a face", str(len(every)), number(every.mean()), overall])
    prefixes = "", "covered_", "small_"
    order = []
    for name, title, of in (
        ("confidence_rank_correlation", "original photos", prefixes[:1]),
        ("confidence_rank_correlation_harder", "with covered and small faces", prefixes),
    ):
        score = np.concatenate([column(photos, f"{prefix}score") for prefix in of])
        error = np.concatenate([column(photos, f"{prefix}nme68_2d") for prefix in of])
        metrics[name] = rank_correlation(-score, error)
        order.append([title, str(len(score)), number(metrics[name])])
    return metrics, [
        Table(SCORE_TITLE, SCORE_COLUMNS, cells),
        Table(ORDER_TITLE, ("", "faces", "correlation"), order),
    ]


def _accuracy(prefix: str, face: Face, truth: NDArray[np.floating]) -> Row:
    """Error and score of a face, by name."""
    error = nme(face.landmarks68[:, :2], truth[:, :2], face_size(truth))
    return {f"{prefix}nme68_2d": error, f"{prefix}score": face.score}


def _ratio(measured: float, reference: float) -> float:
    """The one over the other, NaN over nothing."""
    return measured / reference if reference > 0 else float("nan")
