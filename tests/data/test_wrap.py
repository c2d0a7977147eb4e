"""A head of another person, remeshed and moved, finds its way back into the atlas."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import Delaunay

from prnet.data.wrap import wrap_file
from prnet.errors import LabelError
from prnet.geometry.pose import rotation_from_angles
from prnet.geometry.sampling import sample_map
from prnet.head.layout import HeadLayout, head_layout
from prnet.uv.atlas import EARS


@pytest.fixture(scope="module")
def layout() -> HeadLayout:
    return head_layout()


def remeshed(layout: HeadLayout, step: int) -> tuple[np.ndarray, ...]:
    """Somebody's face on a mesh of its own: places in UV, vertices, triangles, 68 points."""
    rng = np.random.default_rng(4)
    atlas, model = layout.atlas, layout.model
    is_skin = atlas.mask & (atlas.region >= EARS)
    rows, columns = np.nonzero(is_skin)
    chosen = (rows % step == 0) & (columns % step == 0)
    uv = (
        np.stack([columns, rows], 1)[chosen]
        + 0.5
        + rng.uniform(-0.3, 0.3, (chosen.sum(), 2)) * step
    )
    triangles = Delaunay(uv).simplices[:, ::-1]
    uv = np.clip(uv / 256, 0.02, 0.98)
    shape = model.shape(rng.normal(0, 1, len(model.identity)))[: layout.chart_count]
    position_map = layout.sampler.sample(shape.astype(np.float64))
    vertices = sample_map(position_map, uv)
    corners = vertices[triangles]
    longest = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(1)
    triangles = triangles[longest < 0.5 * step]
    turn = rotation_from_angles(70, 20, -40)
    points = np.concatenate([vertices, sample_map(position_map, atlas.landmarks68_uv)])
    moved = 0.03 * points @ turn.T + [5, -2, 1]
    return uv, moved[:-68], triangles, moved[-68:]


def test_a_remeshed_head_is_found(layout: HeadLayout, tmp_path: Path) -> None:
    uv, vertices, triangles, landmarks = remeshed(layout, step=5)
    lines = [f"v {x} {y} {z}" for x, y, z in vertices] + ["g face"]
    lines += [f"f {a} {b} {c}" for a, b, c in triangles + 1]
    (tmp_path / "mesh.obj").write_text("\n".join(lines))
    (tmp_path / "points.json").write_text(json.dumps(landmarks.tolist()))
    topology = wrap_file(
        tmp_path / "mesh.obj", tmp_path / "points.json", layout.atlas, tmp_path / "mesh.npz"
    )
    known = np.isfinite(topology.uv).all(1)
    used = np.isin(np.arange(len(uv)), triangles)
    assert known[used].mean() > 0.8
    truth = sample_map(layout.atlas.canonical_map, uv[known])
    found = sample_map(layout.atlas.canonical_map, topology.uv[known])
    off_mm = 10 * np.linalg.norm(truth - found, axis=1)
    assert np.median(off_mm) < 2 and np.percentile(off_mm, 90) < 5


def test_wrong_landmarks_and_meshes_are_named(layout: HeadLayout, tmp_path: Path) -> None:
    mesh, points, out = tmp_path / "mesh.obj", tmp_path / "points.json", tmp_path / "mesh.npz"
    mesh.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    for content, cause in (
        ("[1, 2]", "expected 68 points or 68 vertices"),
        (json.dumps(list(range(68))), "out of bounds"),
        ("{", "property name"),
    ):
        points.write_text(content)
        with pytest.raises(LabelError, match=rf"points\.json: not the 68 landmarks.*{cause}"):
            wrap_file(mesh, points, layout.atlas, out)
    points.write_text(json.dumps([[0, 0, 0]] * 68))
    with pytest.raises(LabelError, match=r"mesh\.obj: can't be laid onto the mean face"):
        wrap_file(mesh, points, layout.atlas, out)
    with pytest.raises(LabelError, match=r"none\.obj: no such file"):
        wrap_file(tmp_path / "none.obj", points, layout.atlas, out)
    assert not out.exists()
