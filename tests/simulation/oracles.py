"""What must be true of every run, whatever the network and the Byzantine third do.

The judge sees every message of every honest node, and nothing else; Byzantine stake is taken to have signed
everything, so that each certificate counts that could ever be put together.
"""

from collections import defaultdict
from enum import Enum
from typing import Protocol

from node.consensus.core import Core
from node.consensus.interface import Disagreement, Finding, ForeignVote, Fork, Misbehaviour, Peer, Skew
from node.consensus.messages import Bundle, Cast, Message, Propose
from primitives.block import Block, Header, block_hash
from primitives.certificate import Certificate
from primitives.types import BlockHash, EpochIndex, PublicKey, View
from primitives.vote import Evidence, Vote, VoteKind, conflict
from tests.simulation.chain import Chain, descends
from tests.simulation.database import Database, Subject, VoteJournal


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

    ACCOUNTABILITY = "accountability"
    """A fork convicts a third of the stake, and whoever is shown it votes no more."""

    ENGINE = "engine"
    """The engine asks for nothing impossible, and does not break."""


class Violation(AssertionError):
    """An oracle was contradicted."""

    def __init__(self, oracle: Oracle, text: str) -> None:
        super().__init__(text)
        self.oracle = oracle


class Voter(Protocol):
    """An honest node, as far as its votes are judged."""

    name: str
    address: Peer
    database: Database
    journal: VoteJournal


class Judge:
    """Watches one run in which less than a third of every committee's stake is Byzantine."""

    def __init__(self, chain: Chain, byzantine: frozenset[PublicKey], honest: frozenset[Peer]) -> None:
        """`honest`: addresses whose bearers behave."""
        self.chain = chain
        self.byzantine = byzantine
        self.headers: dict[BlockHash, Header] = {block_hash(chain.genesis): chain.genesis}
        self.findings: dict[str, int] = defaultdict(int)
        self._honest = honest
        self._finalized: dict[int, set[BlockHash]] = {0: {block_hash(chain.genesis)}}
        self._votes: dict[tuple[EpochIndex, View, Peer], list[Vote]] = defaultdict(list)
        self._signers: dict[tuple[EpochIndex, Subject], set[int]] = defaultdict(set)
        self._quorums: dict[EpochIndex, set[Subject]] = defaultdict(set)
        self._dealt: set[EpochIndex] = set()
        """Epochs whose turns were counted."""

    @property
    def views(self) -> int:
        """Views that ended, in any epoch."""
        return len({(epoch, view) for epoch, subjects in self._quorums.items() for _, view, _ in subjects})

    # What happens

    def on_block(self, block: Block) -> None:
        """A block exists."""
        self.headers[block_hash(block.header)] = block.header

    def on_commit(self, who: str, blocks: tuple[Block, ...]) -> None:
        """An honest node made blocks final."""
        for block in blocks:
            header, name = block.header, block_hash(block.header)
            final = self._finalized.setdefault(header.height, {name})
            if name not in final:
                self.on_fork(header)
                final.add(name)
            if header.parent not in self._finalized.get(header.height - 1, ()):
                raise Violation(Oracle.AGREEMENT, f"{who}: block {header.height} is final without its parent")

    def on_report(self, who: str, finding: Finding) -> None:
        """An honest node accuses somebody."""
        self.findings[type(finding).__name__] += 1
        match finding:
            case Evidence(first=first):
                member = self.chain.committee(first.epoch).members[first.signer]
                if member.key not in self.byzantine:
                    raise Violation(Oracle.EVIDENCE, f"{who}: evidence names an honest key")
            case Misbehaviour(peer=peer, reason=reason):
                if peer in self._honest and not self.excuses_accusation():
                    raise Violation(Oracle.ACCUSATION, f"{who}: an honest peer is accused of {reason}")
            case Fork() | Disagreement():
                self.on_alarm(who, finding)
            case ForeignVote():
                raise Violation(Oracle.ACCUSATION, f"{who}: its own vote seems foreign")
            case Skew():
                pass

    def on_vote(self, voter: Voter, vote: Vote, *, is_known: bool) -> None:
        """An honest node makes a vote durable; `is_known`: its block is executed and on the disk."""
        earlier = self._votes[vote.epoch, vote.view, voter.address]
        if any(conflict(vote, other) for other in earlier):
            raise Violation(Oracle.DOUBLE_VOTE, f"{voter.name}: an honest key signed two conflicting votes")
        self._audit(voter, vote)
        if vote.kind == VoteKind.NOTARIZE:
            self._audit_notarize(voter.name, vote, is_known=is_known)
        earlier.append(vote)
        self._count(vote)

    def on_certificate(self, certificate: Certificate) -> None:
        """An honest node accepts a certificate."""
        self._expect(certificate, "a certificate of too few is accepted")

    def on_sent(self, message: Message, journal: VoteJournal) -> None:
        """An honest node sends."""
        if isinstance(message, Bundle | Propose):
            for cert in message.certs:
                self._expect(cert, "a certificate of too few is sent")
        if isinstance(message, Cast | Propose) and not journal.holds(message.vote):
            raise Violation(Oracle.DURABILITY, "a vote left before it was durable")

    # What differs where a third or more is Byzantine

    def on_fork(self, header: Header) -> None:
        """A second block is final at a height."""
        raise Violation(Oracle.AGREEMENT, f"two final blocks at height {header.height}")

    def on_alarm(self, who: str, finding: Fork | Disagreement) -> None:
        """An honest node sees what should be impossible."""
        text = f"{who} reports {type(finding).__name__} although less than a third is Byzantine"
        raise Violation(Oracle.ACCUSATION, text)

    def on_quorum(self, epoch: EpochIndex, subject: Subject) -> None:
        """A certificate could be put together."""
        for other in self._quorums[epoch]:
            self._check_pair(subject, other)
            self._check_pair(other, subject)

    def on_handled(self, who: str, observed: object, core: Core) -> None:
        """An honest node's engine took in an input."""

    def excuses_accusation(self) -> bool:
        """Whether honest nodes may take each other's messages for misbehaviour."""
        return False

    def close(self) -> None:
        """The run is over."""

    def finalized_at(self, height: int) -> set[BlockHash]:
        """What honest nodes made final at a height."""
        return self._finalized.get(height, set())

    # Rules of votes

    def _audit_turns(self, epoch: EpochIndex) -> None:
        """Each member leads for its share of the stake, by less than one turn, and at least once; who has
        none takes it from somebody."""
        committee = self.chain.committee(epoch)
        leaders = self.chain.epoch(epoch, self.chain.genesis).leaders
        members = [(member.stake, leaders.count(index)) for index, member in enumerate(committee.members)]
        total, deck = sum(stake for stake, _ in members), 8 * len(members)
        is_fair = all(
            turns >= 1 and (turns == 1 or (turns - 1) * total < stake * deck) for stake, turns in members
        )
        if not is_fair or len(leaders) != deck:
            raise Violation(Oracle.AUDIT, f"turns of epoch {epoch} that do not follow the stake")

    def _audit(self, voter: Voter, vote: Vote) -> None:
        committee = self.chain.committee(vote.epoch)
        if vote.epoch not in self._dealt:
            self._dealt.add(vote.epoch)
            self._audit_turns(vote.epoch)
        if bytes(committee.members[vote.signer].key) != bytes(voter.address):
            raise Violation(Oracle.AUDIT, f"{voter.name}: a vote in another's name")
        if voter.database.height < committee.first_height - 1:
            raise Violation(Oracle.AUDIT, f"{voter.name}: a vote in an epoch whose start is not final")
        if vote.kind == VoteKind.FINALIZE:
            notarized = (VoteKind.NOTARIZE, vote.view, vote.block)
            if notarized not in self._quorums[vote.epoch]:
                raise Violation(Oracle.AUDIT, f"{voter.name}: FINALIZE without a notarization")
            if not voter.journal.has(vote.epoch, notarized):
                raise Violation(
                    Oracle.DURABILITY, f"{voter.name}: FINALIZE before the notarization is durable"
                )
        if not voter.journal.explains(vote) and not voter.database.explains(vote):
            raise Violation(
                Oracle.DURABILITY, f"{voter.name}: a vote in a view that its disk does not explain"
            )

    def _audit_notarize(self, who: str, vote: Vote, *, is_known: bool) -> None:
        name = BlockHash(vote.block)
        if not is_known:
            raise Violation(Oracle.AUDIT, f"{who}: NOTARIZE of a block that is not executed and persisted")
        header = self.headers[name]
        if header.epoch != vote.epoch or header.view > vote.view:
            raise Violation(Oracle.AUDIT, f"{who}: NOTARIZE of a block of another epoch or view")
        epoch, parent = self.chain.epoch(vote.epoch, self.chain.genesis), self.headers[header.parent]
        leader = epoch.leaders[(header.view - 1) % len(epoch.leaders)]
        if header.author != epoch.committee.members[leader].key:
            raise Violation(Oracle.AUDIT, f"{who}: NOTARIZE of a block whose author was not to lead")
        if header.timestamp_ms < parent.timestamp_ms + epoch.settings.block_time_ms:
            raise Violation(Oracle.AUDIT, f"{who}: NOTARIZE of a block too soon after its parent")
        base = header.parent if header.view == vote.view else name
        if not self._is_justified(vote, base):
            raise Violation(Oracle.AUDIT, f"{who}: NOTARIZE on a parent that is not justified")

    def _is_justified(self, vote: Vote, base: BlockHash) -> bool:
        quorums = self._quorums[vote.epoch]
        for view in range(vote.view - 1, -1, -1):
            if view == 0:
                return base in self._finalized.get(self.chain.committee(vote.epoch).first_height - 1, ())
            if (VoteKind.NOTARIZE, View(view), base) in quorums:
                return True
            if (VoteKind.NULLIFY, View(view), b"") not in quorums:
                return False
        return False

    # Certificates that could be

    def _count(self, vote: Vote) -> None:
        subject = (vote.kind, vote.view, vote.block)
        signers = self._signers[vote.epoch, subject]
        signers.add(vote.signer)
        if subject not in self._quorums[vote.epoch] and self._could_be_quorum(vote.epoch, signers):
            self.on_quorum(vote.epoch, subject)
            self._quorums[vote.epoch].add(subject)

    def _could_be_quorum(self, epoch: EpochIndex, signers: set[int]) -> bool:
        members = self.chain.committee(epoch).members
        for_it = sum(
            member.stake
            for index, member in enumerate(members)
            if index in signers or member.key in self.byzantine
        )
        return 3 * for_it > 2 * sum(member.stake for member in members)

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
            text = f"views {lower_view} and {view} could be certified in conflict"
            raise Violation(Oracle.CERTIFICATES, text)

    def _expect(self, cert: Certificate, wrong: str) -> None:
        if (cert.kind, cert.view, cert.block) not in self._quorums[cert.epoch]:
            raise Violation(Oracle.AUDIT, wrong)
