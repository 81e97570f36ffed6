"""The vote journal: what one session key has signed, on a disk that may lose power at any moment.

It is created together with the key and bound to it. A key whose journal is missing, or holds a damaged
record, never signs again: what it signed is not known, so the key is to be rotated. The journal belongs in no
backup.

Format: records of length (4 bytes, big-endian), canonical payload, and a checksum over the payload and the
checksum before it, so that no record can be changed, dropped or moved unnoticed. The first record names the
key.

A tail that was cut off is no damage. An append is one write and one fsync, and nothing that it permits is
done before the fsync returns; storage that keeps what it acknowledged can therefore miss bytes at the end of
the file only of an append whose vote nobody has seen. Such a tail is a record that the file ends inside of,
or nothing but zero bytes, where the file grew before it was written. It is cut off before the next append. A
record of full length with a wrong checksum may have been acknowledged: that is damage.

A key that must never sign again for another reason, a fork for example, has that in its journal as a record
of its own, which is never dropped.

Old epochs are dropped by writing a new file and renaming it over the old one. The new file says from which
epoch on it is complete; below that, after a database was restored for example, the key does not sign.
"""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, NamedTuple

from node.consensus.interface import Key, Memory, Stop
from primitives.certificate import Certificate
from primitives.codec import Codec, CodecError, Record
from primitives.hashing import blake2b_256, domain
from primitives.types import EpochIndex, PublicKey
from primitives.vote import Vote

COMPACT_BYTES: Final = 4 * 1024 * 1024
"""Size from which old epochs are dropped at the start of a new one; entries take up five times as much in
memory."""

EPOCHS_KEPT: Final = 2
"""The current epoch and the one before, so that evidence against others can still be made."""

_LENGTH_BYTES: Final = 4
_LENGTH_CHECK_BYTES: Final = 4
_CHECKSUM_BYTES: Final = 16
_LENGTH_DOMAIN: Final = domain("vote-journal-length/1")
_DOMAIN: Final = domain("vote-journal/1")


class JournalError(Exception):
    """The key must not sign; the message says why, and what to do."""


class LostJournal(JournalError):
    """What the key signed is not known, so that it signs never again; everything else goes on."""


class _Begin(Record, frozen=True, tag=0):
    """The first record."""

    key: PublicKey
    complete_from: EpochIndex
    """Nothing that was signed in this epoch or later is missing."""


class _VoteEntry(Record, frozen=True, tag=1):
    vote: Vote


class _CertificateEntry(Record, frozen=True, tag=2):
    certificate: Certificate


class _StopEntry(Record, frozen=True, tag=3):
    stop: Stop


_Entry = _Begin | _VoteEntry | _CertificateEntry | _StopEntry
Item = Vote | Certificate | Stop
_ENTRY: Final = Codec[_Entry](_Entry)


def create_journal(path: Path, key: PublicKey) -> None:
    """Create the journal of a key that has just been generated and has signed nothing.

    Raises FileExistsError if there is one.
    """
    with path.open("xb") as file:
        _write(file, _frames([_Begin(key, EpochIndex(0))], b"")[0])
    _sync_folder(path)


class Journal:
    """An open journal. `append` and `compact` block on the disk: call them in a worker thread, one at a
    time."""

    def __init__(self, path: Path, key: PublicKey) -> None:
        """Open the journal of `key` and lock it for this process.

        Raises LostJournal if it is missing, damaged or of another key, JournalError if it is in use or cannot
        be written.
        """
        self._path = path
        with _explained(path):
            if not path.exists():
                raise _missing(path)  # whose folder may be missing too, and with it the place of the lock
            self._lock = _lock(path)
            self._open(key)

    def _open(self, key: PublicKey) -> None:
        path = self._path
        try:
            self._entries, self._checksum, size = _read(path, key)
            self._file = path.open("r+b")
            self._file.truncate(size)
            self._file.seek(size)
            os.fsync(self._file.fileno())
        except BaseException:
            self._lock.close()
            raise

    @property
    def complete_from(self) -> EpochIndex:
        """The first epoch in which the key may sign."""
        begin = self._entries[0]
        assert isinstance(begin, _Begin)
        return begin.complete_from

    @property
    def stop(self) -> Stop | None:
        """Why the key must not sign, if there is a reason."""
        return _last_stop(self._entries)

    def memory(self, epoch: EpochIndex) -> Memory:
        """What was cast and accepted in an epoch, and why the key must not sign."""
        votes = [entry.vote for entry in self._entries if isinstance(entry, _VoteEntry)]
        certificates = [entry.certificate for entry in self._entries if isinstance(entry, _CertificateEntry)]
        return Memory(
            votes=tuple(vote for vote in votes if vote.epoch == epoch),
            certificates=tuple(held for held in certificates if held.epoch == epoch),
            stop=self.stop,
        )

    def append(self, items: Sequence[Item]) -> None:
        """Make items durable; they are when this returns.

        Raises JournalError if the disk takes no more; then the journal is not to be used any longer.
        """
        entries = [_entry_of(item) for item in items]
        data, self._checksum = _frames(entries, self._checksum)
        with _explained(self._path):
            _write(self._file, data)
        self._entries += entries

    def compact(self, epoch: EpochIndex, above_bytes: int = COMPACT_BYTES) -> None:
        """Drop what is older than the evidence window, at the start of `epoch`, once the file is large.

        Raises JournalError as `append` does.
        """
        if self._file.tell() <= above_bytes:
            return
        begin = self._entries[0]
        assert isinstance(begin, _Begin)
        floor = EpochIndex(max(begin.complete_from, epoch + 1 - EPOCHS_KEPT))
        entries: list[_Entry] = [_Begin(begin.key, floor)]
        entries += [entry for entry in self._entries[1:] if _is_kept(entry, floor)]
        data, checksum = _frames(entries, b"")
        with _explained(self._path):
            self._replace(data)
        self._entries, self._checksum = entries, checksum

    def _replace(self, data: bytes) -> None:
        """Put another file in the place of this one; a crash leaves the old one or the new one."""
        successor = self._path.with_suffix(".new")
        with successor.open("wb") as file:
            _write(file, data)
        successor.replace(self._path)
        _sync_folder(self._path)
        self._file.close()
        self._file = self._path.open("r+b")
        self._file.seek(0, os.SEEK_END)

    def close(self) -> None:
        """Release file and lock."""
        self._file.close()
        self._lock.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What a journal says, without being opened for signing."""

    key: PublicKey
    complete_from: EpochIndex
    """The first epoch in which the key may sign."""

    votes: int
    certificates: int
    last_vote: Vote | None
    stop: Stop | None
    """Why the key must not sign, if there is a reason."""


def inspect_journal(path: Path) -> Inspection:
    """Read a journal without changing or locking it. Raises JournalError if it is missing or damaged."""
    with _explained(path):
        entries, _, _ = _read(path, None)
    begin = entries[0]
    assert isinstance(begin, _Begin)
    votes = [entry.vote for entry in entries if isinstance(entry, _VoteEntry)]
    return Inspection(
        key=begin.key,
        complete_from=begin.complete_from,
        votes=len(votes),
        certificates=sum(isinstance(entry, _CertificateEntry) for entry in entries),
        last_vote=votes[-1] if votes else None,
        stop=_last_stop(entries),
    )


class Signer(NamedTuple):
    """A session key, and the journal of what it signs."""

    key: Key
    journal: Journal


def _last_stop(entries: Sequence[_Entry]) -> Stop | None:
    """The reason that counts: one is added only if it stops more than the one before."""
    return next((entry.stop for entry in reversed(entries) if isinstance(entry, _StopEntry)), None)


def _entry_of(item: Item) -> _Entry:
    match item:
        case Vote():
            return _VoteEntry(item)
        case Certificate():
            return _CertificateEntry(item)
        case Stop():
            return _StopEntry(item)


def _is_kept(entry: _Entry, floor: EpochIndex) -> bool:
    """Whether a compacted journal holds an entry that is not the first."""
    match entry:
        case _VoteEntry(vote=vote):
            return vote.epoch >= floor
        case _CertificateEntry(certificate=certificate):
            return certificate.epoch >= floor
        case _StopEntry():
            return True
        case _Begin():
            return False


def _read(path: Path, key: PublicKey | None) -> tuple[list[_Entry], bytes, int]:
    """Entries, last checksum, and how many bytes they take up; `key`: whose it must be, if that is known."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise _missing(path) from None
    entries: list[_Entry] = []
    checksum, start, bytes_left = b"", 0, memoryview(data)
    while any(bytes_left[start:]):
        payload = _payload(path, data, start, checksum)
        if payload is None:
            break
        frame, checksum = _frame(payload, checksum)
        if data[start : start + len(frame)] != frame:
            raise _damaged(path, start)
        try:
            entries.append(_ENTRY.decode(payload))
        except CodecError:
            raise _damaged(path, start) from None
        start += len(frame)
    if not entries or not isinstance(entries[0], _Begin):
        raise _damaged(path, 0)
    if key is not None and entries[0].key != key:
        raise LostJournal(f"{path} belongs to another session key")
    return entries, checksum, start


def _payload(path: Path, data: bytes, start: int, checksum: bytes) -> bytes | None:
    """The payload of the record at `start`, checked by nothing but its length; None if it was cut off."""
    body = start + len(_head(0, checksum))
    if body > len(data):
        return None
    length = int.from_bytes(data[start : start + _LENGTH_BYTES], "big")
    if data[start:body] != _head(length, checksum):
        raise _damaged(path, start)
    end = body + length
    return data[body:end] if end + _CHECKSUM_BYTES <= len(data) else None


def _missing(path: Path) -> LostJournal:
    return LostJournal(
        f"{path} is missing, so that nobody knows what the key signed: rotate the session key, "
        f"or on a test network remove {path.parent.parent} and start anew"
    )


def _damaged(path: Path, offset: int) -> LostJournal:
    return LostJournal(f"{path} is damaged at byte {offset}: rotate the session key")


def _frames(entries: Sequence[_Entry], checksum: bytes) -> tuple[bytes, bytes]:
    """The bytes of some records, and the last one's checksum."""
    frames = b""
    for entry in entries:
        frame, checksum = _frame(_ENTRY.encode(entry), checksum)
        frames += frame
    return frames, checksum


def _frame(payload: bytes, checksum: bytes) -> tuple[bytes, bytes]:
    """One record, and its checksum."""
    checksum_after = blake2b_256(_DOMAIN + checksum + payload)[:_CHECKSUM_BYTES]
    return _head(len(payload), checksum) + payload + checksum_after, checksum_after


def _head(length: int, checksum: bytes) -> bytes:
    """The length of a record, checked."""
    head = length.to_bytes(_LENGTH_BYTES, "big")
    return head + blake2b_256(_LENGTH_DOMAIN + checksum + head)[:_LENGTH_CHECK_BYTES]


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Tell the operator what the system refused."""
    try:
        yield
    except OSError as error:
        raise JournalError(
            f"cannot write {path}: {error.strerror}; no vote is lost: make room or set it right, start again"
        ) from error


def _write(file: IO[bytes], data: bytes) -> None:
    file.write(data)
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _lock(path: Path) -> IO[bytes]:
    """A lock file beside the journal; the journal itself is replaced when it is compacted."""
    lock = path.with_suffix(".lock").open("wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise JournalError(f"{path} is in use by another process") from None
    return lock
