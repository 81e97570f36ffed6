"""A validator that cannot start says why in one line, and leaves what it has as it was."""

import shutil
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
import trio

from chainspec.presets import LOCAL, Network, build_spec
from chainspec.spec import ChainSpec
from frame.validators import Validator
from node.config import NodeConfig, StartError
from node.consensus.journal import Journal
from node.db.database import Database
from node.genesis import genesis_of
from node.identity import SESSION_KEY, begin_journal
from node.keystore.store import Keystore
from node.network.identity import parse_address
from node.node import Started, run
from primitives.signing import SigningKey
from primitives.types import AccountId, Seed, Stake

SEED = Seed(b"\x11" * 32)
KEY = SigningKey(SEED)


@dataclass(frozen=True)
class Home:
    """Everything of the only validator of a chain."""

    base_path: Path

    @property
    def directory(self) -> Path:
        return self.base_path / "chains" / "one"

    @property
    def key(self) -> Path:
        return self.only("keystore", "session*")

    @property
    def journal(self) -> Path:
        return self.only("keystore", "*.votes")

    @property
    def database(self) -> Path:
        return self.directory / "db" / "data.mdb"

    def only(self, folder: str, pattern: str) -> Path:
        [found] = (self.directory / folder).glob(pattern)
        return found

    def config(self, **changes: Any) -> NodeConfig:
        given: dict[str, Any] = {
            "spec": spec(),
            "base_path": self.base_path,
            "name": "one",
            "is_validator": True,
            "session_seed": None,
            "node_seed": Seed(b"\x07" * 32),
            "listen": parse_address("/ip4/127.0.0.1/tcp/0"),
            "bootnodes": (),
            "rpc_port": 0,
            "prometheus_port": None,
            "undo_blocks": 256,
        }
        return NodeConfig(**{**given, **changes})


def spec(genesis_ms: int = 1, chain_type: Literal["Local", "Live"] = "Local") -> ChainSpec:
    key = KEY.public_key
    return build_spec(
        Network(
            name="One",
            id="one",
            chain_type=chain_type,
            consensus=LOCAL,
            validators=[Validator(AccountId(key), key, Stake(1))],
            endowments={AccountId(key): 1000},
            genesis_ms=genesis_ms,
        )
    )


@asynccontextmanager
async def running(config: NodeConfig) -> AsyncIterator[Started]:
    async def start(task_status: trio.TaskStatus[Started]) -> None:
        await run(config, task_status.started)

    async with trio.open_nursery() as nursery:
        yield await nursery.start(start)
        nursery.cancel_scope.cancel()


async def reached(started: Started, height: int) -> None:
    question = {"jsonrpc": "2.0", "id": 1, "method": "light_finalizedHeight"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{started.rpc_port}") as http:
        while (await http.post("/", json=question)).json()["result"] < height:
            pass


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A validator that has finalized some blocks and was stopped."""
    home = Home(tmp_path_factory.mktemp("pristine"))
    begin_journal(home.directory / "keystore", KEY.public_key)
    Keystore(home.directory / "keystore").add(SESSION_KEY, SEED)

    async def live() -> None:
        with trio.fail_after(60):
            async with running(home.config()) as started:
                await reached(started, 3)

    trio.run(live)
    return home


@pytest.fixture
def home(pristine: Home, tmp_path: Path) -> Home:
    """A copy of it, to be spoilt."""
    shutil.copytree(pristine.base_path, tmp_path, dirs_exist_ok=True)
    return Home(tmp_path)


@contextmanager
def taken_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


async def refused(home: Home, **changes: Any) -> str:
    """The one line with which the node ends."""
    with trio.fail_after(60), pytest.raises(StartError) as refusal:
        await run(home.config(**changes), lambda _: pytest.fail("it started"))
    line = str(refusal.value)
    assert "\n" not in line
    return line


async def goes_on(home: Home) -> None:
    """Assert that the node starts and makes the next block."""
    database = Database(home.directory / "db", genesis_of(spec()))
    height = database.finalized().height
    database.close()
    with trio.fail_after(60):
        async with running(home.config()) as started:
            await reached(started, height + 1)


async def test_a_busy_port_for_peers(home: Home) -> None:
    with taken_port() as port:
        line = await refused(home, listen=parse_address(f"/ip4/127.0.0.1/tcp/{port}"))
    assert line.startswith(f"cannot listen on /ip4/127.0.0.1/tcp/{port}")
    assert "--listen" in line
    await goes_on(home)


async def test_a_busy_port_for_metrics_frees_what_was_bound_before(home: Home) -> None:
    with taken_port() as port:
        assert "pass another --prometheus-port" in await refused(home, prometheus_port=port)


async def signs_nothing(home: Home, told: pytest.LogCaptureFixture) -> str:
    """The one line with which the node starts without its vote; it makes no block."""
    with trio.fail_after(60):
        async with running(home.config()) as started:
            question = {"jsonrpc": "2.0", "id": 1, "method": "system_consensus"}
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{started.rpc_port}") as http:
                assert (await http.post("/", json=question)).json()["result"]["isVoting"] is False
    [line] = [record.getMessage() for record in told.records if record.levelname == "CRITICAL"]
    assert line.endswith("this node signs nothing with this key, and follows")
    return line


async def test_a_missing_vote_journal(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    path = home.journal
    path.unlink()
    assert "is missing, so that nobody knows what the key signed" in await signs_nothing(home, caplog)
    assert not path.exists()


async def test_a_damaged_vote_journal_stays_as_it_is(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    data = bytearray(home.journal.read_bytes())
    data[len(data) // 2] ^= 1
    home.journal.write_bytes(data)
    line = await signs_nothing(home, caplog)
    assert "is damaged at byte" in line
    assert "rotate the session key" in line
    assert home.journal.read_bytes() == data


async def test_a_vote_journal_of_another_key(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    path = home.journal
    path.unlink()
    begin_journal(home.directory / "keystore", SigningKey(Seed(bytes(32))).public_key)
    home.journal.rename(path)
    assert "belongs to another session key" in await signs_nothing(home, caplog)


async def test_a_vote_journal_that_another_process_uses(home: Home) -> None:
    journal = Journal(home.journal, KEY.public_key)
    assert "is in use by another process" in await refused(home)
    journal.close()
    await goes_on(home)


async def test_a_vote_whose_write_was_cut_off_was_never_sent(home: Home) -> None:
    home.journal.write_bytes(home.journal.read_bytes()[:-5])
    await goes_on(home)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda key: key.chmod(0o644), "`chmod 600`"),
        (lambda key: key.write_bytes(b"garbage"), "damaged"),
        (lambda key: key.write_bytes(b""), "damaged"),
    ],
    ids=["readable by others", "garbage", "empty"],
)
async def test_a_key_that_cannot_be_used(home: Home, spoil: Callable[[Path], None], reason: str) -> None:
    spoil(home.key)
    line = await refused(home)
    assert str(home.key) in line
    assert reason in line


@pytest.mark.parametrize("size_bytes", [4096, 5000, 16384])
async def test_a_database_that_was_cut_off(home: Home, size_bytes: int) -> None:
    with home.database.open("r+b") as file:
        file.truncate(size_bytes)
    line = await refused(home)
    assert str(home.database.parent) in line


async def test_a_database_full_of_noise(home: Home) -> None:
    home.database.write_bytes(b"\xa5" * home.database.stat().st_size)
    assert "is damaged" in await refused(home)


async def test_another_genesis_leaves_the_database_to_its_own_chain(home: Home) -> None:
    assert "not this one" in await refused(home, spec=spec(genesis_ms=2))
    await goes_on(home)


async def test_a_file_in_the_place_of_the_directory(home: Home, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert str(tmp_path / "file") in await refused(home, base_path=tmp_path / "file")


async def test_faults_on_a_live_chain(tmp_path: Path) -> None:
    live = spec(chain_type="Live")
    assert "this chain is live" in await refused(Home(tmp_path), spec=live, faults=tmp_path / "faults")


async def test_faults_beyond_this_machine(tmp_path: Path) -> None:
    everywhere = parse_address("/ip4/0.0.0.0/tcp/0")
    assert "--listen" in await refused(Home(tmp_path), listen=everywhere, faults=tmp_path / "faults")


async def test_faults_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "faults").write_text("[]")
    assert "is no plan of faults" in await refused(Home(tmp_path), faults=tmp_path / "faults")
