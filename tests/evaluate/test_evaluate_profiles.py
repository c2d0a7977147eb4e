from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prnet.data.facekit import Facekit
from prnet.errors import LabelError
from prnet.evaluate.profiles import (
    FrontToProfile,
    evaluate_profiles,
    front_to_profile,
    inner_errors,
    take_median_away,
)
from prnet.geometry.pose import flip_y, rotation_from_angles
from prnet.landmarks import MIRROR68
from prnet.uv.atlas import Atlas
from prnet.uv.position_map import decode_landmarks68

RIGHT_SIDE = (*range(9), 17, 19, 21, *range(27, 34), *range(36, 40), 48, 51, 57, 62, 66)
PEOPLE = 8


@pytest.fixture(scope="module")
def mean_shape(atlas: Atlas) -> np.ndarray:
    return decode_landmarks68(atlas.canonical_map, atlas).astype(np.float64)


@pytest.fixture(scope="module")
def shapes(mean_shape: np.ndarray) -> dict[int, np.ndarray]:
    """People whose points lie 2 mm off the mean ones."""
    rng = np.random.default_rng(5)
    return {k: mean_shape + rng.normal(0, 0.2, (68, 3)) for k in range(PEOPLE)}


@pytest.fixture(scope="module")
def profiles(shapes: dict[int, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(N, 68, 2) what humans set on two profiles a person, one from each side, and (N,) whom."""
    points, persons = [], []
    for person, shape in shapes.items():
        for yaw in (-60, 70):
            rotation = rotation_from_angles(yaw, 5, 10)
            seen = flip_y(9 * shape @ rotation.T)[:, :2] + [120, 90]
            is_set = np.isin(np.arange(68), RIGHT_SIDE)
            points.append(
                np.where((is_set if yaw < 0 else is_set[MIRROR68])[:, None], seen, np.nan)
            )
            persons.append(person)
    return np.stack(points), np.array(persons)


# front to profile


def test_peoples_own_shapes_meet_their_profiles(
    profiles: tuple[np.ndarray, np.ndarray],
    shapes: dict[int, np.ndarray],
    mean_shape: np.ndarray,
) -> None:
    found = front_to_profile(*profiles, shapes, mean_shape)
    assert len(found.residuals) == PEOPLE
    assert found.raw < 1e-4 and found.ratio < 1e-4
    assert found.mean_face_raw > 0.5 and found.mean_face.mean() > 0.5


def test_the_mean_face_is_as_good_as_itself(
    profiles: tuple[np.ndarray, np.ndarray], mean_shape: np.ndarray
) -> None:
    found = front_to_profile(*profiles, dict.fromkeys(range(PEOPLE), mean_shape), mean_shape)
    assert found.ratio == pytest.approx(1)
    assert found.interval() == pytest.approx((1, 1))
    assert found.raw == pytest.approx(found.mean_face_raw)


def test_sides_are_mirror_images(
    profiles: tuple[np.ndarray, np.ndarray],
    shapes: dict[int, np.ndarray],
    mean_shape: np.ndarray,
) -> None:
    """Everything mirrored, the people too, gives the same figures."""
    some = {k: (shape + mean_shape) / 2 for k, shape in shapes.items()}
    mirrored = {k: shape[MIRROR68] * [-1, 1, 1] for k, shape in some.items()}
    points, persons = profiles
    found = front_to_profile(points, persons, some, mean_shape)
    other = front_to_profile(
        points[:, MIRROR68] * [-1, 1], persons, mirrored, mean_shape[MIRROR68] * [-1, 1, 1]
    )
    np.testing.assert_allclose(found.residuals, other.residuals, rtol=1e-6)
    assert 0.3 < found.ratio < 0.7  # half of the way to the people's own shapes


def test_whoever_has_no_front_is_left_out(
    profiles: tuple[np.ndarray, np.ndarray],
    shapes: dict[int, np.ndarray],
    mean_shape: np.ndarray,
) -> None:
    some = {k: shapes[k] for k in (1, 2, 5)} | {99: mean_shape}
    assert len(front_to_profile(*profiles, some, mean_shape).residuals) == 3
    with pytest.raises(ValueError, match="two or more people"):
        front_to_profile(*profiles, {1: shapes[1]}, mean_shape)


def test_the_interval_covers_what_people_differ_by() -> None:
    rng = np.random.default_rng(0)
    mean_face = rng.uniform(1, 2, 400)
    found = FrontToProfile(mean_face * rng.normal(0.9, 0.2, 400), mean_face, 0, 0)
    low, high = found.interval()
    assert low < found.ratio < high
    # the standard error of a mean of 400 with a spread of 0.2, twice to each side
    assert high - low == pytest.approx(4 * 0.2 / 20, rel=0.15)


# errors of the inner points


def test_what_the_annotators_mean_otherwise_is_taken_away(
    profiles: tuple[np.ndarray, np.ndarray],
) -> None:
    """A constant offset toward the nose is an error raw, and none on people not seen."""
    points, persons = profiles
    known = np.isfinite(points).all(2)
    sizes = [np.sqrt(np.ptp(p[k], axis=0).prod()) for p, k in zip(points, known, strict=True)]
    side = np.where(known[:, 36], 1, -1)
    offset = np.stack([0.03 * side, np.full(len(side), 0.04)], 1) * np.array(sizes)[:, None]
    predicted = np.nan_to_num(points) + offset[:, None]
    raw, less_median = inner_errors(predicted, points, persons)
    np.testing.assert_allclose(raw, 5)
    np.testing.assert_allclose(less_median, 0, atol=1e-9)


def test_the_median_is_the_other_halfs() -> None:
    persons = np.array([3, 3, 7, 9])  # 3 and 9 against 7
    offsets = np.array([[1, 0], [2, 0], [10, 4], [6, 0]], float)[:, None]
    left = take_median_away(offsets, persons)[:, 0]
    np.testing.assert_array_equal(left, [[-9, -4], [-8, -4], [8, 4], [-4, -4]])
    assert np.isnan(take_median_away(offsets, np.zeros(4, int))).all()


# the protocol


def offsets_of_kit() -> np.ndarray:
    """Two people, each from the front and from both sides, where points stray by 2 pixels."""
    right = np.isin(np.arange(68), RIGHT_SIDE)
    is_set = np.stack([np.zeros(68, bool), right[MIRROR68], right] * 2)
    strays = np.random.default_rng(3).normal(0, 2, (6, 68, 2))
    return np.where(is_set[..., None], strays, np.nan)


NAMES = [f"{k}/{name}.jpg" for k in (1, 2) for name in ("front", "left", "right")]
PERSONS = [1, 1, 1, 2, 2, 2]


def test_fronts_and_profiles_are_told_apart_by_their_points(
    fake: Any, atlas: Atlas, posed: Callable[..., np.ndarray], human_facekit: Callable[..., Path]
) -> None:
    kit = human_facekit("cfp", NAMES, offsets_of_kit(), PERSONS)
    done: list[tuple[int, int]] = []
    report = evaluate_profiles(
        kit, fake(atlas, lambda box: posed()), progress=lambda *counts: done.append(counts)
    )
    metrics = report.metrics
    assert (metrics["count"], metrics["people"], len(done)) == (4, 2, 6)
    # the stand-in's pose-free shape is the mean face
    assert metrics["front_to_profile_ratio"] == pytest.approx(1, abs=1e-3)
    assert metrics["mean_face_to_profile_raw"] == pytest.approx(metrics["front_to_profile_raw"])
    assert metrics["label_front_to_profile_ratio"] < 2
    assert [row["filename"] for row in report.rows] == [n for n in NAMES if "front" not in n]
    for table in report.tables:
        assert {len(cells) for cells in table.rows} == {len(table.columns)}
    assert metrics == evaluate_profiles(kit, fake(atlas, lambda box: posed())).metrics


def test_one_person_has_raw_errors_alone(
    fake: Any, atlas: Atlas, posed: Callable[..., np.ndarray], human_facekit: Callable[..., Path]
) -> None:
    kit = human_facekit("cfp", NAMES, offsets_of_kit(), PERSONS)
    report = evaluate_profiles(kit, fake(atlas, lambda box: posed()), limit=1)
    assert report.metrics["count"] == 2 and "nme_inner_2d" in report.metrics
    assert not any("ratio" in name or "less" in name for name in report.metrics)
    assert len(report.notes) == 1


def test_incomplete_human_points_are_named(
    fake: Any, atlas: Atlas, posed: Callable[..., np.ndarray], human_facekit: Callable[..., Path]
) -> None:
    offsets = offsets_of_kit()
    offsets[1, 30] = np.nan
    kit = human_facekit("cfp", NAMES, offsets, PERSONS)
    with pytest.raises(LabelError, match=r"cfp\.npz: 1/left\.jpg lacks"):
        evaluate_profiles(kit, fake(atlas, lambda box: posed()))


def test_labels_that_saw_the_profiles_know_something_of_the_people(
    facekit: Path, mean_shape: np.ndarray
) -> None:
    """Shapes whose fit used all of a person's photos, on real profiles."""
    fronts: dict[int, list[np.ndarray]] = {}
    points, persons = [], []
    for record in Facekit(facekit, "val", ("cfp",)).records:
        if np.isnan(record.human68).all():
            shape = record.pose.remove(record.landmarks68)
            fronts.setdefault(record.person, []).append(shape)
        else:
            points.append(record.human68)
            persons.append(record.person)
    shapes = {person: np.mean(those, axis=0) for person, those in fronts.items()}
    found = front_to_profile(np.stack(points), np.array(persons), shapes, mean_shape)
    assert len(found.residuals) == 48
    assert 0.94 < found.ratio < 0.97
