"""The keys of a node, made at its first start: its name in the network, and a validator's session key."""

import secrets
from pathlib import Path
from typing import Final

from node.keystore.store import Keystore, KeystoreError
from primitives.types import Seed

NODE_KEY: Final = "node"
SESSION_KEY: Final = "session"


def seed_in(directory: Path, name: str) -> Seed:
    """The seed stored as `name` in the keystore of a node, made if there is none. Raises KeystoreError."""
    keystore = Keystore(directory)
    if name not in keystore.names():
        try:
            keystore.add(name, Seed(secrets.token_bytes(32)))
        except KeystoreError:
            if name not in keystore.names():  # another process may have made it in between
                raise
    return keystore.seed_of(name)
