"""The keys of a node, made at its first start: its name in the network, and a validator's session key.

A session key is made together with the vote journal that says what it signed; the journal comes first, so
that there is never a key without one.
"""

import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

from node.consensus.journal import create_journal
from node.keystore.store import Keystore, KeystoreError
from primitives.signing import SigningKey
from primitives.types import PublicKey, Seed

NODE_KEY: Final = "node"
SESSION_KEY: Final = "session"


def node_seed(directory: Path) -> Seed:
    """The seed of the node's name in the network, made if there is none. Raises KeystoreError."""
    return _seed(directory, NODE_KEY)


def session_seed(directory: Path) -> Seed:
    """The seed of the session key, made with its vote journal if there is none. Raises KeystoreError."""
    return _seed(directory, SESSION_KEY)


def journal_path(directory: Path, key: PublicKey) -> Path:
    """Where the vote journal of a session key is: beside the key."""
    return directory / f"{key.hex()[:16]}.votes"


def begin_journal(directory: Path, key: PublicKey) -> None:
    """Begin the vote journal of a session key, unless there is one. Raises KeystoreError."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            create_journal(journal_path(directory, key), key)
    except OSError as error:
        raise KeystoreError(f"cannot write to {directory}: {error.strerror}") from None


def _seed(directory: Path, name: str) -> Seed:
    keystore = Keystore(directory)
    if name not in keystore.names():
        seed = Seed(secrets.token_bytes(32))
        if name == SESSION_KEY:
            begin_journal(directory, SigningKey(seed).public_key)
        keystore.add(name, seed)
    return keystore.seed_of(name)
