"""The file of a raw genesis state: entries, ascending by key, bound by the root in the specification.

A line that names the format; then for each entry the lengths of key (2 bytes) and value (4 bytes),
big-endian, the key and the value.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from chainspec.spec import ChainSpec, consensus_of, genesis_committee, identity_of
from frame.state import Changes, DictState
from primitives.state_root import state_root
from primitives.types import STORAGE_KEY_BYTES_MAX
from runtime.runtime import Runtime

SUFFIX: Final = ".state"
"""In the place of the suffix of the specification's own file."""

STATE_BYTES_MAX: Final = 1 << 28
"""Longest file that is read: two million accounts. All of it is held in memory, once."""

_MAGIC: Final = b"consilience state 1\n"
_LENGTHS_BYTES: Final = 6


class BadStateFile(Exception):
    """The file is not that of the specification; one line says why, and what to do."""


def state_path_of(spec_file: Path) -> Path:
    """Where the genesis state of the specification in `spec_file` is, if it is a raw one."""
    return spec_file.with_suffix(SUFFIX)


def write_state(path: Path, entries: Iterable[tuple[bytes, bytes]]) -> int:
    """Write a new file with `entries`, ascending by key; its length. Raises OSError, BadStateFile."""
    size = len(_MAGIC)
    with path.open("xb") as file:
        file.write(_MAGIC)
        for key, value in entries:
            size += file.write(len(key).to_bytes(2, "big") + len(value).to_bytes(4, "big") + key + value)
            if size > STATE_BYTES_MAX:
                raise BadStateFile(f"the state is longer than {STATE_BYTES_MAX} bytes: no file can hold it")
        file.flush()
        os.fsync(file.fileno())
    return size


def read_state(path: Path, spec: ChainSpec) -> Changes:
    """The genesis state of `spec`, as changes to the empty state. Raises BadStateFile."""
    raw = spec.genesis.raw_genesis
    assert raw is not None
    advice = "get it again from who runs the chain, or join with --sync snapshot"
    try:
        if path.stat().st_size > STATE_BYTES_MAX:
            raise BadStateFile(f"{path} is longer than {STATE_BYTES_MAX} bytes: {advice}")
        data = path.read_bytes()
    except OSError as error:
        raise BadStateFile(f"cannot read {path}, the genesis state ({error.strerror}): {advice}") from None
    try:
        entries = dict(_entries(data))
    except ValueError as error:
        raise BadStateFile(f"{path}: {error}; {advice}") from None
    if state_root(entries.items()) != bytes(raw.state_root_hash):
        raise BadStateFile(f"{path} is not the state that the chain specification names: {advice}")
    _ensure_agreement(spec, DictState(entries))
    return tuple(entries.items())


def _entries(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Raises ValueError."""
    if not data.startswith(_MAGIC):
        raise ValueError("this is no genesis state")
    at, last = len(_MAGIC), b""
    while at < len(data):
        start = at + _LENGTHS_BYTES
        middle = start + int.from_bytes(data[at : at + 2], "big")
        at = middle + int.from_bytes(data[at + 2 : start], "big")
        key = data[start:middle]
        if at > len(data) or not last < key or len(key) > STORAGE_KEY_BYTES_MAX:
            raise ValueError("it was cut short, or is damaged")
        last = key
        yield key, data[middle:at]


def _ensure_agreement(spec: ChainSpec, state: DictState) -> None:
    """What the specification says besides the root must be what the state says. Raises BadStateFile."""
    runtime = Runtime()
    try:
        agrees = (
            runtime.committee(state) == genesis_committee(spec)
            and runtime.query(state, "session.parameters") == consensus_of(spec)
            and runtime.query(state, "system.version") == identity_of(spec)
            and runtime.query(state, "timestamp.now_ms") == spec.genesis_ms
        )
    except (AssertionError, ValueError, msgspec.DecodeError) as error:
        raise BadStateFile(f"the genesis state is none of this release ({error})") from None
    if not agrees:
        raise BadStateFile("the chain specification says otherwise than its state: get both again")
