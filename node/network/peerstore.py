"""What a node remembers of its peers from one life to the next: addresses, last successes, scores, bans.

One small SQLite file, replaced as a whole in one transaction. It is a convenience, never a truth: every row
is checked when it is read, a file that is damaged is set aside, and a disk that cannot be written to costs
only the memory.
"""

import logging
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import trio

from node.network.dial import AddressBook, Known
from node.network.identity import ADDRESS_LENGTH_MAX, AddressError, PeerId, parse_address, parse_peer_id
from node.network.peers import PeerTable
from node.network.scores import Ledger, Standing

LOGGER: Final = logging.getLogger(__name__)

SAVE_S: Final = 30.0
"""How much news a killed process may lose."""

LAST_SAVE_S: Final = 1.0
"""How long a node that stops may take for it."""

FORGET_S: Final = 30 * 86_400
"""A peer that was last connected so long ago is a stranger again."""

FILE_BYTES_MAX: Final = 16 << 20
"""A file longer than this was not written here."""

ROWS_MAX: Final = 4_096
_VERSION: Final = 1
_SCHEMA: Final = f"""
PRAGMA user_version = {_VERSION};
CREATE TABLE IF NOT EXISTS addresses (peer TEXT, place INTEGER, address TEXT, answered_at REAL);
CREATE TABLE IF NOT EXISTS standings (kind TEXT, key TEXT, score INTEGER, banned_until REAL);
"""


@dataclass(frozen=True, slots=True)
class Memory:
    """Everything in the file. Times are of the wall clock, in seconds."""

    addresses: tuple[tuple[str, int, str, float | None], ...] = ()
    """Peer, its address's place in the order, the address, and when the peer was last connected."""

    standings: tuple[tuple[str, str, int, float], ...] = ()
    """`peer` or `network`, which one, its score, and when its ban ends."""


class Peerstore:
    """Keeps an address book and a table of peers in a file."""

    def __init__(self, path: Path, book: AddressBook, table: PeerTable) -> None:
        self._path = path
        self._book = book
        self._table = table
        self._ledgers: dict[str, Ledger[PeerId] | Ledger[str]] = {
            "peer": table.scores,
            "network": table.networks,
        }
        self._saved = Memory()

    async def load(self) -> None:
        """Put back what the file remembers. Raises nothing: whatever is wrong is one line in the log."""
        memory = await trio.to_thread.run_sync(read, self._path)
        lost = self._restore(memory, trio.current_time(), time.time())
        if lost:
            LOGGER.warning("%s: left out %d lines that make no sense", self._path, lost)

    async def run(self) -> None:
        """Save what changes, until cancelled and then once more."""
        try:
            while True:
                await trio.sleep(SAVE_S)
                await self._save()
        finally:
            with trio.move_on_after(LAST_SAVE_S, shield=True):
                await self._save()

    async def _save(self) -> None:
        memory = self._memory(trio.current_time(), time.time())
        if memory != self._saved:
            await trio.to_thread.run_sync(partial(write, self._path, memory), abandon_on_cancel=True)
            self._saved = memory

    def _memory(self, now: float, wall: float) -> Memory:
        connected = {peer.peer_id for peer in self._table.connected()}
        addresses = [
            (
                known.peer_id,
                place,
                str(address),
                _hour(wall, 0.0 if known.peer_id in connected else known.answered_age_s),
            )
            for known in self._book.known(now)
            for place, address in enumerate(known.addresses)
        ]
        standings = [
            (
                kind,
                standing.key,
                standing.score,
                round(wall + standing.ban_left_s) if standing.ban_left_s else 0,
            )
            for kind, ledger in self._ledgers.items()
            for standing in ledger.standings(now)
        ]
        return Memory(tuple(addresses), tuple(standings))

    def _restore(self, memory: Memory, now: float, wall: float) -> int:
        """Take in what makes sense; how many rows do not."""
        lost = 0
        for peer, _, text, answered_at in memory.addresses:
            try:
                address = parse_address(text).with_peer_id(parse_peer_id(peer))
                age_s = None if answered_at is None else max(0.0, wall - float(answered_at))
            except (AddressError, TypeError, ValueError):
                lost += 1
                continue
            assert address.peer_id is not None
            if age_s is None or age_s < FORGET_S:
                self._book.restore(Known(address.peer_id, (address,), age_s), now)
        for kind, key, score, banned_until in memory.standings:
            try:
                standing = Standing(
                    key[:ADDRESS_LENGTH_MAX], int(score), max(0.0, float(banned_until) - wall)
                )
                self._ledgers[kind].restore(standing, now)  # type: ignore[arg-type]  # a peer id is a text
            except (KeyError, OverflowError, TypeError, ValueError):
                lost += 1
        return lost


def read(path: Path) -> Memory:
    """What the file says; nothing if there is none. A damaged file is set aside."""
    try:
        if not path.exists():
            return Memory()
        if path.stat().st_size > FILE_BYTES_MAX:
            raise sqlite3.DatabaseError(f"longer than {FILE_BYTES_MAX} bytes")
        # Not read-only: what a killed process left half-written is undone when the file is opened.
        with closing(sqlite3.connect(path, timeout=1)) as database:
            if database.execute("PRAGMA user_version").fetchone() != (_VERSION,):
                raise sqlite3.DatabaseError("of another version")
            addresses = "SELECT peer, place, address, answered_at FROM addresses ORDER BY place DESC LIMIT ?"
            standings = "SELECT kind, key, score, banned_until FROM standings LIMIT ?"
            return Memory(
                tuple(database.execute(addresses, (ROWS_MAX,))),
                tuple(database.execute(standings, (ROWS_MAX,))),
            )
    except sqlite3.DatabaseError as error:
        _set_aside(path, error)
    except OSError as error:
        LOGGER.warning("cannot read the peers of before from %s: %s", path, error)
    return Memory()


def write(path: Path, memory: Memory) -> None:
    """Replace the file's content, all of it or nothing; a failure is one line in the log."""
    try:
        with closing(sqlite3.connect(path, timeout=1)) as database:
            database.executescript(_SCHEMA)
            with database:
                database.execute("DELETE FROM addresses")
                database.execute("DELETE FROM standings")
                database.executemany("INSERT INTO addresses VALUES (?, ?, ?, ?)", memory.addresses)
                database.executemany("INSERT INTO standings VALUES (?, ?, ?, ?)", memory.standings)
    except (sqlite3.Error, OSError) as error:
        LOGGER.warning("cannot save the peers to %s: %s", path, error)


def _set_aside(path: Path, error: Exception) -> None:
    aside = path.with_suffix(".damaged")
    try:
        path.replace(aside)
        LOGGER.warning(
            "%s is damaged (%s): moved to %s; the peers are learned again", path, error, aside.name
        )
    except OSError as problem:
        LOGGER.warning("%s is damaged (%s) and cannot be moved (%s)", path, error, problem)


def _hour(wall: float, age_s: float | None) -> float | None:
    """When that was, to the hour, so that a peer that stays connected is seldom news."""
    return None if age_s is None else (wall - age_s) // 3600 * 3600
