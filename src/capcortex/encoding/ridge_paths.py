"""Loops of fractional ridge regression over units: where on its ridge path a unit's coefficients have the wanted length.

Along the singular directions of the features (singular values s, projections ``c = U'y`` of a unit's responses) ridge regression
keeps the share ``h_i = 1 / (1 + alpha / s_i^2)`` of each coefficient ``c_i / s_i``. All is compiled, in double precision;
`capcortex.encoding.fractional_ridge` says what it is for.
"""

from functools import partial
from typing import Any

import numpy as np
from numba import njit

TOLERANCE = 1e-7
"""Largest error of the length of coefficients, as a share of the wanted length, at which the search for alpha ends."""

MOST_STEPS = 100
"""Newton's method takes four or five steps, ten where scales differ most; where rounding keeps it from
the tolerance it ends here."""

compiled: Any = partial(njit, error_model="numpy", nogil=True)
FREE_ORDER = {"reassoc", "contract", "arcp", "nsz"}
"""What the compiler may do to sums and products; infinities and NaN stay what they are."""


@compiled(fastmath=FREE_ORDER)
def sum_columns(values, sums, squares):
    """Sum of each column and its sum of squares around its mean, exactly 0 where all values are equal."""
    first = values[0].astype(np.float64)
    sums[:] = 0
    squares[:] = 0
    for row in range(len(values)):
        for column in range(sums.size):
            difference = values[row, column] - first[column]
            sums[column] += difference
            squares[column] += difference * difference
    for column in range(sums.size):
        squares[column] = max(squares[column] - sums[column] ** 2 / len(values), 0.0)
        sums[column] += first[column] * len(values)


@compiled(fastmath=FREE_ORDER)
def _find_alpha(lengths, inverses, fraction, start):
    """Find alpha at which coefficients have a fraction of their length without it.

    With h_i = 1 / (1 + alpha / s_i^2) the squared length is ``N(alpha) = sum_i lengths_i h_i^2``, of which N(0) is 1. Its
    inverse root 1 / |b| rises with alpha and is concave, so that a tangent lies above it: a step of Newton's method, from
    wherever, ends left of the solution, and further steps rise to it without passing it. Nothing needs to be bracketed.
    """
    alpha = start
    for _ in range(MOST_STEPS):
        square, slope = 0.0, 0.0
        for at in range(lengths.size):
            kept = 1.0 / (1.0 + alpha * inverses[at])
            part = lengths[at] * kept * kept
            square += part
            slope += part * kept * inverses[at]
        excess = np.sqrt(square) / fraction - 1.0
        if abs(excess) <= TOLERANCE or slope == 0.0:
            break
        alpha = max(alpha + excess * square / slope, 0.0)
    return alpha


@compiled(fastmath=FREE_ORDER)
def _find_alphas(projected, singular_values, fractions, lengths, inverses, alphas):
    """Find the alpha of each fraction, ascending, for one unit with projections c: ``|b(0)|^2 = sum_i (c_i / s_i)^2``."""
    total = 0.0
    for at in range(singular_values.size):
        lengths[at] = (projected[at] / singular_values[at]) ** 2
        inverses[at] = 1.0 / (singular_values[at] * singular_values[at])
        total += lengths[at]
    alphas[:] = 0.0
    if total == 0.0:
        return
    for at in range(singular_values.size):
        lengths[at] /= total
    alpha = 0.0
    for number in range(fractions.size - 1, -1, -1):
        if fractions[number] < 1.0:
            alpha = _find_alpha(lengths, inverses, fractions[number], alpha)
            alphas[number] = alpha


@compiled(fastmath=FREE_ORDER)
def shrink(projected, gradients, singular_values, fractions, shrunk, agreements):
    """Leave h c of each unit and fraction in ``shrunk``, and its product with the gradient in ``agreements``."""
    for unit in range(len(projected)):
        lengths, inverses = np.empty(singular_values.size), np.empty(singular_values.size)
        alphas = np.empty(fractions.size)
        _find_alphas(projected[unit], singular_values, fractions, lengths, inverses, alphas)
        for number in range(fractions.size):
            agreement = 0.0
            for at in range(singular_values.size):
                value = projected[unit, at] / (1.0 + alphas[number] * inverses[at])
                shrunk[unit, number, at] = value
                agreement += value * gradients[unit, at]
            agreements[unit, number] = agreement


@compiled(fastmath=FREE_ORDER)
def square_lengths(predicted, squares):
    """Sum of squares of each row."""
    for row in range(len(predicted)):
        total = 0.0
        for at in range(predicted.shape[1]):
            total += predicted[row, at] * predicted[row, at]
        squares[row] = total


@compiled(fastmath=FREE_ORDER)
def fit_fractions(projected, singular_values, fractions, coefficients, alphas):
    """Leave the coefficients h c / s along singular directions at the fraction of each unit, and their alpha."""
    for unit in range(len(projected)):
        lengths, inverses = np.empty(singular_values.size), np.empty(singular_values.size)
        _find_alphas(
            projected[unit], singular_values, fractions[unit : unit + 1], lengths, inverses, alphas[unit : unit + 1]
        )
        for at in range(singular_values.size):
            kept = 1.0 / (1.0 + alphas[unit] * inverses[at])
            coefficients[unit, at] = projected[unit, at] * kept / singular_values[at]
