import numpy as np
import pytest

from prnet.evaluate.ranks import rank_correlation, roc_auc


@pytest.mark.parametrize(
    ("positives", "negatives", "area"),
    [
        ([3, 4], [1, 2], 1),
        ([1, 2], [3, 4], 0),
        ([3, 1], [2, 0], 3 / 4),  # only 1 against 2 is wrong
        ([1, 2, 3], [2], 1 / 2),  # wrong, a tie, right
        ([2, 2], [2, 2, 2], 1 / 2),
        ([5, 5, 7], [5, 6], (0.5 + 0.5 + 1 + 0 + 0 + 1) / 6),
    ],
)
def test_the_area_counts_the_pairs_in_order(
    positives: list[float], negatives: list[float], area: float
) -> None:
    assert roc_auc(positives, negatives) == pytest.approx(area)
    assert roc_auc(negatives, positives) == pytest.approx(1 - area)


def test_one_group_alone_has_no_area() -> None:
    assert np.isnan(roc_auc([], [1.0])) and np.isnan(roc_auc([1.0], []))


def test_ranks_correlate_whatever_the_scale() -> None:
    assert rank_correlation([1, 2, 3, 4], [1, 10, 1000, 1001]) == pytest.approx(1)
    assert rank_correlation([1, 2, 3, 4], [9, 4, 1, 0]) == pytest.approx(-1)
    assert np.isnan(rank_correlation([1, 1, 1], [1, 2, 3]))


def test_ties_share_their_ranks() -> None:
    """Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: covariance 4.5, variances 4.5 and 5."""
    assert rank_correlation([1, 2, 2, 3], [1, 2, 3, 4]) == pytest.approx(3 / np.sqrt(10))
