"""The heights that a node lacks, in order: what nobody was asked for, what is on its way, and what is here.

The window begins above the last finalized block and has no holes: it is a list of gaps and parcels, each of
which begins where the one before ends. It holds answers until they are imported, and no decision.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import groupby

from node.network.identity import PeerId
from node.sync.messages import Run
from primitives.types import BlockNumber


class Proof(Enum):
    """What is known of a parcel."""

    NONE = auto()
    """Nobody has looked, or it was too early to tell."""

    UNDER_WAY = auto()
    DONE = auto()
    """Its blocks are final."""


@dataclass(slots=True)
class Gap:
    """Heights of which nothing is here."""

    first: BlockNumber
    last: BlockNumber
    asked: dict[PeerId, float] = field(default_factory=dict)
    """Who was asked for them, and when."""


@dataclass(slots=True)
class Parcel:
    """Runs of one epoch from one peer. Only the one run of a parcel of its own may be cut off."""

    peer: PeerId
    runs: tuple[Run, ...]
    size_bytes: int
    """What it takes of the bytes that may be held."""

    proof: Proof = Proof.NONE
    not_before: int = 0
    """The height at which it can be proved."""

    @property
    def first(self) -> BlockNumber:
        """Its lowest height."""
        return self.runs[0].first

    @property
    def last(self) -> BlockNumber:
        """Its highest height."""
        return self.runs[-1].last

    @property
    def is_whole(self) -> bool:
        """Whether it ends with a certified block."""
        return self.runs[-1].is_whole


class Window:
    """See the module."""

    def __init__(self, height: BlockNumber) -> None:
        """Empty, above `height`."""
        self._height = height
        self._items: list[Gap | Parcel] = []

    @property
    def end(self) -> BlockNumber:
        """The highest height in the window; that of the chain if it is empty."""
        return max(self._height, self._items[-1].last) if self._items else self._height

    @property
    def held_bytes(self) -> int:
        """What the parcels take."""
        return sum(parcel.size_bytes for parcel in self.parcels())

    def __bool__(self) -> bool:
        """Whether there is anything in it."""
        return bool(self._items)

    def gaps(self) -> Iterator[Gap]:
        """The gaps, lowest first."""
        return (item for item in self._items if isinstance(item, Gap))

    def parcels(self) -> Iterator[Parcel]:
        """The parcels, lowest first."""
        return (item for item in self._items if isinstance(item, Parcel))

    def proved(self) -> list[Parcel]:
        """The parcels at the bottom, up to the first gap, or the first that is not proved."""
        found: list[Parcel] = []
        for item in self._items:
            if isinstance(item, Gap) or item.proof is not Proof.DONE:
                break
            found.append(item)
        return found

    def lowest_gap(self) -> Gap | None:
        """The lowest gap, if all that is below it is proved: no liar can put it off by what he sends."""
        for item in self._items:
            if isinstance(item, Gap):
                return item
            if item.proof is not Proof.DONE:
                return None
        return None

    def extend(self, gap: Gap) -> Gap:
        """Put `gap` at the end."""
        assert self.end + 1 == gap.first <= gap.last
        self._items.append(gap)
        return gap

    def cut(self, last: BlockNumber) -> None:
        """Forget what lies above `last` and was asked of nobody."""
        while self._items and isinstance(top := self._items[-1], Gap) and not top.asked and top.last > last:
            if top.first <= last:
                top.last = last
                return
            self._items.pop()

    def split(self, gap: Gap, last: BlockNumber) -> None:
        """Let `gap` end with `last`, and a gap of its own begin there."""
        if last < gap.last:
            self._replace(gap, [Gap(gap.first, last, gap.asked), Gap(BlockNumber(last + 1), gap.last)])

    def fill(self, gap: Gap, peer: PeerId, runs: Iterable[Run], size_bytes: int) -> None:
        """Put what `peer` sent where `gap` was; a part that it did not send remains a gap."""
        groups = groupby(runs, key=lambda run: (run.certificate.epoch, run.is_whole))
        parcels = [Parcel(peer, tuple(group), 0) for _, group in groups]
        end = parcels[-1].last
        for parcel in parcels:
            blocks = parcel.last - parcel.first + 1
            parcel.size_bytes = size_bytes * blocks // (end - parcels[0].first + 1)
        rest = [Gap(BlockNumber(end + 1), gap.last)] if end < gap.last else []
        self._replace(gap, [*parcels, *rest])

    def reject(self, parcel: Parcel) -> None:
        """Make a gap again where `parcel` was."""
        first = max(parcel.first, BlockNumber(self._height + 1))
        self._replace(parcel, [Gap(first, parcel.last)])

    def advance(self, height: BlockNumber) -> None:
        """The chain has come to `height`: what is not above it is no longer needed."""
        self._height = height
        self._items = [item for item in self._items if item.last > height]
        if self._items and isinstance(self._items[0], Gap):
            self._items[0].first = max(self._items[0].first, BlockNumber(height + 1))

    def _replace(self, old: Gap | Parcel, new: Sequence[Gap | Parcel]) -> None:
        at = next(index for index, item in enumerate(self._items) if item is old)
        self._items[at : at + 1] = new
