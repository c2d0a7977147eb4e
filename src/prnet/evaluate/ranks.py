"""Scores → how well they put things in order, whatever their scale."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from prnet.evaluate.metrics import trend


def roc_auc(positives: ArrayLike, negatives: ArrayLike) -> float:
    """Area under the ROC curve: how often a positive's score is above a negative's.

    Args:
        positives: (N,) float, scores of what should have high ones.
        negatives: (M,) float, scores of the others.

    Returns:
        In [0, 1]; a tie counts half. NaN if there are no positives or no negatives.

    Source: the Mann-Whitney U statistic over N · M.
    """
    high, low = np.asarray(positives, np.float64), np.asarray(negatives, np.float64)
    if not high.size or not low.size:
        return float("nan")
    ranks = rankdata(np.concatenate([high, low]))[: len(high)]
    return float((ranks.mean() - (len(high) + 1) / 2) / len(low))


def rank_correlation(first: ArrayLike, second: ArrayLike) -> float:
    """Spearman's correlation of two series (N,): in [−1, 1], NaN if one of them doesn't vary."""
    return trend(rankdata(first), rankdata(second)).correlation
