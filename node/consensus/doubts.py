"""Finalizations at or below the last one: of an ancestor, or the proof of a fork.

Which of the two is known only when everything final is committed; until then one certificate of each peer
waits.
"""

from node.consensus.interface import Peer
from node.consensus.tree import Tree
from primitives.certificate import Certificate
from primitives.types import BlockHash


class Doubts:
    """Verified finalizations that wait for the node to catch up."""

    def __init__(self) -> None:
        self._waiting: list[Certificate] = []
        self._peers: set[Peer] = set()
        self.has_forked = False
        """A fork was proven; there is no need for a second proof."""

    def may_add(self, peer: Peer) -> bool:
        """Whether a certificate of `peer` is worth verifying."""
        return not self.has_forked and peer not in self._peers

    def add(self, certificate: Certificate, peer: Peer | None = None) -> None:
        """Let a verified finalization wait; those of the own journal come from no peer."""
        self._waiting.append(certificate)
        if peer is not None:
            self._peers.add(peer)

    def resolve(self, tree: Tree, final_block: BlockHash) -> Certificate | None:
        """The first certificate that contradicts the chain, if all of that is known."""
        if not self._waiting or tree.tip_hash != final_block:
            return None
        conflicting = [cert for cert in self._waiting if cert.block not in tree.committed]
        self._waiting, self._peers = [], set()
        if not conflicting or self.has_forked:
            return None
        self.has_forked = True
        return conflicting[0]
