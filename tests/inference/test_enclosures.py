"""Enclosures against the decimal module and against other series, with forty digits."""

from collections.abc import Callable
from decimal import Decimal, localcontext

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.enclosures import ARGUMENT_MAX, ONE, enclose

DIGITS = 90


def erf(x: Decimal) -> Decimal:
    """The alternating series, which loses digits to cancellation: hence so many."""
    term = total = x
    at = 0
    while abs(term) > Decimal(10) ** -60:
        at += 1
        term *= -x * x / at
        total += term / (2 * at + 1)
    return total * 2 / PI.sqrt()


def sigmoid(x: Decimal) -> Decimal:
    return 1 / (1 + (-x).exp())


TRUE: dict[str, Callable[[Decimal], Decimal]] = {
    "Exp": Decimal.exp,
    "Erf": erf,
    "Sigmoid": sigmoid,
    "Tanh": lambda x: (x.exp() - (-x).exp()) / (x.exp() + (-x).exp()),
}
PI = Decimal(
    "3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803482534211706798"
)
SLACK = {"Exp": 2.0**-91, "Erf": 2.0**-54, "Sigmoid": 2.0**-91, "Tanh": 2.0**-90}
"""The widest enclosure, compared with the greater of 1 and the value: where the functions level off."""


@pytest.mark.parametrize("operator", list(TRUE))
@settings(max_examples=150, deadline=None)
@given(st.integers(-70 * 2**40, 64 * 2**40), st.integers(0, 2**30))
def test_the_true_value_is_inside_and_the_interval_is_narrow(operator: str, coarse: int, fine: int) -> None:
    x = min((coarse << 88) + fine, ARGUMENT_MAX)
    if operator == "Erf":
        x //= 8
    low, high = enclose(operator, (x, x))
    with localcontext() as context:
        context.prec = DIGITS
        true = TRUE[operator](Decimal(x) / Decimal(ONE)) * Decimal(ONE)
        assert low <= true <= high
    assert high - low <= SLACK[operator] * max(ONE, high)


@pytest.mark.parametrize("operator", list(TRUE))
@settings(max_examples=50, deadline=None)
@given(st.integers(-9 * 2**20, 9 * 2**20), st.integers(0, 2**10))
def test_an_interval_of_arguments_holds_all_between(operator: str, start: int, width: int) -> None:
    low, high = enclose(operator, (start << 108, (start + width) << 108))
    for at in (start, start + width // 2, start + width):
        inner = enclose(operator, (at << 108, at << 108))
        assert low <= inner[0]
        assert inner[1] <= high


def test_the_ends_are_those_of_the_functions() -> None:
    assert enclose("Exp", (0, 0))[0] <= ONE <= enclose("Exp", (0, 0))[1]
    assert enclose("Erf", (0, 0)) == (0, 0)
    for operator in ("Erf", "Sigmoid", "Tanh"):
        low, high = enclose(operator, (100 * ONE, 100 * ONE))
        assert low < ONE <= high
        assert high - low < ONE >> 50
    assert enclose("Exp", (-100 * ONE, -100 * ONE))[0] == 0
