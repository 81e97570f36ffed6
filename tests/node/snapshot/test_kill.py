"""A real process that joins and is killed again and again, at moments of nobody's choosing."""

import random
import subprocess
import sys
from pathlib import Path

import trio

from node.check.database import check_database
from node.check.report import Report
from node.db.database import Database
from node.db.partial import Partial
from tests.node.snapshot.chains import HELD, entries_of, extend, genesis, grown
from tests.node.snapshot.test_join import GENESIS, PATIENCE_S, serving

JOINER = """
import sys
from pathlib import Path
import trio
from node.network.identity import parse_address
from node.snapshot.join import join
from tests.node.network.networks import config
from tests.node.snapshot.chains import genesis
from tests.node.snapshot.test_join import GENESIS

def tell(progress):
    print(progress.chunks, int(progress.is_finishing), flush=True)

configuration = config(99, parse_address(sys.argv[2]), listen=None, genesis=GENESIS)
trio.run(join, Path(sys.argv[1]), genesis(), configuration, tell)
"""
KILLS = 6
MANY = {b"entry %d" % number: random.Random(number).randbytes(200) for number in range(24_000)}
"""5 MB: more than five chunks."""


async def joiner(place: Path, address: str) -> trio.Process:
    command = [sys.executable, "-c", JOINER, str(place), address]
    return await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)


async def until(process: trio.Process, chunks: int, *, finishing: bool) -> None:
    """Return once it has told of so many chunks, or that it is finishing, or has ended."""
    assert process.stdout is not None
    told = b""
    async for data in process.stdout:
        told = (told + data)[-100:]
        lines = [line.split() for line in told.split(b"\n")[1:-1]]
        if any((int(line[0]) >= chunks and not finishing) or line[1] == b"1" for line in lines):
            return


async def test_what_was_verified_survives_sigkill_and_is_a_whole_database_in_the_end(tmp_path: Path) -> None:
    chance, place = random.Random(5), tmp_path / "db"
    chain = grown(tmp_path / "old", MANY, HELD)
    state = entries_of(chain)
    extend(chain, {b"entry 1": None})
    shares: list[int] = []
    async with serving(chain) as [server]:
        with trio.fail_after(PATIENCE_S):
            for turn in range(KILLS):
                process = await joiner(place, str(server.listening))
                await until(process, chance.randrange(3), finishing=turn >= KILLS // 2)
                await trio.sleep(chance.random() * 0.05 if turn < KILLS // 2 else chance.random() * 0.5)
                process.kill()
                await process.wait()
                if place.exists():
                    break
                partial = Partial(tmp_path / "db.partial", genesis())
                shares.append(sum(range_.size for range_, _, _ in partial.marks()))
                partial.close()
            process = await joiner(place, str(server.listening)) if not place.exists() else process
            assert process.stdout is not None
            async for _ in process.stdout:
                pass
            await process.wait()
    chain.close()
    assert shares == sorted(shares)
    assert not (tmp_path / "db.partial").exists()
    report = Report()
    check_database(place, GENESIS, report)
    assert report.findings == []
    database = Database(place, genesis())
    assert database.finalized().height == HELD
    assert entries_of(database) == state
    extend(database, {b"after": b"1"})
    database.close()
