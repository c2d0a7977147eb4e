import dataclasses
from pathlib import Path

import numpy as np
import pytest

from prnet.errors import LabelError, ModelFileError
from prnet.geometry.sampling import sample_map
from prnet.morphable.build_head import build_head
from prnet.morphable.head_model import (
    FACE,
    HEAD_FILE,
    LEFT_EYE,
    PARTS,
    RIGHT_EYE,
    SKIN,
    HeadModel,
    embedded_head,
)
from prnet.uv.atlas import Atlas


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return embedded_head()


def test_it_has_all_of_arkits_shapes_but_the_tongue(head: HeadModel) -> None:
    names = head.expression_names
    assert len(set(names)) == len(names) == 51
    assert {"browInnerUp", "cheekPuff", "eyeBlinkLeft", "jawOpen", "mouthClose"} <= set(names)
    assert "tongueOut" not in names and not any("_" in name for name in names)


def test_left_is_the_subjects_left(head: HeadModel) -> None:
    for side, name in ((1, "Left"), (-1, "Right")):
        moves = head.expression[head.expression_names.index(f"eyeBlink{name}")]
        most = np.linalg.norm(moves, axis=1).argmax()
        assert side * head.vertices[most, 0] > 0
    assert head.vertices[head.vertices_of(LEFT_EYE), 0].min() > 0
    assert head.vertices[head.vertices_of(RIGHT_EYE), 0].max() < 0


def test_its_face_lies_in_the_atlas(head: HeadModel, atlas: Atlas) -> None:
    chart = head.vertices_of(FACE)
    np.testing.assert_array_equal(chart, np.arange(len(head.chart_uv)))
    sampled = sample_map(atlas.canonical_map, head.chart_uv)
    distances = np.linalg.norm(sampled - head.vertices[chart], axis=1)
    assert np.median(distances) < 0.005 and np.percentile(distances, 90) < 0.05  # cm, worst at rims


def test_the_skin_is_one_piece_with_one_rim(head: HeadModel) -> None:
    """No hole but the one under the shoulders."""
    triangles, _ = head.triangles_of(*SKIN)
    edges = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    edge, count = np.unique(edges, axis=0, return_counts=True)
    assert count.max() == 2
    rim = np.unique(edge[count == 1])
    assert head.vertices[rim, 1].max() < -13


def test_every_part_has_polygons(head: HeadModel) -> None:
    assert np.unique(head.part).tolist() == list(range(len(PARTS)))


def test_it_survives_its_file(head: HeadModel, tmp_path: Path) -> None:
    head.save(tmp_path / "head.npz")
    assert (tmp_path / "head.npz").read_bytes() == HEAD_FILE.read_bytes()
    assert HEAD_FILE.stat().st_size < 8e6  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="read-only"):
        head.vertices[0] = 0


def test_it_is_built_of_the_facekit(facekit: Path, head: HeadModel, tmp_path: Path) -> None:
    """Byte for byte, and hardly off: what quantization costs."""
    exact = build_head(facekit / "ict_face_model.npz")
    exact.save(tmp_path / "head.npz")
    assert (tmp_path / "head.npz").read_bytes() == HEAD_FILE.read_bytes()
    identity = np.sqrt(((head.identity - exact.identity) ** 2).sum((0, 2)))
    expression = np.linalg.norm(head.expression - exact.expression, axis=2)
    assert identity.mean() < 0.01 and expression.max() < 0.002  # cm
    np.testing.assert_array_equal(head.vertices, exact.vertices)


def test_wrong_files_are_named(tmp_path: Path, head: HeadModel) -> None:
    with pytest.raises(ModelFileError, match=r"none\.npz: no such head model"):
        HeadModel.load(tmp_path / "none.npz")
    (tmp_path / "bad.npz").write_bytes(b"no")
    with pytest.raises(ModelFileError, match=r"bad\.npz: not a head model"):
        HeadModel.load(tmp_path / "bad.npz")
    with pytest.raises(LabelError, match=r"bad\.npz: not the ICT face model"):
        build_head(tmp_path / "bad.npz")
    with pytest.raises(LabelError, match="comes with the facekit"):
        build_head(tmp_path / "none.npz")
    with pytest.raises(ValueError, match="part must be"):
        dataclasses.replace(head, part=head.part[1:])
