"""One validator in a process of its own: refused starts, and signals at several moments of a start."""

import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # published without type information
import pytest

from chainspec.spec import parse_spec
from cli.testnet_processes import CONSIL, Testnet
from node.consensus.journal import Journal
from node.db.database import Database
from node.genesis import genesis_of
from node.identity import journal_path, session_seed
from primitives.signing import SigningKey
from tests.e2e.local import PATIENCE_S

NAME = "validator-1"
HOME = Path(NAME, "chains", "testnet")


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    """The directory of a network of one validator, which has only its keys yet."""
    return Testnet.create(tmp_path / "net", 1).directory


def command(chain: Path, *options: str) -> list[str]:
    given = ["--chain", str(chain / "chain.json"), "--base-path", str(chain / NAME), "--validator"]
    ports = ["--listen", "/ip4/127.0.0.1/tcp/0", "--rpc-port", "0", "--no-prometheus", "--log", "error"]
    return [*CONSIL, "node", "run", *given, *ports, *options]


def ensure_clean(chain: Path) -> None:
    """What the process left can be opened: the database of the chain, and the journal of the key."""
    Database(chain / HOME / "db", genesis_of(parse_spec((chain / "chain.json").read_bytes()))).close()
    key = SigningKey(session_seed(chain / HOME / "keystore")).public_key
    Journal(journal_path(chain / HOME / "keystore", key), key).close()


def test_a_refused_start_is_one_line_and_exit_code_1(chain: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"/ip4/127.0.0.1/tcp/{taken.getsockname()[1]}"
        done = subprocess.run(
            command(chain, "--listen", listen),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert line.startswith(f"error: cannot listen on {listen}")
    ensure_clean(chain)


Moment = Callable[[Path, bytes], bool]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "reached",
    [
        pytest.param(lambda home, told: (home / "db" / "data.mdb").exists(), id="as its database opens"),
        pytest.param(lambda home, told: any((home / "keystore").glob("*.lock")), id="as its journal opens"),
        pytest.param(lambda home, told: told != b"", id="as it serves"),
    ],
)
def test_a_signal_ends_it_and_all_that_it_started(
    chain: Path, reached: Moment, number: signal.Signals
) -> None:
    output, errors = chain / "output", chain / "errors"
    with output.open("wb") as out, errors.open("wb") as err:
        process = subprocess.Popen(command(chain), stdout=out, stderr=err)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not reached(chain / HOME, output.read_bytes()):
            assert process.poll() is None, errors.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)
        assert process.wait(timeout=PATIENCE_S) in (0, 128 + signal.SIGINT, -number)
        assert psutil.wait_procs(children, timeout=PATIENCE_S)[1] == []
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in errors.read_text()
    assert "error:" not in errors.read_text()
    ensure_clean(chain)
