from typing import Any

import numpy as np
import pytest

from prnet.geometry.pose import Pose, rotation_from_angles
from prnet.geometry.sampling import sample_map
from prnet.landmarks import MIRROR68
from prnet.morphable.linear import FaceModel
from prnet.uv.atlas import EYE_NOSE_MOUTH, FACE, KEYPOINT, MAP_SIZE, Atlas
from prnet.uv.chart import rasterize_chart
from prnet.uv.position_map import encode

torch = pytest.importorskip("torch")

from prnet.networks.lite import Lite  # noqa: E402
from prnet.train.augment import mirror_pose  # noqa: E402
from prnet.train.samples import CoefficientBatch, MapBatch  # noqa: E402
from prnet.train.targets import CoefficientTargets, MapTargets, Target  # noqa: E402
from prnet.uv.spline import pixel_centres  # noqa: E402

pytestmark = pytest.mark.torch

CROP = 128  # pixels, the unit of errors
THIRD = np.s_[::3, ::3]  # pixels of a map whose mirror images are among them


def even_uv(side: int) -> np.ndarray:
    return np.stack(np.meshgrid(pixel_centres(side), pixel_centres(side)), -1)


SPARSE_UV = even_uv(MAP_SIZE)[THIRD]
FLIP = np.array([-1, 1, 1], np.float32)


@pytest.fixture(scope="module")
def maker(tiny_face_model: FaceModel, atlas: Atlas) -> CoefficientTargets:
    return CoefficientTargets(tiny_face_model, atlas, SPARSE_UV)


def labels(count: int) -> list[tuple[np.ndarray, Pose]]:
    """Coefficients (153,) and poses in crop units."""
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(count):
        coefficients = np.concatenate([rng.normal(0, 1, 100), rng.uniform(0, 1, 53)])
        rotation = rotation_from_angles(*rng.uniform(-50, 50, 3))
        rows.append((coefficients, Pose(0.08, rotation, rng.uniform(-0.3, 0.3, 3))))
    return rows


def make_batch(rows: list[tuple[np.ndarray, Pose]], mirrored: bool) -> CoefficientBatch:
    def stack(values: list[Any]) -> Any:
        return torch.from_numpy(np.array(values, np.float32))

    return CoefficientBatch(
        torch.zeros(len(rows), 3, 1, 1, dtype=torch.uint8),
        stack([coefficients for coefficients, _ in rows]),
        stack([pose.rotation for _, pose in rows]),
        stack([pose.scale for _, pose in rows]),
        stack([pose.translation for _, pose in rows]),
        torch.full((len(rows),), mirrored),
        torch.zeros(0, 3, 1, 1, dtype=torch.uint8),
    )


def encoded(model: FaceModel, coefficients: np.ndarray, pose: Pose) -> np.ndarray:
    """The posed map by way of the face model and uv, z not centred."""
    mesh = model.mesh
    sampler = rasterize_chart(mesh.uv, mesh.triangles, mesh.triangles_uv, MAP_SIZE)
    return encode(sampler, model.shape(coefficients[:100], coefficients[100:]), pose)


def test_targets_are_the_encoded_maps(
    maker: CoefficientTargets, tiny_face_model: FaceModel
) -> None:
    rows = labels(4)
    target = maker(make_batch(rows, mirrored=False))
    assert target.position_map.shape == (4, *SPARSE_UV.shape[:2], 3)
    for k, (coefficients, pose) in enumerate(rows):
        expected = encoded(tiny_face_model, coefficients, pose)[THIRD]
        found = target.position_map[k].numpy()
        depth = expected[..., 2][maker.region >= FACE].mean()
        np.testing.assert_allclose(
            found[..., :2] * CROP / 2, expected[..., :2] * CROP / 2, atol=1e-3
        )
        np.testing.assert_allclose(
            found[..., 2] * CROP / 2, (expected[..., 2] - depth) * CROP / 2, atol=1e-3
        )
        shape = encoded(tiny_face_model, coefficients, Pose(1.0, np.eye(3), np.zeros(3)))
        np.testing.assert_allclose(target.shape[k].numpy(), shape[THIRD] * [1, -1, 1], atol=1e-4)


def test_targets_lie_where_the_network_looks(tiny_face_model: FaceModel, atlas: Atlas) -> None:
    train_uv = Lite(atlas).train_uv
    coarse = CoefficientTargets(tiny_face_model, atlas, train_uv)
    (coefficients, pose), *_ = rows = labels(1)
    target = coarse(make_batch(rows, mirrored=False))
    assert target.position_map.shape == (1, *train_uv.shape[:2], 3)
    expected = sample_map(encoded(tiny_face_model, coefficients, pose), train_uv.reshape(-1, 2))
    found = target.position_map[0].flatten(0, 1).numpy()
    np.testing.assert_allclose(found[:, :2], expected[:, :2], atol=1e-5)
    # the eyes' rows stand closer than others, so they hold more of the map
    share = [
        np.isin(region, (EYE_NOSE_MOUTH, KEYPOINT)).mean()
        for region in (coarse.region, atlas.region)
    ]
    assert coarse.region.shape == train_uv.shape[:2] and share[0] > share[1]


def test_z_is_0_on_the_face_or_counts_from_its_back(
    maker: CoefficientTargets, tiny_face_model: FaceModel, atlas: Atlas
) -> None:
    batch = make_batch(labels(3), mirrored=False)
    depth = maker(batch).position_map.flatten(1, 2)[:, maker.is_face, 2]
    np.testing.assert_allclose(depth.mean(1), 0, atol=1e-6)
    other = CoefficientTargets(tiny_face_model, atlas, SPARSE_UV, depth_of_back=-0.75)
    target = other(batch)
    from_back = target.position_map.flatten(1, 2)[:, other.is_face, 2]
    np.testing.assert_allclose(from_back.amin(1), -0.75, atol=1e-6)
    np.testing.assert_allclose(
        from_back - depth, (from_back - depth)[:, :1].expand_as(depth), atol=1e-6
    )
    # the landmarks move along
    shift = target.landmarks68[..., 2] - maker(batch).landmarks68[..., 2]
    np.testing.assert_allclose(shift, (from_back - depth)[:, :1].expand_as(shift), atol=1e-6)


def test_mirrored_targets_are_the_mirrored_maps(maker: CoefficientTargets) -> None:
    """What a mirror shows at a place of the map: the other side's point, x turned round."""
    rows = labels(4)
    mirrored_poses = [(coefficients, mirror_pose(pose)) for coefficients, pose in rows]
    mirrored = maker(make_batch(mirrored_poses, mirrored=True))
    plain = maker(make_batch(rows, mirrored=False))
    for name in ("position_map", "shape"):
        expected = getattr(plain, name).numpy()[:, :, ::-1] * FLIP
        found = getattr(mirrored, name).numpy()
        depth = (found - expected)[..., 2].mean((1, 2), keepdims=True)  # centred on the other half
        assert np.abs(depth).max() < 0.01
        expected[..., 2] += depth
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_mirrored_points_change_their_sides(maker: CoefficientTargets) -> None:
    rows = labels(4)
    mirrored = maker(make_batch([(c, mirror_pose(p)) for c, p in rows], mirrored=True))
    plain = maker(make_batch(rows, mirrored=False))
    found, expected = mirrored.landmarks68[..., :2], plain.landmarks68[:, MIRROR68.tolist(), :2]
    np.testing.assert_allclose(found.numpy(), expected.numpy() * FLIP[:2], atol=1e-5)


def landmark_error(target: Target, atlas: Atlas) -> float:
    """Mean distance, in % of face size, of the landmarks from the maps' values at their UVs."""
    errors = []
    for position_map, points in zip(
        target.position_map.numpy(), target.landmarks68.numpy(), strict=True
    ):
        sampled = sample_map(position_map, atlas.landmarks68_uv)
        size = np.sqrt(np.ptp(points[:, :2], axis=0).prod())
        errors.append(100 * np.linalg.norm(sampled - points, axis=1).mean() / size)
    return float(np.mean(errors))


def test_landmarks_agree_with_the_maps(tiny_face_model: FaceModel, atlas: Atlas) -> None:
    maker = CoefficientTargets(tiny_face_model, atlas, even_uv(MAP_SIZE // 2))
    for mirrored in (False, True):
        assert landmark_error(maker(make_batch(labels(4), mirrored)), atlas) < 0.5


def test_the_kits_landmarks_agree_with_the_maps(face_model: FaceModel, atlas: Atlas) -> None:
    maker = CoefficientTargets(face_model, atlas, even_uv(MAP_SIZE))
    rows = [(c * np.repeat([0.7, 0.2], [100, 53]), pose) for c, pose in labels(3)]
    for mirrored in (False, True):
        assert landmark_error(maker(make_batch(rows, mirrored)), atlas) < 0.5


def test_maps_as_labels_give_themselves(tiny_face_model: FaceModel, atlas: Atlas) -> None:
    maps = np.stack([encoded(tiny_face_model, c, pose) for c, pose in labels(2)])
    crops = torch.zeros(2, 3, 1, 1, dtype=torch.uint8)
    batch = MapBatch(crops, torch.from_numpy(maps), crops[:0])
    target = MapTargets(atlas)(batch)
    assert target.shape is None
    found = target.position_map.numpy()
    np.testing.assert_allclose(found[..., :2], maps[..., :2], atol=1e-6)
    np.testing.assert_allclose(found[..., 2][:, atlas.region >= FACE].mean(1), 0, atol=1e-6)
    for position_map, points in zip(found, target.landmarks68.numpy(), strict=True):
        np.testing.assert_allclose(
            points, sample_map(position_map, atlas.landmarks68_uv), atol=1e-5
        )
    from_back = MapTargets(atlas, depth_of_back=-1.0)(batch).position_map.numpy()
    np.testing.assert_allclose(from_back[..., 2][:, atlas.region >= FACE].min(1), -1, atol=1e-6)
