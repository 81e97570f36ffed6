"""Whose turn it is: 8n turns per round, dealt by stake, in an order that nobody chose.

Plain round robin puts neighbouring dead authorities in a row and gives small stakes no turn in proportion; a
shuffled deck of turns does neither for long.
"""

from typing import Final

from primitives.committee import Committee
from primitives.hashing import blake2b_256, domain
from primitives.types import AuthorityIndex, BlockHash

TURNS_PER_MEMBER: Final = 8
"""Turns of a round divided by the members: how finely a round can follow the stakes."""

_DOMAIN: Final = domain("leaders/1")


def leader_schedule(committee: Committee, genesis: BlockHash) -> tuple[AuthorityIndex, ...]:
    """The leaders of one round of views; view v is led by `schedule[(v - 1) % len(schedule)]`.

    The order depends on genesis and epoch alone, so that it is known in advance: a stop-gap until staking's
    randomness exists.
    """
    turns = [AuthorityIndex(index) for index, count in enumerate(deal_turns(committee)) for _ in range(count)]
    seed = blake2b_256(_DOMAIN + genesis + committee.epoch.to_bytes(8, "big"))
    order = sorted(range(len(turns)), key=lambda turn: blake2b_256(seed + turn.to_bytes(8, "big")))
    return tuple(turns[turn] for turn in order)


def deal_turns(committee: Committee) -> list[int]:
    """Turns of each member: its share by largest remainder, ties to the lower index, and at least one."""
    total, deck = committee.total, TURNS_PER_MEMBER * len(committee.members)
    shares = [divmod(member.stake * deck, total) for member in committee.members]
    turns = [whole for whole, _ in shares]
    by_remainder = sorted(range(len(shares)), key=lambda index: (-shares[index][1], index))
    for index in by_remainder[: deck - sum(turns)]:
        turns[index] += 1
    while 0 in turns:
        turns[turns.index(max(turns))] -= 1
        turns[turns.index(0)] += 1
    return turns
