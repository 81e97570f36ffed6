from pathlib import Path

from node.db.database import Database
from node.db.schema import EpochEnd, Place
from primitives.block import BODY, HEADER, Block, block_hash
from primitives.certificate import CERTIFICATE
from primitives.extrinsic import EXTRINSIC, extrinsic_hash
from primitives.finality import EpochProof, FinalityProof
from primitives.types import BlockHash, BlockNumber, EpochIndex, ExtrinsicHash, View
from tests.node.db.chain import (
    certificate,
    commit,
    committee,
    extend,
    extrinsic,
    finalized,
    genesis,
    lay,
    opened,
    outcome,
)


def height(number: int) -> BlockNumber:
    return BlockNumber(number)


def test_a_block_is_found_by_height_and_by_hash(database: Database) -> None:
    block = lay(database, {b"one": b"2"}, extrinsics=(extrinsic(1),))
    commit(database, block)
    identity, read = block_hash(block.header), database.blocks
    for at in (height(1), identity):
        assert read.block(at) == block
        assert read.header(at) == block.header
        assert read.outcome(at) == outcome(block)
        assert read.certificate(at) == certificate(block)
    assert (read.hash_at(height(1)), read.height_of(identity)) == (identity, 1)


def test_the_genesis_block_is_found(database: Database) -> None:
    assert database.blocks.block(height(0)) == genesis().block
    assert database.blocks.certificate(height(0)) is None


def test_an_unfinalized_or_unknown_block_is_not_found(database: Database) -> None:
    block = lay(database, {b"one": b"2"})
    read = database.blocks
    for at in (height(1), block_hash(block.header), BlockHash(b"\x09" * 32)):
        found = (
            read.block(at),
            read.header(at),
            read.outcome(at),
            read.certificate(at),
            read.finality_proof(at),
        )
        assert found == (None,) * 5
    assert read.hash_at(height(1)) is None
    assert read.height_of(block_hash(block.header)) is None
    assert read.place_of(ExtrinsicHash(b"\x09" * 32)) is None


def test_extrinsics_are_found_by_hash(database: Database) -> None:
    commit(database, lay(database, {}, extrinsics=(extrinsic(1), extrinsic(2))))
    identity = extrinsic_hash(EXTRINSIC.encode(extrinsic(2)))
    assert database.blocks.place_of(identity) == Place(height(1), 1)


def test_a_finality_proof_reaches_to_the_next_certificate(database: Database) -> None:
    first = lay(database, {b"one": b"1"})
    second = lay(database, {b"one": b"2"}, first)
    third = lay(database, {b"one": b"3"}, second)
    commit(database, first, second, third)
    proof = FinalityProof((first.header, second.header, third.header), certificate(third))
    assert database.blocks.finality_proof(height(1)) == proof
    assert database.blocks.finality_proof(block_hash(third.header)) == FinalityProof(
        (third.header,), certificate(third)
    )
    assert database.blocks.certificate(height(1)) is None


def test_headers_are_read_in_a_row(database: Database) -> None:
    blocks = [extend(database, {}) for _ in range(3)]
    found = database.blocks.headers(height(2), height(9))
    assert found == tuple(block.header for block in blocks[1:])


def test_the_end_of_an_epoch_is_found_with_what_proves_it(database: Database) -> None:
    assert database.blocks.epoch_end(EpochIndex(0)) == EpochEnd(height(0), committee(1))
    blocks = [extend(database, {}) for _ in range(4)]
    assert database.blocks.epoch_end(EpochIndex(1)) == EpochEnd(height(4), committee(2))
    expected = EpochProof(blocks[3].header, certificate(blocks[3]), committee(2))
    assert database.blocks.epoch_proof(EpochIndex(1)) == expected
    assert database.blocks.epoch_end(EpochIndex(2)) is None
    assert database.blocks.epoch_proof(EpochIndex(0)) is None


def test_the_journal_survives_a_restart_in_the_order_of_views(tmp_path: Path) -> None:
    database = opened(tmp_path)
    first, second = lay(database, {b"one": b"1"}, view=1), lay(database, {b"one": b"2"}, view=2)
    items: list[Block | object] = [certificate(first), first, certificate(second), second]
    for item in (second, certificate(second), first, certificate(first)):
        database.journal_put(item)
        database.journal_put(item)
    database.close()
    again = opened(tmp_path)
    assert again.journal() == items
    again.close()


def test_journal_rows_die_with_the_commit_of_their_view(database: Database) -> None:
    first = lay(database, {b"one": b"1"}, view=1)
    rival = lay(database, {b"one": b"2"}, view=2)
    above = lay(database, {b"one": b"3"}, first, view=3)
    for item in (first, rival, above, certificate(above)):
        database.journal_put(item)
    commit(database, first)
    assert database.journal() == [rival, certificate(above), above]
    commit(database, above)
    assert database.journal() == []


def test_a_block_certified_in_a_later_view_clears_up_to_that_view(database: Database) -> None:
    block = lay(database, {b"one": b"1"}, view=1)
    rival = lay(database, {b"one": b"2"}, view=5)
    database.journal_put(rival)
    database.commit([finalized(block)], certificate(block, View(6)))
    assert database.journal() == []


def test_a_block_of_the_journal_is_found_by_its_hash(database: Database) -> None:
    block, other = lay(database, {b"one": b"1"}, view=1), lay(database, {b"one": b"2"}, view=2)
    for item in (block, certificate(block), other):
        database.journal_put(item)
    assert database.journal_block(block_hash(block.header)) == block
    assert database.journal_block(block_hash(other.header)) == other
    assert database.journal_block(BlockHash(bytes(32))) is None


def test_rows_are_blocks_as_they_are_on_the_wire(database: Database) -> None:
    blocks = [extend(database, {}) for _ in range(3)]
    rows = database.blocks.rows(BlockNumber(2), BlockNumber(9), 1 << 20)
    assert [(row.header, row.body) for row in rows] == [
        (HEADER.encode(block.header), BODY.encode(block.body)) for block in blocks[1:]
    ]
    assert [row.certificate for row in rows] == [
        CERTIFICATE.encode(certificate(block)) for block in blocks[1:]
    ]


def test_rows_are_bounded_in_bytes_but_the_first_is_always_given(database: Database) -> None:
    for _ in range(3):
        extend(database, {})
    (row,) = database.blocks.rows(BlockNumber(1), BlockNumber(3), 1)
    size = sum(len(part or b"") for part in row)
    assert len(database.blocks.rows(BlockNumber(1), BlockNumber(3), 2 * size)) == 2


def test_blocks_that_are_not_here_have_no_rows(database: Database) -> None:
    extend(database, {})
    assert database.blocks.rows(BlockNumber(2), BlockNumber(9), 1 << 20) == []
    assert database.blocks.held_from(BlockNumber(1)) == 1
    assert database.blocks.held_from(BlockNumber(2)) is None
