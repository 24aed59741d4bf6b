"""The small statistics against scipy, pymannkendall and numpy."""

from __future__ import annotations

import math
import random

import numpy as np
import pymannkendall
import pytest
from scipy import stats

from memdiag.diagnosis.functions import _resting, _share
from memdiag.diagnosis.numbers import correlation, interpolate, kendall_tau, theil_sen

SEEDS = range(12)


def draw(seed: int, count: int = 40, slope: float = 0.05) -> list[float]:
    rng = random.Random(seed)  # noqa: S311  # a simulation, no secret
    return [slope * place + rng.gauss(0, 1) for place in range(count)]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("slope", [-0.2, 0.0, 0.05, 1.0])
def test_tau_of_untied_values_is_that_of_scipy_and_pymannkendall(seed: int, slope: float) -> None:
    values = draw(seed, slope=slope)
    assert len(set(values)) == len(values)
    assert kendall_tau(values) == pytest.approx(stats.kendalltau(range(len(values)), values).statistic)
    assert kendall_tau(values) == pytest.approx(pymannkendall.original_test(values).Tau)


def test_tau_counts_a_tie_as_neither_up_nor_down() -> None:
    assert kendall_tau([1, 1, 2]) == pytest.approx(2 / 3)
    assert kendall_tau([3.0] * 9) == 0
    assert kendall_tau([1.0]) == kendall_tau([]) == 0


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("count", [6, 10, 30])
def test_the_median_slope_is_that_of_scipy_and_pymannkendall(seed: int, count: int) -> None:
    values = draw(seed, count)
    xs = [place * place / 7 + place for place in range(count)]
    pairs = count * (count - 1) // 2
    ours = theil_sen(list(zip(xs, values, strict=True)))
    assert ours is not None
    slopes = sorted((values[j] - values[i]) / (xs[j] - xs[i]) for i in range(count) for j in range(i + 1, count))
    assert ours[1] <= ours[0] <= ours[2]
    even_gap = 0.0 if pairs % 2 else slopes[pairs // 2] - slopes[pairs // 2 - 1]
    assert ours[0] == pytest.approx(stats.theilslopes(values, xs).slope, abs=even_gap / 2 + 1e-12)
    evenly = theil_sen([(float(place), value) for place, value in enumerate(values)])
    assert evenly is not None
    if pairs % 2:
        assert evenly[0] == pytest.approx(pymannkendall.sens_slope(values).slope)
    assert np.searchsorted(slopes, ours[1]) == pytest.approx((pairs - 1) / 4, abs=0.5)
    assert np.searchsorted(slopes, ours[2]) == pytest.approx(3 * (pairs - 1) / 4, abs=0.5)


def test_no_two_ages_have_no_slope() -> None:
    assert theil_sen([]) is None
    assert theil_sen([(1.0, 2.0), (1.0, 3.0)]) is None


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("scale", [1.0, 1e9])
def test_correlation_is_pearsons(seed: int, scale: float) -> None:
    xs, ys = draw(seed), [scale * value for value in draw(seed + 100)]
    assert correlation(xs, ys) == pytest.approx(stats.pearsonr(xs, ys).statistic)


def test_what_does_not_vary_has_no_correlation() -> None:
    assert correlation([1.0, 2.0, 3.0], [7.0, 7.0, 7.0]) is None


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("scale", [1.0, 1e10])
def test_the_share_explained_is_that_of_a_fitted_line(seed: int, scale: float) -> None:
    xs, ys = [float(place) for place in range(40)], [scale * value for value in draw(seed, slope=0.1)]
    slope, base = np.polyfit(xs, ys, 1)
    rest = float(np.sum((np.array(ys) - slope * np.array(xs) - base) ** 2))
    wanted = 1 - rest / float(np.sum((np.array(ys) - np.mean(ys)) ** 2)) if slope > 0 else 0.0
    assert _share(xs, ys) == pytest.approx(wanted)
    assert _share(xs, [-y for y in ys]) == (0 if slope > 0 else pytest.approx(wanted))


def test_what_does_not_vary_explains_nothing() -> None:
    assert _share([5.0] * 9, draw(0, 9)) == 0
    assert _share(draw(0, 9), [5.0] * 9) == 0


@pytest.mark.parametrize("curvature", [0.25, 1.0, 3.0, 7.0])
def test_a_curve_that_comes_to_rest_is_found_with_its_curvature(curvature: float) -> None:
    xs = [float(x) for x in range(1, 61)]
    ys = [40 + 9 * (1 - math.exp(-curvature * x / 60)) for x in xs]
    found = _resting(xs, ys)
    assert found.parameter == curvature
    assert found.share == pytest.approx(1)


@pytest.mark.parametrize("x", [-1.0, 0.0, 0.5, 1.0, 2.5, 3.9, 4.0, 9.0])
def test_interpolation_is_that_of_numpy(x: float) -> None:
    points = [(0.0, 1.0), (1.0, 3.0), (3.0, -2.0), (4.0, 8.0)]
    assert interpolate(points, x) == pytest.approx(
        np.interp(x, [at for at, _ in points], [value for _, value in points])
    )
