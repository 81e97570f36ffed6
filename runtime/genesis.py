"""The state of block 0."""

from typing import Annotated

import msgspec

from frame.context import BlockContext, Context
from frame.host import HostFunctions
from frame.state import Changes, DictState, Overlay
from frame.validators import Candidate
from pallets import session, system
from primitives.block import GENESIS_PARENT
from primitives.codec import Record
from primitives.types import AccountId, Balance, BlockNumber, EpochIndex, PublicKey, TimestampMs
from runtime.pallets import Pallets

ENDOWMENTS_MAX = 100_000
"""Most accounts in a chain specification."""


class Endowment(Record, frozen=True):
    """An account that exists from the start, and what it has."""

    account: AccountId
    amount: Balance


class GenesisConfig(Record, frozen=True):
    """What a chain specification says to the pallets."""

    system: system.Genesis
    timestamp_ms: TimestampMs
    """Of block 0."""

    balances: Annotated[tuple[Endowment, ...], msgspec.Meta(max_length=ENDOWMENTS_MAX)]
    session: session.Genesis
    sudo: AccountId | None
    """Who may call as root."""


def genesis_changes(config: GenesisConfig, host: HostFunctions) -> Changes:
    """The state of block 0 as changes to the empty state. The values were checked by `chainspec`."""
    block = BlockContext(
        EpochIndex(0), BlockNumber(0), GENESIS_PARENT, config.timestamp_ms, PublicKey(bytes(32))
    )
    overlay = Overlay(DictState())
    pallets = Pallets(Context(overlay, block, host))
    pallets.system.build_genesis(config.system)
    pallets.timestamp.build_genesis(config.timestamp_ms)
    pallets.balances.build_genesis({one.account: one.amount for one in config.balances})
    pallets.session.build_genesis(config.session)
    pallets.validators.build_genesis(
        tuple(Candidate(one.account, one.stake) for one in config.session.validators)
    )
    pallets.sudo.build_genesis(config.sudo)
    return overlay.changes()
