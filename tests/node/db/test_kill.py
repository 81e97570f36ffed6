"""A real process that commits until it is killed, at a moment of nobody's choosing."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

from node.db.schema import Table, row_key, row_value
from node.db.store import Store
from primitives.state_root import state_root
from tests.node.db.chain import extend, opened

WRITER = """
import sys
from pathlib import Path
from tests.node.db.chain import extend, opened

database = opened(Path(sys.argv[1]))
for number in range(database.finalized().height + 1, 10**6):
    bulk = {b"%d %d" % (number % 7, place): b"%d" % number for place in range(50)}
    extend(database, bulk | {b"one": b"%d" % number, b"old %d" % (number % 9): None})
    print(number, flush=True)
"""
KILLS = 8


def kill_a_writer(path: Path, commits: int) -> int:
    """The last height that the process acknowledged before it died, soon after so many commits."""
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    acknowledged = [int(writer.stdout.readline()) for _ in range(commits)]
    os.kill(writer.pid, signal.SIGKILL)
    acknowledged += [int(line) for line in writer.stdout.read().split(b"\n")[:-1]]
    writer.stdout.close()
    writer.wait()
    return acknowledged[-1]


def test_what_was_acknowledged_survives_sigkill(tmp_path: Path) -> None:
    chance = random.Random(2)
    for _ in range(KILLS):
        acknowledged = kill_a_writer(tmp_path, chance.randrange(1, 60))
        if chance.random() < 0.5 and (tmp_path / "tree.checkpoint").exists():
            torn = (tmp_path / "tree.checkpoint").read_bytes()
            (tmp_path / "tree.checkpoint").write_bytes(torn[: chance.randrange(len(torn))])
        database = opened(tmp_path)
        head = database.finalized()
        assert head.height in (acknowledged, acknowledged + 1)
        block = database.blocks.block(head.height)
        assert block is not None
        assert database.blocks.certificate(head.height) is not None
        with database.view() as state:
            assert state.get(b"one") == b"%d" % head.height
        extend(database, {b"after": b"%d" % head.height})
        database.close()
        assert_tables_agree(tmp_path)


def assert_tables_agree(path: Path) -> None:
    """The root of the rows as they lie on the disk is that of the newest header."""
    store = Store(path)
    with store.read() as snapshot:
        rows = [row for _, row in snapshot.rows_from(Table.STATE, b"")]
        keys = [key for key, _ in snapshot.rows_from(Table.KEYS, b"")]
    store.close()
    database = opened(path)
    assert state_root((row_key(row), row_value(row)) for row in rows) == database.finalized().root
    assert keys == sorted(row_key(row) for row in rows)
    database.close()
