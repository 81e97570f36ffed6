"""What must be true even if a third or more of the stake is Byzantine, but not two thirds.

Blocks may then be final in conflict. But each fork convicts at least a third of the stake by votes that were
sent, no vote convicts anybody honest, and whoever is shown a fork votes no more. With two thirds, Byzantine
stake needs no honest vote for a certificate, and nothing can be promised.
"""

from collections import defaultdict
from collections.abc import Iterable
from itertools import combinations

from node.consensus.core import Core
from node.consensus.interface import Disagreement, Fork, Peer, Received
from node.consensus.messages import Bundle, Cast, Message, Propose
from primitives.block import Header
from primitives.certificate import Certificate, Verifier, verify_certificate, verify_vote
from primitives.types import AuthorityIndex, BlockHash, EpochIndex, PublicKey, View
from primitives.vote import Vote, VoteKind, conflict
from tests.simulation.chain import Chain
from tests.simulation.database import Subject
from tests.simulation.oracles import Judge, Oracle, Violation


class Inquest(Judge):
    """Watches a run in which there may be forks, and looks for the guilty."""

    def __init__(
        self, chain: Chain, byzantine: frozenset[PublicKey], honest: frozenset[Peer], verifier: Verifier
    ) -> None:
        super().__init__(chain, byzantine, honest)
        self._verifier = verifier
        self._sent: dict[tuple[EpochIndex, View, AuthorityIndex], set[Vote]] = defaultdict(set)
        self._certificates: set[Certificate] = set()
        self._forked: EpochIndex | None = None
        """The first epoch with a fork."""

    def on_message(self, message: Message) -> None:
        """Anybody sends anything."""
        if isinstance(message, Cast | Propose):
            self._keep([message.vote])
        if isinstance(message, Propose | Bundle):
            for certificate in message.certs:
                if certificate not in self._certificates:
                    self._certificates.add(certificate)
                    self._keep(certificate.votes())

    def _keep(self, votes: Iterable[Vote]) -> None:
        for vote in votes:
            self._sent[vote.epoch, vote.view, vote.signer].add(vote)

    def on_fork(self, header: Header) -> None:
        self.findings["forks"] += 1
        self._forked = min(header.epoch, self._forked or header.epoch)

    def on_alarm(self, who: str, finding: Fork | Disagreement) -> None:
        """There may be a fork; that the node votes no more is for its watch."""

    def on_quorum(self, epoch: EpochIndex, subject: Subject) -> None:
        """Byzantine stake may put almost any pair of certificates together."""

    def excuses_accusation(self) -> bool:
        """Beyond a fork, epochs have different anchors, so that votes seem badly signed."""
        return self._forked is not None

    def on_handled(self, who: str, observed: object, core: Core) -> None:
        """A finalization that contradicts what is final here silences the node."""
        if not isinstance(observed, Received) or not isinstance(observed.message, Propose | Bundle):
            return
        for certificate in observed.message.certs:
            if self._contradicts(certificate, core) and not core.ballot.is_muted:
                raise Violation(Oracle.ACCOUNTABILITY, f"{who} overlooks a fork that it was shown")

    def _contradicts(self, certificate: Certificate, core: Core) -> bool:
        if certificate.kind != VoteKind.FINALIZE or core.tree.tip_hash != core.views.final_block:
            return False
        is_below = certificate.epoch == core.epoch.index and certificate.view <= core.views.final_view
        if not is_below or certificate.block in core.tree.committed:
            return False
        epoch = core.epoch
        return verify_certificate(certificate, epoch.committee, epoch.anchor_hash, self._verifier)

    def close(self) -> None:
        """Count the stake that the votes of the first forked epoch convict."""
        if self._forked is None:
            return
        committee = self.chain.committee(self._forked)
        (anchor,) = self.finalized_at(committee.first_height - 1)
        guilty = {signer for signer in range(len(committee.members)) if self._is_guilty(signer, anchor)}
        if any(committee.members[signer].key not in self.byzantine for signer in guilty):
            raise Violation(Oracle.EVIDENCE, "votes that were sent convict an honest key")
        stake = sum(committee.members[signer].stake for signer in guilty)
        if 3 * stake < sum(member.stake for member in committee.members):
            raise Violation(Oracle.ACCOUNTABILITY, "a fork convicts less than a third of the stake")

    def _is_guilty(self, signer: int, anchor: BlockHash) -> bool:
        epoch = self._forked
        committee = self.chain.committee(epoch) if epoch is not None else None
        assert committee is not None
        for (of, _, by), votes in self._sent.items():
            if of != epoch or by != signer:
                continue
            for first, second in combinations(votes, 2):
                if conflict(first, second) and all(
                    verify_vote(vote, committee, anchor, self._verifier) for vote in (first, second)
                ):
                    return True
        return False
