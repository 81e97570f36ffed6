"""Values of the chain as people type and read them, under the types of the metadata."""

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cli.amounts import Token
from cli.errors import UserError
from cli.lookup import find_call, name_call
from frame.metadata import (
    AccountType,
    BalanceType,
    BoolType,
    BytesType,
    CallType,
    EnumType,
    FieldInfo,
    IntType,
    ListType,
    Metadata,
    OptionalType,
    RecordType,
    StorageInfo,
    TextType,
    TupleType,
    TypeInfo,
    decode_fields,
    encode_fields,
    storage_key,
)
from primitives.extrinsic import Call
from primitives.ss58 import encode_address
from primitives.types import AccountId

FILE_BYTES_MAX: Final = 1024 * 1024
"""Largest file that `@FILE` reads: more than fits into an extrinsic."""

NOTHING: Final = "none"
"""How the absent value of an optional is typed and shown."""


@dataclass(frozen=True, slots=True)
class Values:
    """Reads and shows values of one chain."""

    token: Token
    prefix: int
    """The SS58 prefix of its addresses."""

    account: Callable[[str], AccountId]
    """What an account's address or name stands for; raises UserError."""

    metadata: Callable[[], Metadata]
    """What the chain can do; fetched when a call stands among the values."""

    def key(self, info: StorageInfo, keys: Sequence[str]) -> bytes:
        """The storage key of an entry, from keys as a person types them. Raises UserError."""
        wanted = ", ".join(map(describe, info.keys)) or "no key"
        if len(keys) != len(info.keys):
            raise UserError(f"{info.name} has {len(info.keys)} keys, not {len(keys)}", f"give {wanted}")
        pairs = zip(info.keys, keys, strict=True)
        parsed = [self.parse(type_, text, f"key {at}") for at, (type_, text) in enumerate(pairs, 1)]
        try:
            return storage_key(info, parsed)
        except ValueError as error:
            raise UserError(f"{info.name}: {error}", f"give {wanted}") from None

    def call(self, name: str, arguments: Mapping[str, str]) -> Call:
        """The call `pallet.call` with arguments as a person types them. Raises UserError."""
        pallet, info = find_call(self.metadata(), name)
        fields = {field.name: field for field in info.parameters}
        values: dict[str, Any] = {}
        for given, text in arguments.items():
            if given not in fields:
                known = ", ".join(f"--{field}" for field in fields) or "none"
                raise UserError(f"{name} has no argument --{given}", f"it takes {known}")
            values[given] = self.parse(fields[given].type, text, f"--{given}")
        missing = [field for field in info.parameters if _must_be_given(field) and field.name not in values]
        if missing:
            listed = ", ".join(f"--{field.name} ({describe(field.type)})" for field in missing)
            raise UserError(f"{name} lacks arguments", f"add {listed}")
        try:
            return Call(pallet.index, info.index, encode_fields(info.parameters, values))
        except ValueError as error:
            raise UserError(f"{name}: --{error}", f"see `consil tx submit {name} --help`") from None

    def wrap(self, name: str, inner: Call) -> Call:
        """The call `pallet.call` whose one argument is another call. Raises UserError."""
        pallet, info = find_call(self.metadata(), name)
        [field] = info.parameters
        return Call(pallet.index, info.index, encode_fields(info.parameters, {field.name: _jsonable(inner)}))

    def parse(self, type_: TypeInfo, text: str, path: str) -> Any:
        """The JSON-able value that `text` means. Raises UserError, naming `path`."""
        if isinstance(type_, RecordType | TupleType | ListType):
            try:
                document = json.loads(text)
            except ValueError as error:
                raise UserError(f"{path}: not JSON ({error})", f"write {describe(type_)}") from None
            return self._from_json(type_, document, path)
        return self._from_json(type_, text, path)

    def show(self, type_: TypeInfo, value: Any) -> str:
        """One line for a JSON-able value; structures as JSON with amounts and addresses in it."""
        shown = self.readable(type_, value)
        return shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False)

    def readable(self, type_: TypeInfo, value: Any) -> Any:
        """The same value with amounts in tokens and accounts as addresses."""
        match type_:
            case OptionalType(inner):
                return NOTHING if value is None else self.readable(inner, value)
            case RecordType(_, fields):
                return {field.name: self.readable(field.type, value[field.name]) for field in fields}
            case TupleType(items):
                return [self.readable(inner, part) for inner, part in zip(items, value, strict=True)]
            case ListType(item):
                return [self.readable(item, part) for part in value]
            case BalanceType():
                return self.token.format(value)
            case AccountType():
                return encode_address(AccountId(bytes.fromhex(value[2:])), self.prefix)
            case CallType():
                return self._show_call(value)
            case _:
                return value

    def _show_call(self, value: Mapping[str, Any]) -> str:
        """As it would be typed; indices and bytes if the metadata has no such call."""
        try:
            pallet, info = name_call(self.metadata(), value["pallet"], value["function"])
            fields = decode_fields(info.parameters, bytes.fromhex(value["arguments"][2:]))
        except (LookupError, ValueError):
            return " ".join(map(str, value.values()))
        shown = [(field.name, self.show(field.type, fields[field.name])) for field in info.parameters]
        return " ".join(
            [f"{pallet.name}.{info.name}", *(f"--{name} {shlex.quote(text)}" for name, text in shown)]
        )

    def _parse_call(self, text: str, path: str) -> dict[str, Any]:
        """A call typed as one text."""
        try:
            name, *arguments = shlex.split(text) or [""]
            return _jsonable(self.call(name, options_of(arguments)))
        except ValueError as error:
            raise UserError(f"{path}: {error}", f"write {describe(CallType())}") from None

    def _from_json(self, type_: TypeInfo, value: Any, path: str) -> Any:
        match type_:
            case OptionalType(inner):
                return None if value in (None, NOTHING) else self._from_json(inner, value, path)
            case RecordType(_, fields):
                return self._record(fields, value, path)
            case TupleType(items) if isinstance(value, list) and len(value) == len(items):
                pairs = enumerate(zip(items, value, strict=True))
                return [self._from_json(inner, part, f"{path}[{at}]") for at, (inner, part) in pairs]
            case ListType(item) if isinstance(value, list):
                return [self._from_json(item, part, f"{path}[{at}]") for at, part in enumerate(value)]
            case _ if isinstance(value, str):
                return self._scalar(type_, value, path)
            case IntType() | BoolType() if isinstance(value, int):
                return value
        raise UserError(f"{path}: {json.dumps(value)[:80]} does not fit", f"write {describe(type_)}")

    def _record(self, fields: Sequence[FieldInfo], value: Any, path: str) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise UserError(
                f"{path}: expected a JSON object", f"write {describe(RecordType('', tuple(fields)))}"
            )
        types = {field.name: field.type for field in fields}
        for name in value:
            if name not in types:
                raise UserError(f"{path}.{name}: there is no such field", f"there are {', '.join(types)}")
        return {name: self._from_json(types[name], part, f"{path}.{name}") for name, part in value.items()}

    def _scalar(self, type_: TypeInfo, text: str, path: str) -> Any:
        try:
            match type_:
                case BalanceType():
                    return int(self.token.parse(text))
                case AccountType():
                    return f"0x{self.account(text).hex()}"
                case CallType():
                    return self._parse_call(text, path)
                case _:
                    return _plain_scalar(type_, text)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
        except (ValueError, KeyError):
            raise UserError(f"{path}: '{text[:80]}' does not fit", f"write {describe(type_)}") from None


def _jsonable(call: Call) -> dict[str, Any]:
    return {"pallet": call.pallet, "function": call.function, "arguments": f"0x{call.arguments.hex()}"}


def _must_be_given(field: FieldInfo) -> bool:
    return not isinstance(field.type, OptionalType)


def _plain_scalar(type_: TypeInfo, text: str) -> Any:
    """Raises ValueError, KeyError for text that is none of the type; UserError for a file."""
    match type_:
        case IntType():
            return int(text)
        case BoolType():
            return {"true": True, "false": False}[text.lower()]
        case EnumType(_, members):
            return {name: name for name in members}[text]
        case BytesType() if text.startswith("@"):
            return f"0x{_file_bytes(Path(text[1:])).hex()}"
        case BytesType() if text.startswith("0x"):
            return f"0x{bytes.fromhex(text[2:]).hex()}"
        case TextType():
            return text
    raise ValueError


def options_of(arguments: Sequence[str]) -> dict[str, str]:
    """`--name value` and `--name=value` pairs. Raises ValueError for anything else."""
    found: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        option = rest.pop(0)
        if not option.startswith("--"):
            raise ValueError(f"'{option}' stands alone; write --NAME VALUE")
        name, equals, value = option[2:].partition("=")
        if not equals:
            if not rest:
                raise ValueError(f"{option} lacks a value")
            value = rest.pop(0)
        name = name.replace("-", "_")
        if name in found:
            raise ValueError(f"{option} is given twice")
        found[name] = value
    return found


def describe(type_: TypeInfo) -> str:
    """What to type for a value of the type."""
    match type_:
        case OptionalType(inner):
            return f"{describe(inner)}, or {NOTHING}"
        case ListType(item):
            return f"a JSON list, each item {describe(item)}"
        case TupleType(items):
            return f"a JSON list of {', '.join(map(describe, items))}"
        case RecordType(_, fields):
            return "JSON {" + ", ".join(f'"{field.name}": {describe(field.type)}' for field in fields) + "}"
        case EnumType(_, members):
            return f"one of {', '.join(members)}"
        case IntType(low, high):
            return f"an integer from {low}" if high >= 2**31 else f"an integer from {low} to {high}"
        case _:
            return _PLAIN[type(type_)]


_PLAIN: Final[Mapping[type, str]] = {
    BalanceType: "an amount such as 1.5 or '1500 plank'",
    AccountType: "an address, //Alice or a keystore name",
    BytesType: "0x and hexadecimal digits, or @FILE",
    CallType: "a call in quotes, such as 'balances.transfer --destination //Bob --amount 1.5'",
    TextType: "text",
    BoolType: "true or false",
}


def _file_bytes(path: Path) -> bytes:
    try:
        with path.expanduser().open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}", "check the path") from None
    if len(data) > FILE_BYTES_MAX:
        raise UserError(f"{path} has more than {FILE_BYTES_MAX} bytes", "no transaction is that large")
    return data
