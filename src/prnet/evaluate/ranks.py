"""Scores → how well they put things in order, whatever their scale."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
    ranks = _ranks(np.concatenate([high, low]))[: len(high)]
    return float((ranks.mean() - (len(high) + 1) / 2) / len(low))


def rank_correlation(first: ArrayLike, second: ArrayLike) -> float:
    """Spearman's correlation of two series (N,): in [−1, 1], NaN if one of them doesn't vary."""
    return trend(_ranks(first), _ranks(second)).correlation


def _ranks(values: ArrayLike) -> NDArray[np.float64]:
    """Places in the order, (N,) from 1; ties share their mean, and with a NaN all are NaN.

    As scipy.stats.rankdata, which takes a second to import.
    """
    numbers = np.asarray(values, np.float64)
    if np.isnan(numbers).any():
        return np.full(len(numbers), np.nan)
    _, group, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[group], np.float64)
