"""The arithmetic of cells, checked against every number that they stand for."""

from fractions import Fraction
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from inference.bounds import Bounds, Cell, along, subset_sum, unfit, union


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


def test_a_hull_holds_zero_and_at_least_one_step() -> None:
    assert Cell(-2, 3, 9).hull() == Cell(-2, 0, 9)
    assert Cell(-2, -9, -3).hull() == Cell(-2, -9, 0)
    assert Cell(-2, 0, 0).hull() == Cell(-2, 0, 1)


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
    assert unfit(Cell(0, -(2**53) + 1, 2**53 - 1), "float64") == ""
    assert unfit(Cell(0, 0, 2**53), "float64") == "needs 54 bits, float64 holds 53"


def test_steps_whose_quotients_could_leave_float32_are_unfit() -> None:
    assert unfit(Cell(-36, 0, 1), "float32") == unfit(Cell(15, 0, 1), "float32") == ""
    assert unfit(Cell(-37, 0, 1), "float32").startswith("its step 2^-37 is outside")
    assert unfit(Cell(16, 0, 1), "float32").startswith("its step 2^16 is outside")


CHANNELS = (Cell(0, -1, 2), Cell(-2, 3, 9))


def test_equal_cells_become_one() -> None:
    assert along(1, [Cell(0, 0, 3)] * 5) == Bounds((Cell(0, 0, 3),))
    assert along(1, CHANNELS) == Bounds(CHANNELS, 1)


def test_cells_are_read_along_any_dimension() -> None:
    bounds = along(1, CHANNELS)
    whole = Cell(-2, -4, 9)
    assert (bounds.whole(), bounds.single()) == (whole, Bounds((whole,)))
    assert (tuple(bounds.at(1, 2)), tuple(bounds.at(0, 3))) == (CHANNELS, (whole,) * 3)
    assert bounds.moved(0) == Bounds(CHANNELS, 0)
    assert bounds.single().moved(3) == bounds.single()
    assert bounds.mapped(Cell.rounded) == along(1, [Cell(0, -1, 2), Cell(0, 1, 2)])


def test_integers_must_be_whole_and_fit() -> None:
    assert unfit(Cell(0, -128, 127), "int8") == ""
    assert unfit(Cell(1, 0, 64), "int8") == "holds numbers from 0 to 128, beyond int8: Clip them first"
    assert unfit(Cell(-1, 0, 2), "int8") == "holds numbers that are not integers: Round them first"
