"""The need to know which chain this is."""

from typing import Protocol

from primitives.types import BlockHash


class ChainIdentity(Protocol):
    """Who knows the chain."""

    def genesis(self) -> BlockHash:
        """The hash of block 0; not to be asked while it is made."""
        ...
