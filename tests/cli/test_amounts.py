"""Amounts as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.amounts import Token
from cli.errors import UserError
from primitives.types import U63_MAX, Balance

TOKEN = Token()


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("1.5", 1_500_000_000),
        ("1.5 CNS", 1_500_000_000),
        ("1.5cns", 1_500_000_000),
        ("1500000000 plank", 1_500_000_000),
        ("0.000000001", 1),
        ("1.50000000000", 1_500_000_000),
        ("0", 0),
    ],
)
def test_an_amount_is_read_exactly(text: str, amount: int) -> None:
    assert TOKEN.parse(text) == amount


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not an amount"),
        ("-1", "not an amount"),
        ("1e9", "not an amount"),
        ("1,5", "not an amount"),
        ("1.5 DOT", "'DOT' is not a unit of this chain"),
        ("0.0000000001", "finer than the smallest unit"),
        ("1.5 plank", "finer than the smallest unit"),
        ("9223372037", "more than any account can hold"),
    ],
)
def test_what_is_no_amount_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        TOKEN.parse(text)


@given(st.integers(0, U63_MAX), st.integers(0, 18))
def test_a_shown_amount_reads_back(amount: int, decimals: int) -> None:
    token = Token("TEST", decimals)
    assert token.parse(token.format(Balance(amount))) == amount
