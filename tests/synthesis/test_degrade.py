"""Damage does what it says, and nothing where it says nothing."""

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from prnet.synthesis.degrade import Damage, compress, damaged, draw_damage  # noqa: E402
from prnet.train.config import AugmentConfig  # noqa: E402

SIZE, COUNT = 64, 400
NEVER = AugmentConfig(
    color=(1.0, 1.0),
    **{f"p_{name}": 0.0 for name in ("occluder", "blur", "low_resolution", "noise", "jpeg")},
    p_gray=0.0,
    p_light=0.0,
)


def draw(settings: AugmentConfig, count: int = COUNT) -> Damage:
    dice = torch.Generator().manual_seed(0)
    landmarks = 0.6 * (torch.rand(1, 68, 2, generator=dice) - 0.5).repeat(count, 1, 1)
    return draw_damage(landmarks, settings, dice)


def crops(count: int = 4) -> torch.Tensor:
    smooth = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(1)) * 255
    return torch.nn.functional.interpolate(smooth, size=SIZE, mode="bicubic").clamp(0, 255).round()


def test_no_damage_leaves_crops_as_they_are() -> None:
    clean = crops().clamp_min(1)
    result = damaged(clean, draw(NEVER, 4), torch.zeros_like(clean))
    np.testing.assert_allclose(result, clean, atol=1)


def test_damage_happens_as_often_as_the_settings_say() -> None:
    damage = draw(AugmentConfig())
    for share, expected in (
        ((damage.opacity.amax(1) > 0).float().mean(), 0.35 + 0.65 * (1 - 0.92 * 0.90)),
        (damage.is_gray.float().mean(), 0.1),
        ((damage.quality > 0).float().mean(), 0.2),
        ((damage.noise > 0).float().mean(), 0.2),
        ((damage.gamma != 1).float().mean(), 0.3),
    ):
        assert abs(float(share) - expected) < 0.08


def test_the_same_dice_on_a_part_of_the_crops_do_the_same_to_it() -> None:
    clean, damage = crops(), draw(AugmentConfig(p_occluder=0.0), 4)
    noise = torch.randn_like(clean)
    last = torch.tensor([3, 1])
    part = damaged(clean[last], damage.take(last), noise[last])
    np.testing.assert_allclose(part, damaged(clean, damage, noise)[last], atol=1)


def test_an_occluder_covers_its_place_alone() -> None:
    damage = draw(NEVER, 1)._replace(
        opacity=torch.tensor([[1.0, 0, 0]]),
        place=torch.tensor([[[0.5, -0.5], [0, 0], [0, 0]]]),
        reach=torch.full((1, 3, 2), 0.25),
        power=torch.full((1, 3), 2.0),
        is_half=torch.zeros(1, 3, dtype=torch.bool),
        texture=torch.ones(1, 3, dtype=torch.int64),
        color=torch.full((1, 3, 3), 200.0),
    )
    clean = torch.full((1, 3, SIZE, SIZE), 50.0)
    result = damaged(clean, damage, torch.zeros_like(clean))[0, 0].numpy()
    rows, columns = np.nonzero(result > 190)
    assert abs(rows.mean() - 0.25 * (SIZE - 1)) < 1 and abs(columns.mean() - 0.75 * (SIZE - 1)) < 1
    assert abs(len(rows) / SIZE**2 - np.pi * 0.125**2) < 0.01  # of the crop, in half sides 0.25²π/4
    assert (result[SIZE // 2 :] == 50).all()


@pytest.mark.parametrize("quality", [20, 50, 75])
def test_jpeg_leaves_what_a_jpeg_file_leaves(quality: int) -> None:
    clean = crops(1)
    picture = clean[0].permute(1, 2, 0).numpy().astype(np.uint8)
    encoded = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    expected = cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB).astype(float)
    found = compress(clean, torch.tensor([float(quality)]))[0].permute(1, 2, 0).clamp(0, 255)
    loss = np.abs(expected - picture).mean()
    assert np.abs(found.numpy() - expected).mean() < max(1.0, 0.4 * loss)
    untouched = compress(clean, torch.tensor([0.0]))
    np.testing.assert_array_equal(untouched, clean)
