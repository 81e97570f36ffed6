"""The chain specification: the file from which every node of a chain makes the same block 0.

Only names, boot nodes and properties may differ between nodes of one chain: all else is in the genesis state,
so that a changed file gives another genesis hash.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, Literal

import msgspec

from frame.state import Changes
from frame.validators import Validator
from pallets import session, system
from pallets.session import EPOCH_LENGTH_MAX, MILLISECONDS_MAX
from primitives.block import GENESIS_PARENT, Body, Header, body_root
from primitives.committee import MEMBERS_MAX, Committee, Member, committee_root
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


class Digest(bytes):
    """A hash, written like a key."""


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


class Origin(_Part, frozen=True):
    """The block of another chain whose state a chain goes on from; for people, nothing depends on it."""

    chain: Annotated[str, msgspec.Meta(max_length=64)]
    """Its id."""

    genesis_hash: Digest
    height: Annotated[int, msgspec.Meta(ge=0, le=U63_MAX)]
    block_hash: Digest


class RawGenesis(_Part, frozen=True):
    """The genesis state by its root; the entries are in a file beside this one (`chainspec.state_file`).

    What else makes up block 0 stands here too, so that only a node that executes from block 0 on needs them.
    """

    spec_version: int
    state_root_hash: Digest
    timestamp_ms: Annotated[int, msgspec.Meta(ge=0, le=U63_MAX)]
    """Of block 0, in milliseconds since the Unix epoch."""

    validators: Annotated[tuple[Authority, ...], msgspec.Meta(min_length=1, max_length=MEMBERS_MAX)]
    """Of epoch 1, in the order of the committee."""

    forked_from: Origin


class Genesis(_Part, frozen=True, omit_defaults=True):
    """Where block 0 comes from: one of the two."""

    runtime_genesis: RuntimeGenesis | None = None
    raw_genesis: RawGenesis | None = None

    @property
    def form(self) -> RuntimeGenesis | RawGenesis:
        """The one that is there; `parse_spec` saw that it is one."""
        form = self.runtime_genesis or self.raw_genesis
        assert form is not None
        return form


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

    @property
    def validators(self) -> tuple[Authority, ...]:
        """Those of epoch 1."""
        form = self.genesis.form
        return form.validators if isinstance(form, RawGenesis) else form.config.session.validators

    @property
    def genesis_ms(self) -> TimestampMs:
        """The timestamp of block 0."""
        form = self.genesis.form
        return TimestampMs(
            form.timestamp_ms if isinstance(form, RawGenesis) else form.config.timestamp.now_ms
        )


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


def consensus_of(spec: ChainSpec) -> session.Consensus:
    """The consensus parameters as the state has them."""
    given = spec.consensus
    return session.Consensus(
        engine=session.Engine[given.engine.upper()],
        block_time_ms=given.block_time_ms,
        delta_ms=given.delta_ms,
        epoch_length=given.epoch_length,
    )


def validators_of(spec: ChainSpec) -> tuple[Validator, ...]:
    """The validators of epoch 1 as the state has them."""
    return tuple(
        Validator(AccountId(bytes(one.account)), PublicKey(bytes(one.session_key)), Stake(one.stake))
        for one in spec.validators
    )


def identity_of(spec: ChainSpec) -> system.Genesis:
    """What tells the chain from its forks, as the state has it."""
    return system.Genesis(SpecVersion(spec.genesis.form.spec_version), spec.fork_id)


def genesis_config(spec: ChainSpec) -> GenesisConfig:
    """What the runtime makes the genesis state from; of a chain whose state is no raw one."""
    assert spec.genesis.runtime_genesis is not None
    config = spec.genesis.runtime_genesis.config
    return GenesisConfig(
        system=identity_of(spec),
        timestamp_ms=TimestampMs(config.timestamp.now_ms),
        balances=tuple(
            Endowment(AccountId(bytes(one.account)), Balance(_units(one.tokens)))
            for one in config.balances.endowments
        ),
        session=session.Genesis(consensus_of(spec), validators_of(spec)),
        sudo=None if config.sudo is None else AccountId(bytes(config.sudo.key)),
    )


def genesis_changes(spec: ChainSpec) -> Changes:
    """The state of block 0, as changes to the empty state; of a chain whose state is no raw one."""
    return Runtime().build_genesis(genesis_config(spec))


def genesis_committee(spec: ChainSpec) -> Committee:
    """The committee of epoch 1, as `session` seats it."""
    return Committee(
        epoch=EpochIndex(1),
        first_height=BlockNumber(1),
        last_height=BlockNumber(spec.consensus.epoch_length),
        spec_version=SpecVersion(spec.genesis.form.spec_version),
        members=tuple(Member(one.key, one.stake) for one in validators_of(spec)),
    )


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
        timestamp_ms=spec.genesis_ms,
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
        return type_(bytes.fromhex(value[2:]))

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
    runtime, raw = spec.genesis.runtime_genesis, spec.genesis.raw_genesis
    if (runtime is None) == (raw is None):
        raise SpecError("$.genesis", "either runtimeGenesis or rawGenesis")
    path = "$.genesis.rawGenesis" if runtime is None else "$.genesis.runtimeGenesis"
    if spec.genesis.form.spec_version != SPEC_VERSION:
        raise SpecError(f"{path}.specVersion", f"this release knows version {SPEC_VERSION}")
    if spec.properties.token_decimals != TOKEN_DECIMALS:
        raise SpecError("$.properties.tokenDecimals", f"the token has {TOKEN_DECIMALS} decimals")
    if spec.consensus.engine == "instant" and len(spec.validators) != 1:
        raise SpecError("$.consensus.engine", "the instant engine has one validator")
    for index, address in enumerate(spec.boot_nodes):
        if not address.startswith("/"):
            raise SpecError(f"$.bootNodes[{index}]", "a multiaddress starts with '/'")
    if runtime is not None:
        _ensure_endowments(runtime.config.balances.endowments)
        path += ".config.session"
    _ensure_validators(f"{path}.validators", spec.validators)


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


def _ensure_validators(path: str, validators: Sequence[Authority]) -> None:
    for field in ("account", "session_key"):
        if len({getattr(one, field) for one in validators}) != len(validators):
            raise SpecError(path, f"two validators have the same {field.replace('_', ' ')}")
    if sum(one.stake for one in validators) > U63_MAX:
        raise SpecError(path, "the total stake is too large")
