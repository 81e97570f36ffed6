"""Reading finalized blocks, what they did, and what proves that they are final."""

from itertools import islice
from typing import NamedTuple, TypeVar

from node.db.errors import DatabaseCorrupt
from node.db.schema import EPOCH_END, JOINED_KEY, PLACE, EpochEnd, Place, Table, number_key, number_of
from node.db.store import Store, Transaction
from primitives.block import BODY, HEADER, Block, Header, block_hash
from primitives.certificate import CERTIFICATE, Certificate
from primitives.codec import Codec, CodecError
from primitives.finality import HEADERS_MAX, EpochProof, FinalityProof
from primitives.outcome import BLOCK_OUTCOME, BlockOutcome
from primitives.types import BlockHash, BlockNumber, EpochIndex, ExtrinsicHash

T = TypeVar("T")
At = BlockNumber | BlockHash
"""A finalized block, by height or by hash."""


class BlockRows(NamedTuple):
    """One block as it lies on the disk: canonical bytes, for who passes them on without a look inside."""

    header: bytes
    body: bytes
    certificate: bytes | None
    """As `BlockReader.certificate`."""


class BlockReader:
    """Each call is one short transaction. A block that is not final is unknown here."""

    def __init__(self, store: Store) -> None:
        """Reads from `store` until that is closed."""
        self._store = store

    def complete_from(self) -> BlockNumber:
        """From here on the node has every finalized block; not from 0 if it joined by snapshot."""
        with self._store.read() as snapshot:
            row = snapshot.get(Table.META, JOINED_KEY)
            return BlockNumber(0 if row is None else number_of(row) + 1)

    def hash_at(self, height: BlockNumber) -> BlockHash | None:
        """The block at `height`."""
        header = self.header(height)
        return None if header is None else block_hash(header)

    def height_of(self, block: BlockHash) -> BlockNumber | None:
        """The height of `block`."""
        with self._store.read() as snapshot:
            return _height(snapshot, block)

    def header(self, at: At) -> Header | None:
        """The header of a block."""
        with self._store.read() as snapshot:
            return _row(snapshot, Table.BLOCKS, HEADER, at)

    def headers(self, first: BlockNumber, last: BlockNumber) -> tuple[Header, ...]:
        """Headers from `first` to `last`, as far as they are here; at most `HEADERS_MAX`."""
        with self._store.read() as snapshot:
            return _headers(snapshot, first, min(last, BlockNumber(first + HEADERS_MAX - 1)))

    def block(self, at: At) -> Block | None:
        """A whole block."""
        with self._store.read() as snapshot:
            header = _row(snapshot, Table.BLOCKS, HEADER, at)
            body = _row(snapshot, Table.BODIES, BODY, at)
            return None if header is None or body is None else Block(header, body)

    def rows(self, first: BlockNumber, last: BlockNumber, bytes_max: int) -> list[BlockRows]:
        """Blocks from `first` to `last`, up to the first that is not here; no more than `bytes_max`, but one.

        Empty if `first` is not here.
        """
        found: list[BlockRows] = []
        with self._store.read() as snapshot:
            for height in range(first, last + 1):
                key = number_key(height)
                header, body = snapshot.get(Table.BLOCKS, key), snapshot.get(Table.BODIES, key)
                if header is None or body is None:
                    break
                row = BlockRows(header, body, snapshot.get(Table.CERTIFICATES, key))
                bytes_max -= sum(len(part) for part in row if part is not None)
                if found and bytes_max < 0:
                    break
                found.append(row)
        return found

    def held_from(self, height: BlockNumber) -> BlockNumber | None:
        """The lowest block, not below `height`, of which the body is here."""
        with self._store.read() as snapshot:
            for key, _ in snapshot.rows_from(Table.BODIES, number_key(height)):
                return BlockNumber(number_of(key))
            return None

    def outcome(self, at: At) -> BlockOutcome | None:
        """Results and events of a block."""
        with self._store.read() as snapshot:
            return _row(snapshot, Table.EVENTS, BLOCK_OUTCOME, at)

    def certificate(self, at: At) -> Certificate | None:
        """The certificate of this very block; None too if it was finalized by that of a descendant."""
        with self._store.read() as snapshot:
            return _row(snapshot, Table.CERTIFICATES, CERTIFICATE, at)

    def finality_proof(self, at: At) -> FinalityProof | None:
        """What proves that a block is final; None if the block is unknown or nothing certified follows."""
        with self._store.read() as snapshot:
            height = _height(snapshot, at)
            if height is None:
                return None
            for key, row in snapshot.rows_from(Table.CERTIFICATES, number_key(height)):
                certified = BlockNumber(number_of(key))
                if certified - height >= HEADERS_MAX:
                    return None
                headers = _headers(snapshot, height, certified)
                is_whole = len(headers) == certified - height + 1
                return FinalityProof(headers, decoded(CERTIFICATE, row)) if is_whole else None
            return None

    def epoch_proof(self, epoch: EpochIndex) -> EpochProof | None:
        """What hands over to the next committee; None while `epoch` lasts, and for epoch 0."""
        with self._store.read() as snapshot:
            end = _row(snapshot, Table.EPOCHS, EPOCH_END, BlockNumber(epoch))
            if end is None:
                return None
            header = _row(snapshot, Table.BLOCKS, HEADER, end.height)
            certificate = _row(snapshot, Table.CERTIFICATES, CERTIFICATE, end.height)
            if header is None or certificate is None:
                return None
            return EpochProof(header, certificate, end.next_committee)

    def ends(self, count_max: int) -> tuple[BlockNumber, ...]:
        """The last heights of the newest epochs that have ended, ascending, but for block 0."""
        with self._store.read() as snapshot:
            newest = snapshot.cursor(Table.EPOCHS)
            rows = islice(newest.iterprev(keys=False), count_max) if newest.last() else iter(())
            heights = [decoded(EPOCH_END, row).height for row in rows]
            return tuple(height for height in reversed(heights) if height)

    def running_epoch(self) -> EpochIndex:
        """The epoch of the next block."""
        with self._store.read() as snapshot:
            newest = snapshot.cursor(Table.EPOCHS)
            return EpochIndex(number_of(newest.key()) + 1 if newest.last() else 0)

    def place_of(self, extrinsic: ExtrinsicHash) -> Place | None:
        """Where `extrinsic` was included."""
        with self._store.read() as snapshot:
            row = snapshot.get(Table.EXTRINSICS, extrinsic)
            return None if row is None else decoded(PLACE, row)

    def epoch_end(self, epoch: EpochIndex) -> EpochEnd | None:
        """The last block of `epoch` and the committee of the next one; None while the epoch lasts."""
        with self._store.read() as snapshot:
            return _row(snapshot, Table.EPOCHS, EPOCH_END, BlockNumber(epoch))


def decoded(codec: Codec[T], row: bytes) -> T:
    """The value of a row. Raises DatabaseCorrupt if there is none."""
    try:
        return codec.decode(row)
    except CodecError as error:
        raise DatabaseCorrupt(
            f"a row of the database is damaged ({error}); restore it or sync again"
        ) from error


def _height(snapshot: Transaction, at: At) -> BlockNumber | None:
    if isinstance(at, int):
        return at
    row = snapshot.get(Table.HEIGHTS, at)
    return None if row is None else BlockNumber(number_of(row))


def _headers(snapshot: Transaction, first: BlockNumber, last: BlockNumber) -> tuple[Header, ...]:
    """Up to the first that is missing."""
    found: list[Header] = []
    for key, row in snapshot.rows_from(Table.BLOCKS, number_key(first)):
        if number_of(key) > last or number_of(key) != first + len(found):
            break
        found.append(decoded(HEADER, row))
    return tuple(found)


def _row(snapshot: Transaction, table: Table, codec: Codec[T], at: At) -> T | None:
    height = _height(snapshot, at)
    row = None if height is None else snapshot.get(table, number_key(height))
    return None if row is None else decoded(codec, row)
