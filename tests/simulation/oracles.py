"""What must be true of every run, whatever the network and the Byzantine third do.

The judge sees every message of every honest node, and nothing else; Byzantine stake is taken to have signed
everything, so that each certificate counts that could ever be put together.
"""

from collections import defaultdict
from enum import Enum

from node.consensus.interface import Disagreement, Finding, ForeignVote, Fork, Misbehaviour, Skew
from node.consensus.messages import Bundle, Cast, Message, Propose
from primitives.block import Block, Header, block_hash
from primitives.committee import Committee
from primitives.types import BlockHash, EpochIndex, PublicKey, View
from primitives.vote import Evidence, Vote, VoteKind, conflict
from tests.simulation.chain import Chain, descends


class Oracle(Enum):
    """What was contradicted."""

    AGREEMENT = "agreement"
    """One final block at each height, each the child of the one below."""

    CERTIFICATES = "certificates"
    """No two certificates in conflict could be put together from what was signed."""

    DOUBLE_VOTE = "double vote"
    """No honest key signs two conflicting votes, restarts included."""

    AUDIT = "audit"
    """Each vote and certificate of an honest node follows the rules."""

    DURABILITY = "durability"
    """Nothing leaves before it is durable."""

    EVIDENCE = "evidence"
    """No evidence names an honest key, and whoever is seen to contradict itself is convicted."""

    ACCUSATION = "accusation"
    """No honest peer is blamed, and no fork is seen where there is none."""

    PATIENCE = "patience"
    """No view of an honest leader is given up before its time."""

    LIGHT = "light client"
    """A light client believes what is final, and nothing else."""

    LIVENESS = "liveness"
    """Blocks become final once the network is well."""

    ENGINE = "engine"
    """The engine asks for nothing impossible, and does not break."""


class Violation(AssertionError):
    """An oracle was contradicted."""

    def __init__(self, oracle: Oracle, text: str) -> None:
        super().__init__(text)
        self.oracle = oracle


Subject = tuple[VoteKind, View, bytes]


class Judge:
    """Watches one run."""

    def __init__(self, chain: Chain, byzantine: frozenset[PublicKey]) -> None:
        self._chain = chain
        self.byzantine = byzantine
        self.headers: dict[BlockHash, Header] = {block_hash(chain.genesis): chain.genesis}
        self._finalized: dict[int, BlockHash] = {0: block_hash(chain.genesis)}
        self._votes: dict[tuple[EpochIndex, View, PublicKey], list[Vote]] = defaultdict(list)
        self._signers: dict[tuple[EpochIndex, Subject], set[int]] = defaultdict(set)
        self._quorums: dict[EpochIndex, set[Subject]] = defaultdict(set)
        self.findings: dict[str, int] = defaultdict(int)

    def on_block(self, block: Block) -> None:
        """A block exists."""
        self.headers[block_hash(block.header)] = block.header

    def on_commit(self, blocks: tuple[Block, ...]) -> None:
        """An honest node made blocks final."""
        for block in blocks:
            name = block_hash(block.header)
            if self._finalized.setdefault(block.header.height, name) != name:
                raise Violation(Oracle.AGREEMENT, f"two final blocks at height {block.header.height}")
            if self._finalized.get(block.header.height - 1) != block.header.parent:
                raise Violation(Oracle.AGREEMENT, f"block {block.header.height} is final without its parent")

    def on_report(self, finding: Finding, honest: frozenset[bytes]) -> None:
        """An honest node accuses somebody."""
        self.findings[type(finding).__name__] += 1
        match finding:
            case Evidence(first=first):
                member = self._committee(first.epoch).members[first.signer]
                if member.key not in self.byzantine:
                    raise Violation(Oracle.EVIDENCE, "evidence names an honest key")
            case Misbehaviour(peer=peer, reason=reason):
                if peer in honest:
                    raise Violation(Oracle.ACCUSATION, f"an honest peer is accused of {reason}")
            case Fork() | Disagreement() | ForeignVote():
                raise Violation(
                    Oracle.ACCUSATION, f"{type(finding).__name__} although less than a third is Byzantine"
                )
            case Skew():
                pass

    def on_vote(self, key: PublicKey, vote: Vote, known: set[BlockHash]) -> None:
        """An honest node made a vote durable; `known`: blocks that it has on its disk and executed."""
        earlier = self._votes[vote.epoch, vote.view, key]
        if any(conflict(vote, other) for other in earlier):
            raise Violation(Oracle.DOUBLE_VOTE, "an honest key signed two conflicting votes")
        self._audit(vote, known)
        earlier.append(vote)
        self._count(vote)

    def on_sent(self, message: Message, durable: list[Vote]) -> None:
        """An honest node sends; `durable`: the votes on its disk."""
        if isinstance(message, Bundle | Propose):
            for cert in message.certs:
                self._expect(cert.epoch, (cert.kind, cert.view, cert.block), "a certificate of too few")
        if isinstance(message, Cast | Propose) and message.vote not in durable:
            raise Violation(Oracle.DURABILITY, "a vote left before it was durable")

    def _audit(self, vote: Vote, known: set[BlockHash]) -> None:
        if vote.kind == VoteKind.FINALIZE:
            notarized = (VoteKind.NOTARIZE, vote.view, vote.block)
            self._expect(vote.epoch, notarized, "FINALIZE without a notarization")
        if vote.kind != VoteKind.NOTARIZE:
            return
        name = BlockHash(vote.block)
        if name not in known:
            raise Violation(Oracle.AUDIT, "NOTARIZE of a block that is not executed and persisted")
        header = self.headers[name]
        if header.epoch != vote.epoch or header.view > vote.view:
            raise Violation(Oracle.AUDIT, "NOTARIZE of a block of another epoch or view")
        base = header.parent if header.view == vote.view else name
        if not self._is_justified(vote, base):
            raise Violation(Oracle.AUDIT, "NOTARIZE on a parent that is not justified")

    def _is_justified(self, vote: Vote, base: BlockHash) -> bool:
        quorums = self._quorums[vote.epoch]
        for view in range(vote.view - 1, -1, -1):
            if view == 0:
                return base == self._finalized.get(self._committee(vote.epoch).first_height - 1)
            if (VoteKind.NOTARIZE, View(view), base) in quorums:
                return True
            if (VoteKind.NULLIFY, View(view), b"") not in quorums:
                return False
        return False

    def _count(self, vote: Vote) -> None:
        subject = (vote.kind, vote.view, vote.block)
        signers = self._signers[vote.epoch, subject]
        signers.add(vote.signer)
        if subject not in self._quorums[vote.epoch] and self._could_be_quorum(vote.epoch, signers):
            self._check_quorum(vote.epoch, subject)
            self._quorums[vote.epoch].add(subject)

    def _could_be_quorum(self, epoch: EpochIndex, signers: set[int]) -> bool:
        members = self._committee(epoch).members
        for_it = sum(
            member.stake
            for index, member in enumerate(members)
            if index in signers or member.key in self.byzantine
        )
        return 3 * for_it > 2 * sum(member.stake for member in members)

    def _check_quorum(self, epoch: EpochIndex, subject: Subject) -> None:
        for other in self._quorums[epoch]:
            self._check_pair(subject, other)
            self._check_pair(other, subject)

    def _check_pair(self, upper: Subject, lower: Subject) -> None:
        kind, view, block = upper
        lower_kind, lower_view, lower_block = lower
        if view == lower_view and (kind, lower_kind) == (VoteKind.NULLIFY, VoteKind.FINALIZE):
            raise Violation(Oracle.CERTIFICATES, f"view {view} could be both nullified and finalized")
        if view == lower_view and kind == lower_kind == VoteKind.NOTARIZE and block != lower_block:
            raise Violation(Oracle.CERTIFICATES, f"two blocks could be notarized in view {view}")
        if lower_kind != VoteKind.FINALIZE or kind == VoteKind.NULLIFY or view < lower_view:
            return
        if not descends(BlockHash(block), BlockHash(lower_block), self.headers):
            raise Violation(
                Oracle.CERTIFICATES, f"views {lower_view} and {view} could be certified in conflict"
            )

    def _expect(self, epoch: EpochIndex, subject: Subject, wrong: str) -> None:
        if subject not in self._quorums[epoch]:
            raise Violation(Oracle.AUDIT, wrong)

    def _committee(self, epoch: EpochIndex) -> Committee:
        return self._chain.committee(epoch)
