"""Reals to integers and back, exactly, as the certificate declares."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.certificate import ExactnessCertificate
from inference.encoding import EncodingError, decode, encode, greatest, nearest, parse_real, positive
from inference.prover import prove
from inference.tensor import TensorError, from_integers, integers
from tests.inference.build import two_layers


def certificate() -> ExactnessCertificate:
    return prove(
        two_layers(metadata={"exact.scale.x": "1/2 3/1 1/10", "exact.zero.x": "0 10 -5"})
    ).certificate


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6))
def test_decimal_text_is_read_exactly(number: Decimal) -> None:
    if len(str(number)) <= 64 and abs(number.adjusted()) < 400:
        assert parse_real(str(number)) == Fraction(number)


@pytest.mark.parametrize(
    "text", ["", "nan", "inf", "1/3", "0x1", "1_000", "1e401", "1e99999", "--1", ".", "\u0661", "1" * 65]
)
def test_other_text_is_no_number(text: str) -> None:
    with pytest.raises(EncodingError, match="is not a decimal number"):
        parse_real(text)


def test_values_become_the_nearest_integers_halves_to_even() -> None:
    reals = [Fraction(5, 4), Fraction(-15, 2), Fraction(1, 4)]
    encoded = encode(certificate(), {"x": reals})
    assert [integers(tensor) for tensor in encoded.tensors] == [(2, 8, -3)]
    assert encoded.limited == ()


def test_values_outside_the_range_are_limited_and_named() -> None:
    encoded = encode(certificate(), {"x": [Fraction(10**9), Fraction(0), Fraction(-(10**9))]})
    assert [integers(tensor) for tensor in encoded.tensors] == [(127, 10, -128)]
    assert encoded.limited == ("x[0]", "x[2]")


def test_what_is_right_may_lie_outside_the_range() -> None:
    [port] = certificate().inputs
    assert nearest(port, [Fraction(1000), Fraction(0), Fraction(-1000)]) == [2000, 10, -10_005]


def test_what_is_above_nought_is_told_from_the_zero_point_of_its_channel() -> None:
    [port] = certificate().inputs
    assert positive(port, [1, 10, -4]) == [1, 0, 1]
    assert positive(port, [0, 11, -5]) == [0, 1, 0]


@given(st.tuples(*[st.integers(-128, 127)] * 3))
def test_every_integer_survives_decoding_and_encoding(codes: tuple[int, ...]) -> None:
    known = certificate()
    tensors = (from_integers("int8", (1, 3), codes),)
    assert encode(known, decode(known.inputs, tensors)).tensors == tensors


def test_wrong_inputs_are_refused() -> None:
    with pytest.raises(EncodingError, match="x takes 3 numbers, not 2"):
        encode(certificate(), {"x": [Fraction(1)] * 2})
    with pytest.raises(EncodingError, match="takes the inputs x, not y"):
        encode(certificate(), {"y": [Fraction(1)] * 3})
    with pytest.raises(TensorError, match="takes int8"):
        decode(certificate().inputs, (from_integers("int32", (1, 3), (1, 2, 3)),))


def test_a_tie_goes_to_the_lowest_class() -> None:
    assert greatest(from_integers("int32", (1, 4), (1, 7, 7, -9))) == 1
