"""The authorities of one epoch, their stake, and what a quorum of them is."""

from collections.abc import Iterable
from typing import Annotated, Final

import msgspec

from primitives.codec import Codec, Record
from primitives.hashing import blake2b_256, domain
from primitives.types import (
    U63_MAX,
    AuthorityIndex,
    BlockNumber,
    EpochIndex,
    Hash,
    PublicKey,
    SpecVersion,
    Stake,
)

MEMBERS_MAX: Final = 128
"""Most authorities of an epoch: votes go to everybody, so that traffic grows with the square."""


class Member(Record, frozen=True):
    """One authority."""

    key: PublicKey
    """Its session key."""

    stake: Stake


class Committee(Record, frozen=True):
    """Who votes in an epoch, and which heights the epoch spans."""

    epoch: EpochIndex
    first_height: BlockNumber
    last_height: BlockNumber
    spec_version: SpecVersion
    members: Annotated[tuple[Member, ...], msgspec.Meta(min_length=1, max_length=MEMBERS_MAX)]

    def __post_init__(self) -> None:
        """Raises ValueError unless heights ascend, keys differ and every stake is positive."""
        if not 0 < self.first_height <= self.last_height:
            raise ValueError("an epoch has at least one block, above the genesis block")
        if len({member.key for member in self.members}) != len(self.members):
            raise ValueError("an authority stands twice in the committee")
        if any(member.stake <= 0 for member in self.members):
            raise ValueError("an authority has no stake")
        if self.total > U63_MAX:
            raise ValueError("the total stake is too large")

    @property
    def total(self) -> int:
        """The stake of all members."""
        return sum(member.stake for member in self.members)

    def index_of(self, key: PublicKey) -> AuthorityIndex | None:
        """Position of the member with this session key."""
        for index, member in enumerate(self.members):
            if member.key == key:
                return AuthorityIndex(index)
        return None

    def is_quorum(self, indices: Iterable[int]) -> bool:
        """Whether the distinct members at `indices` hold more than two thirds of the stake."""
        held = sum(self.members[index].stake for index in set(indices))
        return 3 * held > 2 * self.total


COMMITTEE: Final = Codec[Committee](Committee)
_DOMAIN: Final = domain("committee/1")


def committee_root(committee: Committee) -> Hash:
    """What `Header.next_set` commits to, and what a light client compares a committee with."""
    return Hash(blake2b_256(_DOMAIN + COMMITTEE.encode(committee)))
