"""The state of block 0 of a chain that goes on from the state of another one."""

from typing import Annotated

import msgspec

from frame.context import BlockContext, Context
from frame.host import HostFunctions
from frame.state import Changes, Overlay, StateView
from frame.validators import Candidate, Validator
from pallets import system
from pallets.session.types import KeyInUse
from primitives.block import GENESIS_PARENT
from primitives.codec import Record
from primitives.committee import MEMBERS_MAX
from primitives.types import EpochIndex, PublicKey, TimestampMs
from runtime.pallets import Pallets


class ForkConfig(Record, frozen=True):
    """What differs from the chain whose state it is."""

    system: system.Genesis
    validators: Annotated[tuple[Validator, ...], msgspec.Meta(min_length=1, max_length=MEMBERS_MAX)]
    """Of epoch 1, in the place of those that there were; checked by `chainspec`."""


class ForkRefused(ValueError):
    """The chain cannot go on like that; one line says why."""


def fork_changes(state: StateView, config: ForkConfig, host: HostFunctions) -> Changes:
    """What makes `state`, between two blocks of another chain, a block 0. Raises ForkRefused.

    Everybody keeps what he owns, and the clock stands where it stood. What counts heights, epochs or nonces
    begins again; open jobs end without a quorum, because nobody is left to answer for their panels, and are
    refunded. Records of what happened keep the heights and epochs of the chain on which it did.
    """
    overlay = Overlay(state)
    height = system.System.number.bind(overlay).get()
    block = BlockContext(EpochIndex(0), height, GENESIS_PARENT, TimestampMs(0), PublicKey(bytes(32)))
    pallets = Pallets(Context(overlay, block, host))
    if len(config.validators) > pallets.session.seats_max():
        raise ForkRefused(f"this chain has {pallets.session.seats_max()} validator at most")
    pallets.jobs.cancel_all()
    pallets.disputes.restart()
    pallets.instant.restart()
    pallets.offences.restart()
    try:
        pallets.session.restart(config.validators)
    except KeyInUse:
        raise ForkRefused("a session key is registered to another account: make another one") from None
    pallets.validators.build_genesis(tuple(Candidate(one.account, one.stake) for one in config.validators))
    pallets.system.restart(config.system)
    return overlay.changes()
