"""A file with the top of the tree, so that a start need not read the state; it can always be made again."""

import os
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

from node.db.tree import LEVELS_MAX, Slab, StateTree, empty_slab

_MAGIC: Final = b"consilience tree 2\n"
_HEAD_BYTES: Final = len(_MAGIC) + 8 + 1
_CHECKSUM_BYTES: Final = 32


class Checkpoint(NamedTuple):
    """A tree, and the height at which it was right."""

    height: int
    tree: StateTree


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the file at `path`; a crash leaves the old one or the new one. Raises OSError."""
    tree = checkpoint.tree
    head = _MAGIC + checkpoint.height.to_bytes(8, "big") + bytes([tree.levels])
    unfinished = path.with_suffix(".new")
    with unfinished.open("wb") as file:
        file.write(head)
        file.write(tree.slab)
        file.write(_checksum(head, tree.slab))
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def load(path: Path) -> Checkpoint | None:
    """The checkpoint at `path`; None if there is none, or not a whole one."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
            levels = head[-1] if len(head) == _HEAD_BYTES and head.startswith(_MAGIC) else LEVELS_MAX + 1
            if levels > LEVELS_MAX:
                return None
            slab = empty_slab(levels)
            if file.readinto(slab) != len(slab) or file.read() != _checksum(head, slab):
                return None
    except OSError:
        return None
    return Checkpoint(int.from_bytes(head[len(_MAGIC) : -1], "big"), StateTree(levels, slab))


def _checksum(head: bytes, slab: Slab) -> bytes:
    digest = blake2b(head, digest_size=_CHECKSUM_BYTES)
    digest.update(slab)
    return digest.digest()
