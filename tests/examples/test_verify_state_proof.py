"""The stand-alone verifier, run as its user would, where it cannot import the project."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.db.database import Database, Proved
from primitives.state_proof import STATE_PROOF
from primitives.types import Hash
from tests.node.db.chain import genesis

PROGRAM = Path(__file__).parents[2] / "examples" / "verify_state_proof.py"
STATE = {f"key {number}".encode(): f"value {number}".encode() for number in range(2000)}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "chain", genesis(STATE))
    yield database
    database.close()


def verdict(root: Hash, proved: Proved, tmp_path: Path) -> tuple[int, str]:
    value = "absent" if proved.value is None else proved.value.hex()
    arguments = [root.hex(), proved.key.hex(), value, STATE_PROOF.encode(proved.proof).hex()]
    run = subprocess.run(
        [sys.executable, "-I", "-S", str(PROGRAM), *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    return run.returncode, run.stdout.strip()


def test_what_the_node_proves_the_program_verifies(database: Database, tmp_path: Path) -> None:
    root = database.finalized().root
    for proved in database.prove([b"key 7", b"key 1999", b"absent 1", b"absent 2", b"absent 3"]):
        assert verdict(root, proved, tmp_path) == (0, "valid")


def test_the_program_refuses_what_was_not_proved(database: Database, tmp_path: Path) -> None:
    root = database.finalized().root
    proved, other = database.prove([b"key 7", b"key 8"])
    for forged in (
        proved._replace(value=b"value 8"),
        proved._replace(value=None),
        proved._replace(key=b"key 8"),
        proved._replace(proof=other.proof),
    ):
        code, text = verdict(root, forged, tmp_path)
        assert (code, text.split(":")[0]) == (1, "not valid")
    assert verdict(Hash(bytes(32)), proved, tmp_path) == (1, "not valid: the proof leads to another root")


def test_the_program_survives_bytes_that_are_no_proof(tmp_path: Path) -> None:
    for junk in ("", "94", "9403c400", "c0", "94dc", "94c0c0c0c0", "zz"):
        run = subprocess.run(
            [sys.executable, "-I", "-S", str(PROGRAM), "00" * 32, "00", "absent", junk],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (run.returncode, run.stdout[:10], run.stderr) == (1, "not valid:", "")
