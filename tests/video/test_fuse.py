from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import prnet
from prnet.face import Face
from prnet.morphable.blendshapes import sample_chart
from prnet.morphable.head_model import embedded_head
from prnet.uv.atlas import Atlas
from prnet.uv.chart import rasterize_chart
from prnet.uv.position_map import centre_depth
from prnet.video.fuse import fuse, neutral_shape


def refaced(face: Face, shape: NDArray[np.floating], score: float = 0.7) -> Face:
    """A face of another pose-free shape in the same pose."""
    position_map = centre_depth(face.pose.apply(shape).astype(np.float32), face.atlas)
    return Face(position_map, face.atlas, face.box, score, face.image)


def test_the_mean_faces_shape_is_the_mean_face(
    make_face: Callable[..., Face], atlas: Atlas
) -> None:
    fused = fuse([make_face(yaw) for yaw in (-40, 0, 60)], texture_size=64)
    assert fused.count == 3
    np.testing.assert_allclose(fused.shape_map, atlas.canonical_map, atol=0.05)
    assert fused.landmarks68.shape == (68, 3) and fused.vertices.shape == (62704, 3)


def test_expressions_are_set_apart(make_face: Callable[..., Face], atlas: Atlas) -> None:
    """Of one that smiles and one that doesn't the rest shape is the same, to a fraction."""
    model = embedded_head()
    sampler = rasterize_chart(model.uv, *model.triangles_of(0), 256)
    chosen = [model.expression_names.index(f"mouthSmile{side}") for side in ("Left", "Right")]
    chosen.append(model.expression_names.index("jawOpen"))
    moves = sampler.sample(0.8 * model.expression[chosen].sum(0))
    face = make_face()
    smiling = refaced(face, atlas.canonical_map + moves)
    left = np.linalg.norm(neutral_shape(smiling) - atlas.canonical_map, axis=2)[atlas.mask]
    was = np.linalg.norm(moves, axis=2)[atlas.mask]
    assert left.mean() < 0.25 * was.mean()


def test_each_view_settles_what_it_shows(make_face: Callable[..., Face], atlas: Atlas) -> None:
    """Depth comes from the profile and width from the front, where they disagree."""
    canonical = atlas.canonical_map
    deep, wide = canonical * np.float32([1, 1, 1.05]), canonical * np.float32([1.05, 1, 1])
    seen = (slice(100, 180), slice(146, 236))  # the left side, which the profile shows

    def growth(front: NDArray[np.floating], profile: NDArray[np.floating]) -> NDArray[np.floating]:
        faces = [refaced(make_face(0), front), refaced(make_face(90), profile)]
        spread = np.ptp(fuse(faces, texture_size=16).shape_map[seen].reshape(-1, 3), axis=0)
        return spread / np.ptp(canonical[seen].reshape(-1, 3), axis=0)

    sensible, perverse = growth(wide, deep), growth(deep, wide)
    assert sensible[0] > perverse[0] + 0.01 and sensible[2] > perverse[2] + 0.01


def test_who_is_trusted_more_counts_more(make_face: Callable[..., Face], atlas: Atlas) -> None:
    bump = np.zeros_like(atlas.canonical_map)
    bump[120:136, 120:136, 2] = 0.3
    face = make_face()
    other = refaced(face, atlas.canonical_map + bump, score=0.7)
    for score, low, high in ((0.07, 0.8, 1.0), (0.7, 0.4, 0.6), (1.0, 0.3, 0.5)):
        fused = fuse([refaced(face, atlas.canonical_map, score), other], texture_size=16)
        plain = neutral_shape(face)
        part = (fused.shape_map - plain)[128, 128, 2] / (neutral_shape(other) - plain)[128, 128, 2]
        assert low < part < high


def test_the_texture_is_each_sides_best_view(make_face: Callable[..., Face]) -> None:
    """The painted photos show each point's place in UV, so all views agree; none shows all."""
    fused = fuse([make_face(yaw) for yaw in (-50, 0, 50)], texture_size=128)
    assert fused.texture is not None
    u = (np.arange(128) + 0.5) / 128 * 255
    for column in (25, 64, 102):  # the right cheek, the middle, the left cheek
        assert abs(int(fused.texture[70, column, 0]) - u[column]) < 14


def test_without_photos_there_is_a_shape_alone(make_face: Callable[..., Face]) -> None:
    fused = fuse([make_face().without_image()], texture_size=16)
    assert fused.texture is None
    with pytest.raises(ValueError, match="no texture"):
        fused.mesh()


def test_it_saves(make_face: Callable[..., Face], tmp_path: Path) -> None:
    fused = prnet.fuse([make_face()], texture_size=64)
    path = tmp_path / "face.glb"
    fused.save(path)
    assert path.read_bytes()[:4] == b"glTF"
    mesh = fused.mesh()
    assert np.ptp(mesh.vertices[:, 1]) == pytest.approx(np.ptp(fused.vertices[:, 1]) / 100)


@pytest.mark.weights
def test_the_head_is_the_fused_face_at_rest(portrait: Path) -> None:
    (face,) = prnet.Reconstructor(threads=1)(portrait)
    fused = prnet.fuse([face], texture_size=128)
    head = fused.head()
    assert not head.weights.any() and fused.best is face
    model = embedded_head()
    own = sample_chart(fused.shape_map, model)[:6000]  # the narrow face
    away = np.linalg.norm(head.vertices[:6000] - own, axis=1)
    assert np.median(away) < 0.05  # cm
    with pytest.raises(ValueError, match="no head"):
        fuse([face.without_image()]).head()


def test_bad_input(make_face: Callable[..., Face], atlas: Atlas) -> None:
    with pytest.raises(ValueError, match="none"):
        fuse([])
    with pytest.raises(ValueError, match="texture_size"):
        fuse([make_face()], texture_size=0)
    other = Atlas(
        *(atlas.region, atlas.vertex_index, atlas.triangles, atlas.landmarks68_uv),
        atlas.canonical_map * np.float32(1.1),
    )
    face = make_face()
    with pytest.raises(ValueError, match="one UV space"):
        fuse([face, Face(face.position_map, other, face.box, 1.0)])
