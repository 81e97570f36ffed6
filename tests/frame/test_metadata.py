"""The metadata says all that a client needs, and its encoding is the runtime's own."""

from typing import Any

import msgpack
import msgspec
import pytest

from frame.description import describe_pallet, describe_type
from frame.metadata import (
    AccountType,
    BalanceType,
    BoolType,
    BytesType,
    CallInfo,
    CallType,
    EnumType,
    FieldInfo,
    IntType,
    ListType,
    OptionalType,
    PalletInfo,
    RecordType,
    TextType,
    TupleType,
    TypeInfo,
    decode_fields,
    decode_value,
    encode_fields,
    encode_value,
    storage_key,
)
from primitives.extrinsic import CALL, Call
from primitives.types import U8, AccountId, Balance, Hash
from tests.frame.probe import Colour, Config, Pair, Probe, probe

WHO = AccountId(b"\x07" * 32)
PAIR_TYPE = RecordType(
    "Pair",
    (FieldInfo("left", IntType(0, 255), ""), FieldInfo("right", OptionalType(TextType(0, 8)), "")),
)


@pytest.fixture(scope="module")
def info() -> PalletInfo:
    return describe_pallet(Probe, 9, Config(limit=Balance(5)))


@pytest.mark.parametrize(
    ("annotation", "described"),
    [
        (AccountId, AccountType()),
        (Balance, BalanceType()),
        (Hash, BytesType(32, 32)),
        (U8, IntType(0, 255)),
        (Call, CallType()),
        (bool, BoolType()),
        (bytes, BytesType(0, None)),
        (U8 | None, OptionalType(IntType(0, 255))),
        (tuple[U8, bool], TupleType((IntType(0, 255), BoolType()))),
        (tuple[U8, ...], ListType(IntType(0, 255), 0, None)),
        (Colour, EnumType("Colour", {"red": 0, "blue": 7})),
        (Pair, PAIR_TYPE),
    ],
)
def test_a_type_is_described_by_its_structure(annotation: Any, described: TypeInfo) -> None:
    assert describe_type(annotation) == described


@pytest.mark.parametrize("annotation", [float, int, dict[str, int], U8 | bool, list[U8]])
def test_a_type_without_a_wire_form_has_no_description(annotation: Any) -> None:
    with pytest.raises(TypeError):
        describe_type(annotation)


def test_calls_come_with_help_for_each_argument(info: PalletInfo) -> None:
    assert info.calls[0] == CallInfo(
        name="note",
        index=0,
        call_class="normal",
        is_inherent=False,
        parameters=(
            FieldInfo("pair", PAIR_TYPE, "what to note, on more than one line."),
            FieldInfo("refuse", BoolType(), "whether to write and then refuse."),
        ),
        weight=(1, 2),
        docs="Note a pair. Origin: Signed.",
    )
    assert [(call.name, call.call_class, call.is_inherent, call.weight) for call in info.calls[1:]] == [
        ("add", "operational", False, None),
        ("nest", "normal", False, (1, 2)),
        ("tell", "mandatory", True, (1, 2)),
    ]


def test_everything_else_is_described_too(info: PalletInfo) -> None:
    assert (info.name, info.index, info.docs) == ("probe", 9, "One of everything.")
    assert [(item.name, len(item.keys), item.default) for item in info.storage] == [
        ("count", 0, 0),
        ("pair", 0, None),
        ("notes", 1, None),
        ("grid", 2, 0),
    ]
    assert [(event.name, [field.name for field in event.fields]) for event in info.events] == [
        ("Noted", ["who", "pair"])
    ]
    assert [(error.name, error.docs) for error in info.errors] == [("Refused", "Always.")]
    assert [(constant.name, constant.value) for constant in info.constants] == [("limit", 5)]
    assert [(view.name, view.parameters[0].docs, view.returns) for view in info.views] == [
        ("noted", "by whom.", OptionalType(PAIR_TYPE))
    ]


def test_the_metadata_survives_json(info: PalletInfo) -> None:
    assert msgspec.json.decode(msgspec.json.encode(info), type=PalletInfo) == info


def test_a_client_encodes_what_the_runtime_decodes(info: PalletInfo) -> None:
    values = {"pair": {"left": 3, "right": "ab"}, "refuse": False}
    data = encode_fields(info.calls[0].parameters, values)
    assert data == msgpack.packb([[3, "ab"], False])
    assert Probe.calls[0].arguments.decode(data) == (Pair(3, "ab"), False)
    assert decode_fields(info.calls[0].parameters, data) == values


def test_a_client_finds_the_entries_of_a_map(info: PalletInfo) -> None:
    assert storage_key(info.storage[2], [f"0x{WHO.hex()}"]) == probe().notes.key_of(WHO)
    assert storage_key(info.storage[3], [5, "a"]) == probe().grid.key_of((5, "a"))


def test_a_call_is_an_argument_like_any_other() -> None:
    call = Call(2, 0, b"\x01\x02")
    value = {"pallet": 2, "function": 0, "arguments": "0x0102"}
    assert encode_value(CallType(), value) == CALL.encode(call)
    assert decode_value(CallType(), CALL.encode(call)) == value
    with pytest.raises(ValueError, match="pallet: expected an integer from 0 to 255"):
        encode_value(CallType(), value | {"pallet": 256})
    with pytest.raises(ValueError, match="expected an array of 3"):
        decode_value(CallType(), b"\x90")


def test_a_missing_optional_is_null() -> None:
    assert encode_value(PAIR_TYPE, {"left": 1}) == msgpack.packb([1, None])


@pytest.mark.parametrize(
    ("type_", "value", "path"),
    [
        (PAIR_TYPE, {"right": "a"}, "left: missing"),
        (PAIR_TYPE, {"left": 1, "wrong": 1}, "wrong: there is no such field"),
        (PAIR_TYPE, {"left": 256}, "left: expected an integer from 0 to 255"),
        (PAIR_TYPE, {"left": True}, "left: expected an integer"),
        (PAIR_TYPE, {"left": 1, "right": "x" * 9}, "right: expected a text of 0 to 8"),
        (PAIR_TYPE, [1, 2], "value: expected an object"),
        (BalanceType(), -1, "expected an amount"),
        (BoolType(), 1, "expected true or false"),
        (AccountType(), "0x12", "expected 0x and 32 bytes"),
        (AccountType(), "5FA9", "expected 0x and 32 bytes"),
        (BytesType(0, 4), "0xzz", "expected 0x and 0 to 4 bytes"),
        (EnumType("Colour", {"red": 0}), "green", "expected one of red"),
        (EnumType("Colour", {"red": 0}), [], "expected one of red"),
        (TupleType((BoolType(), BoolType())), [True], "expected 2 values"),
        (ListType(BoolType(), 1, 2), [], "expected a list of 1 to 2 items"),
        (ListType(BoolType(), 0, None), [True, 1], "[1]: expected true or false"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_its_path(type_: TypeInfo, value: Any, path: str) -> None:
    with pytest.raises(ValueError, match=path.replace("[", r"\[").replace("]", r"\]")):
        encode_value(type_, value)


@pytest.mark.parametrize(
    "data", [b"", b"\x93\x01\xc0\xc0", b"\x92\xa1x\xc0", b"\x92\xcd\x01\x00\xc0", b"\xc1"]
)
def test_bytes_of_another_type_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode_value(PAIR_TYPE, data)
