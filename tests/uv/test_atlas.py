import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components, dijkstra

from prnet.errors import ModelFileError
from prnet.geometry.sampling import sample_map
from prnet.landmarks import MIRROR68
from prnet.morphable.linear import FaceModel
from prnet.uv.atlas import (
    EARS,
    EYE_NOSE_MOUTH,
    FACE,
    KEYPOINT,
    MAP_SIZE,
    NECK,
    OUTSIDE,
    REGION_WEIGHTS,
    Atlas,
    embedded_atlas,
)
from prnet.uv.build_atlas import build_atlas
from prnet.uv.chart import ChartSampler, boundary_edges
from prnet.uv.position_map import decode_landmarks68

MANY = 1 << 20  # more than vertices


def directed_edges(triangles: np.ndarray) -> np.ndarray:
    """(3 T,): from × MANY + to, which are quicker to sort than pairs."""
    t = triangles.astype(np.int64)
    return np.concatenate([MANY * t[:, k] + t[:, (k + 1) % 3] for k in range(3)])


def edges_of(triangles: np.ndarray) -> np.ndarray:
    """(E, 2), every edge once."""
    one, other = np.divmod(directed_edges(triangles), MANY)
    edges = np.unique(MANY * np.minimum(one, other) + np.maximum(one, other))
    return np.stack(np.divmod(edges, MANY), 1)


def edge_lengths(edges: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    return np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1)


@pytest.fixture(scope="module")
def surface(atlas: Atlas) -> coo_array:
    """The mesh as a graph whose edges weigh what they measure on the mean face, in cm."""
    edges = edges_of(atlas.triangles)
    lengths = edge_lengths(edges, atlas.canonical_vertices)
    return coo_array((lengths, edges.T), shape=2 * (len(atlas.vertex_index),)).tocsr()


# ---- what the issue asks of the shipped atlas


def test_it_is_dense_and_in_one_piece(atlas: Atlas, surface: coo_array) -> None:
    assert len(atlas.vertex_index) > 40_000
    assert connected_components(surface, directed=False)[0] == 1
    np.testing.assert_array_equal(np.unique(atlas.triangles), np.arange(len(atlas.vertex_index)))


def test_vertices_come_in_reading_order(atlas: Atlas) -> None:
    assert (np.diff(atlas.vertex_index) > 0).all()
    assert atlas.mask.sum() == len(atlas.vertex_index)
    rows, columns = np.nonzero(atlas.mask)
    expected = (np.stack([columns, rows], 1) + 0.5) / MAP_SIZE
    np.testing.assert_allclose(atlas.vertices_uv, expected, atol=1e-7)


def test_triangles_are_half_squares_wound_one_way(atlas: Atlas) -> None:
    """In the map, y down, each is half a pixel's square and turns counter-clockwise as drawn."""
    corners = (atlas.vertices_uv[atlas.triangles] * MAP_SIZE).astype(np.float64)
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    twice_area = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    np.testing.assert_allclose(twice_area, -1, atol=1e-4)


def test_neighbours_agree_on_the_outside(atlas: Atlas) -> None:
    """An edge is run through once in each direction, and no triangle comes twice."""
    directed = directed_edges(atlas.triangles)
    assert len(np.unique(directed)) == len(directed)


def test_no_triangle_is_degenerate_on_the_mean_face(atlas: Atlas) -> None:
    corners = atlas.canonical_vertices[atlas.triangles].astype(np.float64)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert np.linalg.norm(normals, axis=1).min() / 2 > 1e-5  # cm²; the median is 6e-3


def test_triangles_face_the_viewer(atlas: Atlas) -> None:
    corners = atlas.canonical_vertices[atlas.triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    tip = decode_landmarks68(atlas.canonical_map, atlas)[30]
    at_tip = np.linalg.norm(corners.mean(1) - tip, axis=1) < 0.5
    assert (normals[at_tip, 2] > 0).all()
    assert normals[:, 2].sum() > 0.8 * np.abs(normals[:, 2]).sum()  # ears have backs


def test_no_edge_is_long(atlas: Atlas) -> None:
    """A triangle across a nostril would measure about 2 cm."""
    lengths = edge_lengths(edges_of(atlas.triangles), atlas.canonical_vertices)
    assert lengths.max() < 0.6
    assert np.median(lengths) < 0.15


@pytest.mark.parametrize(
    ("upper", "lower", "is_mirrored"),
    [
        *[(upper, lower, False) for upper, lower in [(37, 41), (38, 40), (43, 47), (44, 46)]],
        # the facekit puts point 65 on the upper lip, so the left side is asked through the mirror
        *[(62, 66, False), (61, 67, False), (61, 67, True), (51, 57, False)],
    ],
)
def test_the_way_between_lids_and_lips_leads_round_the_corner(
    atlas: Atlas, surface: coo_array, upper: int, lower: int, is_mirrored: bool
) -> None:
    uv = atlas.landmarks68_uv[[upper, lower]]
    if is_mirrored:
        uv = uv * [-1, 1] + [1, 0]
    start, end = (np.linalg.norm(atlas.vertices_uv - point, axis=1).argmin() for point in uv)
    way = dijkstra(surface, directed=False, indices=start)[end]
    gap = np.linalg.norm(np.subtract(*sample_map(atlas.canonical_map, uv)))
    assert way > 1.7 * gap


def test_eyes_mouth_and_nostrils_are_open(atlas: Atlas) -> None:
    """Each opening has pixels without a vertex, cut off from the map's border."""
    padded = np.pad(~atlas.mask, 1, constant_values=True)
    index = np.arange(padded.size).reshape(padded.shape)
    right = padded[:, 1:] & padded[:, :-1], index[:, 1:], index[:, :-1]
    down = padded[1:] & padded[:-1], index[1:], index[:-1]
    pairs = np.concatenate([np.stack([a[is_in], b[is_in]], 1) for is_in, a, b in (right, down)])
    graph = coo_array((np.ones(len(pairs)), pairs.T), shape=2 * (padded.size,))
    label = connected_components(graph, directed=False)[1].reshape(padded.shape)[1:-1, 1:-1]
    outside = connected_components(graph, directed=False)[1].reshape(padded.shape)[0, 0]
    holes = [
        (np.argwhere(label == k).mean(0)[::-1] + 0.5) / MAP_SIZE
        for k in np.unique(label[~atlas.mask])
        if k != outside
    ]
    points = atlas.landmarks68_uv
    expected = [points[36:42].mean(0), points[42:48].mean(0), points[[62, 66]].mean(0)]
    expected += [points[[31, 32]].mean(0), points[[34, 35]].mean(0)]
    assert len(holes) == len(expected)
    for place in expected:
        assert np.linalg.norm(np.array(holes) - place, axis=1).min() < 4 / MAP_SIZE


def test_the_mask_is_mirror_symmetric(atlas: Atlas) -> None:
    np.testing.assert_array_equal(atlas.mask, atlas.mask[:, ::-1])
    region = np.where(atlas.region == KEYPOINT, EYE_NOSE_MOUTH, atlas.region)
    same = region == region[:, ::-1]
    assert (~same).sum() <= 68  # single key-point pixels outside eyes, nose and mouth
    assert (same | (region == EYE_NOSE_MOUTH) | (region[:, ::-1] == EYE_NOSE_MOUTH)).all()


def test_the_mean_face_is_mirror_symmetric(atlas: Atlas) -> None:
    mirrored = atlas.canonical_map[:, ::-1] * np.array([-1, 1, 1], np.float32)
    distance = np.linalg.norm(atlas.canonical_map - mirrored, axis=2)[atlas.mask]
    assert np.percentile(distance, 99) < 0.1  # cm


def test_loss_weights_follow_the_regions(atlas: Atlas) -> None:
    weight_of = {OUTSIDE: 0, NECK: 0, EARS: 3, FACE: 3, EYE_NOSE_MOUTH: 4, KEYPOINT: 16}
    weights = REGION_WEIGHTS[atlas.region]
    assert weights.dtype == np.float32
    for region, weight in weight_of.items():
        assert (atlas.region == region).any()
        np.testing.assert_array_equal(weights[atlas.region == region], weight)
    np.testing.assert_array_equal(atlas.region == OUTSIDE, ~atlas.mask)


def region_at(atlas: Atlas, uv: np.ndarray) -> int:
    column, row = np.floor(uv * MAP_SIZE).astype(int)
    return int(atlas.region[row, column])


def test_regions_lie_where_they_should(atlas: Atlas) -> None:
    points = atlas.landmarks68_uv
    regions = [region_at(atlas, point) for point in points]
    assert set(regions) == {KEYPOINT}
    assert region_at(atlas, points[[27, 28]].mean(0)) == EYE_NOSE_MOUTH  # bridge of the nose
    assert region_at(atlas, points[[19, 37]].mean(0)) == EYE_NOSE_MOUTH  # brow to eye
    assert region_at(atlas, points[[21, 22]].mean(0) - [0, 0.1]) == FACE  # forehead
    assert region_at(atlas, points[[2, 31]].mean(0)) == FACE  # cheek
    assert region_at(atlas, points[8] + [0, 0.1]) == NECK
    assert region_at(atlas, np.array([0.04, 0.45])) == EARS
    assert region_at(atlas, np.array([0.96, 0.45])) == EARS


def test_the_68_points_are_subpixel(atlas: Atlas, face_model: FaceModel) -> None:
    assert atlas.landmarks68_uv.dtype == np.float32
    offset = atlas.landmarks68_uv * MAP_SIZE % 1
    assert len(np.unique(offset.round(3), axis=0)) > 60
    mesh = face_model.mesh
    corners = mesh.vertices[mesh.landmarks68_vertices]
    truth = (mesh.landmarks68_barycentric[..., None] * corners).sum(1)
    error = np.linalg.norm(decode_landmarks68(atlas.canonical_map, atlas) - truth, axis=1)
    size = np.sqrt(np.ptp(truth[:, :2], axis=0).prod())
    assert error.mean() / size < 0.002


def test_the_points_are_mirror_symmetric(atlas: Atlas) -> None:
    points = decode_landmarks68(atlas.canonical_map, atlas)
    assert np.linalg.norm(points - points[MIRROR68] * [-1, 1, 1], axis=1).max() < 0.05  # cm


def test_the_rigid_part_leaves_mouth_neck_and_ears_out(atlas: Atlas) -> None:
    is_rigid = np.zeros(len(atlas.vertex_index), bool)
    is_rigid[atlas.rigid_vertices] = True
    region = atlas.region.ravel()[atlas.vertex_index]
    assert 10_000 < is_rigid.sum() < 40_000
    assert not is_rigid[(region == NECK) | (region == EARS)].any()
    lip = decode_landmarks68(atlas.canonical_map, atlas)[51]
    assert not is_rigid[atlas.canonical_vertices[:, 1] < lip[1]].any()


# ---- against the face model: independent of how the atlas was made


def test_no_triangle_touches_a_rim_of_the_chart(atlas: Atlas, face_model: FaceModel) -> None:
    """Walk along every rim in small steps: no step may stand inside a triangle."""
    mesh = face_model.mesh
    ends = mesh.uv[boundary_edges(mesh.triangles, mesh.triangles_uv)].astype(np.float64)
    along = np.linspace(0, 1, 201)[:, None, None]
    steps = (ends[:, 0] * (1 - along) + ends[:, 1] * along).reshape(-1, 2) * MAP_SIZE - 0.5
    steps = steps[((steps > 0) & (steps < MAP_SIZE - 1)).all(1)]
    # a square of four pixels has two halves, cut along the diagonal where x + y = 1
    rows, columns = np.divmod(atlas.vertex_index[atlas.triangles], MAP_SIZE)
    top, left = rows.min(1), columns.min(1)
    is_far_half = (rows - top[:, None] + columns - left[:, None]).sum(1) > 2
    is_filled = np.zeros((MAP_SIZE, MAP_SIZE, 2), bool)
    is_filled[top, left, is_far_half.astype(int)] = True
    corner = np.floor(steps).astype(int)
    within = (steps - corner).sum(1)
    inside = is_filled[corner[:, 1], corner[:, 0], (within > 1).astype(int)]
    on_edge = (np.abs(within - 1) < 1e-6) | (np.abs(steps - np.rint(steps)) < 1e-6).any(1)
    assert len(steps) > 20_000
    assert not (inside & ~on_edge).any()


def test_no_triangle_stretches_when_the_mouth_opens(
    atlas: Atlas, face_model: FaceModel, face_sampler: ChartSampler
) -> None:
    edges = edges_of(atlas.triangles)
    expression = np.zeros(53)
    expression[face_model.expression_names.index("jawOpen")] = 1
    opened = face_sampler.sample(face_model.shape(np.zeros(100), expression)).reshape(-1, 3)
    vertices = opened[atlas.vertex_index]
    gap = np.linalg.norm(np.subtract(*sample_map(opened.reshape(256, 256, 3), lip_uv(atlas))))
    assert gap > 2.5  # cm: the mouth is wide open
    assert edge_lengths(edges, vertices).max() < 0.9


def lip_uv(atlas: Atlas) -> np.ndarray:
    """The middle of the upper and of the lower lip's inner edge."""
    return atlas.landmarks68_uv[[62, 66]]


def test_neighbours_in_the_map_are_neighbours_on_the_model(
    atlas: Atlas, face_model: FaceModel, face_sampler: ChartSampler
) -> None:
    """Walking on the model's own mesh, an atlas edge is a few steps at most."""
    corner = face_sampler.vertices.reshape(-1, 3)[atlas.vertex_index]
    pairs = corner[edges_of(atlas.triangles)]  # (E, 2, 3) vertices of the model
    is_apart = (pairs[:, 0, :, None] != pairs[:, 1, None, :]).all((1, 2))
    assert is_apart.mean() < 0.02
    pairs = pairs[is_apart]
    count = len(face_model.mesh.vertices)
    steps = edges_of(face_model.mesh.triangles)
    adjacent = coo_array((np.ones(len(steps)), steps.T), shape=(count, count)).tocsr()
    starts, row = np.unique(pairs[:, 0], return_inverse=True)
    distance = dijkstra(adjacent, directed=False, unweighted=True, limit=4, indices=starts)
    ways = distance[row.reshape(-1, 3, 1), pairs[:, 1, None, :]]
    assert ways.min((1, 2)).max() <= 4


def test_the_shipped_file_is_what_the_builder_writes(
    atlas: Atlas, atlas_path: Path, face_model: FaceModel, tmp_path: Path
) -> None:
    built = build_atlas(face_model.mesh)
    built.save(tmp_path / "atlas.npz")
    assert built.sha256 == atlas.sha256
    assert (tmp_path / "atlas.npz").read_bytes() == atlas_path.read_bytes()


# ---- arrays and pickles


def test_arrays_are_closed_to_writing(atlas: Atlas) -> None:
    """Also what is worked out of them; the arrays that an atlas is made of stay the caller's."""
    for name in (
        *("region", "vertex_index", "triangles", "landmarks68_uv", "canonical_map", "mask"),
        *("vertices_uv", "canonical_vertices", "rigid_vertices"),
    ):
        with pytest.raises(ValueError, match="read-only"):
            getattr(atlas, name)[0] = 0
    mine = np.array(atlas.region)
    replace(atlas, region=mine)
    mine[0, 0] = 1


def test_the_packages_atlas_pickles_by_name(atlas: Atlas) -> None:
    assert len(pickle.dumps(atlas)) < 100
    assert pickle.loads(pickle.dumps(atlas)) is embedded_atlas()


# ---- the file


def test_save_and_load(atlas: Atlas, tmp_path: Path) -> None:
    atlas.save(tmp_path / "one.npz")
    Atlas.load(tmp_path / "one.npz").save(tmp_path / "two.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one.npz", "two.npz"]


def test_the_hash_covers_every_part(atlas: Atlas) -> None:
    hashes = {atlas.sha256}
    for name in ("region", "vertex_index", "triangles", "landmarks68_uv", "canonical_map"):
        changed = getattr(atlas, name).copy()
        changed.flat[0], changed.flat[1] = changed.flat[1] + 1, changed.flat[0] + 1
        hashes.add(replace(atlas, **{name: changed}).sha256)
    assert len(hashes) == 6


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("region", lambda a: a[:128], "region must be"),
        ("landmarks68_uv", lambda a: a[:67], "landmarks68_uv must be"),
        ("canonical_map", lambda a: a[..., :2], "canonical_map must be"),
        ("triangles", lambda a: a[:, :2], "triangles must be"),
        ("triangles", lambda a: a + 1, "triangles must index the 62704 vertices"),
        ("triangles", lambda a: a - 1, "triangles must index the 62704 vertices"),
        ("vertex_index", lambda a: a + 65_000, "vertex_index must lie in"),
        ("vertex_index", lambda a: a[:-1], "triangles must index"),
    ],
)
def test_parts_that_do_not_fit_are_refused(atlas: Atlas, name: str, change, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        replace(atlas, **{name: change(getattr(atlas, name))})


def test_a_missing_atlas_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="atlas.npz: no such atlas"):
        Atlas.load(tmp_path / "atlas.npz")


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04 cut off"])
def test_another_file_is_no_atlas(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "atlas.npz"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="rebuild it with `prnet data atlas`"):
        Atlas.load(path)


def test_a_truncated_atlas_is_refused(atlas_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "atlas.npz"
    path.write_bytes(atlas_path.read_bytes()[:500_000])
    with pytest.raises(ModelFileError, match="not a prnet atlas"):
        Atlas.load(path)


def test_an_archive_of_other_arrays_is_no_atlas(tmp_path: Path) -> None:
    np.savez(tmp_path / "atlas.npz", region=np.zeros((4, 4)))
    with pytest.raises(ModelFileError, match="not a prnet atlas"):
        Atlas.load(tmp_path / "atlas.npz")
