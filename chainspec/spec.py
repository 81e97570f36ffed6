"""The chain specification: the file from which every node of a chain makes the same block 0.

Only names, boot nodes and properties may differ between nodes of one chain: all else is in the genesis state,
so that a changed file gives another genesis hash.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, Literal

import msgspec

from frame.state import Changes, DictState
from frame.validators import Validator
from pallets import session, system
from pallets.session import EPOCH_LENGTH_MAX, MILLISECONDS_MAX
from primitives.block import GENESIS_PARENT, Body, Header, body_root
from primitives.committee import MEMBERS_MAX, Committee, committee_root
from primitives.outcome import BlockOutcome, events_root
from primitives.ss58 import DEFAULT_PREFIX, decode_address, encode_address
from primitives.types import (
    U63_MAX,
    AccountId,
    Balance,
    BlockNumber,
    EpochIndex,
    Hash,
    PublicKey,
    SpecVersion,
    Stake,
    TimestampMs,
    View,
)
from runtime.constants import BALANCES, SPEC_VERSION, TOKEN, TOKEN_DECIMALS
from runtime.genesis import ENDOWMENTS_MAX, Endowment, GenesisConfig
from runtime.runtime import Runtime

SPEC_BYTES_MAX: Final = 32 * 1024 * 1024
"""Longest file that is looked at: the most endowments, with room."""

_DECIMAL: Final = r"^(0|[1-9][0-9]{0,10})(\.[0-9]{1,9})?\Z"


class SpecError(ValueError):
    """The specification is not one; the message starts with the path of the key."""

    def __init__(self, path: str, reason: str) -> None:
        """`path` as in `$.genesis`."""
        super().__init__(f"{path}: {reason}")


class Address(bytes):
    """An account, written as SS58."""


class Key(bytes):
    """A public key, written as 0x and 64 hexadecimal digits."""


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Base of what is an object in the file."""


class Properties(_Part, frozen=True):
    """How clients show what is on the chain."""

    token_symbol: Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{1,12}\Z")]
    token_decimals: int
    ss58_format: Annotated[int, msgspec.Meta(ge=0, le=63)] = msgspec.field(
        default=DEFAULT_PREFIX, name="ss58Format"
    )


class Consensus(_Part, frozen=True):
    """Written into the genesis state; nothing reads it from here afterwards."""

    engine: Literal["instant", "simplex"]
    block_time_ms: Annotated[int, msgspec.Meta(ge=1, le=MILLISECONDS_MAX)]
    delta_ms: Annotated[int, msgspec.Meta(ge=1, le=MILLISECONDS_MAX)]
    epoch_length: Annotated[int, msgspec.Meta(ge=1, le=EPOCH_LENGTH_MAX)]


class Funded(_Part, frozen=True):
    """An account of block 0."""

    account: Address
    tokens: Annotated[str, msgspec.Meta(pattern=_DECIMAL)]
    """Decimal, in whole tokens and up to nine digits of a fraction."""


class Authority(_Part, frozen=True):
    """A validator of epoch 1."""

    account: Address
    session_key: Key
    stake: Annotated[int, msgspec.Meta(ge=1, le=U63_MAX)]


class BalancesConfig(_Part, frozen=True):
    """Pallet balances."""

    endowments: Annotated[tuple[Funded, ...], msgspec.Meta(max_length=ENDOWMENTS_MAX)]


class SessionConfig(_Part, frozen=True):
    """Pallet session."""

    validators: Annotated[tuple[Authority, ...], msgspec.Meta(min_length=1, max_length=MEMBERS_MAX)]


class SudoConfig(_Part, frozen=True):
    """Pallet sudo."""

    key: Address
    """The account that may call as root."""


class TimestampConfig(_Part, frozen=True):
    """Pallet timestamp."""

    now_ms: Annotated[int, msgspec.Meta(ge=0, le=U63_MAX)]
    """Timestamp of block 0, in milliseconds since the Unix epoch."""


class PalletsConfig(_Part, frozen=True):
    """What each pallet is told at genesis."""

    balances: BalancesConfig
    session: SessionConfig
    timestamp: TimestampConfig
    sudo: SudoConfig | None = None
    """Left out, nobody is root."""


class RuntimeGenesis(_Part, frozen=True):
    """The genesis state, as what the runtime makes it from."""

    spec_version: int
    config: PalletsConfig


class Genesis(_Part, frozen=True):
    """Where block 0 comes from."""

    runtime_genesis: RuntimeGenesis


class ChainSpec(_Part, frozen=True):
    """A chain. Made by `parse_spec`, which checks what the types cannot say."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    id: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}\Z")]
    """Names the directory of the chain."""

    chain_type: Literal["Development", "Local", "Live"]
    boot_nodes: Annotated[
        tuple[Annotated[str, msgspec.Meta(max_length=256)], ...], msgspec.Meta(max_length=64)
    ]
    """Multiaddresses."""

    properties: Properties
    fork_id: Annotated[str, msgspec.Meta(max_length=64)]
    """Part of every signed extrinsic: tells forks of one genesis apart."""

    consensus: Consensus
    genesis: Genesis


def parse_spec(data: bytes) -> ChainSpec:
    """The specification in a file. Raises SpecError."""
    if len(data) > SPEC_BYTES_MAX:
        raise SpecError("$", f"{len(data)} bytes; a chain specification has at most {SPEC_BYTES_MAX}")
    try:
        prefix = msgspec.json.decode(data, type=_Prefix).properties.ss58_format
        spec = msgspec.json.decode(data, type=ChainSpec, dec_hook=_reader(prefix))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason, _, path = str(error).partition(" - at `")
        raise SpecError(path.rstrip("`") or "$", reason) from None
    _ensure_possible(spec)
    return spec


def spec_text(spec: ChainSpec) -> bytes:
    """The file of a specification; `parse_spec` gives the same one back."""
    data = msgspec.json.encode(spec, enc_hook=_writer(spec.properties.ss58_format))
    return msgspec.json.format(data, indent=2) + b"\n"


def genesis_config(spec: ChainSpec) -> GenesisConfig:
    """What the runtime makes the genesis state from."""
    given, config = spec.consensus, spec.genesis.runtime_genesis.config
    consensus = session.Consensus(
        engine=session.Engine[given.engine.upper()],
        block_time_ms=given.block_time_ms,
        delta_ms=given.delta_ms,
        epoch_length=given.epoch_length,
    )
    validators = tuple(
        Validator(AccountId(bytes(one.account)), PublicKey(bytes(one.session_key)), Stake(one.stake))
        for one in config.session.validators
    )
    return GenesisConfig(
        system=system.Genesis(SpecVersion(spec.genesis.runtime_genesis.spec_version), spec.fork_id),
        timestamp_ms=TimestampMs(config.timestamp.now_ms),
        balances=tuple(
            Endowment(AccountId(bytes(one.account)), Balance(_units(one.tokens)))
            for one in config.balances.endowments
        ),
        session=session.Genesis(consensus, validators),
        sudo=None if config.sudo is None else AccountId(bytes(config.sudo.key)),
    )


def genesis_changes(spec: ChainSpec) -> Changes:
    """The state of block 0, as changes to the empty state."""
    return Runtime().build_genesis(genesis_config(spec))


def genesis_committee(spec: ChainSpec) -> Committee:
    """The committee of epoch 1."""
    state = DictState()
    state.apply(genesis_changes(spec))
    return Runtime().committee(state)


def genesis_header(spec: ChainSpec, state_root: Hash) -> Header:
    """The header of block 0, whose hash names the chain; `state_root` is that of `genesis_changes`."""
    return Header(
        epoch=EpochIndex(0),
        view=View(0),
        height=BlockNumber(0),
        parent=GENESIS_PARENT,
        state_root=state_root,
        body_root=body_root(Body((), ())),
        events_root=events_root(BlockOutcome((), ())),
        timestamp_ms=TimestampMs(spec.genesis.runtime_genesis.config.timestamp.now_ms),
        author=PublicKey(bytes(32)),
        next_set=committee_root(genesis_committee(spec)),
    )


class _PrefixProperties(msgspec.Struct, rename="camel"):
    ss58_format: Annotated[int, msgspec.Meta(ge=0, le=63)] = msgspec.field(
        default=DEFAULT_PREFIX, name="ss58Format"
    )


class _Prefix(msgspec.Struct):
    """The one value that is needed to read the others."""

    properties: _PrefixProperties


def _reader(prefix: int) -> Callable[[type, Any], Any]:
    def read(type_: type, value: Any) -> Any:
        if not isinstance(value, str):
            raise ValueError("Expected a text")
        if type_ is Address:
            return Address(decode_address(value, prefix))
        if not value.startswith("0x") or len(value) != 66:
            raise ValueError("Expected 0x and 64 hexadecimal digits")
        return Key(bytes.fromhex(value[2:]))

    return read


def _writer(prefix: int) -> Callable[[Any], str]:
    def write(value: Any) -> str:
        if isinstance(value, Address):
            return encode_address(AccountId(bytes(value)), prefix)
        return f"0x{value.hex()}"

    return write


def _units(tokens: str) -> int:
    """Smallest units of a decimal number of tokens."""
    whole, _, fraction = tokens.partition(".")
    return int(whole) * TOKEN + int(fraction.ljust(TOKEN_DECIMALS, "0"))


def _ensure_possible(spec: ChainSpec) -> None:
    """What must hold between the values. Raises SpecError."""
    runtime = spec.genesis.runtime_genesis
    if runtime.spec_version != SPEC_VERSION:
        raise SpecError("$.genesis.runtimeGenesis.specVersion", f"this release knows version {SPEC_VERSION}")
    if spec.properties.token_decimals != TOKEN_DECIMALS:
        raise SpecError("$.properties.tokenDecimals", f"the token has {TOKEN_DECIMALS} decimals")
    validators = runtime.config.session.validators
    if spec.consensus.engine == "instant" and len(validators) != 1:
        raise SpecError("$.consensus.engine", "the instant engine has one validator")
    for index, address in enumerate(spec.boot_nodes):
        if not address.startswith("/"):
            raise SpecError(f"$.bootNodes[{index}]", "a multiaddress starts with '/'")
    _ensure_endowments(runtime.config.balances.endowments)
    _ensure_validators(validators)


def _ensure_endowments(endowments: Sequence[Funded]) -> None:
    path = "$.genesis.runtimeGenesis.config.balances.endowments"
    total, seen = 0, set[bytes]()
    for index, one in enumerate(endowments):
        if one.account in seen:
            raise SpecError(f"{path}[{index}].account", "stands twice in the list")
        if _units(one.tokens) < BALANCES.existential_deposit:
            raise SpecError(f"{path}[{index}].tokens", "less than the existential deposit")
        seen.add(one.account)
        total += _units(one.tokens)
    if total > U63_MAX:
        raise SpecError(path, f"together more than {U63_MAX // TOKEN} tokens")


def _ensure_validators(validators: Sequence[Authority]) -> None:
    path = "$.genesis.runtimeGenesis.config.session.validators"
    for field in ("account", "session_key"):
        if len({getattr(one, field) for one in validators}) != len(validators):
            raise SpecError(path, f"two validators have the same {field.replace('_', ' ')}")
    if sum(one.stake for one in validators) > U63_MAX:
        raise SpecError(path, "the total stake is too large")
