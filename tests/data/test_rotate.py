"""The head is half an ellipsoid, painted with dots; a dot's place after the turn is known."""

import numpy as np
import pytest

from prnet.data.rotate import fill, rotate
from prnet.geometry.pose import Pose, rotation_from_angles

SIZE, STEPS = 192, 41  # pixels of the photo, vertices along a side of the head
AXES_CM = np.array([7.0, 9.0, 12.0])
GRAY, DOT = 120, 255


def head() -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) over a disk, canonical frame, and triangles (T, 3)."""
    radius, angle = np.meshgrid(np.linspace(0, 1, STEPS), np.linspace(0, 2 * np.pi, 2 * STEPS))
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    z = np.sqrt(np.maximum(1 - radius**2, 0))
    index = np.arange(x.size).reshape(x.shape)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[:-1, 1:], index[1:, 1:]
    triangles = np.concatenate([np.stack([a, b, c], -1), np.stack([c, b, d], -1)]).reshape(-1, 3)
    return AXES_CM * np.stack([x, y, z], -1).reshape(-1, 3), triangles


VERTICES, TRIANGLES = head()
ACROSS = np.stack(np.meshgrid([-0.6, -0.2, 0.2, 0.6], [-0.6, -0.2, 0.2, 0.6]), -1).reshape(-1, 2)
DOTS = AXES_CM * np.column_stack([ACROSS, np.sqrt(1 - (ACROSS**2).sum(1))])


def make_pose(yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> Pose:
    """In the middle of the photo; angles with the signs of prnet.geometry.pose."""
    rotation = rotation_from_angles(yaw, pitch, roll)
    return Pose(6.0, rotation, np.array([SIZE / 2, -SIZE / 2, 0.0]))


def places(pose: Pose) -> np.ndarray:
    """Where the photo shows the dots, (16, 2)."""
    return pose.apply(DOTS)[:, :2]


def paint(pose: Pose) -> np.ndarray:
    """A gray photo with a soft white dot, some 3 pixels wide, at each dot's place."""
    x, y = np.meshgrid(np.arange(SIZE), np.arange(SIZE))
    photo = np.full((SIZE, SIZE), float(GRAY))
    for column, row in places(pose):
        photo += (DOT - GRAY) * np.exp(-((x - column) ** 2 + (y - row) ** 2) / (2 * 1.5**2))
    return np.clip(np.rint(photo), 0, 255).astype(np.uint8)[..., None].repeat(3, 2)


def find_dot(photo: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Centroid of what is brighter than gray around a place."""
    column, row = np.rint(near).astype(int)
    y, x = np.mgrid[row - 4 : row + 5, column - 4 : column + 5]
    weight = np.maximum(
        photo[row - 4 : row + 5, column - 4 : column + 5, 0].astype(float) - GRAY, 0
    )
    assert weight.sum() > 100, f"no dot near {near}"
    return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()


@pytest.mark.parametrize(
    ("start", "yaw", "pitch"),
    [
        ((0, 0, 0), 30, 0),
        ((0, 0, 0), -30, 0),
        ((0, 0, 0), 0, 20),
        ((0, 0, 0), 0, -20),
        ((10, 5, 0), 40, 10),
        ((-10, -5, 25), -35, -15),
    ],
)
def test_dots_go_where_the_turned_pose_puts_them(
    start: tuple[float, float, float], yaw: float, pitch: float
) -> None:
    pose = make_pose(*start)
    photo = paint(pose)
    rotated, rotated_pose = rotate(photo, VERTICES, TRIANGLES, pose, yaw, pitch)
    assert rotated.shape == photo.shape and rotated.dtype == np.uint8
    assert rotated_pose.scale == pose.scale
    np.testing.assert_allclose(
        rotated_pose.rotation,
        pose.rotation @ rotation_from_angles(yaw, 0, 0) @ rotation_from_angles(0, pitch, 0),
        atol=1e-12,
    )
    normals = (DOTS / AXES_CM**2) @ rotated_pose.rotation.T
    is_facing = normals[:, 2] / np.linalg.norm(normals, axis=1) > 0.5  # others are squeezed
    assert is_facing.sum() >= 7
    expected = places(rotated_pose)[is_facing]
    found = np.array([find_dot(rotated, place) for place in expected])
    errors = np.linalg.norm(found - expected, axis=1)
    assert errors.max() < 1 and errors.mean() < 0.5
    assert np.linalg.norm(expected - places(pose)[is_facing], axis=1).max() > 5  # it did turn


@pytest.mark.parametrize(
    ("yaw", "pitch", "direction"),
    [(20, 0, [-1, 0]), (-20, 0, [1, 0]), (0, 15, [0, -1]), (0, -15, [0, 1])],
)
def test_the_nose_goes_the_documented_way(yaw: float, pitch: float, direction: list[int]) -> None:
    """Positive yaw to the photo's left, positive pitch up."""
    pose = make_pose()
    _, rotated_pose = rotate(paint(pose), VERTICES, TRIANGLES, pose, yaw, pitch)
    nose = np.array([[0, 0, AXES_CM[2]]])
    moved = (rotated_pose.apply(nose) - pose.apply(nose))[0, :2]
    along = np.dot(moved, direction)
    assert along > 3 and np.linalg.norm(moved - along * np.array(direction)) < 1e-9


def new_shape(points: np.ndarray) -> np.ndarray:
    """Another head: wider and flatter, its upper half shifted."""
    return points * [1.08, 0.95, 0.9] + np.sin(points[:, 1:2] / 5) * [0.4, 0.1, 0.3]


@pytest.mark.parametrize(("start", "yaw"), [((0, 0, 0), 0), ((0, 0, 0), 30), ((-10, 5, 20), -25)])
def test_dots_go_along_with_a_new_shape(start: tuple[float, float, float], yaw: float) -> None:
    pose = make_pose(*start)
    turned, turned_pose = rotate(
        paint(pose), VERTICES, TRIANGLES, pose, yaw, new_vertices=new_shape(VERTICES)
    )
    normals = (DOTS / AXES_CM**2) @ turned_pose.rotation.T
    is_facing = normals[:, 2] / np.linalg.norm(normals, axis=1) > 0.5
    expected = turned_pose.apply(new_shape(DOTS))[is_facing, :2]
    errors = np.linalg.norm([find_dot(turned, p) - p for p in expected], axis=1)
    assert errors.max() < 1 and errors.mean() < 0.5
    assert np.linalg.norm(expected - places(turned_pose)[is_facing], axis=1).max() > 2


def test_far_from_the_face_a_new_shape_moves_nothing() -> None:
    pose = make_pose()
    photo = np.random.default_rng(0).integers(0, 255, (SIZE, SIZE, 3)).astype(np.uint8)
    same, _ = rotate(photo, VERTICES, TRIANGLES, pose, 0)
    moved, _ = rotate(photo, VERTICES, TRIANGLES, pose, 0, new_vertices=new_shape(VERTICES))
    np.testing.assert_array_equal(moved[:, :22], same[:, :22])  # 5 cm are 30 pixels
    assert (moved != same).mean() > 0.2


def test_no_turn_changes_next_to_nothing() -> None:
    pose = make_pose(10, 5, 15)
    photo = paint(pose)
    rotated, rotated_pose = rotate(photo, VERTICES, TRIANGLES, pose, 0, 0)
    np.testing.assert_allclose(rotated_pose.rotation, pose.rotation, atol=1e-12)
    np.testing.assert_allclose(rotated_pose.translation, pose.translation, atol=1e-12)
    assert np.abs(rotated.astype(int) - photo).max() <= 1


def test_what_a_turn_uncovers_shows_the_background() -> None:
    pose = make_pose()
    photo = paint(pose)
    photo.flags.writeable = False
    background = np.zeros_like(photo)
    background[:] = (200, 0, 0)
    shown, _ = rotate(photo, VERTICES, TRIANGLES, pose, 80, background=background)
    plain, _ = rotate(photo, VERTICES, TRIANGLES, pose, 80)
    is_background = (shown == background).all(2)
    assert 0.2 < is_background.mean() < 0.9
    assert not (plain == background).all(2).any() and plain.min() >= GRAY - 1
    # black past the photo's edge isn't photo, whatever the turn
    is_photo = np.ones((SIZE, SIZE), bool)
    is_photo[:40] = False
    cut, _ = rotate(photo, VERTICES, TRIANGLES, pose, 0, is_photo=is_photo, background=background)
    np.testing.assert_array_equal(cut[:20], background[:20])
    np.testing.assert_array_equal(cut[45:], rotate(photo, VERTICES, TRIANGLES, pose, 0)[0][45:])


def test_nothing_from_past_the_photos_edge_is_mixed_in() -> None:
    """Black there would leave a dark seam."""
    pose = make_pose()
    photo = paint(pose)
    is_photo = np.ones((SIZE, SIZE), bool)
    is_photo[:40] = is_photo[:, :30] = False
    photo[~is_photo] = 0
    for yaw in (0, 7, -40):
        turned, _ = rotate(photo, VERTICES, TRIANGLES, pose, yaw, is_photo=is_photo)
        assert turned.min() >= GRAY - 1


def test_a_face_outside_the_photo_leaves_it_flat() -> None:
    pose = Pose(6.0, np.eye(3), np.array([5000.0, 5000.0, 0.0]))
    rotated, _ = rotate(paint(make_pose()), VERTICES, TRIANGLES, pose, 0)
    np.testing.assert_array_equal(rotated, paint(make_pose()))


def test_filling_keeps_what_is_known_and_blends_the_seam() -> None:
    photo = np.full((64, 64, 3), 100, np.uint8)
    is_known = np.zeros((64, 64), bool)
    is_known[:, :32] = True
    photo[~is_known] = 7  # must not leak
    background = np.full((64, 64, 3), 200, np.uint8)
    np.testing.assert_array_equal(fill(photo, is_known), 100)
    filled = fill(photo, is_known, background)
    np.testing.assert_array_equal(filled[:, :32], 100)
    np.testing.assert_array_equal(filled[:, 48:], 200)
    row = filled[32, :, 0].astype(int)
    assert (np.diff(row) >= 0).all() and ((row > 100) & (row < 200)).sum() >= 2
