"""One epoch of weighted Simplex, without I/O, clock or randomness.

Each view has a leader, who proposes one block. Authorities vote NOTARIZE for it, or NULLIFY when the view
takes too long; a quorum of either ends the view. Whoever sees a view notarized without having nullified it
votes FINALIZE, and a quorum of those makes the block and its ancestors final: two thirds of the stake then
never nullify that view, so that nothing can be built around it.

All of safety is in `Ballot` and `_cast`: no vote takes back an earlier one, and none leaves before it is
durable. What an input calls for is done by `_settle`, which looks at the whole state and does what is due; it
may be called at any time and any number of times.

An engine that committed the epoch's last block goes on only as a witness of misdeeds.

Source: Simplex (Chan, Pass 2023), weighted; proposals that carry their justification and the repeated
proposal of an epoch's last block as in Commonware's and Kuplex's descriptions.
"""

from typing import Final, assert_never

from node.consensus.ballot import Ballot
from node.consensus.doubts import Doubts
from node.consensus.execution import Execution
from node.consensus.interface import (
    Action,
    Build,
    Built,
    Commit,
    Disagreement,
    Epoch,
    ForeignVote,
    Fork,
    Input,
    Key,
    Memory,
    Misbehaviour,
    Peer,
    Persist,
    Position,
    Received,
    Send,
    Skew,
    Started,
    TimedOut,
    Verdict,
    Verified,
    Woken,
    is_testimony,
)
from node.consensus.messages import (
    Ask,
    AskBlock,
    Bundle,
    Cast,
    Message,
    Propose,
    block_bytes,
    certificates_within,
)
from node.consensus.outbox import Outbox
from node.consensus.pace import Pace, expiries_before_nullify
from node.consensus.proposals import is_misshapen, misfits_parent
from node.consensus.stop import outranks, stop_of
from node.consensus.tally import Tally
from node.consensus.tree import Tree
from node.consensus.views import Views
from primitives.block import Block, Header, block_hash, body_root
from primitives.certificate import Certificate, Verifier, verify_certificate, verify_vote
from primitives.types import BlockHash, PublicKey, TimestampMs, View
from primitives.vote import NO_BLOCK, Vote, VoteKind, evidence_of

VIEWS_AHEAD: Final = 8
"""How far above the own view votes and proposals are taken in; whoever is further ahead has certificates."""

EVIDENCE_VIEWS: Final = 256
"""How far below the last finalized view votes are still compared with each other."""

EMPTY_BEYOND: Final = 16
"""Heights without finality from which a leader leaves transactions out."""


class Core:
    """The engine of one epoch."""

    def __init__(
        self,
        position: Position,
        memory: Memory,
        *,
        key: Key | None,
        verifier: Verifier,
        silent: frozenset[PublicKey] = frozenset(),
        is_listening: bool = False,
    ) -> None:
        """`silent`: members that the epoch before found silent. `is_listening`: the process just started, so
        that another process may be using the key; nothing is signed until a while has passed."""
        self.epoch: Final[Epoch] = position.epoch
        self.ended = False
        """The epoch's last block is committed."""
        self.tree = Tree(position.tip, position.committed)
        for block in position.blocks:
            self.tree.add(block_hash(block.header), block)
        self.views = Views(self.epoch.anchor_hash)
        self._doubts = Doubts()
        self._recover([*memory.certificates, *([position.final] if position.final else [])])
        self.ballot = Ballot(self.epoch, key, memory.votes, View(self.views.newest + 1), is_listening)
        self._stop = memory.stop
        self.ballot.is_muted = memory.stop is not None
        self.tally = Tally(self.epoch.committee)
        self._votes_before = (*memory.votes, *memory.heard)
        self._verifier = verifier
        self._pace = Pace(self.epoch, silent)
        self._proposals: dict[View, BlockHash] = {}
        self._last_commit = position.final
        self._told: set[type] = set()
        self._building = View(0)
        self._is_unable_to_build = False
        self._attempt = self._views_entered = 0
        self._entered_ms = self._now = TimestampMs(0)
        self._out = Outbox(self.epoch, self.ballot.me)
        self._execution = Execution(self.epoch, self.tree, self._out)

    def _recover(self, certificates: list[Certificate]) -> None:
        """Take in what was verified before, finalizations last."""
        for certificate in sorted(certificates, key=lambda kept: (kept.kind, kept.view)):
            if self.views.wants(certificate.kind, certificate.view):
                self.views.add(certificate)
            if certificate.kind == VoteKind.FINALIZE:
                self._doubts.add(certificate)

    @property
    def view(self) -> View:
        """The current view; it never falls."""
        return self.ballot.view

    def handle(self, observed: Input) -> list[Action]:
        """The actions that one input calls for, in the order in which they must happen."""
        self._now = observed.now_ms
        was_ended = self.ended
        match observed:
            case Started():
                self._start()
            case Received(peer=peer, message=message):
                self._receive(peer, message)
            case TimedOut(view=view):
                if view == self.view:
                    self._expire()
            case Woken():
                self._out.woken()
            case Built(view=view, block=block):
                self._built(view, block)
            case Verified(block=name, verdict=verdict):
                self._verified(name, verdict)
            case _:
                assert_never(observed)
        self._resolve_doubts()
        if not was_ended:
            self._settle()
        actions = self._out.drain()
        return [action for action in actions if is_testimony(action)] if was_ended else actions

    @property
    def silent(self) -> frozenset[PublicKey]:
        """Keys of the members that are silent now, for the next epoch's engine."""
        return self._pace.silent

    def overtaken(self, peer: Peer) -> list[Action]:
        """`peer` spoke of a later epoch: ask it, once, for what ended this one."""
        self._ask_once("a later epoch", peer)
        return self._out.drain()

    def disagree(self, certificate: Certificate) -> list[Action]:
        """The host found a block invalid that `certificate` makes final."""
        self._mute(Disagreement(certificate))
        return self._out.drain()

    # Votes

    def _cast(self, kind: VoteKind, block: bytes) -> None:
        """Vote in the current view, if the votes cast so far in it allow."""
        if self.ended or not self.ballot.may(kind):
            return
        vote = self.ballot.cast(kind, block)
        self._out.add(Persist(vote), Send(None, self._utterance(vote)))
        self._learn(vote)

    def _utterance(self, vote: Vote) -> Message:
        """What a vote is sent in: a leader's NOTARIZE travels with its block, while that is here."""
        block = self.tree.get(BlockHash(vote.block))
        if vote.kind != VoteKind.NOTARIZE or not self._is_leader() or block is None:
            return Cast(vote)
        certs = certificates_within(self.views.proof(self.view), block_bytes(block))
        return Propose(self.epoch.index, self.view, block, vote, certs)

    def _learn(self, vote: Vote) -> None:
        """Take in a verified vote: compare it with others, count it, and accept the quorum that it
        completes."""
        if self.tally.holds(vote):
            return
        for other in self.tally.add(vote):
            self._out.report(evidence_of(other, vote))
        self._out.hear(vote)
        if self.ballot.is_foreign(vote):
            self._mute(ForeignVote(vote))
        self._pace.hear(vote.signer, self.view, self._now)
        if not self.ended and self.views.wants(vote.kind, vote.view):
            certificate = self.tally.certificate(vote)
            if certificate:
                self._accept(certificate)

    def _learn_all(self, certificate: Certificate) -> None:
        for vote in certificate.votes():
            self._learn(vote)

    def _vote(self, peer: Peer, vote: Vote) -> None:
        if vote.view > self.view + VIEWS_AHEAD:
            self._ask_once("a vote far ahead", peer)
            return
        if vote.view + EVIDENCE_VIEWS < self.views.final_view:
            return
        if self.tally.holds(vote) or not self.tally.has_room(vote):
            return
        if not verify_vote(vote, self.epoch.committee, self.epoch.anchor_hash, self._verifier):
            self._out.report(Misbehaviour(peer, "a vote with a bad signature"))
            return
        self._learn(vote)

    # Certificates

    def _certificate(self, peer: Peer, certificate: Certificate) -> None:
        is_finalization = certificate.kind == VoteKind.FINALIZE
        if is_finalization and (self.ended or certificate.view <= self.views.final_view):
            is_known = certificate.block == self.views.final_block or certificate.block in self.tree.committed
            if not is_known:
                if self._doubts.may_add(peer) and self._is_genuine(peer, certificate):
                    self._doubts.add(certificate, peer)
                return
        elif not self.ended and self.views.wants(certificate.kind, certificate.view):
            if self._is_genuine(peer, certificate):
                self._accept(certificate)
            return
        if self.tally.convicts(certificate) and self._is_genuine(peer, certificate):
            self._learn_all(certificate)

    def _is_genuine(self, peer: Peer, certificate: Certificate) -> bool:
        if verify_certificate(certificate, self.epoch.committee, self.epoch.anchor_hash, self._verifier):
            return True
        self._out.report(Misbehaviour(peer, "a certificate that does not hold"))
        return False

    def _accept(self, certificate: Certificate) -> None:
        """Act on a verified certificate that was wanted."""
        self._out.add(Persist(certificate))
        self.views.add(certificate)
        self._learn_all(certificate)
        if certificate.block in self.tree.bad:
            self._mute(Disagreement(certificate))
        if certificate.kind == VoteKind.NOTARIZE and certificate.view == self.view:
            self._cast(VoteKind.FINALIZE, certificate.block)
        if certificate.kind == VoteKind.FINALIZE:
            self.tally.prune(View(max(0, certificate.view - EVIDENCE_VIEWS)))
        if certificate.view >= self.view:
            self._enter(View(certificate.view + 1))

    def _resolve_doubts(self) -> None:
        contradiction = self._doubts.resolve(self.tree, self.views.final_block)
        if contradiction:
            self._out.add(Persist(contradiction))
            self._learn_all(contradiction)
            self._mute(Fork(self.views.final, contradiction))
            self._ask_once("a fork")

    # Views and time

    def _start(self) -> None:
        """Go on where the disk stands. Own votes are counted again: after a crash of everybody nobody else
        would. Those of others are, so that they still convict."""
        self._pace.start(self.view, self._now)
        self._begin_view()
        for vote in self._votes_before:
            if vote.view + EVIDENCE_VIEWS >= self.views.final_view:
                self._learn(vote)
        self._out.ask(self.views.gap(self.view))

    def _enter(self, view: View) -> None:
        is_jump = view > self.view + 1
        self.ballot.enter(view)
        self._attempt = 0
        self._views_entered += 1
        self.ballot.is_listening = self.ballot.is_listening and self._views_entered < 2
        self._proposals = {ahead: name for ahead, name in self._proposals.items() if ahead >= view}
        self._pace.enter(view, self._now, is_jump=is_jump)
        if not self._is_leader():
            self._out.send_certificates(self.views.highest(), self.epoch.leader_peer(self.view))
        self._begin_view()

    def _begin_view(self) -> None:
        self._entered_ms = self._now
        parent = self.views.parent(self.view)
        header = self.tree.header(parent[1]) if parent else None
        parent_ms = header.timestamp_ms if header else None
        self._set_timer(self._pace.first_delay_ms(self.view, parent_ms, self._now))

    def _expire(self) -> None:
        """The timer ran out: the only occasion on which anything is sent again."""
        if rest_ms := self._pace.rest_ms(self.view):
            self._set_timer(rest_ms)
            return
        was_listening, self.ballot.is_listening = self.ballot.is_listening, False
        self._attempt += 1
        for vote in self.ballot.mine.values():
            self._out.add(Send(None, self._utterance(vote)))
        self._out.ask(self.views.gap(self.view), self._attempt)
        self._set_timer(self.epoch.settings.period_ms)
        patience = expiries_before_nullify(self.view, self.views.final_view)
        is_due = self._attempt >= patience or self._pace.is_silent(self.epoch.leader(self.view))
        if is_due and not was_listening:
            self._cast(VoteKind.NULLIFY, NO_BLOCK)

    def _set_timer(self, delay_ms: int) -> None:
        self._execution.retry()
        self._is_unable_to_build = False
        self._out.set_timer(self.view, delay_ms)

    # Doing what is due

    def _settle(self) -> None:
        view = View(0)
        while view != self.view and not self.ended:
            view = self.view
            self._commit()
            if not self.ended:
                self._lead() if self._is_leader() else self._judge()

    def _commit(self) -> None:
        """Commit what is final and executed."""
        final = self.views.final
        if final is None or final.block == self.tree.tip_hash:
            return
        name = BlockHash(final.block)
        if self._execution.is_ready(name):
            path = self.tree.path(name)
            self.tree.commit(path)
            self._resolve_doubts()
            self._out.add(Commit(self.epoch.index, path, final))
            self._last_commit = final
            self.ended = self.epoch.is_last(self.tree.tip)
        elif self.tree.step_towards(name) is None:
            is_invalid = name in self.tree.bad
            self._mute(Disagreement(final) if is_invalid else Fork(self._last_commit, final))

    def _lead(self) -> None:
        """Propose, as soon as the parent is executed and its successor due."""
        if not self.ballot.may(VoteKind.NOTARIZE):
            return
        parent = self.views.parent(self.view)
        if parent is None:
            self._ask_once("a parent")
            return
        header = self.tree.header(parent[1])
        if not self._execution.is_ready(parent[1]) or header is None:
            return
        if self.epoch.is_last(header):
            self._cast(VoteKind.NOTARIZE, parent[1])
        elif self._building != self.view and not self._is_unable_to_build:
            self._build(header)

    def _build(self, parent: Header) -> None:
        """Have a block built: once it is due, but never later than a block time after entering the view."""
        due = parent.timestamp_ms + self.epoch.settings.block_time_ms
        start = min(due, self._entered_ms + self.epoch.settings.block_time_ms)
        if self._now < start:
            self._out.wake(self.view, start)
            return
        self._building = self.view
        is_empty = parent.height + 1 - self.tree.tip.height > EMPTY_BEYOND
        self._out.add(Build(self.epoch.index, self.view, parent, TimestampMs(max(self._now, due)), is_empty))

    def _built(self, view: View, block: Block | None) -> None:
        if view != self._building or view != self.view:
            return
        self._building = View(0)
        if block is None:
            self._is_unable_to_build = True
            return
        name = block_hash(block.header)
        self.tree.add(name, block)
        self.tree.mark_executed(name)
        self._out.add(Persist(block))
        self._cast(VoteKind.NOTARIZE, name)

    def _judge(self) -> None:
        """Vote on the leader's proposal, as soon as enough is known about it."""
        name = self._proposals.get(self.view)
        block = self.tree.get(name) if name else None
        if name is None or block is None or VoteKind.NOTARIZE in self.ballot.mine:
            return
        header = block.header
        if name in self.tree.bad or is_misshapen(header, self.epoch, self.view):
            self._cast(VoteKind.NULLIFY, NO_BLOCK)
            return
        is_repeated = header.view < self.view
        if not self.views.is_justified(self.view, name if is_repeated else header.parent):
            self._ask_once("a justification", self.epoch.leader_peer(self.view))
            return
        if not is_repeated:
            parent = self.tree.header(header.parent)
            if not self._execution.is_ready(header.parent) or parent is None:
                return
            if misfits_parent(header, parent, self.epoch.settings):
                self._cast(VoteKind.NULLIFY, NO_BLOCK)
                return
        if self._execution.is_ready(name) and not self._is_early(header):
            self._cast(VoteKind.NOTARIZE, name)

    def _is_early(self, header: Header) -> bool:
        """Whether to wait with a vote because the block claims to come from the future. A quorum's word
        overrules the own clock."""
        ahead_ms = header.timestamp_ms - self._now - self.epoch.settings.delta_ms
        if ahead_ms <= 0 or header.view < self.view:
            return False
        if self._out.wake(self.view, self._now + ahead_ms):
            self._out.report(Skew(self.epoch.leader(self.view), ahead_ms + self.epoch.settings.delta_ms))
        return True

    def _verified(self, name: BlockHash, verdict: Verdict) -> None:
        self._execution.verified(name, verdict)
        if verdict == Verdict.INVALID:
            for certificate in self.views.certifying(name):
                self._mute(Disagreement(certificate))

    # Messages

    def _receive(self, peer: Peer, message: Message) -> None:
        match message:
            case Propose():
                self._proposal(peer, message)
            case Cast(vote=vote):
                self._vote(peer, vote)
            case Ask(start=start):
                if self._out.may_answer(peer):
                    self._out.send_certificates(self.views.answer(self.view, start), peer)
            case AskBlock():
                pass  # Answered by `Epochs`, whatever the epoch.
            case Bundle(certs=certs, blocks=blocks):
                for certificate in certs:
                    self._certificate(peer, certificate)
                for block in blocks:
                    self._block(peer, block)
            case _:
                assert_never(message)

    def _proposal(self, peer: Peer, message: Propose) -> None:
        """Only the vote in a proposal is the leader's word; what a relay may have altered is never held
        against it."""
        for certificate in message.certs:
            self._certificate(peer, certificate)
        vote, name = message.vote, block_hash(message.block.header)
        subject = (VoteKind.NOTARIZE, message.epoch, message.view, name, self.epoch.leader(message.view))
        if (vote.kind, vote.epoch, vote.view, vote.block, vote.signer) != subject:
            self._out.report(Misbehaviour(peer, "a proposal that its vote is not for"))
            return
        self._vote(peer, vote)
        if vote.view in self._proposals or not self.tally.holds(vote):
            return
        if not self.view <= vote.view <= self.view + VIEWS_AHEAD:
            return
        if self._is_whole(peer, message.block):
            self._proposals[vote.view] = name
            self.tree.add(name, message.block)

    def _block(self, peer: Peer, block: Block) -> None:
        """Take in a block that was asked for, and expect its parent next."""
        name = block_hash(block.header)
        if self.tree.get(name) or not self._out.is_welcome(name):
            return
        if self._is_whole(peer, block):
            self.tree.add(name, block)
            self._out.expect(block.header.parent)

    def _is_whole(self, peer: Peer, block: Block) -> bool:
        if body_root(block.body) == block.header.body_root:
            return True
        self._out.report(Misbehaviour(peer, "a body that does not belong to its header"))
        return False

    def _ask_once(self, purpose: str, *peers: Peer) -> None:
        self._out.ask_once(purpose, self.views.gap(self.view), *peers)

    def _is_leader(self) -> bool:
        return self.ballot.me == self.epoch.leader(self.view)

    def _mute(self, finding: Fork | Disagreement | ForeignVote) -> None:
        """Sign nothing more. Each reason is told once, and kept if it stops more keys than the one before."""
        stop = stop_of(finding)
        if outranks(stop, self._stop):
            self._stop, self.ballot.is_muted = stop, True
            self._out.add(Persist(stop))
        if type(finding) not in self._told:
            self._told.add(type(finding))
            self._out.report(finding)
