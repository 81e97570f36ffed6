import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from node.db.database import Database
from node.db.errors import (
    DatabaseCorrupt,
    DatabaseError,
    DatabaseLocked,
    DatabaseUnwritable,
    OtherChain,
    OtherSchema,
)
from node.db.schema import SCHEMA_KEY, Table
from node.db.store import Store, Transaction
from tests.node.db.chain import ENTRIES, entries_of, extend, genesis, opened

DATA = "data.mdb"


def test_a_second_start_on_the_same_directory_is_refused(tmp_path: Path) -> None:
    database = opened(tmp_path)
    with pytest.raises(DatabaseLocked, match="in use by another process"):
        opened(tmp_path)
    extend(database, {b"one": b"2"})
    database.close()
    opened(tmp_path).close()


def test_a_second_process_on_the_same_directory_is_refused(database: Database, tmp_path: Path) -> None:
    start = (
        f"from pathlib import Path; from node.db.store import Store; Store(Path({str(tmp_path / 'chain')!r}))"
    )
    other = subprocess.run([sys.executable, "-c", start], capture_output=True, text=True, check=False)
    assert "DatabaseLocked" in other.stderr
    assert entries_of(database) == ENTRIES


def test_another_chain_is_refused(tmp_path: Path) -> None:
    opened(tmp_path).close()
    with pytest.raises(OtherChain, match="choose another directory"):
        Database(tmp_path, genesis({b"other": b"1"}))
    opened(tmp_path).close()


def test_a_directory_without_a_chain_needs_a_genesis(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="there is no chain"):
        Database(tmp_path)
    opened(tmp_path).close()


def test_a_known_chain_opens_without_its_genesis(tmp_path: Path) -> None:
    opened(tmp_path).close()
    database = Database(tmp_path)
    assert entries_of(database) == ENTRIES
    database.close()


def test_an_unknown_schema_is_refused(tmp_path: Path) -> None:
    opened(tmp_path).close()
    store = Store(tmp_path)
    store.write(lambda transaction: transaction.put(Table.META, SCHEMA_KEY, (99).to_bytes(4, "big")))
    store.close()
    with pytest.raises(OtherSchema, match="schema version 99"):
        opened(tmp_path)


def cut_short(data: bytes) -> bytes:
    return data[: len(data) // 2]


def cut_to_nearly_nothing(data: bytes) -> bytes:
    return data[:100]


def overwrite_everything(data: bytes) -> bytes:
    return b"not a database at all" * (len(data) // 21)


def overwrite_a_value(data: bytes) -> bytes:
    assert b"threeE3E3E3" in data
    return data.replace(b"threeE3E3E3", b"threeE3E3E4")


@pytest.mark.parametrize(
    "damage", [cut_short, cut_to_nearly_nothing, overwrite_everything, overwrite_a_value]
)
def test_a_damaged_file_is_refused(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    opened(tmp_path).close()
    database = opened(tmp_path)
    extend(database, {b"three": b"E3E3E3"})
    database.close()
    (tmp_path / "tree.checkpoint").unlink()
    (tmp_path / DATA).write_bytes(damage((tmp_path / DATA).read_bytes()))
    with pytest.raises(DatabaseCorrupt, match="restore it or sync again"):
        opened(tmp_path)


def test_a_path_that_is_no_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DatabaseUnwritable, match="choose another directory"):
        opened(tmp_path / "file")
    with pytest.raises(DatabaseUnwritable):
        opened(tmp_path / "file" / "below")


@contextmanager
def no_privileges() -> Iterator[None]:
    """Root, who may write everywhere, is nobody for a while."""
    user = os.geteuid()
    os.seteuid(65534 if user == 0 else user)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_directory_that_may_not_be_written_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with no_privileges(), pytest.raises(DatabaseUnwritable, match="choose another directory"):
        opened(tmp_path)


FILL = """
import resource, sys
from pathlib import Path
from node.db.errors import DatabaseFull
from tests.node.db.chain import entries_of, extend, lay, commit, opened

database = opened(Path(sys.argv[1]))
size = (Path(sys.argv[1]) / "data.mdb").stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 400_000, resource.RLIM_INFINITY))
for number in range(100):
    block = lay(database, {bytes([number + 1]): bytes(50_000)})
    try:
        commit(database, block)
    except DatabaseFull as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert database.finalized().height == number
        commit(database, block)
        print(number, error)
        break
database.close()
"""


def test_a_full_disk_loses_nothing_and_the_same_commit_succeeds_later(tmp_path: Path) -> None:
    filled = subprocess.run(
        [sys.executable, "-c", FILL, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert "takes no more" in filled.stdout, filled.stderr
    commits = int(filled.stdout.split()[0]) + 1
    database = opened(tmp_path)
    assert database.finalized().height == commits
    assert len(entries_of(database)) == len(ENTRIES) + commits
    database.close()


def put(store: Store, key: bytes, row: bytes) -> None:
    store.write(lambda transaction: transaction.put(Table.BODIES, key, row))


def test_the_map_grows_and_the_write_is_done_again(tmp_path: Path) -> None:
    store = Store(tmp_path, map_bytes=1 << 18)
    for number in range(20):
        put(store, number.to_bytes(8, "big"), bytes(100_000))
    with store.read() as snapshot:
        assert snapshot.size(Table.BODIES) == 20
    store.close()


def test_the_map_waits_for_open_readers_before_it_grows(tmp_path: Path) -> None:
    store = Store(tmp_path, map_bytes=1 << 18)
    reading, written = threading.Event(), threading.Event()

    def write() -> None:
        reading.wait()
        put(store, b"key", bytes(1 << 20))
        written.set()

    writer = threading.Thread(target=write)
    writer.start()
    with store.read() as snapshot:
        reading.set()
        assert not written.wait(0.1)
        assert snapshot.get(Table.BODIES, b"key") is None
    writer.join()
    with store.read() as snapshot:
        assert snapshot.get(Table.BODIES, b"key") == bytes(1 << 20)
    store.close()


def test_a_failed_write_changes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def fail(transaction: Transaction) -> None:
        transaction.put(Table.BODIES, b"key", b"row")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.write(fail)
    with store.read() as snapshot:
        assert snapshot.get(Table.BODIES, b"key") is None
    store.close()
