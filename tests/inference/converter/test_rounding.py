"""Weights rounded together: their errors make up for one another where inputs go together."""

import numpy as np

from inference.converter.options import Method, Options
from inference.converter.plan import Correlation
from inference.converter.program import Reduction
from inference.converter.rounding import rounding
from inference.converter.sums import Kernel, carried, nearest
from tests.inference.converter.programs import Draft, exact, square


def kernel(outputs: int, inputs: int, taps: int, groups: int = 1) -> Kernel:
    weights = np.random.default_rng(1).normal(size=(outputs, inputs, taps)) * 3
    first = np.repeat(np.arange(groups) * inputs, outputs // groups)
    return Kernel(weights, np.zeros(outputs), first[:, None] + np.arange(inputs))


def smooth(groups: int, terms: int, places: int = 10**6) -> Correlation:
    """Neighbours are alike, as in pictures; one input has another size than the next."""
    apart = np.abs(np.arange(terms)[:, None] - np.arange(terms))
    sizes = 20.0 + np.arange(terms) % 3
    return Correlation(np.stack([0.95**apart * np.outer(sizes, sizes)] * groups), places)


def error(known: Correlation, change: np.ndarray, groups: int) -> float:
    """The variance of what rounding changes sums by."""
    rows = change.reshape(groups, -1, known.covariance.shape[1])
    return float(np.einsum("gri,gij,grj->", rows, known.covariance, rows))


def test_sums_change_by_less_where_inputs_go_together() -> None:
    for groups, parts in ((1, kernel(16, 12, 1)), (8, kernel(8, 1, 9, groups=8))):
        known = smooth(groups, parts.weights.shape[1] * parts.weights.shape[2])
        rows = np.arange(len(parts.bias))
        whole = rounding(known, parts, np.ones(1)).whole(parts.weights, rows, 100.0)
        assert np.array_equal(whole, np.rint(whole))
        alone = nearest(parts.weights, rows, 100.0) - parts.weights
        assert error(known, whole - parts.weights, groups) < 0.3 * error(known, alone, groups)


def test_inputs_that_have_nothing_to_do_with_each_other_round_each_weight_by_itself() -> None:
    parts, rows = kernel(5, 4, 1), np.array([1, 3])
    known = Correlation(np.diag([1.0, 5.0, 2.0, 9.0])[None], 1000)
    whole = rounding(known, parts, np.ones(1)).whole(parts.weights[rows], rows, 100.0)
    assert np.array_equal(whole, np.rint(parts.weights[rows]))


def test_what_few_places_show_counts_less() -> None:
    parts, rows = kernel(16, 12, 1), np.arange(16)
    alone = np.rint(parts.weights)
    differing = [
        int(
            (
                rounding(smooth(1, 12, places), parts, np.ones(1)).whole(parts.weights, rows, 99.0) != alone
            ).sum()
        )
        for places in (1, 1000)
    ]
    assert differing[0] < differing[1]


def test_scales_of_channels_are_taken_off() -> None:
    """The same integers, said in other units, are rounded alike."""
    parts, rows, scales = kernel(6, 4, 1), np.arange(6), np.array([1.0, 0.25, 8.0, 2.0])
    known = smooth(1, 4)
    other = Correlation(known.covariance * np.outer(scales, scales), known.places)
    left, right = (
        rounding(each, parts, scale).whole(parts.weights, rows, 99.0)
        for each, scale in ((known, np.ones(1)), (other, scales))
    )
    assert np.array_equal(left, right)


def test_no_weight_is_above_the_cap() -> None:
    parts, rows = kernel(16, 12, 1), np.arange(16)
    weights = np.clip(parts.weights, -4.2, 4.2)
    assert np.abs(rounding(smooth(1, 12), parts, np.ones(1)).whole(weights, rows, 4.0)).max() == 4


def test_many_equal_weights_keep_their_sum() -> None:
    """As of a mean over an image: each alone would be rounded the same way."""
    exact = np.full((2, 1, 1000), 54.4)
    whole = carried(exact, np.arange(2), 64.0)
    assert np.array_equal(whole, np.rint(whole))
    assert abs(float((whole - exact)[0].sum())) <= 0.5
    assert np.abs(whole - exact).max() < 1
    assert carried(np.full((1, 1, 9), 64.4), np.arange(1), 64.0).max() == 64
    assert np.abs((nearest(exact, np.arange(2), 64.0) - exact).sum(axis=2)).min() > 399


def test_the_mean_of_a_large_image_is_one_window_of_bytes() -> None:
    """Its weights are rounded without knowing how a thousand places go together."""
    draft = Draft((1, 2, 40, 40))
    mean = draft.reduce(draft.relu("x"), Reduction.MEAN, (2, 3))
    program = draft.program(draft.convolution(mean, np.eye(2).reshape(2, 2, 1, 1), square(1)))
    layers = exact(program, Options(int8=True, method=Method.MINMAX), count=10).report.layers
    (error,) = (each.relative_error for each in layers if each.name == mean)
    assert error < 0.003
