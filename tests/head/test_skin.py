"""The skin that a photo hides, and the background that must not come onto it."""

import cv2
import numpy as np
import pytest

from prnet.evaluate.heads import (
    background_texels,
    hidden_psnr,
    render_head,
    seam_step,
    symmetric_skin,
)
from prnet.face import Face
from prnet.head.head import Head
from prnet.head.layout import HeadLayout
from prnet.morphable.head_model import BACK, LEFT_LASHES

pytestmark = pytest.mark.weights


@pytest.mark.parametrize("yaw", [30, 60, 90])
def test_the_hidden_half_comes_from_the_other(
    portrait_face: Face, layout: HeadLayout, yaw: float
) -> None:
    head = render_head(symmetric_skin(portrait_face), yaw, layout)
    texture = head.face.texture(512, complete=True)[..., :3]
    assert head.is_hidden.mean() > 0.1
    assert hidden_psnr(texture, head) > 24  # dB
    assert background_texels(texture, head) == 0
    spoiled = texture.copy()
    spoiled[200:300, 200:300] = (0, 255, 0)
    assert background_texels(spoiled, head) > 5000
    assert hidden_psnr(255 - texture, head) < 12
    assert seam_step(head.face) < 3


def test_openings_leave_no_trace_on_lids_that_close(
    portrait_face: Face, head: Head, layout: HeadLayout
) -> None:
    """The eyes are white in the render: on the skin around them that must not be seen."""
    photo = render_head(symmetric_skin(portrait_face), 0, layout)
    skin = photo.face.head().textures.face
    u, v = (layout.model.chart_uv[layout.eyes[0].upper] * len(skin)).astype(int).T
    assert skin[v, u].max() < 200 < photo.face.image.max()


def test_the_back_continues_the_face(head: Head, layout: HeadLayout) -> None:
    """At the border the colors of both textures are alike."""
    model, looks = layout.model, head.textures
    triangles, rows = model.triangles_of(BACK)
    corners, first = np.unique(triangles.ravel(), return_index=True)
    is_border = corners < layout.chart_count
    border, back_uv = corners[is_border], model.uv[rows.ravel()[first[is_border]]]

    def colors(texture: np.ndarray, uv: np.ndarray) -> np.ndarray:
        column, row = np.clip((uv * len(texture)).astype(int), 0, len(texture) - 1).T
        return texture[row, column].astype(float)

    difference = np.abs(colors(looks.back, back_uv) - colors(looks.face, model.chart_uv[border]))
    assert np.median(difference) < 8 and difference.mean() < 15


def test_eyes_have_pupils_and_whites(head: Head) -> None:
    for eye in (head.textures.left_eye, head.textures.right_eye):
        gray = eye.mean(2)
        assert gray.min() < 30 and np.percentile(gray, 90) > 120


def test_lashes_are_rooted_in_the_lids(head: Head, layout: HeadLayout) -> None:
    """Where the strips lie near the lids they are denser than where they end; above than below."""
    model, alpha = layout.model, head.textures.lashes[..., 3].astype(float)
    triangles, rows = model.triangles_of(LEFT_LASHES)
    corners, first = np.unique(triangles.ravel(), return_index=True)
    u, v = np.clip((model.uv[rows.ravel()[first]] * len(alpha)).astype(int), 0, len(alpha) - 1).T
    rim = model.vertices[layout.eyes[0].rim]
    places = model.vertices[corners]
    distance = np.linalg.norm(places[:, None] - rim, axis=2).min(1)
    density = cv2.blur(alpha, (41, 1))[v, u]
    is_upper = places[:, 1] > 3.4
    for lid in (is_upper, ~is_upper):
        near = distance < np.percentile(distance[lid], 30)
        far = distance > np.percentile(distance[lid], 80)
        assert density[lid & near].mean() > 2 * density[lid & far].mean()
    assert density[is_upper].mean() > 2 * density[~is_upper].mean() > 0
