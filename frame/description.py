"""Metadata from declarations: what types, docstrings and decorators say, as plain records."""

import re
from collections.abc import Mapping
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass
from enum import IntEnum
from inspect import cleandoc
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec

from frame.call import CallDeclaration, ViewDeclaration
from frame.metadata import (
    AccountType,
    BalanceType,
    BoolType,
    BytesType,
    CallInfo,
    CallType,
    ConstantInfo,
    EnumType,
    ErrorInfo,
    EventInfo,
    FieldInfo,
    IntType,
    ListType,
    OptionalType,
    PalletInfo,
    RecordType,
    StorageInfo,
    TextType,
    TupleType,
    TypeInfo,
    ViewInfo,
    decode_value,
)
from frame.pallet import Pallet
from frame.storage import StorageItem
from frame.weight import Weight
from primitives.codec import Codec
from primitives.extrinsic import Call
from primitives.types import AccountId, Balance

_NOTE = re.compile(r"^`(\w+)`: (.+?)(?=^`\w+`: |\Z)", re.MULTILINE | re.DOTALL)


def describe_type(annotation: Any) -> TypeInfo:
    """The structure of a type. Raises TypeError for one that has no wire form."""
    if annotation is AccountId:
        return AccountType()
    if annotation is Balance:
        return BalanceType()
    if annotation is Call:
        return CallType()
    if hasattr(annotation, "__supertype__"):
        return describe_type(annotation.__supertype__)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _bounded(arguments[0], arguments[1])
    if origin in (Union, UnionType):
        return _optional(arguments)
    if origin is tuple:
        if arguments[-1:] == (Ellipsis,):
            return ListType(describe_type(arguments[0]), 0, None)
        return TupleType(tuple(describe_type(part) for part in arguments))
    return _named(annotation)


def describe_pallet(pallet: type[Pallet], index: int, config: object | None) -> PalletInfo:
    """Everything that a pallet declares; `config` holds its constants."""
    return PalletInfo(
        name=pallet.NAME,
        index=index,
        docs=_docs(pallet),
        storage=tuple(_storage(item) for item in pallet.storage.values()),
        calls=tuple(_call(declaration) for _, declaration in sorted(pallet.calls.items())),
        events=tuple(EventInfo(event.__name__, _fields(event), _docs(event)) for event in pallet.EVENTS),
        errors=tuple(ErrorInfo(error.__name__, _docs(error)) for error in pallet.ERRORS),
        constants=_constants(config) if is_dataclass(config) else (),
        views=tuple(_view(declaration) for declaration in pallet.views.values()),
    )


def jsonable(annotation: Any, value: Any) -> Any:
    """`value` as JSON can hold it, under its declared type."""
    return decode_value(describe_type(annotation), Codec[Any](annotation).encode(value))


def _bounded(base: Any, meta: msgspec.Meta) -> TypeInfo:
    low, high = meta.min_length or 0, meta.max_length
    if base is int and meta.ge is not None and meta.le is not None:
        return IntType(int(meta.ge), int(meta.le))
    if base is bytes:
        return BytesType(low, high)
    if base is str:
        return TextType(low, high)
    inner = describe_type(base)
    return ListType(inner.item, low, high) if isinstance(inner, ListType) else inner


def _optional(options: tuple[Any, ...]) -> TypeInfo:
    inner = [option for option in options if option is not NoneType]
    if len(inner) != 1 or len(options) != 2:
        raise TypeError(f"{options}: a union is of one type and None")
    return OptionalType(describe_type(inner[0]))


def _named(annotation: Any) -> TypeInfo:
    if annotation is bool:
        return BoolType()
    if annotation is bytes:
        return BytesType(0, None)
    if annotation is str:
        return TextType(0, None)
    if isinstance(annotation, type) and issubclass(annotation, IntEnum):
        return EnumType(annotation.__name__, {member.name.lower(): member.value for member in annotation})
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return RecordType(annotation.__name__, _fields(annotation))
    raise TypeError(f"{annotation} has no description")


def _fields(record: type[msgspec.Struct]) -> tuple[FieldInfo, ...]:
    return tuple(
        FieldInfo(field.name, describe_type(field.type), "") for field in msgspec.structs.fields(record)
    )


def _storage(item: StorageItem[Any, Any]) -> StorageInfo:
    return StorageInfo(
        name=item.name,
        prefix=item.prefix.hex(),
        keys=tuple(describe_type(key) for key in item.key_types),
        value=describe_type(item.value_type),
        default=None if item.default is None else jsonable(item.value_type, item.default),
    )


def _call(declaration: CallDeclaration) -> CallInfo:
    weight = declaration.weight
    return CallInfo(
        name=declaration.name,
        index=declaration.index,
        call_class=declaration.call_class.name.lower(),
        is_inherent=declaration.is_inherent,
        parameters=_parameters(declaration.parameters, declaration.docs),
        weight=(weight.reference_time_ps, weight.proof_size_bytes) if isinstance(weight, Weight) else None,
        docs=_summary(declaration.docs),
    )


def _view(declaration: ViewDeclaration) -> ViewInfo:
    return ViewInfo(
        name=declaration.name,
        parameters=_parameters(declaration.parameters, declaration.docs),
        returns=describe_type(declaration.returns),
        docs=_summary(declaration.docs),
    )


def _constants(config: Any) -> tuple[ConstantInfo, ...]:
    types = get_type_hints(type(config), include_extras=True)
    return tuple(
        ConstantInfo(
            name=field.name,
            type=describe_type(types[field.name]),
            value=jsonable(types[field.name], getattr(config, field.name)),
            docs="",
        )
        for field in dataclass_fields(config)
    )


def _parameters(types: Mapping[str, Any], docs: str) -> tuple[FieldInfo, ...]:
    """Parameters with what the docstring says of them, in lines such as "`amount`: how much"."""
    notes = {name: " ".join(text.split()) for name, text in _NOTE.findall(cleandoc(docs))}
    return tuple(FieldInfo(name, describe_type(type_), notes.get(name, "")) for name, type_ in types.items())


def _summary(docs: str) -> str:
    """A docstring without its lines about parameters."""
    return _NOTE.sub("", cleandoc(docs)).strip()


def _docs(declared: type) -> str:
    return cleandoc(declared.__doc__ or "")
