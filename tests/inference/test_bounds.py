"""The arithmetic of cells, checked against every number that they stand for."""

from fractions import Fraction
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from inference.bounds import Cell, subset_sum, unfit, union


@st.composite
def cells(draw: st.DrawFn) -> Cell:
    low = draw(st.integers(-6, 6))
    return Cell(draw(st.integers(-3, 3)), low, low + draw(st.integers(0, 5)))


def numbers(cell: Cell) -> list[Fraction]:
    return [count * Fraction(2) ** cell.step for count in range(cell.low, cell.high + 1)]


def holds(cell: Cell, number: Fraction) -> bool:
    count = number / Fraction(2) ** cell.step
    return count.denominator == 1 and cell.low <= count <= cell.high


@given(cells(), cells())
def test_a_product_is_in_the_product_cell(left: Cell, right: Cell) -> None:
    for a, b in product(numbers(left), numbers(right)):
        assert holds(left.times(right), a * b)


@given(st.lists(cells(), min_size=1, max_size=3))
def test_every_subset_sum_is_in_the_hull(terms: list[Cell]) -> None:
    hull = subset_sum(terms)
    for chosen in product(*([Fraction(0), *numbers(term)] for term in terms)):
        assert holds(hull, sum(chosen, Fraction(0)))


@given(cells(), cells(), cells())
def test_clipping_is_within_the_cell(x: Cell, first: Cell, second: Cell) -> None:
    low, high = (Cell(limit.step, limit.low, limit.low) for limit in (first, second))
    bottom, top = numbers(low)[0], numbers(high)[0]
    if bottom <= top:
        for number in numbers(x):
            assert holds(x.clipped(low, high), min(max(number, bottom), top))


@given(cells())
def test_rounding_goes_to_the_nearest_and_halves_to_even(cell: Cell) -> None:
    for number in numbers(cell):
        assert holds(cell.rounded(), Fraction(round(number)))


@given(st.lists(cells(), min_size=1, max_size=4))
def test_a_union_holds_all(parts: list[Cell]) -> None:
    for part in parts:
        assert all(holds(union(parts), number) for number in numbers(part))


def test_the_limit_is_the_mantissa() -> None:
    assert unfit(Cell(-7, -(2**24) + 1, 2**24 - 1), "float32") == ""
    assert unfit(Cell(-7, 0, 2**24), "float32") == "needs 25 bits, float32 holds 24"
    assert unfit(Cell(0, 0, 2**24), "float64") == ""


def test_steps_whose_quotients_could_leave_float32_are_unfit() -> None:
    assert unfit(Cell(-36, 0, 1), "float32") == unfit(Cell(15, 0, 1), "float32") == ""
    assert unfit(Cell(-37, 0, 1), "float32").startswith("its step 2^-37 is outside")
    assert unfit(Cell(16, 0, 1), "float32").startswith("its step 2^16 is outside")
