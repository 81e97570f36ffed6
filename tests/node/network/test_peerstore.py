import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import trio

from node.network.dial import AddressBook, Known
from node.network.host import Network
from node.network.identity import Address, PeerId, peer_id_of
from node.network.peers import Limits, PeerTable
from node.network.peerstore import FILE_BYTES_MAX, FORGET_S, Memory, Peerstore, read, write
from tests.node.network.networks import config, eventually, knows, seed, start

OWN, A, B = (peer_id_of(seed(number)) for number in (1, 2, 3))
PLACE = Address(host="10.0.0.1", port=1, peer_id=A)


def parts(path: Path) -> tuple[Peerstore, AddressBook, PeerTable]:
    book, table = AddressBook(OWN), PeerTable(Limits())
    return Peerstore(path, book, table), book, table


async def lived(path: Path) -> None:
    """One life of a node that met A, heard of B, and banned B."""
    store, book, table = parts(path)
    now = trio.current_time()
    book.add(PLACE)
    book.answered(A, now)
    book.add(Address(host="10.0.0.2", port=1, peer_id=B), heard_at=now)
    table.adjust(A, 5, now)
    table.adjust(B, -100, now, "10.0.0.2")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.run)
        await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()


async def test_the_next_life_knows_addresses_scores_and_bans(tmp_path: Path) -> None:
    await lived(tmp_path / "peers.sqlite")
    store, book, table = parts(tmp_path / "peers.sqlite")
    await store.load()
    now = trio.current_time()
    met, heard = sorted(book.known(now), key=lambda known: known.answered_age_s is None)
    assert met.addresses == (PLACE,)
    assert met.answered_age_s is not None
    assert met.answered_age_s < 3700
    assert (heard.peer_id, heard.answered_age_s) == (B, None)
    assert (table.score(A, now), table.banned(now)) == (5, (B,))
    assert table.networks.score("10.0.0.2", now) < 0


@pytest.mark.parametrize("damage", ["garbage", "cut", "another version", "too long"])
async def test_a_damaged_file_is_set_aside_with_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    path = tmp_path / "peers.sqlite"
    await lived(path)
    match damage:
        case "garbage":
            path.write_bytes(b"no database at all" * 300)
        case "cut":
            path.write_bytes(path.read_bytes()[:5000])
        case "another version":
            with closing(sqlite3.connect(path)) as database:
                database.execute("PRAGMA user_version = 9")
        case _:
            path.write_bytes(path.read_bytes().ljust(FILE_BYTES_MAX + 1))
    content = path.read_bytes()
    store, book, table = parts(path)
    await store.load()
    assert list(book.known(0)) == []
    assert table.banned(trio.current_time()) == ()
    assert not path.exists()
    assert path.with_suffix(".damaged").read_bytes() == content
    assert len(caplog.records) == 1
    assert "is damaged" in caplog.text
    await lived(path)
    assert read(path) != Memory()


async def test_lines_that_make_no_sense_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "peers.sqlite"
    bad_addresses: tuple[tuple[object, ...], ...] = (
        ("nobody", 0, str(PLACE), None),
        (A, 0, "nowhere", None),
        (A, 0, None, None),
        (A, 0, str(PLACE), "yesterday"),
        (None, 0, str(PLACE), None),
    )
    bad_standings: tuple[tuple[object, ...], ...] = (
        ("planet", "a", 0, 0),
        ("peer", None, 0, 0),
        ("peer", "a", "much", 0),
        ("peer", "a", 0, "long"),
    )
    good = ("peer", A, 3, 0)
    write(path, Memory(bad_addresses, (*bad_standings, good)))  # type: ignore[arg-type]  # on purpose
    store, book, table = parts(path)
    await store.load()
    assert list(book.known(0)) == []
    assert table.score(A, trio.current_time()) == 3
    assert "left out 9 lines" in caplog.text


async def test_who_was_away_for_a_month_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "peers.sqlite"
    write(path, Memory(((A, 0, str(PLACE), 1_000_000.0),)))
    store, book, _ = parts(path)
    await store.load()
    assert list(book.known(0)) == []
    assert FORGET_S < 100 * 86_400


async def test_a_disk_that_takes_nothing_costs_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await lived(tmp_path / "missing" / "peers.sqlite")
    assert len(caplog.records) == 1
    assert "cannot save the peers" in caplog.text


KILLED = """
import os, signal, sqlite3, sys
database = sqlite3.connect(sys.argv[1])
database.execute("PRAGMA cache_size = 1")  # so that pages are written before the end
database.execute("BEGIN")
database.execute("DELETE FROM addresses")
rows = [("peer", 0, "x" * 300, 1.0)] * 500
database.executemany("INSERT INTO addresses VALUES (?, ?, ?, ?)", rows)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_left_half_written_is_undone(tmp_path: Path) -> None:
    path = tmp_path / "peers.sqlite"
    memory = Memory(tuple((f"{number}", 0, "y" * 300, 1.0) for number in range(100)), (("peer", A, -5, 9.0),))
    write(path, memory)
    subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False, timeout=60)
    assert path.with_name("peers.sqlite-journal").exists()
    assert read(path) == memory


def test_a_file_that_is_not_there_says_nothing(tmp_path: Path) -> None:
    assert read(tmp_path / "peers.sqlite") == Memory()


async def test_a_node_finds_its_network_again_without_a_bootnode(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    path = tmp_path / "peers.sqlite"
    first = await start(nursery, config(1))
    async with trio.open_nursery() as life:
        second = await start(life, config(2, first.listening, peerstore=path))
        await eventually(lambda: knows(second, first))
        life.cancel_scope.cancel()
    again = await start(nursery, config(2, peerstore=path))
    await eventually(lambda: knows(again, first))
    nursery.cancel_scope.cancel()


async def test_a_ban_outlives_a_restart(nursery: trio.Nursery, tmp_path: Path) -> None:
    path = tmp_path / "peers.sqlite"
    async with trio.open_nursery() as life:
        network = Network(config(1, peerstore=path))
        await life.start(network.run)
        network.penalize(B, "bad vote", 100)
        life.cancel_scope.cancel()
    again = await start(nursery, config(1, peerstore=path))
    assert again.banned() == (B,)
    assert [(ban.key, 0 < ban.ban_left_s <= 600) for ban in again.bans()] == [(B, True)]
    nursery.cancel_scope.cancel()


async def test_a_restored_peer_keeps_the_order_of_its_addresses(tmp_path: Path) -> None:
    path = tmp_path / "peers.sqlite"
    places = tuple(Address(host="10.0.0.1", port=port, peer_id=A) for port in (3, 2, 1))
    write(path, Memory(tuple((str(A), place, str(where), None) for place, where in enumerate(places))))
    store, book, _ = parts(path)
    await store.load()
    assert list(book.known(0)) == [Known(PeerId(A), places, None)]
