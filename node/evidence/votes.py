"""Every verified vote that this node heard or cast, in memory and on the disk.

A vote that contradicts an earlier one convicts its signer, also if this process started in between. Nothing
waits for the disk: votes are written in batches without an fsync, so that a crash may lose those of a moment.
That costs evidence at most, never safety: what binds the own key is in its journal.

Format: files of slots of SLOT_BYTES, each with the length of a vote, the vote, zero bytes, and a checksum. A
file is named after the newest epoch at its start and a running number, both of 20 digits.
"""

import logging
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import trio

from primitives.codec import CodecError
from primitives.types import EpochIndex
from primitives.vote import VOTE, Vote

REMEMBERED_MAX: Final = 32 * 1024
"""Votes in memory: half an hour of a small network, and more than the views that are compared of a large
one."""

SLOT_BYTES: Final = 128
"""A vote takes up 123 at most."""

FILE_VOTES_MAX: Final = 64 * 1024
FILES_MAX: Final = 16
"""128 MiB in all: some hours of a network of a hundred validators with two seconds for a block."""

EPOCHS_KEPT: Final = 2
"""The current one and the one before, of which votes may still be punished by this node's word."""

WAITING_MAX: Final = 16 * 1024
"""Votes that wait for a slow disk; more are not written."""

BATCH_S: Final = 0.25
"""What a crash of the process may lose, and how often a thread is used for it at most."""

_CHECK_BYTES: Final = 4
_SUFFIX: Final = ".votes"

_log = logging.getLogger(__name__)


class VoteRecord:
    """The last REMEMBERED_MAX distinct votes, the oldest first, and the files that they are written to."""

    def __init__(self, directory: Path) -> None:
        """Takes in what the files in `directory` hold; it is made with the first vote that is written."""
        self._directory = directory
        self._votes: dict[Vote, None] = {}
        self._forgotten = 0
        self._waiting: list[Vote] = []
        self._filled = trio.Event()
        self._files = sorted(directory.glob(f"*{_SUFFIX}"))
        self._room = 0
        """Slots that are free in the last file; a process begins with a file of its own, so that what was
        torn stays where it is."""
        for path in self._files[-(REMEMBERED_MAX // FILE_VOTES_MAX + EPOCHS_KEPT + 1) :]:
            for vote in _read(path):
                self._remember(vote)

    def note(self, vote: Vote) -> None:
        """Keep a verified vote; it is written soon."""
        if vote in self._votes:
            return
        self._remember(vote)
        if len(self._waiting) < WAITING_MAX:
            self._waiting.append(vote)
            self._filled.set()

    def of(self, epoch: EpochIndex) -> list[Vote]:
        """The votes of one epoch."""
        return [vote for vote in self._votes if vote.epoch == epoch]

    def page(self, start: int, count: int) -> tuple[int, list[Vote]]:
        """Up to `count` votes from number `start` on, and the number of the vote after them."""
        skipped = max(0, start - self._forgotten)
        votes = list(self._votes)[skipped : skipped + count]
        return self._forgotten + skipped + len(votes), votes

    async def run(self) -> None:
        """Write until cancelled; what waits then is written too."""
        try:
            while True:
                await self._filled.wait()
                await trio.sleep(BATCH_S)
                await trio.to_thread.run_sync(self._write, self._take())
        finally:
            self._write(self._take())

    def _remember(self, vote: Vote) -> None:
        self._votes[vote] = None
        if len(self._votes) > REMEMBERED_MAX:
            del self._votes[next(iter(self._votes))]
            self._forgotten += 1

    def _take(self) -> list[Vote]:
        votes, self._waiting, self._filled = self._waiting, [], trio.Event()
        return votes

    def _write(self, votes: Sequence[Vote]) -> None:
        """Append to the last file, or to new ones. A disk that takes none costs evidence, not the node."""
        try:
            while votes:
                newest = max(vote.epoch for vote in votes)
                if not self._room or _epoch_of(self._files[-1]) < newest:
                    self._begin_file(newest)
                written, votes = votes[: self._room], votes[self._room :]
                with self._files[-1].open("ab") as file:
                    file.write(b"".join(map(_slot, written)))
                self._room -= len(written)
        except OSError as error:
            _log.warning("cannot keep %d votes of others in %s: %s", len(votes), self._directory, error)

    def _begin_file(self, epoch: int) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        number = _number_of(self._files[-1]) + 1 if self._files else 0
        self._files.append(self._directory / f"{epoch:020}-{number:020}{_SUFFIX}")
        self._room = FILE_VOTES_MAX
        # A file may hold votes of the epoch before the one that it is named after.
        old = [path for path in self._files if _epoch_of(path) + EPOCHS_KEPT <= epoch]
        for path in {*old, *self._files[:-FILES_MAX]}:
            path.unlink(missing_ok=True)
            self._files.remove(path)


def _epoch_of(path: Path) -> int:
    return int(path.stem.partition("-")[0])


def _number_of(path: Path) -> int:
    return int(path.stem.partition("-")[2])


def _slot(vote: Vote) -> bytes:
    data = VOTE.encode(vote)
    body = (len(data).to_bytes(1, "big") + data).ljust(SLOT_BYTES - _CHECK_BYTES, b"\x00")
    return body + zlib.crc32(body).to_bytes(_CHECK_BYTES, "big")


def _read(path: Path) -> Iterator[Vote]:
    """The votes in a file; slots that a crash left half written are passed over."""
    data = path.read_bytes()
    for start in range(0, len(data) - SLOT_BYTES + 1, SLOT_BYTES):
        slot = data[start : start + SLOT_BYTES]
        body, check = slot[:-_CHECK_BYTES], slot[-_CHECK_BYTES:]
        if zlib.crc32(body).to_bytes(_CHECK_BYTES, "big") == check:
            try:
                yield VOTE.decode(body[1 : 1 + body[0]])
            except CodecError:
                _log.warning("%s holds something that is no vote", path)
