"""One LMDB environment: whole transactions, typed errors, a map that grows, one process for each directory.

Traps of LMDB that decide the shape of this module: the map may grow only while no transaction is open, so
readers are counted and a writer waits for them; a reader that stays open pins pages, so none outlives its
`with`; a forked child must not touch the environment; reading past the end of a file that was cut short kills
the process, so its length is checked first.
"""

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Condition, local
from typing import Final, TypeVar

import lmdb

from node.db.errors import (
    DatabaseCorrupt,
    DatabaseError,
    DatabaseFull,
    DatabaseLocked,
    DatabaseUnwritable,
)
from node.db.schema import Table

T = TypeVar("T")

MAP_BYTES_MIN: Final = 1 << 30
"""First size of the map: address space, not disk."""

_DATA_FILE: Final = "data.mdb"
_LOCK_FILE: Final = "in-use"
_FULL_ERRORS: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""LMDB reports a write that was cut short, as the last one before the disk is full is, as EIO."""


class Transaction:
    """What can be read and written until the transaction ends."""

    def __init__(self, inner: "lmdb.Transaction[bytes]", tables: "dict[Table, lmdb._Database]") -> None:
        self._inner = inner
        self._tables = tables

    def get(self, table: Table, key: bytes) -> bytes | None:
        """The row at `key`."""
        return self._inner.get(key, db=self._tables[table])

    def put(self, table: Table, key: bytes, row: bytes) -> None:
        """Write the row at `key`."""
        self._inner.put(key, row, db=self._tables[table])

    def delete(self, table: Table, key: bytes) -> None:
        """Remove the row at `key`, if there is one."""
        self._inner.delete(key, db=self._tables[table])

    def clear(self, table: Table) -> None:
        """Remove all rows."""
        self._inner.drop(self._tables[table], delete=False)

    def cursor(self, table: Table) -> "lmdb.Cursor[bytes]":
        """A cursor, for ranges and for many rows at once."""
        return self._inner.cursor(self._tables[table])

    def size(self, table: Table) -> int:
        """The number of rows."""
        return self._inner.stat(self._tables[table])["entries"]

    def rows_from(self, table: Table, key: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Rows at `key` and above, ascending."""
        cursor = self.cursor(table)
        return cursor.iternext() if cursor.set_range(key) else iter(())


class Store:
    """The environment in one directory, locked against other processes until it is closed."""

    def __init__(self, path: Path, map_bytes: int = MAP_BYTES_MIN) -> None:
        """Raises DatabaseError of the kind that says why the directory cannot be used."""
        self.path = path
        self._gate = Condition()
        self._readers = 0
        self._growing = False
        self._thread = local()
        self._lock_fd = _lock(path)
        try:
            self._env = self._open(map_bytes)
        except BaseException:
            os.close(self._lock_fd)
            raise

    def _open(self, map_bytes: int) -> lmdb.Environment:
        _ensure_whole(self.path)
        with _explained(self.path):
            env = lmdb.open(str(self.path), map_size=map_bytes, max_dbs=len(Table), max_readers=256)
            try:
                self._tables = {table: env.open_db(table.value) for table in Table}
            except BaseException:
                env.close()
                raise
            return env

    def close(self) -> None:
        """Release the directory; nothing may be under way."""
        self._env.close()
        os.close(self._lock_fd)

    @property
    def is_reading(self) -> bool:
        """Whether the calling thread is inside `read`."""
        return getattr(self._thread, "is_reading", False)

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """One snapshot; must end before the calling thread begins another, or waits for anything."""
        assert not self.is_reading
        with self._gate:
            self._gate.wait_for(lambda: not self._growing)
            self._readers += 1
        self._thread.is_reading = True
        try:
            with _explained(self.path), self._env.begin() as inner:
                yield Transaction(inner, self._tables)
        finally:
            self._thread.is_reading = False
            with self._gate:
                self._readers -= 1
                self._gate.notify_all()

    def write(self, action: Callable[[Transaction], T]) -> T:
        """What `action` returns, once everything that it wrote is on the disk. It may run more than once.

        Raises DatabaseFull, and has written nothing, when there is no room.
        """
        assert not self.is_reading
        while True:
            try:
                with _explained(self.path), self._env.begin(write=True) as inner:
                    return action(Transaction(inner, self._tables))
            except lmdb.MapFullError:
                self._grow()

    def _grow(self) -> None:
        with self._gate:
            self._growing = True
            try:
                self._gate.wait_for(lambda: self._readers == 0)
                with _explained(self.path):
                    self._env.set_mapsize(2 * self._env.info()["map_size"])
            finally:
                self._growing = False
                self._gate.notify_all()


def _lock(path: Path) -> int:
    """An open file of which only one process holds the lock; the system releases it when the process ends."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock_fd = os.open(path / _LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise DatabaseUnwritable(
            f"cannot write to {path}: {error.strerror}; choose another directory"
        ) from None
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock_fd)
        raise DatabaseLocked(f"{path} is in use by another process; stop it first") from None
    return lock_fd


def _ensure_whole(path: Path) -> None:
    """Refuse a file that ends before its last page: reading it would kill the process, not raise."""
    data = path / _DATA_FILE
    if not data.exists() or data.stat().st_size == 0:
        return
    with _explained(path), lmdb.open(str(path), readonly=True, lock=False, create=False) as env:
        needed = (env.info()["last_pgno"] + 1) * env.stat()["psize"]
    if data.stat().st_size < needed:
        raise _corrupt(path, "the file was cut short")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Translate errors of LMDB into ours."""
    try:
        yield
    except lmdb.MapFullError:
        raise
    except (
        lmdb.CorruptedError,
        lmdb.InvalidError,
        lmdb.PageNotFoundError,
        lmdb.VersionMismatchError,
    ) as error:
        raise _corrupt(path, str(error)) from error
    except (lmdb.Error, OSError) as error:
        raise _explain(path, error) from error


def _explain(path: Path, error: lmdb.Error | OSError) -> DatabaseError:
    code = error.errno if isinstance(error, OSError) else error.code
    if isinstance(error, lmdb.DiskError) or code in _FULL_ERRORS:
        return DatabaseFull(
            f"the disk under {path} takes no more; nothing is lost: free some space, start again"
        )
    if isinstance(error, lmdb.ReadonlyError | PermissionError) or code in (errno.EACCES, errno.EROFS):
        return DatabaseUnwritable(f"cannot write to {path}: {error}; check its owner and mode")
    return DatabaseError(f"the database in {path} failed: {error}; restart the node")


def _corrupt(path: Path, reason: str) -> DatabaseCorrupt:
    return DatabaseCorrupt(f"the database in {path} is damaged ({reason}); restore it or sync again")
