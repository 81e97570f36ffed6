"""Databases of older releases, opened by this one.

`schema_1.mdb.gz` was written by the release that had schema 1: 22 blocks of its `local` chain, one
with a transfer, then two blocks and a certificate that were not final.
"""

import gzip
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from chainspec.presets import local
from node.check.database import check_database
from node.check.report import Report
from node.db.database import Database
from node.db.errors import DatabaseCorrupt, OtherChain, OtherSchema
from node.db.schema import SCHEMA_KEY, SCHEMA_ROW, Table, journal_item, number_of
from node.db.store import Store, Transaction
from node.genesis import genesis_of
from primitives.block import Block, block_hash
from primitives.certificate import Certificate
from primitives.types import BlockHash

FIXTURE = Path(__file__).with_name("schema_1.mdb.gz")
HEAD = bytes.fromhex("61524de6f354c5d114d9cea9534a3ad733c5089380060e955db64e8ad2682978")
ROOT = bytes.fromhex("f1c3d1bcb798e9d4d3ded2b6b75054274e586fc26dd570e57b90fc82a29b6251")
LAST_UNFINALIZED = BlockHash(
    bytes.fromhex("34e2bda6e03a45e4c1f7439c910ee3e46c21e68c94ae9bff6fead78a33b2655c")
)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A directory with schema 1."""
    path = tmp_path / "db"
    path.mkdir()
    (path / "data.mdb").write_bytes(gzip.decompress(FIXTURE.read_bytes()))
    return path


def version_of(path: Path) -> int:
    store = Store(path)
    with store.read() as snapshot:
        row = snapshot.get(Table.META, SCHEMA_KEY)
    store.close()
    assert row is not None
    return number_of(row)


def plant(path: Path, action: Callable[[Transaction], None]) -> None:
    store = Store(path)
    store.write(action)
    store.close()


def journal_keys(path: Path) -> list[bytes]:
    store = Store(path)
    with store.read() as snapshot:
        keys = [key for key, _ in snapshot.rows_from(Table.JOURNAL, b"")]
    store.close()
    return keys


def test_a_database_of_schema_1_is_upgraded_and_whole(old: Path) -> None:
    assert version_of(old) == 1
    database = Database(old)
    head = database.finalized()
    assert (head.height, head.block, head.root) == (22, HEAD, ROOT)
    genesis = database.genesis_hash
    database.close()
    assert version_of(old).to_bytes(4, "big") == SCHEMA_ROW
    report = Report()
    check_database(old, genesis, report)
    assert report.findings == []


def test_what_was_not_final_is_found_by_its_hash(old: Path) -> None:
    before = journal_keys(old)
    database = Database(old)
    found = database.journal_block(LAST_UNFINALIZED)
    assert found is not None
    assert block_hash(found.header) == LAST_UNFINALIZED
    kinds = sorted(type(item).__name__ for item in database.journal())
    assert kinds == [Block.__name__, Block.__name__, Certificate.__name__]
    database.close()
    after = journal_keys(old)
    assert len(before) == len(after) == 3
    assert before != after


def test_a_database_is_upgraded_once(old: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        Database(old).close()
        keys = journal_keys(old)
        Database(old).close()
    assert [record.message for record in caplog.records] == [
        f"upgrading the database in {old} from schema 1 to 2"
    ]
    assert journal_keys(old) == keys


def test_an_upgrade_that_fails_half_way_has_done_nothing(old: Path) -> None:
    last = bytes.fromhex("ff" * 16) + b"\x01" + bytes(32)
    plant(old, lambda transaction: transaction.put(Table.JOURNAL, last, b"damage"))
    before = journal_keys(old)
    with pytest.raises(DatabaseCorrupt, match="the journal is damaged"):
        Database(old)
    assert version_of(old) == 1
    assert journal_keys(old) == before
    plant(old, lambda transaction: transaction.delete(Table.JOURNAL, last))
    Database(old).close()
    assert version_of(old).to_bytes(4, "big") == SCHEMA_ROW


@pytest.mark.parametrize("version", [0, 3, 1 << 31])
def test_a_schema_without_a_way_here_is_refused_and_left_alone(old: Path, version: int) -> None:
    row = version.to_bytes(4, "big")
    plant(old, lambda transaction: transaction.put(Table.META, SCHEMA_KEY, row))
    with pytest.raises(OtherSchema, match=f"schema version {version}, .* use the release that wrote it"):
        Database(old)
    assert version_of(old) == version


def test_rows_without_a_schema_are_no_new_database(old: Path) -> None:
    plant(old, lambda transaction: transaction.delete(Table.META, SCHEMA_KEY))
    with pytest.raises(DatabaseCorrupt, match="which schema"):
        Database(old, genesis_of(local()))


def test_a_check_says_that_a_start_upgrades_and_changes_nothing(old: Path) -> None:
    report = Report()
    check_database(old, BlockHash(bytes(32)), report)
    [finding] = report.findings
    assert finding.problem == "it has schema version 1, not 2"
    assert "the next start of the node upgrades it" in finding.advice
    assert version_of(old) == 1


def test_the_chain_itself_is_another_one_by_now(old: Path) -> None:
    """The runtime has other pallets than then, so that the same specification has another genesis block."""
    with pytest.raises(OtherChain):
        Database(old, genesis_of(local()))
    Database(old).close()
    store = Store(old)
    with store.read() as snapshot:
        for key, row in snapshot.rows_from(Table.JOURNAL, b""):
            journal_item(key, row)
    store.close()
