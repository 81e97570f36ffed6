"""Bugs in what a signature covers: each field that is left out lets a vote count for something else."""

from collections.abc import Callable
from typing import Any

import primitives.certificate
from node.consensus import ballot
from primitives.types import BlockHash, EpochIndex, View
from primitives.vote import NO_BLOCK, VoteKind
from tests.simulation import byzantine, forger
from tests.simulation.mutants.plant import Family

plant = Family("Signing")

VOTE_MESSAGE = tuple(
    (module, "vote_message") for module in (ballot, primitives.certificate, byzantine, forger)
)
"""Everybody signs and checks the same bytes."""

NO_ANCHOR = BlockHash(bytes(32))
Message = Callable[..., bytes]


@plant.safety("does not sign the anchor, so that votes count on every fork", *VOTE_MESSAGE)
def anchor_unsigned(real: Message, _: BlockHash, *rest: Any) -> bytes:
    return real(NO_ANCHOR, *rest)


@plant.safety("does not sign the kind of a vote", *VOTE_MESSAGE)
def kind_unsigned(real: Message, anchor: BlockHash, _: VoteKind, *rest: Any) -> bytes:
    return real(anchor, VoteKind.NOTARIZE, *rest)


@plant.safety("does not sign the epoch, in number and anchor, so that votes count again", *VOTE_MESSAGE)
def epoch_and_anchor_unsigned(
    real: Message, _: BlockHash, kind: VoteKind, __: EpochIndex, *rest: Any
) -> bytes:
    return real(NO_ANCHOR, kind, EpochIndex(0), *rest)


@plant.safety("does not sign the epoch's number", *VOTE_MESSAGE)
def epoch_unsigned(real: Message, anchor: BlockHash, kind: VoteKind, _: EpochIndex, *rest: Any) -> bytes:
    return real(anchor, kind, EpochIndex(0), *rest)


@plant.safety("does not sign the view", *VOTE_MESSAGE)
def view_unsigned(
    real: Message, anchor: BlockHash, kind: VoteKind, epoch: EpochIndex, _: View, block: bytes
) -> bytes:
    return real(anchor, kind, epoch, View(0), block)


@plant.safety("does not sign the block", *VOTE_MESSAGE)
def block_unsigned(
    real: Message, anchor: BlockHash, kind: VoteKind, epoch: EpochIndex, view: View, _: bytes
) -> bytes:
    return real(anchor, kind, epoch, view, NO_BLOCK)
