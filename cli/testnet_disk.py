"""What befalls the files of a node: a database restored from a copy, a lost vote journal, a full disk."""

import shutil
from pathlib import Path
from typing import Final

import psutil  # type: ignore[import-untyped]  # published without type information

from cli.testnet_genesis import CHAIN_ID
from cli.testnet_plan import TestnetError
from cli.testnet_processes import Testnet
from node.node import DATABASE_DIRECTORY, KEYSTORE_DIRECTORY

COPY_DIRECTORY: Final = "db-copy"
LAST_WORDS_BYTES: Final = 4096
"""A node whose disk is full can still say so: its log is on the same one."""


def copy_database(network: Testnet, name: str) -> None:
    """Copy the database of a node that does not run, in the place of any copy before. Raises TestnetError."""
    home = _home_at_rest(network, name)
    shutil.rmtree(home / COPY_DIRECTORY, ignore_errors=True)
    shutil.copytree(home / DATABASE_DIRECTORY, home / COPY_DIRECTORY)


def restore_database(network: Testnet, name: str) -> None:
    """Put the copy in the place of the database of a node that does not run. Raises TestnetError."""
    home = _home_at_rest(network, name)
    if not (home / COPY_DIRECTORY).exists():
        raise TestnetError(f"there is no copy of the database of {name}: make one before")
    shutil.rmtree(home / DATABASE_DIRECTORY)
    shutil.copytree(home / COPY_DIRECTORY, home / DATABASE_DIRECTORY)


def remove_journal(network: Testnet, name: str) -> None:
    """Delete the vote journal of a node that does not run. Raises TestnetError."""
    journals = _journals(_home_at_rest(network, name))
    if not journals:
        raise TestnetError(f"{name} has no vote journal: it is no validator, or has lost it before")
    for journal in journals:
        journal.unlink()


def limit_disk(network: Testnet, name: str, spare_bytes: int) -> int:
    """Let no file of a running node grow beyond its vote journal, or its log with some last words.

    Returns the limit, `spare_bytes` included, which ends with the process. Raises TestnetError.
    """
    process = network.process(name)
    if process is None:
        raise TestnetError(f"{name} does not run: only a running node can be limited")
    journals = [path.stat().st_size for path in _journals(_home(network, name))]
    size = max([*journals, network.log_file(name).stat().st_size + LAST_WORDS_BYTES]) + spare_bytes
    try:
        process.rlimit(psutil.RLIMIT_FSIZE, (size, size))
    except (psutil.Error, AttributeError) as error:
        raise TestnetError(f"cannot limit {name} ({error}): this works on Linux alone") from None
    return size


def _home(network: Testnet, name: str) -> Path:
    return network.directory / network.plan(name).name / "chains" / CHAIN_ID


def _home_at_rest(network: Testnet, name: str) -> Path:
    """Raises TestnetError if the node runs."""
    if network.process(name) is not None:
        raise TestnetError(f"{name} runs: stop or kill it before")
    return _home(network, name)


def _journals(home: Path) -> list[Path]:
    return list((home / KEYSTORE_DIRECTORY).glob("*.votes"))
