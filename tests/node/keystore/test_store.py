import stat
from pathlib import Path

import pytest

from node.keystore.store import Keystore, KeystoreError
from primitives.types import Seed

SEED = Seed(bytes(range(32)))


def test_a_key_is_kept_in_a_file_of_its_owner(tmp_path: Path) -> None:
    keystore = Keystore(tmp_path / "keys")
    assert keystore.names() == []
    path = keystore.add("alice", SEED)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert keystore.seed_of("alice") == SEED
    assert keystore.names() == ["alice"]
    assert [entry.name for entry in keystore.directory.iterdir()] == ["alice.seed"]


def test_a_name_is_never_overwritten(tmp_path: Path) -> None:
    keystore = Keystore(tmp_path)
    keystore.add("alice", SEED)
    with pytest.raises(KeystoreError, match="choose another name"):
        keystore.add("alice", Seed(bytes(32)))
    assert keystore.seed_of("alice") == SEED


@pytest.mark.parametrize("name", ["", "../alice", "a/b", ".hidden", "a" * 64])
def test_a_name_cannot_leave_the_directory(tmp_path: Path, name: str) -> None:
    with pytest.raises(KeystoreError, match="no name for a key"):
        Keystore(tmp_path).add(name, SEED)


def test_an_absent_an_exposed_and_a_damaged_key_are_told_apart(tmp_path: Path) -> None:
    keystore = Keystore(tmp_path)
    with pytest.raises(KeystoreError, match="no key named"):
        keystore.seed_of("alice")
    path = keystore.add("alice", SEED)
    path.chmod(0o644)
    with pytest.raises(KeystoreError, match="chmod 600"):
        keystore.seed_of("alice")
    path.chmod(0o600)
    path.write_text("torn")
    with pytest.raises(KeystoreError, match="damaged"):
        keystore.seed_of("alice")


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KeystoreError, match="cannot write"):
        Keystore(tmp_path / "file" / "keys").add("alice", SEED)
