import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prnet.data.face_crops import FaceCrop
from prnet.data.facekit import Facekit
from prnet.errors import LabelError
from prnet.evaluate import identities as protocol
from prnet.evaluate.identities import (
    RENDERED,
    WARPED,
    DepthComparison,
    KnownPeople,
    evaluate_identities,
    summarise,
    true_landmarks,
)
from prnet.geometry.boxes import tight_box
from prnet.geometry.pose import rotation_from_angles
from prnet.morphable.linear import FaceModel
from prnet.reconstructor import Reconstructor
from prnet.uv.atlas import Atlas
from prnet.uv.chart import ChartSampler
from prnet.uv.position_map import encode

LIMIT = 2


@pytest.fixture(scope="module")
def people(facekit: Path, face_model: FaceModel) -> KnownPeople:
    return KnownPeople(Facekit(facekit, "val", protocol.SOURCES), face_model)


@pytest.fixture(scope="module", autouse=True)
def made_once() -> Iterator[None]:
    """A photo's pictures are always the same, as the first test says."""
    make, made = KnownPeople.make, dict[tuple[str, int], Any]()

    @functools.wraps(make)
    def make_or_reuse(self: KnownPeople, index: int) -> Iterator[tuple[str, FaceCrop]]:
        key = str(self._kit.folder), index
        if key not in made:
            made[key] = list(make(self, index))
        return iter(made[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(KnownPeople, "make", make_or_reuse)
        yield


def test_a_photo_gives_four_pictures_the_same_every_time(people: KnownPeople) -> None:
    make = KnownPeople.make.__wrapped__  # type: ignore[attr-defined]
    first, second = (list(make(people, 0)) for _ in range(2))
    assert [kind for kind, _ in first] == [WARPED, WARPED, RENDERED, RENDERED]
    for (_, one), (_, two) in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.pixels, two.pixels)
        np.testing.assert_array_equal(one.identity, two.identity)
    yaws = [abs(picture.pose.yaw) for _, picture in first]
    assert max(yaws[0], yaws[2]) < 30 < min(yaws[1], yaws[3])
    identities = np.stack([picture.identity for _, picture in first])
    assert 0.8 < identities.std() < 1.1  # as different as the population's
    other = next(people.make(1))[1]
    assert (other.identity != first[0][1].identity).all()


def test_faces_stand_in_the_middle(people: KnownPeople, face_model: FaceModel) -> None:
    for _, picture in people.make(20):
        box = tight_box(true_landmarks(face_model, picture))
        middle, side = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]).mean()
        np.testing.assert_allclose(middle, 95.5, atol=16)
        assert side == pytest.approx(192 / 2.25, rel=0.25)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[FaceCrop]:
    """The pictures in the order in which the protocol asks for them."""
    pictures: list[FaceCrop] = []
    make = KnownPeople.make

    def recorded(self: KnownPeople, index: int) -> Any:
        for kind, picture in make(self, index):
            pictures.append(picture)
            yield kind, picture

    monkeypatch.setattr(KnownPeople, "make", recorded)
    return pictures


def test_the_truth_has_no_error(
    fake: Any,
    atlas: Atlas,
    facekit: Path,
    face_model: FaceModel,
    face_sampler: ChartSampler,
    made: list[FaceCrop],
) -> None:
    def answer(box: np.ndarray) -> np.ndarray:
        shape = face_model.shape(made[-1].identity, made[-1].expression)
        return encode(face_sampler, shape, made[-1].pose)

    done: list[tuple[int, int]] = []
    report = evaluate_identities(
        facekit,
        fake(atlas, answer),
        limit=LIMIT,
        progress=lambda *counts: done.append(counts),
    )
    metrics = report.metrics
    assert metrics["count"] == 4 * LIMIT and done == [(1, LIMIT), (2, LIMIT)]
    for group in ("warped_front", "warped_wide", "rendered_front", "rendered_wide"):
        assert metrics[f"{group}_count"] == LIMIT
        assert metrics[f"{group}_shape_ratio"] < 0.01
        assert metrics[f"{group}_depth_slope"] == pytest.approx(1, abs=0.01)
        assert metrics[f"{group}_nme68_2d"] < 0.5
        assert metrics[f"{group}_mean_face_mm"] > metrics[f"{group}_mean_identity_mm"] > 1
    assert set(report.worst) == {"worst_warped", "worst_rendered"}


def test_the_mean_face_knows_nothing(facekit: Path, model_folder: Path) -> None:
    metrics = evaluate_identities(facekit, Reconstructor(model_folder, threads=1), limit=1).metrics
    for group in ("warped_front", "rendered_wide"):
        assert metrics[f"{group}_shape_ratio"] == pytest.approx(1, abs=1e-3)
        assert metrics[f"{group}_identity_ratio"] > 1
        assert metrics[f"{group}_depth_slope"] == pytest.approx(0, abs=0.01)


def test_half_of_the_depth_has_half_of_the_slope(atlas: Atlas) -> None:
    """Whatever the pose; only z counts."""
    mean = atlas.canonical_vertices.astype(np.float64)
    rng = np.random.default_rng(0)
    bumps = np.sin(mean @ rng.normal(0, 1, (3, 3)))
    truth = mean + 0.02 * bumps * [0, 0, 1]
    predicted = mean + 0.01 * bumps * [0, 0, 1]
    posed = 9 * predicted @ rotation_from_angles(20, 10, 5).T + [30, 40, 50]
    row = DepthComparison(atlas).measure(posed, truth)
    assert row["depth_covariance"] / row["depth_variance"] == pytest.approx(0.5, abs=0.01)
    correlation = row["depth_covariance"] / np.sqrt(
        row["depth_variance"] * row["depth_predicted_variance"]
    )
    assert correlation == pytest.approx(1, abs=0.01)


def test_ratios_are_those_of_means() -> None:
    def row(kind: str, view: str, shape: float, mean: float) -> dict[str, Any]:
        numbers = {"shape_mm": shape, "mean_face_mm": mean, "mean_identity_mm": 2.0}
        numbers |= {"depth_covariance": 1.0, "depth_variance": 4.0, "depth_predicted_variance": 1.0}
        return {"kind": kind, "view": view, "nme68_2d": 2.0} | numbers

    rows = [row(WARPED, "front", 1, 2), row(WARPED, "front", 3, 3), row(RENDERED, "wide", 1, 4)]
    report = summarise(rows, {})
    (table,) = report.tables
    numbers = ["2.00", "2.50", "0.80", "2.00", "1.00", "0.25", "0.50", "2.00"]
    assert list(table.rows[0]) == ["warped photos, near the front", "2", *numbers]
    assert list(table.rows[1])[:5] == ["rendered heads, rotated wide", "1", "1.00", "4.00", "0.25"]
    assert {len(cells) for cells in table.rows} == {len(table.columns)}
    np.testing.assert_allclose(report.curves["warped photos, near the front"], [50, 100])


def test_another_uv_space_has_landmark_errors_alone(
    fake: Any, atlas: Atlas, facekit: Path, posed: Callable[..., np.ndarray]
) -> None:
    other = Atlas(
        atlas.region,
        atlas.vertex_index,
        atlas.triangles,
        atlas.landmarks68_uv,
        atlas.canonical_map + np.float32(1),
    )
    report = evaluate_identities(facekit, fake(other, lambda box: posed()), limit=1)
    assert "warped_front_nme68_2d" in report.metrics
    assert not any("shape" in name or "depth" in name for name in report.metrics)
    assert len(report.notes) == 1 and report.worst == {} and report.curves == {}


def test_a_kit_without_backgrounds_is_refused(fake: Any, atlas: Atlas, tiny_facekit: Path) -> None:
    with pytest.raises(LabelError, match=r"bsds\.tar"):
        evaluate_identities(tiny_facekit, fake(atlas, lambda box: box))
