"""A validator that says nothing: `python -m tests.chaos.byzantine.silent node run ...`, like `consil`.

It follows, votes and leads, and the consensus of the others never hears of it.
"""

from collections.abc import Hashable

import node.node
from cli.main import main
from node.consensus.interface import Peer
from node.consensus_transport import ConsensusTransport


class SilentTransport(ConsensusTransport):
    """Receives, and sends nothing."""

    def send(self, peer: Peer, frame: bytes, *, urgent: bool, replaces: Hashable | None) -> None:
        """Do nothing."""

    def broadcast(self, frame: bytes, *, urgent: bool, replaces: Hashable | None) -> None:
        """Do nothing."""


if __name__ == "__main__":
    node.node.ConsensusTransport = SilentTransport  # type: ignore[attr-defined]  # what nodes are built from
    main()
