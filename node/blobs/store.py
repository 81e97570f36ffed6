"""Blobs on disk, by content. What is reported stored is stored: it survives a power cut whole or not at all.

A file is `length (8 bytes, big-endian) || hash of each chunk || data`, named after the blob's id and kept in
`pinned/` or `cached/`; it is written in `incoming/`, which is emptied at start. One thread at a time.
"""

import errno
import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from node.blobs.messages import (
    BLOB_BYTES_MAX,
    CHUNK_BYTES,
    BlobId,
    Chunk,
    Manifest,
    blob_id,
    chunk_count_of,
    chunk_hashes,
    chunks_of,
    manifest_of,
)
from primitives.hashing import blake2b_256
from primitives.merkle import list_root, prove_item
from primitives.types import Hash

_LENGTH_BYTES: Final = 8
_HASH_BYTES: Final = 32


class BlobError(Exception):
    """A blob cannot be stored or read; the message is one line for the operator."""


class BlobMissing(BlobError):
    """The blob is not in the store."""


class WrongSize(BlobError):
    """No blob has this length."""


class StoreFull(BlobError):
    """The store or its disk has no room, and nothing may be evicted."""


class StoreBroken(BlobError):
    """The directory cannot be read or written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreLimits:
    """Bounds of a store."""

    size_bytes_max: int = 4 * 1024**3
    """Bytes of all files together."""

    count_max: int = 16 * 1024
    """Blobs; each takes up to 4 kB of memory."""


@dataclass(slots=True)
class _Stored:
    manifest: Manifest
    hashes: list[Hash]
    pinned: bool


class BlobStore:
    """The blobs of one node."""

    def __init__(self, path: Path, limits: StoreLimits) -> None:
        """Open or make the store in the directory `path`. Raises StoreBroken."""
        self._path = path
        self._limits = limits
        self._stored: OrderedDict[BlobId, _Stored] = OrderedDict()
        """The least recently used first."""

        self._used_bytes = 0
        self._arrivals = 0
        with self._explained():
            for name in ("incoming", "pinned", "cached"):
                (path / name).mkdir(mode=0o700, parents=True, exist_ok=True)
            for torn in (path / "incoming").iterdir():
                torn.unlink()
            self._scan()

    def __contains__(self, blob: object) -> bool:
        return blob in self._stored

    def __len__(self) -> int:
        return len(self._stored)

    @property
    def used_bytes(self) -> int:
        """Bytes of all files, counting whole those that are still being written."""
        return self._used_bytes

    def manifest(self, blob: BlobId) -> Manifest:
        """The manifest of a stored blob. Raises BlobMissing."""
        return self._get(blob).manifest

    def read(self, blob: BlobId) -> bytes:
        """The content of a blob, verified. Raises BlobMissing, also if it was damaged; StoreBroken."""
        stored = self._get(blob)
        data = self._read(blob, stored, 0, stored.manifest.size_bytes)
        self._ensure_intact(blob, chunk_hashes(chunks_of(data)) == stored.hashes)
        return data

    def chunk(self, blob: BlobId, index: int) -> Chunk | None:
        """A verified chunk and its proof; None if the blob is shorter. Raises as `read` does."""
        stored = self._get(blob)
        if index >= stored.manifest.chunk_count:
            return None
        data = self._read(blob, stored, index * CHUNK_BYTES, stored.manifest.chunk_size(index))
        self._ensure_intact(blob, blake2b_256(data) == stored.hashes[index])
        return Chunk(data, prove_item(stored.hashes, index))

    def put(self, data: bytes, *, pinned: bool) -> BlobId:
        """Store a blob, durably on return. Raises WrongSize, StoreFull, StoreBroken."""
        if not 0 < len(data) <= BLOB_BYTES_MAX:
            raise WrongSize(f"a blob has 1 to {BLOB_BYTES_MAX} bytes, this one has {len(data)}")
        with closing(self.begin(manifest_of(data), pinned=pinned)) as incoming:
            for index, chunk in enumerate(chunks_of(data)):
                incoming.write(index, chunk)
            return incoming.commit()

    def begin(self, manifest: Manifest, *, pinned: bool) -> "Incoming":
        """Make room for a blob and start to write it. Raises StoreFull, StoreBroken."""
        self._make_room(_file_bytes(manifest))
        self._arrivals += 1
        try:
            with self._explained():
                return Incoming(self, manifest, self._path / "incoming" / str(self._arrivals), pinned)
        except BlobError:
            self._used_bytes -= _file_bytes(manifest)
            raise

    def pin(self, blob: BlobId, *, pinned: bool = True) -> None:
        """Keep a blob for ever, or no longer; durable on return. Raises BlobMissing, StoreBroken."""
        stored = self._get(blob)
        if stored.pinned != pinned:
            self._move(self._file(blob, stored.pinned), self._file(blob, pinned))
            stored.pinned = pinned

    def _get(self, blob: BlobId) -> _Stored:
        """A stored blob, which by this is the most recently used. Raises BlobMissing."""
        if blob not in self._stored:
            raise BlobMissing(f"blob {blob.hex()} is not stored here")
        self._stored.move_to_end(blob)
        return self._stored[blob]

    def _read(self, blob: BlobId, stored: _Stored, start: int, size_bytes: int) -> bytes:
        """Part of a blob; less or nothing if its file is cut off or gone. Raises StoreBroken."""
        path = self._file(blob, stored.pinned)
        with self._explained(), suppress(FileNotFoundError), path.open("rb") as file:
            os.utime(file.fileno())
            file.seek(_header_bytes(stored.manifest) + start)
            return file.read(size_bytes)
        return b""

    def _ensure_intact(self, blob: BlobId, intact: bool) -> None:
        """Remove a damaged blob, so that it is fetched again. Raises BlobMissing."""
        if not intact:
            self._remove(blob)
            raise BlobMissing(f"blob {blob.hex()} was damaged on disk and is removed: fetch it again")

    def _make_room(self, needed_bytes: int) -> None:
        """Reserve bytes, evicting what was used least recently. Raises StoreFull, and evicts nothing."""
        free_bytes = self._limits.size_bytes_max - self._used_bytes
        count = len(self._stored)
        victims: list[BlobId] = []
        for blob, stored in self._stored.items():
            if free_bytes >= needed_bytes and count < self._limits.count_max:
                break
            if not stored.pinned:
                victims.append(blob)
                free_bytes += _file_bytes(stored.manifest)
                count -= 1
        if free_bytes < needed_bytes or count >= self._limits.count_max:
            raise StoreFull(
                f"blob store {self._path} is full: {self._used_bytes} bytes in {len(self._stored)} blobs, "
                "and what is pinned stays; unpin some or allow it more"
            )
        for victim in victims:
            self._remove(victim)
        self._used_bytes += needed_bytes

    def _admit(self, incoming: "Incoming", hashes: list[Hash]) -> BlobId:
        """Take over a whole and synced file. Raises StoreBroken."""
        blob = blob_id(incoming.manifest)
        if blob in self._stored:
            self.pin(blob, pinned=incoming.pinned or self._stored[blob].pinned)
        else:
            self._move(incoming.path, self._file(blob, incoming.pinned))
            self._stored[blob] = _Stored(incoming.manifest, hashes, incoming.pinned)
            self._used_bytes += _file_bytes(incoming.manifest)
        return blob

    def _move(self, source: Path, target: Path) -> None:
        """Rename durably. Raises StoreBroken."""
        with self._explained():
            source.rename(target)
            directory = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)

    def _remove(self, blob: BlobId) -> None:
        stored = self._stored.pop(blob)
        self._used_bytes -= _file_bytes(stored.manifest)
        with self._explained():
            self._file(blob, stored.pinned).unlink(missing_ok=True)

    def _release(self, incoming: "Incoming") -> None:
        """Give back what was reserved for a blob, and its file if it is still there."""
        self._used_bytes -= _file_bytes(incoming.manifest)
        with self._explained():
            incoming.path.unlink(missing_ok=True)

    def _file(self, blob: BlobId, pinned: bool) -> Path:
        return self._path / ("pinned" if pinned else "cached") / blob.hex()

    def _scan(self) -> None:
        """Take stock of the directory; a file that is not what its name says is removed."""
        files = [file for name in ("pinned", "cached") for file in (self._path / name).iterdir()]
        for file in sorted(files, key=lambda file: (file.stat().st_mtime_ns, file.name)):
            stored = _stored_in(file)
            if stored is None or blob_id(stored.manifest) in self._stored:
                file.unlink()
                continue
            self._stored[blob_id(stored.manifest)] = stored
            self._used_bytes += _file_bytes(stored.manifest)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn the system's errors into one line. Raises StoreFull, StoreBroken."""
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StoreFull(
                    f"the disk under the blob store {self._path} is full: make room on it"
                ) from error
            raise StoreBroken(f"cannot use the blob store {self._path}: {error.strerror}") from error


class Incoming:
    """A blob that is being written, until it is closed."""

    def __init__(self, store: BlobStore, manifest: Manifest, path: Path, pinned: bool) -> None:
        """Raises OSError."""
        self.manifest: Final = manifest
        self.path: Final = path
        self.pinned: Final = pinned
        self._store = store
        self._hashes: dict[int, Hash] = {}
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._file: BinaryIO = os.fdopen(descriptor, "wb")

    def write(self, index: int, chunk: bytes) -> None:
        """Write the chunk at `index`, in any order. Raises StoreFull, StoreBroken."""
        assert len(chunk) == self.manifest.chunk_size(index)
        with self._store._explained():
            self._file.seek(_header_bytes(self.manifest) + index * CHUNK_BYTES)
            self._file.write(chunk)
        self._hashes[index] = blake2b_256(chunk)

    def commit(self) -> BlobId:
        """Make the blob part of the store, durably on return. Raises StoreFull, StoreBroken."""
        hashes = [self._hashes[index] for index in range(self.manifest.chunk_count)]
        assert list_root(hashes) == self.manifest.root
        with self._store._explained():
            self._file.seek(0)
            self._file.write(self.manifest.size_bytes.to_bytes(_LENGTH_BYTES, "big") + b"".join(hashes))
            self._file.flush()
            os.fsync(self._file.fileno())
        return self._store._admit(self, hashes)

    def close(self) -> None:
        """Let go of the file; unless it was committed, of the blob too. Raises StoreBroken."""
        with suppress(OSError):
            self._file.close()
        self._store._release(self)


def is_intact(file: Path) -> bool:
    """Whether a file of a store holds, whole, the blob that it is named after. Raises OSError."""
    stored = _stored_in(file)
    if stored is None:
        return False
    with file.open("rb") as opened:
        opened.seek(_header_bytes(stored.manifest))
        return chunk_hashes(iter(lambda: opened.read(CHUNK_BYTES), b"")) == stored.hashes


def _header_bytes(manifest: Manifest) -> int:
    return _LENGTH_BYTES + _HASH_BYTES * manifest.chunk_count


def _file_bytes(manifest: Manifest) -> int:
    return _header_bytes(manifest) + manifest.size_bytes


def _stored_in(file: Path) -> _Stored | None:
    """What the header of a file says; None if it does not belong to the file's name and length."""
    with file.open("rb") as opened:
        size_bytes = int.from_bytes(opened.read(_LENGTH_BYTES), "big")
        if not 0 < size_bytes <= BLOB_BYTES_MAX:
            return None
        packed = opened.read(_HASH_BYTES * chunk_count_of(size_bytes))
    hashes = [Hash(packed[at : at + _HASH_BYTES]) for at in range(0, len(packed), _HASH_BYTES)]
    manifest = Manifest(size_bytes, list_root(hashes))
    if blob_id(manifest).hex() != file.name or file.stat().st_size != _file_bytes(manifest):
        return None
    return _Stored(manifest, hashes, file.parent.name == "pinned")
