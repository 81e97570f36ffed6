"""Functions are told by their values: scaled, shifted and mirrored, up to the rounding of float32."""

from collections.abc import Callable
from functools import partial
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.converter.elementwise import hard_sigmoid, sigmoid
from inference.converter.forms import clip, hard_swish, leaky, recognise
from inference.converter.program import Form, Reals

Function = Callable[[Reals], Reals]

float32s = st.floats(0.0625, 8, width=32)
offsets = st.floats(-4, 4, width=32)

FORMS: dict[Form, Function] = {
    Form.AFFINE: lambda x: x,
    Form.CLIP: partial(clip, low=-1, high=5),
    Form.CURVE: sigmoid,
    Form.HARD_SIGMOID: partial(hard_sigmoid, slope=float(np.float32(1 / 6)), shift=0.5),
    Form.HARD_SWISH: partial(hard_swish, slope=float(np.float32(0.2)), shift=0.5),
    Form.LEAKY: partial(leaky, slope=float(np.float32(0.01))),
}


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=15, deadline=None, derandomize=True)
@given(inner=float32s, offset=offsets, outer=float32s, after=offsets)
def test_forms_are_recognised_however_they_are_scaled_and_shifted(
    form: Form, inner: float, offset: float, outer: float, after: float
) -> None:
    def function(x: Reals) -> Reals:
        return outer * FORMS[form](inner * x + offset) + after

    found = recognise(function)
    # With a range other than 0 to 1, a hard sigmoid is a clip.
    allowed = {form, Form.CLIP} if form is Form.HARD_SIGMOID else {form}
    assert found.form in allowed
    points = np.linspace(-50, 50, 1001)
    given_values = found.evaluate(points * found.scale + found.offset) + found.after
    np.testing.assert_allclose(given_values, function(points), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("function", "form", "parameters"),
    [
        (lambda x: np.maximum(-x, 0), Form.CLIP, (0.0, inf)),
        (lambda x: -np.maximum(x, 0), Form.CLIP, (-inf, 0.0)),
        (lambda x: np.minimum(x, 5), Form.CLIP, (-inf, 5.0)),
        (lambda x: 1 - np.clip(x / 4, 0, 1), Form.HARD_SIGMOID, (-0.25, 1.0)),
        (lambda x: -x * np.clip(-x / 4 + 0.5, 0, 1), Form.HARD_SWISH, (0.25, 0.5)),
        (np.abs, Form.LEAKY, (-1.0,)),
        (lambda x: x * 0 + 3, Form.AFFINE, ()),
        (np.square, Form.CURVE, ()),
        (lambda x: np.where(x > 1, x, 0), Form.CURVE, ()),
        (lambda x: np.where(x > 0, x, np.nan), Form.CURVE, ()),
    ],
)
def test_mirrored_and_odd_functions(function: Function, form: Form, parameters: tuple[float, ...]) -> None:
    found = recognise(function)
    assert (found.form, found.parameters) == (form, parameters)


def test_a_scaled_hard_swish_has_the_shift_it_was_given() -> None:
    """Else it has no exact product, and becomes a table."""
    for scale in (0.5718, 0.6332, 0.4095, 0.4945):
        found = recognise(partial(scaled_hard_swish, scale=scale))
        assert (found.form, found.parameters[1]) == (Form.HARD_SWISH, 0.5)


def scaled_hard_swish(x: Reals, scale: float) -> Reals:
    return hard_swish(x * scale + 0.1, 1 / 6, 0.5) * 1.3


def test_an_almost_straight_line_is_a_curve() -> None:
    """A thousandth of a sine is not rounding."""
    assert recognise(lambda x: x + 1e-3 * np.sin(x)).form is Form.CURVE
