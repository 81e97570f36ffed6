"""Whom to dial next: the address book with its back-off, and the loop that empties it. The book is pure."""

import random
from collections.abc import Awaitable, Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import trio

from node.network.identity import OWN_MACHINE, Address, AddressError, PeerId, Scope, parse_address, scope_of

PEERS_MAX: Final = 512
"""Peers whose address is remembered; hearsay is forgotten before what was seen."""

ADDRESSES_PER_PEER_MAX: Final = 4
FIRST_RETRY_S: Final = 0.25
TRUSTED_RETRY_S: Final = 2.0
"""Longest pause for bootnodes and for peers that answered before: they are back soon after a restart."""

STRANGER_RETRY_S: Final = 60.0
TRUST_FAILURES_MAX: Final = 150
"""After so many failures, five minutes, a peer that answered before is a stranger again."""

HEARSAY_FAILURES_MAX: Final = 10
"""After so many failures, two minutes, an address that only others spoke of is forgotten."""

HEARSAY_PER_HOST_MAX: Final = 8
"""Peers that may be rumoured to be at one IP address: nobody can have us dial a victim's every port."""

YIELD_S: Final = 1.0
"""How long the higher of two peer ids waits to be dialed."""

DIALS_MAX: Final = 8
"""Dials under way at once."""


@dataclass(slots=True)
class _Entry:
    bootnode: bool = False
    hearsay: bool = False
    """Known only from what others say."""

    addresses: list[Address] = field(default_factory=list)
    answered: bool = False
    answered_at: float = 0.0
    """When it was last connected, if `answered`."""

    failures: int = 0
    next_at: float = 0.0


class Known(NamedTuple):
    """What the book says of one peer."""

    peer_id: PeerId
    addresses: tuple[Address, ...]
    answered_age_s: float | None
    """Seconds since it was last connected; None if it never was."""


class AddressBook:
    """Where peers may be found, and when to try again."""

    def __init__(self, own: PeerId) -> None:
        self._own = own
        self._entries: dict[PeerId, _Entry] = {}
        self.reserved: frozenset[PeerId] = frozenset()
        """Nodes of the committee: dialed before others."""

    def add(self, address: Address, *, bootnode: bool = False, heard_at: float | None = None) -> bool:
        """Remember a place; True if it is new. Its `peer_id` must be set; our own is not kept.

        `heard_at`: when another node told of it. It told both ends; the lower peer id, whose connection
        would be kept, dials first, so that two nodes seldom dial each other at once.
        """
        assert address.peer_id is not None
        if address.peer_id == self._own or (heard_at is not None and self._is_crowded(address)):
            return False
        if address.peer_id not in self._entries and not self._make_room(bootnode):
            return False
        yielding = heard_at is not None and address.peer_id < self._own
        next_at = (heard_at or 0.0) + YIELD_S if yielding else 0.0
        entry = self._entries.setdefault(address.peer_id, _Entry(next_at=next_at, hearsay=True))
        entry.bootnode |= bootnode
        entry.hearsay &= heard_at is not None
        if address in entry.addresses:
            return False
        entry.addresses.insert(0, address)
        del entry.addresses[ADDRESSES_PER_PEER_MAX:]
        return True

    def due(
        self, now: float, busy: Container[PeerId], count_max: int, slots: int | None = None
    ) -> list[Address]:
        """The addresses to dial now, one for each peer that is not `busy`: the committee's, then the others,
        those longest overdue first. `slots`: how many of the others there is room for.
        """
        waiting = sorted(
            (peer_id not in self.reserved, entry.next_at, peer_id)
            for peer_id, entry in self._entries.items()
            if peer_id not in busy and entry.next_at <= now
        )
        first = sum(not is_stranger for is_stranger, _, _ in waiting)
        room = count_max if slots is None else min(count_max, max(first, slots))
        return [self._next_address(peer_id) for _, _, peer_id in waiting[: max(0, room)]]

    def wait_s(self, now: float, busy: Container[PeerId], *, only_reserved: bool = False) -> float:
        """Seconds until somebody not `busy` is due, of the committee's nodes or of all."""
        times = [
            entry.next_at
            for peer_id, entry in self._entries.items()
            if peer_id not in busy and (peer_id in self.reserved or not only_reserved)
        ]
        return max(0.0, min(times) - now) if times else STRANGER_RETRY_S

    def answered(self, peer_id: PeerId, now: float) -> None:
        """The peer is connected; should it vanish, try at once."""
        if entry := self._entries.get(peer_id):
            entry.answered, entry.answered_at, entry.failures, entry.next_at = True, now, 0, now
            entry.hearsay = False

    def left(self, peer_id: PeerId, now: float) -> None:
        """The peer was connected until now."""
        if entry := self._entries.get(peer_id):
            entry.answered_at = now

    def failed(self, peer_id: PeerId, now: float, jitter: float, *, hopeless: bool = False) -> None:
        """The dial failed; `jitter` is from 0 to 1. `hopeless`: the peer answered, and does not want us."""
        entry = self._entries.get(peer_id)
        if entry is None:
            return
        trusted = (entry.bootnode or entry.answered) and entry.failures < TRUST_FAILURES_MAX and not hopeless
        longest = TRUSTED_RETRY_S if trusted else STRANGER_RETRY_S
        pause = longest if hopeless else min(longest, FIRST_RETRY_S * 2 ** min(entry.failures, 16))
        entry.failures += 1
        if entry.hearsay and entry.failures >= HEARSAY_FAILURES_MAX:
            del self._entries[peer_id]
        entry.next_at = now + pause * (0.75 + jitter / 4)

    def known(self, now: float) -> Iterator[Known]:
        """Everyone in the book, ordered by peer id."""
        for peer_id in sorted(self._entries):
            entry = self._entries[peer_id]
            age_s = max(0.0, now - entry.answered_at) if entry.answered else None
            yield Known(peer_id, tuple(entry.addresses), age_s)

    def restore(self, known: Known, now: float) -> None:
        """Put back what an earlier life of this node knew; a peer that answered then is trusted now."""
        for address in reversed(known.addresses):
            self.add(address, heard_at=now if known.answered_age_s is None else None)
        entry = self._entries.get(known.peer_id)
        if entry is not None and known.answered_age_s is not None:
            entry.answered, entry.answered_at = True, now - known.answered_age_s

    def _is_crowded(self, address: Address) -> bool:
        """Whether enough peers are already rumoured to be at the address's host."""
        if address.host in OWN_MACHINE:
            return False
        rumoured = sum(
            entry.hearsay and any(place.host == address.host for place in entry.addresses)
            for peer_id, entry in self._entries.items()
            if peer_id != address.peer_id
        )
        return rumoured >= HEARSAY_PER_HOST_MAX

    def _next_address(self, peer_id: PeerId) -> Address:
        """Another of the peer's addresses after each failure."""
        entry = self._entries[peer_id]
        return entry.addresses[entry.failures % len(entry.addresses)]

    def _make_room(self, bootnode: bool) -> bool:
        if len(self._entries) < PEERS_MAX:
            return True
        for peer_id, entry in self._entries.items():
            useless = (
                entry.failures >= TRUST_FAILURES_MAX if entry.answered else entry.failures > 0 or bootnode
            )
            if useless and not entry.bootnode:
                del self._entries[peer_id]
                return True
        return False


def credible(addresses: Iterable[str], speaker: str) -> list[Address]:
    """Those addresses of others on which a peer at host `speaker` is believed.

    None is nearer than the peer itself: a stranger from afar has us dial nothing on our own network.
    Raises AddressError for what no honest node says.
    """
    reach = scope_of(speaker)
    believed = []
    for text in addresses:
        place = parse_address(text)
        near = scope_of(place.host)
        if place.peer_id is None or place.port == 0 or near == Scope.LOOPBACK != reach:
            raise AddressError(f"an address that nobody can have seen: {text!r}")
        if near >= reach:
            believed.append(place)
    return believed


class Dialer:
    """Keeps dialing whoever is known and not connected."""

    def __init__(self, book: AddressBook, peers_max: int) -> None:
        self.book: Final = book
        self._peers_max = peers_max
        self._dialing: set[PeerId] = set()
        self._changed = trio.Event()

    def wake(self) -> None:
        """The book or the set of connected peers has changed."""
        self._changed.set()

    def settled(self, peer_id: PeerId) -> None:
        """The dial of `peer_id` has led to a connection or to nothing."""
        self._dialing.discard(peer_id)
        self.wake()

    async def run(
        self, dial: Callable[[Address], Awaitable[None]], connected: Callable[[], Mapping[PeerId, bool]]
    ) -> None:
        """Dial for ever.

        `dial` connects, says `settled`, and stays until that connection ends; it raises nothing.
        `connected`: every connected peer, and whether this node dialed it. Those who dialed us do not count
        against our own dials, or strangers could choose all our peers.
        """
        async with trio.open_nursery() as nursery:
            while True:
                now = trio.current_time()
                peers = connected()
                dialing = len(self._dialing)
                free = DIALS_MAX - dialing
                slots = self._peers_max - dialing - sum(peers.values())
                due = self.book.due(now, peers.keys() | self._dialing, free, slots)
                for address in due:
                    assert address.peer_id is not None
                    self._dialing.add(address.peer_id)
                    nursery.start_soon(dial, address)
                busy = peers.keys() | self._dialing
                pause = self.book.wait_s(now, busy, only_reserved=len(due) >= slots)
                if len(due) >= free:
                    pause = STRANGER_RETRY_S
                self._changed = trio.Event()
                with trio.move_on_after(pause):
                    await self._changed.wait()


def jitter() -> float:
    """Spreads the retries of many nodes; decides nothing on chain."""
    return random.random()
