"""Files of the models that blocks run: the state says which, and each must be here and whole."""

from pathlib import Path

import pytest

from node.blobs.messages import blob_id, manifest_of
from node.blobs.store import BlobStore, StoreLimits
from node.check.models import check_models
from node.check.report import Report
from node.db.schema import Table, state_row
from node.db.store import Store, Transaction
from pallets.instant import Instant
from pallets.instant.types import Deployed
from primitives.codec import Codec
from primitives.state_proof import state_path
from primitives.types import BlockNumber, Hash
from tests.node.test_chain import open_chain

FILE = bytes(range(256)) * 8
BLOB = Hash(blob_id(manifest_of(FILE)))
MODEL = Hash(b"\x4d" * 32)
VALUE = Codec[Deployed](Deployed).encode(Deployed(BLOB, len(FILE), 1, BlockNumber(7), b"a certificate"))


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database with an entry that says that blocks run a model."""
    open_chain(tmp_path / "db").database.close()
    plant(tmp_path / "db", VALUE)
    return tmp_path / "db"


def plant(path: Path, value: bytes) -> None:
    key = Instant.models.prefix + b"\x91\xc4\x20" + MODEL

    def write(transaction: Transaction) -> None:
        transaction.put(Table.KEYS, key, b"")
        transaction.put(Table.STATE, state_path(key), state_row(key, value))

    store = Store(path)
    store.write(write)
    store.close()


def check(database: Path) -> Report:
    report = Report()
    check_models(database, database.parent / "blobs", report)
    return report


def test_a_file_that_is_not_here_is_named_and_where_it_belongs(database: Path) -> None:
    [finding] = check(database).findings
    assert f"{BLOB.hex()[:16]} of model 0x{MODEL.hex()[:16]}" in finding.problem
    assert finding.problem.endswith("is missing")
    assert str(database.parent / "blobs" / "pinned" / BLOB.hex()) in finding.advice


@pytest.mark.parametrize("pinned", [True, False])
def test_a_file_that_is_here_is_enough(database: Path, pinned: bool) -> None:
    BlobStore(database.parent / "blobs", StoreLimits()).put(FILE, pinned=pinned)
    report = check(database)
    assert report.is_clean
    assert report.facts == {"models": "blocks run 1 models"}


def test_a_file_that_was_changed_is_damaged(database: Path) -> None:
    BlobStore(database.parent / "blobs", StoreLimits()).put(FILE, pinned=True)
    path = database.parent / "blobs" / "pinned" / BLOB.hex()
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    [finding] = check(database).findings
    assert finding.problem.endswith("is damaged")


def test_what_cannot_be_read_is_told_by_others(database: Path, tmp_path: Path) -> None:
    """The check of the database says what is wrong with it."""
    plant(database, b"\xc1")
    assert check(database).findings == []
    assert check(tmp_path / "nowhere").facts == {}
    for file in database.iterdir():
        file.write_bytes(b"nothing of a database")
    assert check(database).facts == {}
