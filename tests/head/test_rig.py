"""The shape of a head: it is the photo's face, and it holds together."""

from collections.abc import Callable

import numpy as np
import pytest

from prnet.face import Face
from prnet.geometry.rasterize import rasterize
from prnet.head.eyes import measure_ball
from prnet.head.head import Head
from prnet.head.layout import HeadLayout
from prnet.head.rig import fit_chart, smooth, spread_offset
from prnet.morphable.head_model import (
    BACK,
    FACE,
    LEFT_EYE,
    LEFT_LASHES,
    MOUTH,
    PARTS,
    RIGHT_EYE,
    RIGHT_LASHES,
    TEETH,
)
from prnet.uv.atlas import EARS, NECK

pytestmark = pytest.mark.weights
PIXELS_PER_CM = 24


def seen_parts(head: Head, layout: HeadLayout, **weights: float) -> np.ndarray:
    """Which part each pixel shows, seen from the front without the lashes; −1 nothing."""
    shapes = [part for part in range(len(PARTS)) if part not in (LEFT_LASHES, RIGHT_LASHES)]
    triangles = [layout.model.triangles_of(part)[0] for part in shapes]
    part = np.repeat(shapes, [len(each) for each in triangles])
    vertices = head.with_weights(weights).vertices * [1, -1, 1] * PIXELS_PER_CM
    side = 24 * PIXELS_PER_CM
    raster = rasterize(vertices + side / 2, np.concatenate(triangles), (side, side))
    return np.where(raster.is_covered, part[np.maximum(raster.triangle, 0)], -1)


def test_it_is_the_photos_face(portrait_face: Face, head: Head, layout: HeadLayout) -> None:
    """Neutral shape and weights meet what the network saw, far within 0.2 mm."""
    sampler = layout.sampler
    corners = head.vertices[sampler.vertices]
    rebuilt = (sampler.barycentric[..., None] * corners).sum(2)
    seen = portrait_face.pose.remove(portrait_face.position_map)
    distance_mm = 10 * np.linalg.norm(rebuilt - seen, axis=2)
    is_face = sampler.is_covered & (portrait_face.atlas.region >= EARS)
    assert distance_mm[is_face].mean() < 0.1
    assert np.percentile(distance_mm[is_face], 99) < 0.5
    is_neck = sampler.is_covered & (portrait_face.atlas.region == NECK)
    assert distance_mm[is_neck].mean() < 5


def test_the_mean_map_gives_the_mean_face(
    make_face: Callable[..., Face], layout: HeadLayout
) -> None:
    face = make_face()
    fitted = fit_chart(face.pose.remove(face.position_map.astype(np.float64)), layout)
    distance_mm = 10 * np.linalg.norm(fitted - layout.model.vertices[: len(fitted)], axis=1)
    assert np.median(distance_mm) < 0.05
    assert np.percentile(distance_mm, 95) < 1.5  # nostrils and behind the ears, one pixel wide


def test_offsets_fade_beyond_the_face(layout: HeadLayout) -> None:
    trust = layout.trust
    offset = np.zeros((layout.skin_count, 3))
    offset[:, 2] = 1
    spread = spread_offset(offset, trust, layout)
    np.testing.assert_array_equal(spread[trust == 1], offset[trust == 1])
    assert (np.abs(spread) <= 1 + 1e-6).all()
    shoulders = layout.model.vertices[: layout.skin_count, 1] < -15
    assert spread[shoulders, 2].max() < 0.8  # they go along with the neck, less and less
    assert spread[layout.model.vertices_of(MOUTH), 2].min() < 0.5
    edges = layout.skin_triangles[:, [0, 1]]
    steps = np.abs(spread[edges[:, 0], 2] - spread[edges[:, 1], 2])
    assert steps.max() < 0.25  # no step, wherever it begins
    np.testing.assert_allclose(smooth(offset, layout), offset, atol=1e-3)


def test_the_neck_joins_without_a_step(head: Head, layout: HeadLayout) -> None:
    """Edges between what follows the photo and what doesn't are as long as the model's."""
    triangles = layout.model.triangles_of(FACE, BACK)[0]
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]]])
    trust = layout.trust[edges]
    across = edges[(trust.max(1) > 0) & (trust.min(1) < 1)]

    def lengths(vertices: np.ndarray) -> np.ndarray:
        return np.linalg.norm(vertices[across[:, 0]] - vertices[across[:, 1]], axis=1)

    ratio = lengths(head.neutral) / lengths(layout.model.vertices)
    assert np.percentile(ratio, [0.5, 99.5]) == pytest.approx(1, abs=0.6)


def test_lids_close_over_the_balls(head: Head, layout: HeadLayout) -> None:
    def eye_pixels(**weights: float) -> int:
        return int(np.isin(seen_parts(head, layout, **weights), (LEFT_EYE, RIGHT_EYE)).sum())

    opened = eye_pixels()
    both = ("eyeBlinkLeft", "eyeBlinkRight")
    assert opened > 500
    assert eye_pixels(**dict.fromkeys(both, 1.0)) < 0.01 * opened
    assert 0.2 * opened < eye_pixels(**dict.fromkeys(both, 0.5)) < 0.8 * opened
    closed_left = seen_parts(head, layout, eyeBlinkLeft=1.0)
    assert (closed_left == LEFT_EYE).sum() < 10 < 200 < (closed_left == RIGHT_EYE).sum()


@pytest.mark.parametrize(
    ("name", "axis", "sign"),
    [
        ("eyeLookUpLeft", 1, 1),
        ("eyeLookDownLeft", 1, -1),
        ("eyeLookInLeft", 0, -1),
        ("eyeLookOutLeft", 0, 1),
        ("eyeLookInRight", 0, 1),
        ("eyeLookOutRight", 0, -1),
    ],
)
def test_eyes_turn_in_their_sockets(
    head: Head, layout: HeadLayout, name: str, axis: int, sign: int
) -> None:
    eye = layout.eyes[0 if name.endswith("Left") else 1]
    ball = measure_ball(head.neutral[eye.ball], measure_ball(layout.model.vertices[eye.ball]).axis)
    turned = head.neutral + head.targets[head.names.index(name)]
    pupil = eye.ball[(head.neutral[eye.ball] @ ball.axis).argmax()]
    step = turned[pupil] - head.neutral[pupil]
    assert sign * step[axis] > 0.6 and abs(step[1 - axis]) < 0.2  # cm
    other = layout.eyes[1 if name.endswith("Left") else 0]
    np.testing.assert_array_equal(turned[other.ball], head.neutral[other.ball])
    assert np.abs(ball.gaps(turned[eye.ball])[0]).max() < 0.05


def test_teeth_follow_the_jaw_and_stay_inside(head: Head, layout: HeadLayout) -> None:
    teeth = layout.model.vertices_of(TEETH)
    drop = head.targets[head.names.index("jawOpen"), teeth, 1]
    is_lower = layout.model.vertices[teeth, 1] < -4
    assert drop[is_lower].max() < -1 < -0.01 < drop[layout.model.vertices[teeth, 1] > -2].min()
    mouth = head.neutral[layout.lips]
    parts = seen_parts(head, layout)
    rows, columns = np.nonzero(parts == TEETH)
    x, y = columns / PIXELS_PER_CM - 12, 12 - rows / PIXELS_PER_CM
    assert (x >= mouth[:, 0].min()).all() and (x <= mouth[:, 0].max()).all()
    assert (y >= mouth[:, 1].min()).all() and (y <= mouth[:, 1].max()).all()
    assert (seen_parts(head, layout, jawOpen=1.0) == FACE).sum() < (parts == FACE).sum()


def test_no_target_tears_the_skin(head: Head, layout: HeadLayout) -> None:
    """Corrections keep every expression about as smooth as the model has it."""
    triangles = layout.skin_triangles
    edges = np.unique(np.sort(np.concatenate([triangles[:, :2], triangles[:, 1:]]), axis=1), axis=0)

    def jumps(targets: np.ndarray) -> np.ndarray:
        return np.linalg.norm(targets[:, edges[:, 0]] - targets[:, edges[:, 1]], axis=2).max(1)

    assert (jumps(head.targets) < jumps(layout.model.expression) + 0.35).all()  # cm
