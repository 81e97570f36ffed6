"""Grids reach as far as what comes, not only as far as what calibration saw."""

from itertools import pairwise

import numpy as np

from inference.converter.exact import make_exact
from inference.converter.options import Options, unwatched
from inference.converter.program import Form
from inference.engines.onnx_runtime import OnnxRuntimeEngine
from tests.inference.converter.floats import model, program_of
from tests.inference.converter.programs import Draft, Samples, exact, random, samples
from tests.inference.converter.test_learners import regressor


def test_a_small_network_is_as_good_beyond_what_was_seen() -> None:
    draft = Draft((1, 6))
    x = draft.relu(draft.matrix("x", random(6, 12), random(12, seed=2)))
    x = draft.relu(draft.matrix(x, random(12, 9, seed=3), random(9, seed=4)))
    program = draft.program(draft.matrix(x, random(9, 1, seed=5)))
    few, larger = samples((1, 6), 40, 1), samples((1, 6), 40, 2, scale=2.0)
    report = make_exact(program, few, larger, Options(), OnnxRuntimeEngine(), unwatched).report
    assert report.limited_samples == 0
    assert report.outputs[0].relative_error < 0.003


def test_thresholds_beyond_what_was_seen_are_told_apart() -> None:
    program = program_of(model([regressor(("BRANCH_LEQ", "BRANCH_LEQ"))], {}, x=("batch", 3)))
    few = rows([0.0, 0.1])
    every = rows([-0.75, -0.3, -0.2, 0.4, 0.6, 0.75])
    report = make_exact(program, few, every, Options(), OnnxRuntimeEngine(), unwatched).report
    assert report.matched == report.total


def test_features_are_as_fine_as_float32_where_they_are_large() -> None:
    """The least float32 above the threshold takes the other branch."""
    program = program_of(model([regressor(("BRANCH_LEQ", "BRANCH_LEQ"))], {}, x=("batch", 3)))
    near = np.float32(0.5)
    just = rows([float(each) for each in (np.nextafter(near, 0), near, np.nextafter(near, 1))])
    report = make_exact(program, rows([-0.5, 0.5]), just, Options(), OnnxRuntimeEngine(), unwatched).report
    assert report.matched == report.total


def rows(values: list[float]) -> Samples:
    """Three features each, all of one value."""
    assert all(left < right for left, right in pairwise(values))
    return [{"x": np.full((1, 3), value, np.float32)} for value in values]


def test_a_hard_swish_that_reaches_far_keeps_steps_where_it_bends() -> None:
    """One channel of a hundred times the others; sums that weigh the bits read it through an affine map."""
    weights = random(6, 12)
    weights[:, 0] *= 100
    draft = Draft((1, 6))
    x = draft.map(draft.matrix("x", weights, random(12, seed=2)), Form.HARD_SWISH, 1 / 6, 0.5)
    x = draft.map(x, Form.AFFINE, scale=np.linspace(0.5, 1, 12), offset=np.full(12, 0.25))
    last = random(12, 4, seed=3)
    last[0] /= 100
    program = draft.program(draft.matrix(x, last))
    report = exact(program).report
    assert report.outputs[0].relative_error < 0.1
    (hard,) = (layer for layer in report.layers if layer.kind == "hard swish")
    assert hard.bits > 12
