"""Every kind of damage that is planted into a real database is found and named; a whole one is whole."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
import trio

from node.chain import Chain
from node.check.database import check_database
from node.check.report import Report
from node.db.database import CHECKPOINT_FILE
from node.db.schema import EPOCH_END, HEAD, HEAD_KEY, SCHEMA_KEY, SCHEMA_VERSION, Table, number_key
from node.db.store import Store, Transaction
from primitives.block import BODY, HEADER
from primitives.certificate import CERTIFICATE
from primitives.outcome import BLOCK_OUTCOME
from primitives.types import BlockHash, Hash
from tests.node.test_chain import build, finalize, open_chain, sent

BLOCKS = 24
"""One epoch of twenty, and some blocks of the next."""

WITH_TRANSFER = 3


@dataclass(frozen=True)
class Kept:
    """A database on the disk, not in use."""

    path: Path
    genesis: BlockHash


async def _fill(chain: Chain) -> None:
    for height in range(1, BLOCKS + 1):
        extrinsics = (sent(chain),) if height == WITH_TRANSFER else ()
        block = await build(chain, None, *extrinsics)
        await chain.commit([block], await finalize(chain, block))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    path = tmp_path_factory.mktemp("check") / "db"
    chain = open_chain(path)
    trio.run(_fill, chain)
    genesis = chain.database.genesis_hash
    chain.database.close()
    return Kept(path, genesis)


@pytest.fixture
def kept(original: Kept, tmp_path: Path) -> Kept:
    shutil.copytree(original.path, tmp_path / "db")
    return Kept(tmp_path / "db", original.genesis)


def plant(kept: Kept, action: Callable[[Transaction], None]) -> None:
    store = Store(kept.path)
    store.write(action)
    store.close()


def check(kept: Kept, genesis: BlockHash | None = None) -> Report:
    report = Report()
    check_database(kept.path, genesis or kept.genesis, report)
    return report


def problems(report: Report) -> list[str]:
    return [f"{finding.part}: {finding.problem}" for finding in report.findings]


def test_a_whole_database_is_found_whole(kept: Kept) -> None:
    seen: list[tuple[str, int, int]] = []
    report = Report(progress=lambda *told: seen.append(told))
    check_database(kept.path, kept.genesis, report)
    assert problems(report) == []
    assert report.is_clean
    assert report.facts["blocks"] == "25 up to height 24 in 2 epochs, 1 extrinsics, 24 certificates"
    assert report.facts["undo"] == "the newest 24 blocks can be undone; 24 of them were tried"
    assert report.facts["checkpoint"] == "at height 24"
    assert {part for part, _, _ in seen} == {"blocks", "state"}


def test_a_database_that_is_not_there_is_no_trouble(tmp_path: Path) -> None:
    report = check(Kept(tmp_path / "none", BlockHash(bytes(32))))
    assert report.is_clean
    assert report.facts == {"database": "none: the node has not been started yet"}
    assert not (tmp_path / "none").exists()


def test_a_database_in_use_is_left_alone(kept: Kept) -> None:
    store = Store(kept.path)
    report = check(kept)
    store.close()
    assert "in use by another process" in report.findings[0].problem


def test_another_chain_is_named(kept: Kept) -> None:
    report = check(kept, BlockHash(bytes(32)))
    assert problems(report) == ["blocks: the genesis block is that of another chain"]
    assert "--chain" in report.findings[0].advice


def _row(transaction: Transaction, table: Table, height: int) -> bytes:
    row = transaction.get(table, number_key(height))
    assert row is not None
    return row


def _lose_schema(transaction: Transaction) -> None:
    transaction.delete(Table.META, SCHEMA_KEY)


def _other_schema(transaction: Transaction) -> None:
    transaction.put(Table.META, SCHEMA_KEY, (99).to_bytes(4, "big"))


def _lose_head(transaction: Transaction) -> None:
    transaction.delete(Table.META, HEAD_KEY)


def _old_head(transaction: Transaction) -> None:
    header = HEADER.decode(_row(transaction, Table.BLOCKS, 10))
    head = HEAD.decode(transaction.get(Table.META, HEAD_KEY) or b"")
    transaction.put(Table.META, HEAD_KEY, HEAD.encode(msgspec.structs.replace(head, height=header.height)))


def _lose_block(transaction: Transaction) -> None:
    transaction.delete(Table.BLOCKS, number_key(7))


def _garble_header(transaction: Transaction) -> None:
    transaction.put(Table.BLOCKS, number_key(7), b"\xc1")


def _change_header(transaction: Transaction) -> None:
    header = HEADER.decode(_row(transaction, Table.BLOCKS, 7))
    changed = msgspec.structs.replace(header, state_root=Hash(bytes(32)))
    transaction.put(Table.BLOCKS, number_key(7), HEADER.encode(changed))


def _lose_body(transaction: Transaction) -> None:
    transaction.delete(Table.BODIES, number_key(WITH_TRANSFER))


def _other_body(transaction: Transaction) -> None:
    body = BODY.decode(_row(transaction, Table.BODIES, WITH_TRANSFER))
    transaction.put(
        Table.BODIES, number_key(WITH_TRANSFER), BODY.encode(msgspec.structs.replace(body, extrinsics=()))
    )


def _other_outcome(transaction: Transaction) -> None:
    outcome = BLOCK_OUTCOME.decode(_row(transaction, Table.EVENTS, WITH_TRANSFER))
    changed = msgspec.structs.replace(outcome, calls=())
    transaction.put(Table.EVENTS, number_key(WITH_TRANSFER), BLOCK_OUTCOME.encode(changed))


def _lose_certificate(transaction: Transaction) -> None:
    transaction.delete(Table.CERTIFICATES, number_key(BLOCKS))


def _forge_certificate(transaction: Transaction) -> None:
    certificate = CERTIFICATE.decode(_row(transaction, Table.CERTIFICATES, 9))
    signatures = tuple(reversed(certificate.signatures))
    forged = msgspec.structs.replace(certificate, signatures=signatures)
    transaction.put(Table.CERTIFICATES, number_key(9), CERTIFICATE.encode(forged))


def _other_certificate(transaction: Transaction) -> None:
    transaction.put(Table.CERTIFICATES, number_key(9), _row(transaction, Table.CERTIFICATES, 10))


def _stray_certificate(transaction: Transaction) -> None:
    transaction.put(Table.CERTIFICATES, number_key(BLOCKS + 1), _row(transaction, Table.CERTIFICATES, 10))


def _other_committee(transaction: Transaction) -> None:
    end = EPOCH_END.decode(_row(transaction, Table.EPOCHS, 1))
    members = end.next_committee.members[:3]
    committee = msgspec.structs.replace(end.next_committee, members=members)
    changed = msgspec.structs.replace(end, next_committee=committee)
    transaction.put(Table.EPOCHS, number_key(1), EPOCH_END.encode(changed))


def _lose_hash(transaction: Transaction) -> None:
    cursor = transaction.cursor(Table.HEIGHTS)
    assert cursor.first()
    cursor.delete()


def _stray_hash(transaction: Transaction) -> None:
    transaction.put(Table.HEIGHTS, bytes(32), number_key(3))


def _lose_extrinsic(transaction: Transaction) -> None:
    cursor = transaction.cursor(Table.EXTRINSICS)
    assert cursor.first()
    cursor.delete()


def _change_value(transaction: Transaction) -> None:
    cursor = transaction.cursor(Table.STATE)
    assert cursor.first()
    transaction.put(Table.STATE, cursor.key(), cursor.value() + b"\x00")


def _lose_entry(transaction: Transaction) -> None:
    cursor = transaction.cursor(Table.STATE)
    assert cursor.first()
    cursor.delete()


def _move_entry(transaction: Transaction) -> None:
    cursor = transaction.cursor(Table.STATE)
    assert cursor.first()
    transaction.put(Table.STATE, bytes(32), cursor.value())


def _lose_key(transaction: Transaction) -> None:
    cursor = transaction.cursor(Table.KEYS)
    assert cursor.first()
    cursor.delete()


def _lose_undo(transaction: Transaction) -> None:
    transaction.delete(Table.UNDO, number_key(BLOCKS - 3))


def _other_undo(transaction: Transaction) -> None:
    transaction.put(Table.UNDO, number_key(BLOCKS - 3), _row(transaction, Table.UNDO, WITH_TRANSFER))


def _garble_undo(transaction: Transaction) -> None:
    transaction.put(Table.UNDO, number_key(BLOCKS - 3), b"\xc1")


def _garble_journal(transaction: Transaction) -> None:
    transaction.put(Table.JOURNAL, bytes(16) + b"\x01" + bytes(32), b"\xc1")


PLANTED: list[tuple[Callable[[Transaction], None], str]] = [
    (_lose_schema, "database: it has no schema version"),
    (_other_schema, f"database: it has schema version 99, not {SCHEMA_VERSION}"),
    (_lose_head, "database: it does not say which block is its newest"),
    (_old_head, "blocks: block 10: the newest block is not the one that the database names"),
    (_lose_block, "blocks: block 7: blocks are missing up to 7"),
    (_garble_header, "blocks: block 7: the header is damaged"),
    (_change_header, "blocks: block 8: the block is no child of the one before it"),
    (_lose_body, "blocks: block 3: the body is missing or damaged"),
    (_other_body, "blocks: block 3: the body is not the one that the header names"),
    (_other_outcome, "blocks: block 3: results and events are not those that the header names"),
    (_lose_certificate, "blocks: block 24: the block has no certificate"),
    (_forge_certificate, "blocks: block 9: the certificate is not signed by two thirds of the stake"),
    (_other_certificate, "blocks: block 9: the certificate is damaged, or of another block"),
    (_stray_certificate, "blocks: a certificate is of no block (table certificates)"),
    (
        _other_committee,
        "blocks: block 20: the next committee is missing, damaged, or not the one of the header",
    ),
    (_lose_hash, "the hash of the block does not lead to it"),
    (_stray_hash, "blocks: a hash leads to no block (table heights)"),
    (_lose_extrinsic, "blocks: block 3: an extrinsic of the block is not found by its hash"),
    (_change_value, "state: the entries have root "),
    (_lose_entry, "state: the list of keys has some that are not in the state"),
    (_move_entry, "state: the entry at 0000000000000000 belongs to another path"),
    (_lose_key, "is missing in the list of keys"),
    (_lose_undo, "undo: blocks cannot be undone without a gap"),
    (_other_undo, "undo: undoing block 21 does not give the state before it"),
    (_garble_undo, "undo: what undoes block 21 is damaged"),
    (_garble_journal, "unfinalized: row 1 is damaged"),
]


@pytest.mark.parametrize(("damage", "expected"), PLANTED, ids=[each[0].__name__ for each in PLANTED])
def test_planted_damage_is_found(kept: Kept, damage: Callable[[Transaction], None], expected: str) -> None:
    plant(kept, damage)
    report = check(kept)
    assert any(expected in problem for problem in problems(report)), problems(report)
    assert all(finding.advice for finding in report.findings)


def test_nothing_is_changed_by_a_check(kept: Kept) -> None:
    before = (kept.path / "data.mdb").read_bytes()
    check(kept)
    assert (kept.path / "data.mdb").read_bytes() == before


def test_a_file_that_was_cut_short_is_named(kept: Kept) -> None:
    data = kept.path / "data.mdb"
    data.write_bytes(data.read_bytes()[:-4096])
    assert "cut short" in problems(check(kept))[0]


def test_a_checkpoint_of_another_state_is_found(kept: Kept, tmp_path: Path) -> None:
    def change(transaction: Transaction) -> None:
        _change_value(transaction)

    plant(kept, change)
    assert "checkpoint: it has another root than the state" in problems(check(kept))


def test_a_missing_checkpoint_is_no_trouble(kept: Kept) -> None:
    (kept.path / CHECKPOINT_FILE).unlink()
    report = check(kept)
    assert report.is_clean
    assert "next start reads the whole state" in report.facts["checkpoint"]


def test_many_findings_of_a_part_are_counted(kept: Kept) -> None:
    def lose_bodies(transaction: Transaction) -> None:
        for height in range(1, BLOCKS + 1):
            transaction.delete(Table.BODIES, number_key(height))

    plant(kept, lose_bodies)
    report = check(kept)
    assert len(report.findings) == 10
    assert report.omitted["blocks"] > 0
