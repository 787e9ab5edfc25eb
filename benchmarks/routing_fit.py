"""Logistic regression in numpy, for ``routing.py``: rules, hashed words, or both."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

BUCKETS = 4_096
"""Hashed words and pairs of words fall into so many columns."""
FOLDS = 5
PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0)
STEPS = 30

Array = Any


@dataclass(frozen=True)
class Fitted:
    """Weights of one logistic regression, and the penalty that cross-validation chose."""

    bias: float
    weights: Array
    penalty: float
    folds: float
    """Accuracy over the folds of the training part."""

    def probability(self, rows: Array) -> Array:
        return logistic(rows @ self.weights + self.bias)


def logistic(log_odds: Array) -> Array:
    return 1 / (1 + np.exp(-np.clip(log_odds, -500, 500)))


def newton(
    rows: Array, labels: Array, penalty: float, prior: Array, prior_bias: float
) -> tuple[Array, float]:
    """Minimise log-loss + penalty / 2 * |weights - prior|^2; the bias is hardly bound.

    With more columns than rows the problem is turned into the space of the rows first: the
    penalty does not change under rotation.
    """
    turned, outside = None, prior
    if rows.shape[1] > rows.shape[0]:
        turned, lower = np.linalg.qr(rows.T)
        rows, prior = lower.T, turned.T @ prior
    one = np.hstack([rows, np.ones((len(rows), 1))])
    start = np.append(prior, prior_bias)
    bound = np.append(np.full(rows.shape[1], penalty), 0.01 * penalty)
    weights = start.copy()
    for _ in range(STEPS):
        guess = logistic(one @ weights)
        slope = one.T @ (guess - labels) + bound * (weights - start)
        curve = (one * (guess * (1 - guess))[:, None]).T @ one + np.diag(bound)
        step = np.linalg.solve(curve, slope)
        weights = weights - step
        if np.abs(step).max() < 1e-4:
            break
    if turned is None:
        return weights[:-1], float(weights[-1])
    return outside + turned @ (weights[:-1] - prior), float(weights[-1])


def fit(
    rows: Array,
    labels: Array,
    groups: Sequence[str],
    prior: Array | None = None,
    prior_bias: float = 0.0,
) -> Fitted:
    """Fit with the penalty that is best over folds of whole groups; the stronger one if equal.

    ``rows`` (n, columns) float64, ``labels`` (n,) 0 or 1, ``groups`` n names. ``prior``: what
    the weights are pulled to, zero where None. Deterministic.
    """
    prior = np.zeros(rows.shape[1]) if prior is None else prior
    folds = np.array([zlib.crc32(f"fold {group}".encode()) % FOLDS for group in groups])
    best = (0.0, 0.0)
    for penalty in PENALTIES:
        right = 0
        for fold in range(FOLDS):
            out = folds == fold
            weights, bias = newton(rows[~out], labels[~out], penalty, prior, prior_bias)
            right += int((((rows[out] @ weights + bias) >= 0) == labels[out]).sum())
        best = max(best, (right / len(labels), penalty))
    accuracy, penalty = best
    weights, bias = newton(rows, labels, penalty, prior, prior_bias)
    return Fitted(bias, weights, penalty, round(accuracy, 4))


def hashed(texts: Sequence[str]) -> Array:
    """Words and pairs of words in ``BUCKETS`` columns, each row of length 1."""
    rows = np.zeros((len(texts), BUCKETS))
    for row, text in zip(rows, texts, strict=True):
        words = ["<", *re.findall(r"[^\W_]+(?:'[^\W_]+)*", text.lower().replace("’", "'")), ">"]
        for piece in [*words[1:-1], *map(" ".join, pairwise(words))]:
            row[zlib.crc32(piece.encode()) % BUCKETS] += 1
        row /= np.linalg.norm(row) or 1.0
    return rows
