"""The sealing keys of one validator, in its keystore: the newest is given out, and every one opens."""

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from frame.sealing import SealingKey
from node.keystore.store import Keystore, KeystoreError
from node.sealing.box import public_key_of
from primitives.types import Seed

NAME: Final = "sealing"
KEYS_MAX: Final = 256
"""Sealing keys of one node; an old one is needed as long as a job may be open that is sealed to it."""


class SealingKeys:
    """Named `sealing-N`, the first one 1."""

    def __init__(self, directory: Path) -> None:
        """Those in the keystore in `directory`, where one is made if there is none. Raises KeystoreError."""
        self._keystore = Keystore(directory)
        self._secrets: dict[SealingKey, Seed] = {}
        numbers = (name.removeprefix(f"{NAME}-") for name in self._keystore.names())
        for number in sorted(int(number) for number in numbers if number.isdecimal()):
            self._add(self._keystore.seed_of(f"{NAME}-{number}"))
        if not self._secrets:
            self.rotate()

    @property
    def secrets(self) -> Mapping[SealingKey, Seed]:
        """Every key with its secret; grows when one is made."""
        return self._secrets

    @property
    def newest(self) -> SealingKey:
        """The one to register."""
        return next(reversed(self._secrets))

    def rotate(self) -> SealingKey:
        """Make another key; blocks on the disk. Raises KeystoreError."""
        number = len(self._secrets) + 1
        if number > KEYS_MAX:
            raise KeystoreError(f"there are {KEYS_MAX} sealing keys in {self._keystore.directory}")
        seed = Seed(secrets.token_bytes(32))
        self._keystore.add(f"{NAME}-{number}", seed)
        self._add(seed)
        return self.newest

    def _add(self, seed: Seed) -> None:
        self._secrets[public_key_of(seed)] = seed
