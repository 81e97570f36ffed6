from typing import Annotated

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from primitives.codec import Codec, CodecError, Record
from primitives.types import U63, U63_MAX, AccountId, Balance


class Payment(Record, frozen=True):
    to: AccountId
    amount: Balance
    notes: Annotated[tuple[str, ...], msgspec.Meta(max_length=2)]


PAYMENT = Codec[Payment](Payment)
ALICE = AccountId(bytes(range(32)))


@given(st.integers(0, U63_MAX), st.lists(st.text(max_size=5), max_size=2))
def test_a_record_survives_the_wire_and_msgpack_reads_the_same(amount: int, notes: list[str]) -> None:
    payment = Payment(ALICE, Balance(amount), tuple(notes))
    data = PAYMENT.encode(payment)
    assert PAYMENT.decode(data) == payment
    assert msgpack.unpackb(data) == [ALICE, amount, notes]
    assert msgpack.packb([ALICE, amount, notes]) == data


@pytest.mark.parametrize(
    "spelling",
    [
        b"\xcd\x00\x07",  # 7 as two bytes
        b"\xcf\x00\x00\x00\x00\x00\x00\x00\x07",  # 7 as eight bytes
        b"\x07\x07",  # something after the value
        b"",
        b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",  # above 2^63 - 1
        b"\xff",  # -1
        b"\xca\x40\xe0\x00\x00",  # 7.0
        b"\xc3",  # true
    ],
)
def test_other_spellings_of_a_number_are_refused(spelling: bytes) -> None:
    with pytest.raises(CodecError):
        Codec[int](U63).decode(spelling)


@pytest.mark.parametrize("text", [b"\xff\xfe", b"\xc3", b"\xed\xa0\x80", b"\xc0\x80"])
def test_text_that_is_no_utf_8_is_refused(text: bytes) -> None:
    fields = b"\x93" + msgpack.packb(ALICE) + b"\x01\x91" + bytes([0xA0 + len(text)]) + text
    with pytest.raises(CodecError):
        PAYMENT.decode(fields)


def test_half_a_character_is_not_encoded() -> None:
    with pytest.raises(CodecError):
        PAYMENT.encode(Payment(ALICE, Balance(1), ("\ud800",)))


@pytest.mark.parametrize(
    "fields",
    [
        [ALICE, 1],
        [ALICE, 1, [], 0],
        [ALICE[1:], 1, []],
        [ALICE, -1, []],
        [ALICE, 2**63, []],
        [ALICE, 1, ["a", "b", "c"]],
        [ALICE, 1, [b"a"]],
        {"to": ALICE, "amount": 1, "notes": []},
    ],
)
def test_a_record_with_a_wrong_field_is_refused(fields: object) -> None:
    with pytest.raises(CodecError):
        PAYMENT.decode(msgpack.packb(fields))


def test_a_value_outside_its_type_is_not_encoded() -> None:
    with pytest.raises(CodecError):
        PAYMENT.encode(Payment(ALICE, Balance(-1), ()))


class Nested(Record, frozen=True):
    inner: "Nested | None"


def test_deep_nesting_is_refused_not_a_recursion_error() -> None:
    with pytest.raises(CodecError):
        Codec[Nested](Nested).decode(b"\x91" * 100_000 + b"\xc0")


@given(st.binary(max_size=80))
def test_whatever_decodes_encodes_to_the_same_bytes(data: bytes) -> None:
    try:
        payment = PAYMENT.decode(data)
    except CodecError:
        return
    assert PAYMENT.encode(payment) == data


@pytest.mark.parametrize(
    "type_",
    [
        float,
        int,
        dict[str, bool],
        object,
        set[bool],
        Annotated[int, msgspec.Meta(ge=0)],
    ],
)
def test_types_with_more_than_one_spelling_are_refused(type_: object) -> None:
    with pytest.raises(TypeError):
        Codec[object](type_)
