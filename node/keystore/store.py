"""Seeds by name, one file each: readable by their owner only, written whole or not at all.

The files hold the seed in clear hexadecimal; whoever can read the file system as this user has the keys.
"""

import os
import re
import stat
from pathlib import Path
from typing import Final

from primitives.types import Seed

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_SUFFIX: Final = ".seed"
_OWNER_ONLY: Final = 0o600


class KeystoreError(Exception):
    """A key that cannot be stored or read; the text says which and what to do."""


class Keystore:
    """The seeds in one directory, which is made when the first is added."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def names(self) -> list[str]:
        """The names of all keys, sorted."""
        if not self.directory.is_dir():
            return []
        found = (path.stem for path in self.directory.glob(f"*{_SUFFIX}"))
        return sorted(name for name in found if _NAME.fullmatch(name))

    def add(self, name: str, seed: Seed) -> Path:
        """Store `seed` durably as `name`. Raises KeystoreError if the name is taken or the write fails."""
        path = self._path(name)
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_secret(path, seed.hex() + "\n")
        except FileExistsError:
            raise KeystoreError(
                f"there is a key named '{name}' in {self.directory}: choose another name"
            ) from None
        except OSError as error:
            raise KeystoreError(f"cannot write {path}: {error.strerror}") from None
        return path

    def seed_of(self, name: str) -> Seed:
        """The seed stored as `name`. Raises KeystoreError if there is none, or it is damaged or exposed."""
        path = self._path(name)
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            text = path.read_text(encoding="ascii")
        except FileNotFoundError:
            raise KeystoreError(f"no key named '{name}' in {self.directory}") from None
        except (OSError, UnicodeDecodeError) as error:
            raise KeystoreError(f"cannot read {path}: {error}") from None
        if mode & 0o077:
            raise KeystoreError(f"{path} can be read by others: run `chmod 600` on it, or replace the key")
        try:
            seed = bytes.fromhex(text)
        except ValueError:
            seed = b""
        if len(seed) != 32:
            raise KeystoreError(f"{path} is damaged: it does not hold 64 hexadecimal digits")
        return Seed(seed)

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise KeystoreError(f"'{name}' is no name for a key: use letters, digits, '.', '_' and '-'")
        return self.directory / f"{name}{_SUFFIX}"


def write_secret(path: Path, text: str) -> None:
    """Write a new file that only its owner reads, durably. Raises FileExistsError, OSError."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _OWNER_ONLY)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
