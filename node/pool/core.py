"""The pool itself: what is kept, what gives way, and the order in which an author takes it.

An account's extrinsics run in the order of their nonces. Those that follow the account's state without a gap
are *ready*, the others wait as *future* ones. When the pool is full the worst give way: future before ready,
then by lower priority, then the younger.
"""

from collections import OrderedDict
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from heapq import heapify, heappop, heappush
from typing import Final, NamedTuple

from primitives.extrinsic import Extrinsic
from primitives.types import AccountId, BlockNumber, ExtrinsicHash, Nonce

REPLACEMENT_PERCENT: Final = 110
"""What a replacement must offer of the old priority: each costs the whole network a message and a check."""

REVALIDATED_MAX: Final = 64
"""Extrinsics validated again after one finalized block: about 10 ms of work."""

REVALIDATION_PERIOD: Final = 16
"""Blocks after which an extrinsic that waits is validated again, though nothing is known to have changed."""

RECENT_MAX: Final = 16 * 1024
"""Hashes in one generation of `Recent`."""


class Refusal(Enum):
    """Why the pool does not take a valid extrinsic."""

    ALREADY_KNOWN = auto()
    """It waits in the pool, or is in a recent block."""

    EXPIRED = auto()
    """No coming block may hold it."""

    UNDERPRICED = auto()
    """Another one with this signer and nonce offers as much, or not enough less."""

    SIGNER_FULL = auto()
    """The signer has as many extrinsics in the pool as one account may."""

    POOL_FULL = auto()
    """Everything in the full pool offers more."""


class PoolRefused(Exception):
    """The pool does not take an extrinsic; `refusal.name` is stable."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.name)
        self.refusal = refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of the pool."""

    count_max: int = 8192
    """About four full blocks."""

    size_bytes_max: int = 16 * 1024 * 1024
    """Encoded bytes of all extrinsics."""

    per_signer_max: int = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooled:
    """A valid extrinsic and what the runtime said of it."""

    hash: ExtrinsicHash
    data: bytes
    """Its canonical bytes."""

    extrinsic: Extrinsic
    priority: int
    """Fee for the weight that it takes; higher goes first."""

    expires: BlockNumber
    """Last height at which it is valid."""

    is_next: bool
    """Whether its nonce is the one that the account's state calls for."""


class Due(NamedTuple):
    """An extrinsic to validate again."""

    pooled: Pooled
    waited: bool
    """Whether it is its long waiting that calls for it: perhaps those who build blocks never heard of it."""


@dataclass(frozen=True, slots=True)
class Stats:
    """Gauges and totals."""

    ready: int
    future: int
    size_bytes: int
    evicted: int
    """Pushed out by better ones since the node started."""


class Recent:
    """A bounded memory of hashes: the last one or two generations of `generation_max`."""

    def __init__(self, generation_max: int = RECENT_MAX) -> None:
        self._generation_max = generation_max
        self._young: set[ExtrinsicHash] = set()
        self._old: set[ExtrinsicHash] = set()

    def add(self, item: ExtrinsicHash) -> None:
        """Remember `item`, and forget the older generation when the younger is full."""
        self._young.add(item)
        if len(self._young) >= self._generation_max:
            self.age()

    def age(self) -> None:
        """Forget the older generation."""
        self._old, self._young = self._young, set()

    def __contains__(self, item: object) -> bool:
        return item in self._young or item in self._old


Rank = tuple[bool, int, int]
"""(ready, priority, minus the order of arrival): the lowest gives way first."""


@dataclass(slots=True)
class _Entry:
    pooled: Pooled
    arrival: int
    validated_at: BlockNumber
    ready: bool = False

    @property
    def rank(self) -> Rank:
        return (self.ready, self.pooled.priority, -self.arrival)


@dataclass(slots=True)
class _Account:
    next: Nonce | None = None
    """The nonce that its state calls for, where known."""

    entries: dict[Nonce, _Entry] = field(default_factory=dict)

    @property
    def head(self) -> _Entry | None:
        """What can run first."""
        return None if self.next is None else self.entries.get(self.next)


class PoolCore:
    """The extrinsics of one node's pool."""

    def __init__(self, limits: Limits, height: BlockNumber) -> None:
        """`height`: of the last finalized block."""
        self.height = height
        self._limits = limits
        self._entries: OrderedDict[ExtrinsicHash, _Entry] = OrderedDict()
        """The longest not validated first."""

        self._accounts: dict[AccountId, _Account] = {}
        self._ranked: list[tuple[Rank, ExtrinsicHash]] = []
        """Heap, the worst on top; an item whose rank is no longer the entry's is void."""

        self.arrivals = 0
        """Extrinsics taken since the node started."""

        self._included = Recent()
        self._size_bytes = 0
        self._evicted = 0

    def __contains__(self, hash_: object) -> bool:
        return hash_ in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Pooled]:
        return (entry.pooled for entry in self._entries.values())

    def get(self, hash_: ExtrinsicHash) -> Pooled | None:
        """The extrinsic with this hash, if it waits here."""
        entry = self._entries.get(hash_)
        return entry.pooled if entry else None

    def next_nonce(self, signer: AccountId, state_nonce: Nonce) -> Nonce:
        """The nonce after those that wait, for the signer's next extrinsic; `state_nonce` is the state's."""
        account = self._accounts.get(signer, _Account())
        while state_nonce in account.entries:
            state_nonce = Nonce(state_nonce + 1)
        return state_nonce

    def stats(self) -> Stats:
        """Figures for the metrics."""
        ready = sum(entry.ready for entry in self._entries.values())
        return Stats(ready, len(self._entries) - ready, self._size_bytes, self._evicted)

    def add(self, pooled: Pooled) -> None:
        """Take an extrinsic, valid on the finalized state. Raises PoolRefused, and then nothing changed."""
        if pooled.hash in self._entries or pooled.hash in self._included:
            raise PoolRefused(Refusal.ALREADY_KNOWN)
        if pooled.expires <= self.height:
            raise PoolRefused(Refusal.EXPIRED)
        replaced = self._replaced(pooled)
        victims = self._victims(pooled, replaced)
        for victim in victims:
            self._drop(victim)
        self._evicted += len(victims)
        if replaced is not None:
            self._drop(replaced)
        self._insert(pooled)

    def remove(self, hash_: ExtrinsicHash) -> None:
        """Drop an extrinsic that turned out invalid; those that follow it become future ones."""
        entry = self._entries.get(hash_)
        if entry is not None:
            self._drop(entry)

    def revalidated(self, pooled: Pooled) -> None:
        """Note what the runtime now says of an extrinsic that `on_finalized` named, if it is still here."""
        entry = self._entries.get(pooled.hash)
        if entry is not None:
            entry.pooled = pooled
            self._rank(entry)
            self._advance(pooled)

    def on_finalized(
        self, height: BlockNumber, included: Iterable[tuple[ExtrinsicHash, Extrinsic]]
    ) -> list[Due]:
        """Drop what block `height` holds, overtakes or lets expire; what to validate again.

        First comes the next extrinsic of each account that has just paid a fee, then what waits the longest;
        at most REVALIDATED_MAX.
        """
        self.height = height
        paid: dict[AccountId, None] = {}
        for hash_, extrinsic in included:
            self._included.add(hash_)
            paid[extrinsic.signer] = None
            self._overtake(extrinsic.signer, Nonce(extrinsic.nonce + 1))
        for entry in [each for each in self._entries.values() if each.pooled.expires <= height]:
            self._drop(entry)
        return self._due(paid)

    def best(
        self, size_bytes_max: int, included: Container[ExtrinsicHash] = frozenset(), count_max: int = 8192
    ) -> tuple[Extrinsic, ...]:
        """Ready extrinsics in the order in which a block should hold them, as many as fit the bounds.

        `included`: those that already stand in the unfinalized blocks on which the author builds.
        """
        chosen: list[Extrinsic] = []
        for entry in self._in_order():
            if entry.pooled.hash in included:
                continue
            size_bytes_max -= len(entry.pooled.data)
            if size_bytes_max < 0 or len(chosen) == count_max:
                break
            chosen.append(entry.pooled.extrinsic)
        return tuple(chosen)

    def check_state(self) -> None:
        """Assert what always holds."""
        entries = [entry for account in self._accounts.values() for entry in account.entries.values()]
        assert {entry.pooled.hash for entry in entries} == set(self._entries)
        assert len(entries) == len(self._entries) <= self._limits.count_max
        assert (
            self._size_bytes
            == sum(len(entry.pooled.data) for entry in entries)
            <= self._limits.size_bytes_max
        )
        assert all(entry.pooled.expires > self.height for entry in entries)
        ranked = set(self._ranked)
        assert all((entry.rank, entry.pooled.hash) in ranked for entry in entries)
        for account in self._accounts.values():
            assert 0 < len(account.entries) <= self._limits.per_signer_max
            nonces = sorted(account.entries)
            assert account.next is None or nonces[0] >= account.next
            for position, nonce in enumerate(nonces):
                assert account.entries[nonce].ready == (
                    account.next is not None and nonce == account.next + position
                )

    def _replaced(self, pooled: Pooled) -> _Entry | None:
        """The extrinsic whose place `pooled` takes. Raises PoolRefused if the signer has no place for it."""
        account = self._accounts.get(pooled.extrinsic.signer)
        if account is None:
            return None
        if account.next is not None and pooled.extrinsic.nonce < account.next:
            raise PoolRefused(Refusal.ALREADY_KNOWN)
        old = account.entries.get(pooled.extrinsic.nonce)
        if old is None and len(account.entries) >= self._limits.per_signer_max:
            raise PoolRefused(Refusal.SIGNER_FULL)
        if old is not None and pooled.priority * 100 < max(1, old.pooled.priority) * REPLACEMENT_PERCENT:
            raise PoolRefused(Refusal.UNDERPRICED)
        return old

    def _victims(self, pooled: Pooled, replaced: _Entry | None) -> list[_Entry]:
        """Who gives way to `pooled`. Raises PoolRefused if somebody better would have to."""
        count = len(self._entries) + 1 - (replaced is not None)
        size_bytes = self._size_bytes + len(pooled.data) - (len(replaced.pooled.data) if replaced else 0)
        rank = (self._would_be_ready(pooled), pooled.priority, -self.arrivals)
        victims: list[_Entry] = []
        taken: dict[tuple[Rank, ExtrinsicHash], None] = {}
        try:
            while count > self._limits.count_max or size_bytes > self._limits.size_bytes_max:
                if not self._ranked or self._ranked[0][0] > rank:
                    raise PoolRefused(Refusal.POOL_FULL)
                item = heappop(self._ranked)
                victim = self._entries.get(item[1])
                if victim is None or victim.rank != item[0] or item in taken:
                    continue
                taken[item] = None
                if victim is not replaced:
                    victims.append(victim)
                    count -= 1
                    size_bytes -= len(victim.pooled.data)
        finally:
            for item in taken:
                heappush(self._ranked, item)
        return victims

    def _would_be_ready(self, pooled: Pooled) -> bool:
        account = self._accounts.get(pooled.extrinsic.signer, _Account())
        before = account.entries.get(Nonce(pooled.extrinsic.nonce - 1))
        return pooled.is_next or (before is not None and before.ready)

    def _insert(self, pooled: Pooled) -> None:
        entry = _Entry(pooled, self.arrivals, self.height)
        self.arrivals += 1
        self._entries[pooled.hash] = entry
        self._size_bytes += len(pooled.data)
        account = self._accounts.setdefault(pooled.extrinsic.signer, _Account())
        account.entries[pooled.extrinsic.nonce] = entry
        self._rank(entry)
        self._advance(pooled)

    def _advance(self, pooled: Pooled) -> None:
        """Learn from one validation what its signer's state calls for."""
        if pooled.is_next:
            self._overtake(pooled.extrinsic.signer, pooled.extrinsic.nonce)
        else:
            self._settle(self._accounts[pooled.extrinsic.signer])

    def _overtake(self, signer: AccountId, next_nonce: Nonce) -> None:
        """The signer's state calls for `next_nonce`: lower ones can never run again."""
        account = self._accounts.get(signer)
        if account is None:
            return
        account.next = max(next_nonce, account.next or next_nonce)
        for nonce in [nonce for nonce in account.entries if nonce < account.next]:
            self._drop(account.entries[nonce], settle=False)
        self._settle(account)

    def _settle(self, account: _Account) -> None:
        """Tell the ready from the future ones."""
        expected = account.next
        for nonce in sorted(account.entries):
            entry = account.entries[nonce]
            ready = nonce == expected
            if ready:
                expected = Nonce(nonce + 1)
            if ready != entry.ready:
                entry.ready = ready
                self._rank(entry)

    def _drop(self, entry: _Entry, *, settle: bool = True) -> None:
        """Forget one entry; with `settle`, its account's others are sorted anew."""
        signer = entry.pooled.extrinsic.signer
        account = self._accounts[signer]
        del self._entries[entry.pooled.hash]
        del account.entries[entry.pooled.extrinsic.nonce]
        self._size_bytes -= len(entry.pooled.data)
        if not account.entries:
            del self._accounts[signer]
        elif settle:
            self._settle(account)

    def _rank(self, entry: _Entry) -> None:
        """Enter the present rank of `entry`; the void items are cleared out when they are the majority."""
        heappush(self._ranked, (entry.rank, entry.pooled.hash))
        if len(self._ranked) > 2 * len(self._entries) + 64:
            self._ranked = [(each.rank, each.pooled.hash) for each in self._entries.values()]
            heapify(self._ranked)

    def _due(self, paid: Iterable[AccountId]) -> list[Due]:
        """What to validate again; it counts as validated from now on."""
        due: dict[ExtrinsicHash, _Entry] = {}
        waited: dict[ExtrinsicHash, _Entry] = {}
        for signer in paid:
            account = self._accounts.get(signer)
            if account is not None and account.head is not None:
                due[account.head.pooled.hash] = account.head
        for hash_, entry in self._entries.items():
            if len(waited) == REVALIDATED_MAX or entry.validated_at + REVALIDATION_PERIOD > self.height:
                break
            waited[hash_] = entry
        chosen = list((due | waited).items())[:REVALIDATED_MAX]
        for hash_, entry in chosen:
            entry.validated_at = self.height
            self._entries.move_to_end(hash_)
        return [Due(entry.pooled, hash_ in waited) for hash_, entry in chosen]

    def _in_order(self) -> Iterator[_Entry]:
        """Ready entries: the best of what each account offers next."""
        heads = [
            (-head.pooled.priority, head.arrival, head)
            for account in self._accounts.values()
            if (head := account.head) is not None
        ]
        heapify(heads)
        while heads:
            _, _, entry = heappop(heads)
            yield entry
            extrinsic = entry.pooled.extrinsic
            after = self._accounts[extrinsic.signer].entries.get(Nonce(extrinsic.nonce + 1))
            if after is not None:
                heappush(heads, (-after.pooled.priority, after.arrival, after))
