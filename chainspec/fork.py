"""A chain that goes on, with other validators, from the state of one that has stopped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from chainspec.genesis import genesis_block
from chainspec.spec import (
    Address,
    Authority,
    ChainSpec,
    Digest,
    Genesis,
    Key,
    Origin,
    RawGenesis,
    identity_of,
    parse_spec,
    spec_text,
    validators_of,
)
from frame.state import DictState
from frame.validators import Validator
from primitives.block import Header, block_hash
from primitives.state_root import state_root
from primitives.types import TimestampMs
from runtime.constants import SPEC_VERSION
from runtime.fork import ForkConfig
from runtime.runtime import Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class Successor:
    """What is new about the chain."""

    name: str
    id: str
    fork_id: str
    boot_nodes: Sequence[str]
    validators: Sequence[Validator]


@dataclass(frozen=True, slots=True)
class Forked:
    """The new chain."""

    spec: ChainSpec
    entries: tuple[tuple[bytes, bytes], ...]
    """Its genesis state, ascending by key."""

    issuance: int
    """In smallest units; as much as there was."""

    cancelled: int
    """Jobs that were open, and were refunded."""


def fork_chain(
    old: ChainSpec, header: Header, entries: Mapping[bytes, bytes], successor: Successor
) -> Forked:
    """The chain that goes on from the state `entries` after the block `header` of the chain `old`.

    A pure function of these: whoever has the same block gets the same chain.

    Raises SpecError or ForkRefused if there can be none like that.
    """
    runtime, state = Runtime(), DictState(entries)
    draft = _spec(old, header, successor, runtime.query(state, "timestamp.now_ms"))
    cancelled, issuance = len(runtime.open_jobs(state)), runtime.query(state, "balances.issuance")
    config = ForkConfig(identity_of(draft), validators_of(draft))
    state.apply(runtime.fork(state, config))
    runtime.check_state(state)
    assert runtime.query(state, "balances.issuance") == issuance
    raw = draft.genesis.raw_genesis
    assert raw is not None
    root = Digest(state_root(state.entries.items()))
    spec = replace(draft, genesis=Genesis(raw_genesis=replace(raw, state_root_hash=root)))
    return Forked(spec, tuple(sorted(state.entries.items())), issuance, cancelled)


def _spec(old: ChainSpec, header: Header, successor: Successor, genesis_ms: TimestampMs) -> ChainSpec:
    """Everything but the root, checked like a file. Raises SpecError."""
    raw = RawGenesis(
        spec_version=SPEC_VERSION,
        state_root_hash=Digest(bytes(32)),
        timestamp_ms=genesis_ms,
        validators=tuple(
            Authority(account=Address(one.account), session_key=Key(one.key), stake=one.stake)
            for one in successor.validators
        ),
        forked_from=Origin(
            chain=old.id,
            genesis_hash=Digest(block_hash(genesis_block(old).header)),
            height=header.height,
            block_hash=Digest(block_hash(header)),
        ),
    )
    spec = replace(
        old,
        name=successor.name,
        id=successor.id,
        fork_id=successor.fork_id,
        boot_nodes=tuple(successor.boot_nodes),
        genesis=Genesis(raw_genesis=raw),
    )
    return parse_spec(spec_text(spec))
