"""Correct rounding in integers, against the processor's."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.ieee import OutOfRange, nearest, nearest_root

mantissas = st.integers(-(2**24) + 1, 2**24 - 1)
exponents = st.integers(-40, 40)


@given(mantissas, mantissas.filter(bool), exponents, exponents)
def test_quotients_and_products_are_the_processors(a: int, b: int, first: int, second: int) -> None:
    left, right = a * 2.0**first, b * 2.0**second
    for dtype in (np.float32, np.float64):
        x, y = dtype(left), dtype(right)
        exact = Fraction(float(x)), Fraction(float(y))
        assert nearest(exact[0] / exact[1], dtype.__name__) == Fraction(float(x / y))
        assert nearest(exact[0] * exact[1], dtype.__name__) == Fraction(float(x * y))


@given(st.integers(0, 2**53 - 1), exponents)
def test_roots_are_the_processors(a: int, exponent: int) -> None:
    for dtype in (np.float32, np.float64):
        x = dtype(a * 2.0**exponent)
        assert nearest_root(Fraction(float(x)), dtype.__name__) == Fraction(float(np.sqrt(x)))


@given(st.integers(-(2**60), 2**60), st.integers(1, 2**60))
def test_conversions_are_the_processors(top: int, bottom: int) -> None:
    wide = nearest(Fraction(top, bottom), "float64")
    assert wide == Fraction(top / bottom)
    assert nearest(wide, "float32") == Fraction(float(np.float32(float(wide))))


def test_ties_go_to_even() -> None:
    assert nearest(Fraction(2**24 + 1), "float32") == 2**24
    assert nearest(Fraction(2**24 + 3), "float32") == 2**24 + 4
    assert nearest(Fraction(-(2**24) - 3), "float32") == -(2**24) - 4


@pytest.mark.parametrize(("dtype", "top", "bottom"), [("float32", 128, -126), ("float64", 1024, -1022)])
def test_results_beyond_the_normal_numbers_are_out_of_range(dtype: str, top: int, bottom: int) -> None:
    greatest = Fraction(2) ** top
    assert nearest(greatest * Fraction(99, 100), dtype) < greatest
    for value in (greatest, greatest * (1 - Fraction(2) ** -60), Fraction(2) ** (bottom - 1)):
        with pytest.raises(OutOfRange):
            nearest(value, dtype)
    assert nearest(Fraction(2) ** bottom, dtype) == Fraction(2) ** bottom
