import numpy as np
import pytest

from prnet.geometry.oriented import keep_distinct, merge, tight_oriented, to_upright

QUARTER = np.pi / 2


def test_to_upright_by_hand() -> None:
    # a quarter clockwise takes up (0, -1) to the right (1, 0)
    np.testing.assert_allclose(
        to_upright(np.array([1.0, 0]), np.array(QUARTER)), [0, -1], atol=1e-9
    )


def test_how_much_may_be_shared_by_hand() -> None:
    box = [0, 0, 4, 2, 0.0]
    others = [[1, 0, 4, 2, 0], [4, 0, 4, 2, 0], [0, 0, 1, 1, 0]]  # share 6 of 8, 0 and 1 of 1
    for other, shared in zip(others, (0.75, 0, 1), strict=True):
        boxes, scores = np.array([box, other]), np.array([0.9, 0.8])
        assert len(keep_distinct(boxes, scores, shared + 1e-6)) == 2
        assert len(keep_distinct(boxes, scores, shared - 1e-6)) == 1
    # turned by a quarter it is 2 wide and 4 high; 3 further down they share 2 of 8
    turned = np.array([[0, 0, 4, 2, QUARTER], [0, 3, 4, 2, QUARTER]])
    assert len(keep_distinct(turned, np.array([0.9, 0.8]), 0.2501)) == 2
    assert len(keep_distinct(turned, np.array([0.9, 0.8]), 0.2499)) == 1


def test_tight_oriented() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform([-3, -1], [3, 1], (500, 2))
    points = np.vstack([points, [[3, 1], [-3, -1]]])
    for angle in (0.0, 0.7, 3.0, -2.0):
        moved = to_upright(points, np.array(-angle)) + [10, 20]
        box = tight_oriented(moved, angle)
        np.testing.assert_allclose(box, [10, 20, 6, 2, angle], atol=1e-5)
    assert box.dtype == np.float32


def test_keep_distinct() -> None:
    boxes = np.array([[0, 0, 10, 10, 0], [1, 0, 10, 10, 0], [0, 0, 4, 4, 0], [30, 0, 10, 10, 0.0]])
    scores = np.array([0.5, 0.9, 0.8, 0.6])
    assert keep_distinct(boxes, scores, 0.6).tolist() == [1, 3]
    assert keep_distinct(boxes, scores, 1.0).tolist() == [1, 2, 3, 0]
    assert keep_distinct(boxes[:0], scores[:0], 0.6).tolist() == []


@pytest.mark.parametrize("most", [0.0, 0.3])
def test_what_is_kept_shares_no_more(most: float) -> None:
    rng = np.random.default_rng(1)
    boxes = np.column_stack(
        [rng.uniform(0, 50, (60, 2)), rng.uniform(5, 20, (60, 2)), np.zeros(60)]
    )
    kept = boxes[keep_distinct(boxes, rng.random(60), most)]
    reach, area = kept[:, 2:4] / 2, kept[:, 2:4].prod(1)
    low, high = kept[:, :2] - reach, kept[:, :2] + reach
    sides = np.minimum(high[:, None], high) - np.maximum(low[:, None], low)
    shared = np.maximum(sides, 0).prod(-1) / np.minimum(area[:, None], area)
    np.fill_diagonal(shared, 0)
    assert shared.max() <= most + 1e-9


def test_blended_by_hand() -> None:
    boxes = np.array(
        [
            [10, 10, 8, 8, np.pi - 0.1],
            [11, 10, 8, 8, -np.pi + 0.1],  # nearly the first, with half its weight
            [10, 10, 7, 7, 0],  # scores too little
            [30, 10, 8, 4, 0.2],  # alone
        ]
    )
    scores = np.array([0.8, 0.8 / np.sqrt(2), 0.3, 0.9])
    x, y, width, height, angle = boxes.T
    told = np.stack([x, y, np.log(width), np.log(height), np.cos(angle), np.sin(angle)])
    blended, kept_scores = merge(told, scores, 0.6, 0.6, 0.6)
    np.testing.assert_allclose(kept_scores, [0.9, 0.8])
    np.testing.assert_allclose(blended[0], boxes[3], atol=1e-6)
    np.testing.assert_allclose(blended[1, :4], [10 + 1 / 3, 10, 8, 8], atol=1e-5)
    turned = np.exp(1j * blended[1, 4])
    expected = (2 * np.exp(1j * boxes[0, 4]) + np.exp(1j * boxes[1, 4])) / 3
    np.testing.assert_allclose(turned, expected / abs(expected), atol=1e-6)
    assert blended.dtype == np.float32
    assert merge(told[:, :0], scores[:0], 0.6, 0.6, 0.6)[0].shape == (0, 5)
