"""The pool's shell: extrinsics of users and of neighbours are validated, kept, and told on in batches."""

from collections import Counter
from collections.abc import AsyncIterable, Collection, Sequence
from typing import Final, NamedTuple, Protocol

import trio

from frame.error import InvalidTransaction, TransactionError
from node.network.channel import ChannelLimits
from node.network.gossip import GossipNetwork
from node.network.identity import PeerId
from node.pool.core import Due, Limits, PoolCore, Pooled, PoolRefused, Recent, Stats
from node.pool.messages import FRAME_BYTES_MAX, PROTOCOL, decode_batch, encode_batches
from primitives.block import Block
from primitives.codec import CodecError
from primitives.extrinsic import EXTRINSIC, Extrinsic, decode_extrinsic, extrinsic_hash
from primitives.types import BlockNumber, ExtrinsicHash

GOSSIP_INTERVAL_S: Final = 0.05
"""Extrinsics wait this long for company: one frame for many costs a tenth of a frame for each."""

EXAMINERS: Final = 4
"""Batches validated at a time; more would only queue for the processor."""

OUTBOX_BYTES_MAX: Final = 4 * 1024 * 1024
"""What may wait to be told on; beyond it neighbours hear of an extrinsic when it is validated again."""

EARLY_MAX: Final = 256
"""Extrinsics held until the next finalized block, because they came from somebody who is a block ahead."""

SEEN_BLOCKS: Final = 64
"""Blocks after which a refused extrinsic is given another chance, at least."""

MALFORMED_COST: Final = 20
FORGED_COST: Final = 10

CHANNEL_LIMITS: Final = ChannelLimits(
    frame_bytes_max=FRAME_BYTES_MAX,
    queue_frames_max=64,
    queue_bytes_max=4 * 1024 * 1024,
    inbox_frames_max=64,
    inbox_bytes_max=4 * 1024 * 1024,
)

_EARLY: Final = frozenset(
    {TransactionError.NOT_YET_BORN, TransactionError.FUTURE_NONCE, TransactionError.CANNOT_PAY}
)
"""Reasons that the next block may take away."""

_FORGED: Final = frozenset(
    {TransactionError.BAD_SIGNATURE, TransactionError.BAD_ARGUMENTS, TransactionError.UNKNOWN_CALL}
)
"""Reasons that do not depend on the state, so that nobody honest tells such an extrinsic on."""


class Validity(Protocol):
    """What the runtime says of a valid extrinsic."""

    @property
    def priority(self) -> int: ...

    @property
    def requires(self) -> Collection[bytes]: ...

    @property
    def expires(self) -> BlockNumber: ...


class Head(Protocol):
    """The last finalized block."""

    @property
    def height(self) -> BlockNumber: ...


class Chain(Protocol):
    """What the pool asks of the chain."""

    @property
    def finalized(self) -> Head: ...

    async def validate(self, data: bytes, extrinsic: Extrinsic, /) -> Validity:
        """Judge an extrinsic, its signature too, on the finalized state, in a worker thread.
        Raises InvalidTransaction."""
        ...


class _Told(NamedTuple):
    source: PeerId | None
    """Who told us and need not be told; None for an extrinsic of our own users."""

    data: bytes


class PoolService:
    """The transaction pool of one node."""

    def __init__(
        self, chain: Chain, network: GossipNetwork, finalized: AsyncIterable[Block], limits: Limits
    ) -> None:
        """`finalized`: every block from now on as it becomes final."""
        self.refused: Final[Counter[str]] = Counter()
        """How many extrinsics were refused, by reason."""

        self._core = PoolCore(limits, chain.finalized.height)
        self._chain = chain
        self._network = network
        self._finalized = finalized
        self._channel = network.channel(PROTOCOL, CHANNEL_LIMITS)
        self._seen = Recent()
        self._examining: set[ExtrinsicHash] = set()
        self._early: dict[ExtrinsicHash, _Told] = {}
        self._outbox: list[_Told] = []
        self._outbox_bytes = 0
        self._outbox_filled = trio.Event()
        self._arrived = trio.Event()

    # For others in the node

    async def submit(self, data: bytes) -> ExtrinsicHash:
        """Take an extrinsic of a user of this node; its hash.

        Raises CodecError if it is malformed, InvalidTransaction if it is invalid now, PoolRefused.
        """
        hash_ = extrinsic_hash(data)
        try:
            await self._admit(_Told(None, data), hash_)
        except (InvalidTransaction, PoolRefused) as refusal:
            self.refused[str(refusal)] += 1
            raise
        return hash_

    @property
    def core(self) -> PoolCore:
        """For reading: `best`, `get`, `next_nonce`, and iteration over all that waits."""
        return self._core

    def stats(self) -> Stats:
        """Figures for the metrics."""
        return self._core.stats()

    async def wait_for_arrival(self, after: int) -> int:
        """Wait until more than `after` extrinsics have arrived since the start; how many have."""
        while self._core.arrivals <= after:
            await self._arrived.wait()
        return self._core.arrivals

    # Running

    async def run(self) -> None:
        """Serve until cancelled."""
        async with trio.open_nursery() as nursery:
            for _ in range(EXAMINERS):
                nursery.start_soon(self._examine)
            nursery.start_soon(self._gossip)
            nursery.start_soon(self._follow)

    async def _examine(self) -> None:
        """Judge what neighbours send, one batch after the other."""
        async for peer, frame in self._channel.inbox:
            try:
                batch = decode_batch(frame)
            except CodecError:
                self._network.penalize(peer, "malformed transaction batch", MALFORMED_COST)
                continue
            for data in batch:
                await self._consider(_Told(peer, data), may_be_early=True)

    async def _consider(self, told: _Told, *, may_be_early: bool) -> None:
        """Admit what a neighbour told, or note why not; what was judged once is not judged again."""
        assert told.source is not None
        hash_ = extrinsic_hash(told.data)
        if any(hash_ in known for known in (self._core, self._seen, self._examining, self._early)):
            return
        self._examining.add(hash_)
        try:
            await self._admit(told, hash_)
        except CodecError:
            self._network.penalize(told.source, "malformed extrinsic", MALFORMED_COST)
        except InvalidTransaction as invalid:
            self.refused[str(invalid)] += 1
            if invalid.reason in _FORGED:
                self._network.penalize(told.source, f"extrinsic refused: {invalid}", FORGED_COST)
            if may_be_early and invalid.reason in _EARLY and len(self._early) < EARLY_MAX:
                self._early[hash_] = told
                return
        except PoolRefused as refused:
            self.refused[str(refused)] += 1
        finally:
            self._examining.remove(hash_)
        self._seen.add(hash_)

    async def _admit(self, told: _Told, hash_: ExtrinsicHash) -> None:
        """Validate, keep and tell on. Raises CodecError, InvalidTransaction, PoolRefused."""
        extrinsic = decode_extrinsic(told.data)
        self._core.add(await self._validated(told.data, hash_, extrinsic))
        self._arrived.set()
        self._arrived = trio.Event()
        self._tell(told)

    async def _validated(self, data: bytes, hash_: ExtrinsicHash, extrinsic: Extrinsic) -> Pooled:
        validity = await self._chain.validate(data, extrinsic)
        return Pooled(
            hash=hash_,
            data=data,
            extrinsic=extrinsic,
            priority=validity.priority,
            expires=validity.expires,
            is_next=not validity.requires,
        )

    def _tell(self, told: _Told) -> None:
        if self._outbox_bytes + len(told.data) <= OUTBOX_BYTES_MAX:
            self._outbox.append(told)
            self._outbox_bytes += len(told.data)
            self._outbox_filled.set()

    async def _gossip(self) -> None:
        """Tell all neighbours of what is new, except of what they told themselves."""
        while True:
            await self._outbox_filled.wait()
            await trio.sleep(GOSSIP_INTERVAL_S)
            by_source: dict[PeerId | None, list[bytes]] = {}
            for source, data in self._outbox:
                by_source.setdefault(source, []).append(data)
            self._outbox, self._outbox_bytes, self._outbox_filled = [], 0, trio.Event()
            for source, extrinsics in by_source.items():
                self._broadcast(source, extrinsics)

    def _broadcast(self, source: PeerId | None, extrinsics: Sequence[bytes]) -> None:
        for frame in encode_batches(extrinsics):
            self._channel.broadcast(frame, where=lambda peer: peer.peer_id != source)

    async def _follow(self) -> None:
        """After each finalized block drop what it settled, judge anew what it may have changed."""
        async for block in self._finalized:
            included = [(extrinsic_hash(EXTRINSIC.encode(each)), each) for each in block.body.extrinsics]
            for due in self._core.on_finalized(block.header.height, included):
                await self._revalidate(due)
            if block.header.height % SEEN_BLOCKS == 0:
                self._seen.age()
            early, self._early = self._early, {}
            for told in early.values():
                await self._consider(told, may_be_early=False)

    async def _revalidate(self, due: Due) -> None:
        pooled = due.pooled
        try:
            pooled = await self._validated(pooled.data, pooled.hash, pooled.extrinsic)
        except InvalidTransaction as invalid:
            self.refused[str(invalid)] += 1
            self._core.remove(pooled.hash)
            return
        self._core.revalidated(pooled)
        if due.waited and pooled.hash in self._core:
            self._tell(_Told(None, pooled.data))
