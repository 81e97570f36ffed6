"""The state that a fork begins with is one that two thirds of the old stake made final."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from chainspec.genesis import genesis_block
from chainspec.presets import dev
from node.chain import Chain
from node.db.errors import DatabaseCorrupt, DatabaseError, DatabaseLocked, OtherChain, UnknownState
from node.db.schema import Table, number_key, state_row
from node.db.store import Store, Transaction
from node.fork import Standing, read_standing
from primitives.block import block_hash
from primitives.state_root import state_root
from primitives.types import BlockNumber
from tests.node.test_chain import SPEC, build, finalize, open_chain, sent

BLOCKS = 23
"""One epoch of twenty, and some blocks of the next; the last two are final by one certificate."""


async def _fill(chain: Chain) -> list[Standing]:
    states = [_now(chain)]
    while chain.finalized.height < BLOCKS - 2:
        block = await build(chain, None, *((sent(chain),) if chain.finalized.height == 4 else ()))
        await chain.commit([block], await finalize(chain, block))
        states.append(_now(chain))
    first = await build(chain)
    second = await build(chain, first)
    await chain.commit([first, second], await finalize(chain, second))
    return [*states, _now(chain)]


def _now(chain: Chain) -> Standing:
    with chain.database.view() as state:
        return Standing(chain.finalized.header, dict(state.iterate(b"")))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Standing]]:
    path = tmp_path_factory.mktemp("fork") / "db"
    chain = open_chain(path)
    states = trio.run(_fill, chain)
    chain.database.close()
    return path, states


@pytest.fixture
def path(original: tuple[Path, list[Standing]], tmp_path: Path) -> Path:
    shutil.copytree(original[0], tmp_path / "db")
    return tmp_path / "db"


def read(path: Path, at: int | None = None) -> Standing:
    height = None if at is None else BlockNumber(at)
    return read_standing(path, genesis_block(SPEC), height, lambda _: None)


def plant(path: Path, action: Callable[[Transaction], None]) -> None:
    store = Store(path)
    store.write(action)
    store.close()


def test_the_newest_state_is_found(path: Path, original: tuple[Path, list[Standing]]) -> None:
    assert read(path) == read(path, BLOCKS) == original[1][-1]


@pytest.mark.parametrize("height", [0, 1, 4, 5, 19, 20, 21])
def test_an_older_state_is_found(path: Path, original: tuple[Path, list[Standing]], height: int) -> None:
    assert read(path, height) == original[1][height]


def test_a_block_that_is_final_by_its_child_is_proved(path: Path) -> None:
    standing = read(path, BLOCKS - 1)
    assert standing.header.height == BLOCKS - 1
    assert state_root(standing.entries.items()) == standing.header.state_root


def test_another_chain_and_no_chain_are_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(OtherChain, match="--chain"):
        read_standing(path, genesis_block(dev()), None, lambda _: None)
    for place in (tmp_path / "none", tmp_path / "empty"):
        with pytest.raises(DatabaseError, match="there is no chain"):
            read(place)
        (tmp_path / "empty").mkdir(exist_ok=True)
    assert not (tmp_path / "none").exists()


def test_a_running_node_is_not_disturbed(path: Path) -> None:
    store = Store(path)
    with pytest.raises(DatabaseLocked):
        read(path)
    store.close()


def test_blocks_that_are_not_there_are_refused(path: Path) -> None:
    with pytest.raises(UnknownState, match="newest is 23"):
        read(path, BLOCKS + 1)
    plant(path, lambda transaction: transaction.delete(Table.UNDO, number_key(10)))
    with pytest.raises(UnknownState, match="not kept"):
        read(path, 9)
    assert read(path, 10).header.height == 10


def _change_entry(transaction: Transaction) -> None:
    path, row = next(transaction.rows_from(Table.STATE, b""))
    transaction.put(Table.STATE, path, row + b"\x00")


def _add_entry(transaction: Transaction) -> None:
    transaction.put(Table.STATE, bytes(32), state_row(b"key", b"value"))


def _lose_certificate(transaction: Transaction) -> None:
    transaction.delete(Table.CERTIFICATES, number_key(BLOCKS))


def _lose_epoch(transaction: Transaction) -> None:
    transaction.delete(Table.EPOCHS, number_key(1))


def _swap_certificate(transaction: Transaction) -> None:
    other = transaction.get(Table.CERTIFICATES, number_key(20))
    assert other is not None
    transaction.put(Table.CERTIFICATES, number_key(BLOCKS), other)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_change_entry, "does not have the root"),
        (_add_entry, "does not have the root"),
        (_lose_certificate, "nothing proves block 23 final"),
        (_lose_epoch, "the end of epoch 1 is missing"),
        (_swap_certificate, "not proved final"),
    ],
)
def test_what_is_not_proved_is_refused(
    path: Path, damage: Callable[[Transaction], None], reason: str
) -> None:
    plant(path, damage)
    with pytest.raises(DatabaseCorrupt, match=reason):
        read(path)


def test_a_state_of_another_final_block_is_refused(path: Path) -> None:
    """Block 5 has a transfer, so that the state after block 4 is another one."""
    four, five = (read(path, height) for height in (4, 5))
    assert four.entries != five.entries
    assert block_hash(four.header) == five.header.parent
