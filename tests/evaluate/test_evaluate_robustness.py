import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from prnet.data.facekit import Facekit, FacekitRecord
from prnet.evaluate import robustness
from prnet.evaluate.metrics import aligned_distance
from prnet.evaluate.perturb import mirror, shrink
from prnet.evaluate.report import where
from prnet.evaluate.robustness import (
    BESIDE,
    CROPS_OF_OBJECT,
    DIFFERENT,
    JITTERED,
    NO_LABEL_NOTE,
    NO_PEOPLE_NOTE,
    NO_SCORE_NOTE,
    OBJECT,
    PHOTO,
    SAME,
    TEXTURE,
    evaluate_robustness,
    identity_vertices,
    pair_people,
    summarise,
)
from prnet.geometry.boxes import box_overlap, face_size, tight_box
from prnet.morphable.linear import FaceModel
from prnet.uv.atlas import EARS, FACE, MAP_SIZE, NECK, Atlas
from prnet.uv.build_atlas import build_atlas
from prnet.uv.chart import rasterize_chart
from prnet.uv.position_map import decode_landmarks68, decode_vertices

Array = np.ndarray
KINDS = AS_IS, COVERED, SMALL, MIRRORED, NOTHING = (
    "as is",
    "covered",
    "small",
    "mirrored",
    "nothing",
)


@pytest.fixture(scope="module", autouse=True)
def pictures_read_once() -> Iterator[None]:
    """The pictures of things are the same every time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(robustness, "object_pictures", cache(robustness.object_pictures))
        yield


@pytest.fixture(scope="module")
def kit(tiny_facekit: Path, tmp_path_factory: pytest.TempPathFactory) -> Facekit:
    """The tiny kit with four photos of LFW in `val`: each of its two shows a person, twice."""
    folder = tmp_path_factory.mktemp("people") / "facekit"
    shutil.copytree(tiny_facekit, folder)
    labels = dict(np.load(folder / "labels/lfw.npz"))
    labels = {name: values[[0, 0, 1, 1]] for name, values in labels.items()}
    labels |= {"split": np.array(["val"] * 4), "person": np.array([1, 1, 2, 2])}
    np.savez(folder / "labels/lfw.npz", **labels)
    return Facekit(folder, "val")


@pytest.fixture(scope="module")
def tiny_atlas(tiny_face_model: FaceModel) -> Atlas:
    """A UV space made of the tiny kit's own face model."""
    return build_atlas(tiny_face_model.mesh)


class Answer(SimpleNamespace):
    """What is asked of a face; few are asked for their vertices."""

    @property
    def vertices(self) -> Array:
        return self.pose.apply(self.frontal_vertices)


@cache
def known_pictures(
    kit: Facekit, atlas: Atlas, model: FaceModel
) -> tuple[dict[str, Array], dict[bytes, tuple[str, Array, FacekitRecord]]]:
    """The vertices of each record's shape; and the pictures that are made of its photo."""
    mesh = model.mesh
    sampler = rasterize_chart(mesh.uv, mesh.triangles, mesh.triangles_uv, MAP_SIZE)
    shapes, known = {}, {}
    for record in kit.records:
        shape = sampler.sample(model.shape(record.identity, record.expression))
        shapes[record.filename] = decode_vertices(shape, atlas)
        photo, truth = kit.photo(record), record.landmarks68
        for kind, (picture, points) in {
            AS_IS: (photo, truth),
            SMALL: shrink(photo, truth),
            MIRRORED: mirror(photo, truth),
        }.items():
            known[picture.tobytes()] = kind, points, record
    return shapes, known


class Oracle:
    """A reconstructor that knows the labels of a kit, and errs as it is told to.

    Args:
        error: (kind of picture, box, true points) → what is added to them.
        score: (kind of picture, whether the box shows the face) → its score.
    """

    def __init__(
        self,
        kit: Facekit,
        atlas: Atlas,
        model: FaceModel,
        error: Callable[[str, Array, Array], Any] = lambda kind, box, truth: 0,
        score: Callable[[str, bool], float] = lambda kind, is_face: 0.9 if is_face else 0.2,
    ) -> None:
        self.model = SimpleNamespace(atlas=atlas)
        self._kit, self._error, self._score = kit, error, score
        self.shapes, self._known = known_pictures(kit, atlas, model)

    def __call__(self, photo: Array, boxes: Any) -> list[Any]:
        return [self._answer(photo, np.asarray(box)) for box in boxes]

    def _answer(self, photo: Array, box: Array) -> Any:
        kind, truth, record = self._known.get(photo.tobytes(), (NOTHING, None, None))
        if truth is None:
            record = min(self._kit.records, key=lambda each: np.abs(each.box - box).sum())
            truth = record.landmarks68
            if photo.shape == self._kit.photo(record).shape:
                kind = COVERED
        is_face = kind != NOTHING and box_overlap(box[None], tight_box(truth))[0] > 0.5
        shape = self.shapes[record.filename]
        return Answer(
            landmarks68=(truth + self._error(kind, box, truth)).astype(truth.dtype),
            pose=record.pose,
            frontal_vertices=shape,
            score=self._score(kind, is_face),
        )


@pytest.fixture
def oracle(kit: Facekit, tiny_atlas: Atlas, tiny_face_model: FaceModel) -> Callable[..., Oracle]:
    def make(**changes: Any) -> Oracle:
        return Oracle(kit, tiny_atlas, tiny_face_model, **changes)

    return make


def test_the_labels_themselves_are_perfect(kit: Facekit, oracle: Callable[..., Oracle]) -> None:
    done: list[tuple[int, int]] = []
    perfect = oracle()
    report = evaluate_robustness(kit.folder, perfect, progress=lambda *counts: done.append(counts))
    metrics = report.metrics
    assert metrics["count"] == 5 and done == [(k, 5) for k in range(1, 6)]
    for name in ("nme68_2d", "covered_nme68_2d", "small_nme68_2d", "jitter", "flip_error"):
        assert metrics[name] == pytest.approx(0, abs=1e-4), name
    assert metrics["roughness_ratio"] == pytest.approx(1, abs=1e-3)
    assert metrics["bend_deg"] > 0.1
    assert metrics["same_person_mm"] == pytest.approx(0, abs=1e-4)
    kept = identity_vertices(perfect.model.atlas)
    one, two = (perfect.shapes[f"lfw_{k}.png"][kept] for k in range(2))
    there, back = aligned_distance(one, two), aligned_distance(two, one)
    assert metrics["different_people_mm"] == pytest.approx(5 * (there + back), rel=1e-4)
    assert metrics["intra_identity_shape_ratio"] == pytest.approx(0, abs=1e-3)
    assert metrics["confidence_auc"] == metrics["confidence_auc_object"] == 1
    assert metrics["confidence_auc_beside"] == metrics["confidence_auc_texture"] == 1
    assert report.notes == []
    counts = {kind: sum(row["kind"] == kind for row in report.rows) for kind in (PHOTO, OBJECT)}
    assert counts == {PHOTO: 5, OBJECT: 14 * CROPS_OF_OBJECT}
    assert {row["kind"] for row in report.rows} == {PHOTO, BESIDE, TEXTURE, OBJECT, SAME, DIFFERENT}
    assert [len(examples) for examples in report.worst.values()] == [5]
    for table in report.tables:
        assert {len(cells) for cells in table.rows} == {len(table.columns)}


def test_each_disturbance_has_its_own_error(kit: Facekit, oracle: Callable[..., Oracle]) -> None:
    """Points off by a share of the face's size: along x, so that a mirror doubles them."""
    percent = {AS_IS: 1, COVERED: 3, SMALL: 5, MIRRORED: 1, NOTHING: 50}

    def error(kind: str, box: Array, truth: Array) -> Array:
        return np.eye(1, truth.shape[1]) * percent[kind] / 100 * face_size(truth)

    metrics = evaluate_robustness(kit.folder, oracle(error=error), limit=2).metrics
    assert metrics["nme68_2d"] == pytest.approx(1, rel=1e-4)
    assert metrics["covered_nme68_2d"] == pytest.approx(3, rel=1e-4)
    assert metrics["small_nme68_2d"] == pytest.approx(5, rel=1e-4)
    assert metrics["flip_error"] == pytest.approx(2, rel=1e-4)
    assert metrics["jitter"] == pytest.approx(0, abs=1e-4)


def test_stillness_is_the_deviation_over_the_crops(
    kit: Facekit, oracle: Callable[..., Oracle]
) -> None:
    """Points that follow the box's centre by half stray by half its standard deviation."""
    asked: list[Array] = []

    def error(kind: str, box: Array, truth: Array) -> Array:
        centre, right = (each.reshape(2, 2).mean(0) for each in (box, tight_box(truth)))
        if kind == AS_IS:
            asked.append(centre)
        return np.append((centre - right) / 2, 0)[: truth.shape[1]]

    report = evaluate_robustness(kit.folder, oracle(error=error), limit=1)
    crops = np.array(asked[-(JITTERED + 3) :])[1 : JITTERED + 1]  # the photo, crops, two beside
    deviation = 0.5 * np.sqrt(crops.var(0, ddof=1).sum())
    size = face_size(kit.records[0].landmarks68)
    assert report.metrics["jitter"] == pytest.approx(100 * deviation / size, rel=1e-3)
    assert 0.5 < report.metrics["jitter"] < 2


def test_a_score_that_knows_the_error_orders_the_faces(
    kit: Facekit, oracle: Callable[..., Oracle]
) -> None:
    """Covered and small faces are worse, and say so; what is no face claims to be a better one."""
    percent = {AS_IS: 1, COVERED: 3, SMALL: 5, MIRRORED: 1, NOTHING: 1}
    answers = oracle(
        error=lambda kind, box, truth: percent[kind] / 100 * face_size(truth),
        score=lambda kind, is_face: 0.8 - percent[kind] / 10 if is_face else 0.9,
    )
    metrics = evaluate_robustness(kit.folder, answers, limit=2).metrics
    assert "confidence_rank_correlation" not in metrics  # as they are, all have one score
    assert metrics["confidence_rank_correlation_harder"] > 0.9
    assert metrics["confidence_auc"] == 0


def test_a_score_that_never_changes_is_no_confidence(
    kit: Facekit, oracle: Callable[..., Oracle]
) -> None:
    report = evaluate_robustness(kit.folder, oracle(score=lambda kind, is_face: 1.0), limit=1)
    assert not any(name.startswith("confidence") for name in report.metrics)
    assert not any("Confidence" in table.title for table in report.tables)
    assert NO_SCORE_NOTE in report.notes


def test_what_cannot_be_compared_is_left_out(
    tiny_facekit: Path, kit: Facekit, atlas: Atlas, tiny_face_model: FaceModel
) -> None:
    """Another UV space, and one photo of a person."""
    report = evaluate_robustness(tiny_facekit, Oracle(kit, atlas, tiny_face_model), limit=1)
    assert list(report.notes) == [NO_LABEL_NOTE, NO_PEOPLE_NOTE]
    assert {"roughness_ratio", "intra_identity_shape_ratio"}.isdisjoint(report.metrics)
    assert "jitter" in report.metrics and "confidence_auc" in report.metrics


def test_a_limit_changes_no_photo(kit: Facekit, oracle: Callable[..., Oracle]) -> None:
    def error(kind: str, box: Array, truth: Array) -> Any:
        return box[0] % 1  # gives every random choice away

    two, one = (
        where(evaluate_robustness(kit.folder, oracle(error=error), limit=n).rows, "kind", PHOTO)
        for n in (2, 1)
    )
    assert len(two) == 2 and two[:1] == one


def test_an_impossible_limit_is_refused(kit: Facekit, oracle: Callable[..., Oracle]) -> None:
    with pytest.raises(ValueError, match="limit must be 1 or more"):
        evaluate_robustness(kit.folder, oracle(), limit=0)


def test_eyes_and_mouth_do_not_tell_people_apart(atlas: Atlas) -> None:
    kept = identity_vertices(atlas)
    points = decode_landmarks68(atlas.canonical_map, atlas)
    distances = np.linalg.norm(atlas.canonical_vertices[:, None] - points, axis=2)
    at_point = kept[distances.argmin(0)]
    assert at_point[[4, 8, 12, 19, 24, 27, 30, 33]].all()  # jaw, chin, brows, nose
    assert not at_point[36:].any()
    region = atlas.region.ravel()[atlas.vertex_index]
    assert not kept[(region == EARS) | (region == NECK)].any()
    assert 0.3 < kept[region >= FACE].mean() < 0.8


def test_pairs_by_hand() -> None:
    same, different = pair_people([["a1", "a2", "a3"], ["b1", "b2"]])
    assert same == [("a1", "a2"), ("a1", "a3"), ("a2", "a3"), ("b1", "b2")]
    assert different == [("a1", "b1"), ("a2", "b2"), ("b1", "a1"), ("b2", "a2")]
    assert pair_people([["a1", "a2"]]) == ([("a1", "a2")], [])
    assert pair_people([]) == ([], [])
    people = [[10 * k, 10 * k + 1] for k in range(6)]
    _, different = pair_people(people)
    assert len(different) == 6 * 3 * 2
    assert all(a // 10 != b // 10 and a % 10 == b % 10 for a, b in different)
    assert (50, 20) in different and (50, 30) not in different


def test_the_tables_by_hand() -> None:
    def photo(yaw: float, error: float, score: float) -> dict[str, Any]:
        return {
            **{"kind": PHOTO, "yaw_deg": yaw, "jitter": error / 2, "flip_error": error / 4},
            **{"nme68_2d": error, "covered_nme68_2d": 2 * error, "small_nme68_2d": 3 * error},
            **{"score": score, "covered_score": 0.5, "small_score": 0.4},
            **{"bend_deg": 6.0, "label_bend_deg": 4.0},
        }

    rows = [photo(0, 1, 0.9), photo(10, 3, 0.7), photo(-50, 2, 0.8)]
    rows += [{"kind": kind, "score": s} for kind, s in ((BESIDE, 0.75), (TEXTURE, 0.15))]
    rows += [{"kind": SAME, "distance_mm": 1.0}, {"kind": DIFFERENT, "distance_mm": 2.0}]
    report = summarise(rows)
    harder, steady, shape, scores, order = ([list(r) for r in t.rows] for t in report.tables)
    assert harder[2][1:] == ["3", "6.00", "6.00", "6.00 (2)", "6.00 (1)", "–", "–"]
    assert [cells[1:] for cells in steady] == [["3", "1.00", "1.00"], ["3", "0.50", "0.50"]]
    assert [cells[1:] for cells in shape] == [["6.00", "4.00", "1.50"], ["1.00", "2.00", "0.50"]]
    assert [cells[1:] for cells in scores] == [
        ["3", "0.80", "–"],
        ["1", "0.75", "0.6667"],
        ["1", "0.15", "1.0000"],
        ["2", "0.45", "0.8333"],
    ]
    assert order[0] == ["original photos", "3", "1.00"]
    assert report.metrics["confidence_auc"] == pytest.approx(5 / 6)
    assert report.metrics["small_nme68_2d_yaw_30_60"] == 6
    assert (
        report.metrics["intra_identity_shape_ratio"] == 0.5
        and report.metrics["roughness_ratio"] == 1.5
    )
    assert "confidence_auc_object" not in report.metrics
