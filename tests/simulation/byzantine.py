"""Nodes that hold a key and keep no promise. Each is the real engine with its mouth replaced.

The judge is not told what they send; `silence` is the only one that is polite.
"""

from collections import deque

from msgspec.structs import replace

from node.consensus.interface import Action, Build, Epoch, Input, Peer, Report, Send, Stop
from node.consensus.messages import MESSAGE, Ask, Bundle, Cast, Message, Propose
from primitives.block import Block, Body, block_hash, body_root
from primitives.certificate import Certificate, certificate_of
from primitives.extrinsic import Call
from primitives.types import AuthorityIndex, BlockHash, EpochIndex, Signature, View
from primitives.vote import NO_BLOCK, Vote, VoteKind, vote_message
from tests.simulation.keys import SimulatedKey
from tests.simulation.scenario import Node
from tests.simulation.validator import Setting, Validator

MEMORY = 200
"""Frames that a replayer remembers."""


class Byzantine(Validator):
    """Behaves, but nobody checks."""

    def _act(self, action: Action) -> None:
        if isinstance(action, Send):
            self._say(action.to, action.message)
        elif not isinstance(action, Report):
            super()._act(action)

    def _write(self, item: Vote | Certificate | Stop) -> None:
        self.journal.append(item)

    def _on_commit(self, blocks: tuple[Block, ...]) -> None:
        pass

    def _on_begun(self, actions: list[Action], *, has_ended: bool) -> None:
        pass

    def _on_handled(self, observed: Input, actions: list[Action]) -> None:
        pass

    def _send(self, to: Peer | None, message: Message) -> None:
        self._world.send(self, to, message)

    def _say(self, to: Peer | None, message: Message) -> None:
        self._send(to, message)

    @property
    def _epoch(self) -> Epoch:
        return self._epochs.core.epoch

    def _sign(self, kind: VoteKind, view: View, block: bytes) -> Vote | None:
        """Any vote that this key can sign in the current epoch."""
        epoch = self._epoch
        me = epoch.committee.index_of(self.key.public_key)
        if me is None:
            return None
        message = vote_message(epoch.anchor_hash, kind, epoch.index, view, block)
        return Vote(kind, epoch.index, view, block, me, self.key.sign(message))

    def _blocks(self) -> list[BlockHash]:
        """What could be voted for."""
        return [block_hash(header) for header in self._executed.headers()]

    def _some(self) -> list[Peer]:
        """About half of the others."""
        return [peer.address for peer in self._world.endpoints if self._chance.random() < 0.5]


class Twin(Byzantine):
    """One of two processes with one key, each of which behaves, and is watched for that."""

    def _on_begun(self, actions: list[Action], *, has_ended: bool) -> None:
        Validator._on_begun(self, actions, has_ended=has_ended)

    def _on_handled(self, observed: Input, actions: list[Action]) -> None:
        self._watch.handled(observed, actions, self._epochs.core, self._world.now_ms)

    def _act(self, action: Action) -> None:
        if isinstance(action, Report):
            self._watch.told(action.finding)
        else:
            super()._act(action)


class Silent(Byzantine):
    """Says nothing."""

    def _say(self, to: Peer | None, message: Message) -> None:
        pass


class Equivocator(Byzantine):
    """Proposes one block to some and another to others, and votes for both."""

    def _say(self, to: Peer | None, message: Message) -> None:
        if to is not None or not isinstance(message, Propose):
            self._send(to, message)
            return
        twin = self._twin(message)
        chosen = self._some()
        for peer in self._world.endpoints:
            self._send(peer.address, message if twin is None or peer.address in chosen else twin)

    def _twin(self, message: Propose) -> Propose | None:
        """Another proposal for the same view: as good as the first, or wrong in one way."""
        faults = ("none", "none", "parent", "state", "time", "author")
        return self._spoilt(message, self._chance.choice(faults))

    def _spoilt(self, message: Propose, fault: str) -> Propose | None:
        """Another proposal for the same view, with a fault."""
        header = message.block.header
        parents = [*self._executed.headers(), self.database.tip]
        parent = next((known for known in parents if block_hash(known) == header.parent), None)
        if fault == "parent" or parent is None:
            parent = self._chance.choice(parents)
        request = Build(message.epoch, message.view, parent, header.timestamp_ms, is_empty=True)
        block = self.chain.build(request, header.author, self._chance.randbytes(4))
        changed = block.header
        if fault == "state":
            changed = replace(changed, state_root=changed.body_root)
        elif fault == "time":
            changed = replace(changed, timestamp_ms=parent.timestamp_ms + self._chance.choice((1, 10_000)))
        elif fault == "author":
            changed = replace(changed, author=self._chance.choice(self._epoch.committee.members).key)
        block = Block(changed, block.body)
        self._judge.on_block(block)
        vote = self._sign(VoteKind.NOTARIZE, message.view, block_hash(changed))
        return replace(message, block=block, vote=vote) if vote else None


class DoubleVoter(Byzantine):
    """Adds to every vote the votes that contradict it."""

    def _say(self, to: Peer | None, message: Message) -> None:
        self._send(to, message)
        if not isinstance(message, Cast | Propose):
            return
        vote = message.vote
        others = [block for block in self._blocks() if block != vote.block]
        subjects: list[tuple[VoteKind, bytes]] = [(VoteKind.NULLIFY, NO_BLOCK)]
        if vote.block:
            subjects.append((VoteKind.FINALIZE, vote.block))
        if others:
            subjects += [
                (kind, self._chance.choice(others)) for kind in (VoteKind.NOTARIZE, VoteKind.FINALIZE)
            ]
        for kind, block in subjects:
            contrary = self._sign(kind, vote.view, block)
            for peer in self._some() if contrary else []:
                assert contrary is not None
                self._send(peer, Cast(contrary))


class Replayer(Byzantine):
    """Sends again what it heard: as it was, altered, or as noise. Also forges certificates."""

    def __init__(self, node: Node, key: SimulatedKey, setting: Setting) -> None:
        super().__init__(node, key, setting)
        self._heard: deque[Message] = deque(maxlen=MEMORY)

    def deliver(self, sender: Peer, message: Message) -> None:
        self._heard.append(message)
        super().deliver(sender, message)
        if self.is_up and self._epochs.has_begun and self._chance.random() < 0.2:
            self._annoy()

    def _annoy(self) -> None:
        to = self._chance.choice(self._world.endpoints).address
        message = self._chance.choice(list(self._heard))
        match self._chance.randrange(6):
            case 0:
                self._send(to, message)
            case 1:
                frame = bytearray(MESSAGE.encode(message))
                frame[self._chance.randrange(len(frame))] ^= 1 << self._chance.randrange(8)
                self._world.send_frame(self, to, bytes(frame))
            case 2:
                self._send(to, Bundle(message.epoch, (self._forge(message),)))
            case 3:
                self._send(to, self._alter(message))
            case 4:
                self._send(to, Ask(message.epoch, View(self._chance.randrange(1, 100))))
            case _:
                far = View(self._epochs.core.view + self._chance.randrange(1, 50))
                vote = self._sign(VoteKind.NULLIFY, far, NO_BLOCK)
                if vote:
                    self._send(to, Cast(vote))

    def _alter(self, message: Message) -> Message:
        """What a relay can do to another's words."""
        view = self._epochs.core.view
        if isinstance(message, Propose):
            body = Body((Call(1, 1, b"altered"),), ())
            choices: list[Message] = [
                replace(message, certs=()),
                replace(message, block=Block(message.block.header, body)),
                replace(message, view=View(message.view + 1)),
                replace(message, view=view, vote=replace(message.vote, view=view)),
            ]
            return self._chance.choice(choices)
        if isinstance(message, Cast):
            vote = message.vote
            fields = [
                replace(vote, view=view),
                self._transplant(vote),
                replace(vote, signer=AuthorityIndex(vote.signer + 1)),
            ]
            if vote.block:
                fields.append(replace(vote, block=self._any_block()))
                fields.append(replace(vote, kind=VoteKind.FINALIZE))
            return Cast(self._chance.choice(fields))
        return message

    def _transplant(self, vote: Vote) -> Vote:
        """The vote in the next epoch, under the place that its signer has there."""
        committees = [self.chain.committee(EpochIndex(vote.epoch + step)) for step in (0, 1)]
        members = committees[0].members
        signer = committees[1].index_of(members[vote.signer % len(members)].key)
        return replace(vote, epoch=EpochIndex(vote.epoch + 1), signer=signer or AuthorityIndex(0))

    def _forge(self, message: Message) -> Certificate:
        """A certificate made of one true vote, repeated under other names."""
        view = View(self._epochs.core.view + self._chance.randrange(3))
        kind = self._chance.choice(list(VoteKind))
        block = NO_BLOCK if kind == VoteKind.NULLIFY else self._any_block()
        own = self._sign(kind, view, block)
        signature = own.signature if own else Signature(bytes(64))
        count = len(self._epoch.committee.members)
        votes = [
            Vote(kind, message.epoch, view, block, AuthorityIndex(index), signature)
            for index in range(count)
            if own is None or count < 3 or index >= count // 4
        ]
        return certificate_of(votes)

    def _any_block(self) -> BlockHash:
        return self._chance.choice([*self._blocks(), block_hash(self.chain.genesis)])


class Relay(Byzantine):
    """Hears everything first and passes it on first, altered: only the vote in a proposal is signed.

    Which altered copies of a proposal reach whom before the true one is chance; some get all of them.
    """

    is_fast = True

    def __init__(self, node: Node, key: SimulatedKey, setting: Setting) -> None:
        super().__init__(node, key, setting)
        self._proposals: deque[Propose] = deque(maxlen=MEMORY)
        self._certs: deque[Certificate] = deque(maxlen=MEMORY)
        self._seen: set[Signature] = set()
        """Leaders' votes: one alteration each, or two relays would never come to an end."""

    def deliver(self, sender: Peer, message: Message) -> None:
        if isinstance(message, Propose) and message.vote.signature not in self._seen:
            self._seen.add(message.vote.signature)
            for altered in self._alterations(message):
                for peer in self._some():
                    self._send(peer, altered)
            self._proposals.append(message)
        if isinstance(message, Propose | Bundle):
            self._certs.extend(message.certs)
        super().deliver(sender, message)

    def _alterations(self, message: Propose) -> list[Propose]:
        """What the true proposal can be turned into."""
        header, others = message.block.header, list(self._proposals)
        body = Body((Call(1, 1, b"altered"),), ())
        altered = [
            replace(message, certs=()),
            replace(message, certs=tuple(self._certs)[:8]),
            replace(message, certs=tuple(self._thinned(cert) for cert in message.certs)),
            replace(message, block=Block(header, body)),
            replace(message, block=Block(replace(header, body_root=body_root(body)), body)),
            replace(message, block=Block(replace(header, parent=self._any_parent()), message.block.body)),
            replace(message, view=View(message.view + 1)),
        ]
        if others:
            other = self._chance.choice(others)
            altered += [
                replace(message, certs=other.certs),
                replace(message, block=other.block),
                replace(message, vote=other.vote),
                replace(other, certs=message.certs),
                replace(other, view=message.view),
            ]
        return self._chance.sample(altered, 4)

    def _thinned(self, cert: Certificate) -> Certificate:
        """A certificate that lacks some of its votes."""
        votes = cert.votes()
        return certificate_of(self._chance.sample(votes, max(1, len(votes) // 2)))

    def _any_parent(self) -> BlockHash:
        return self._chance.choice([*self._blocks(), block_hash(self.database.tip)])


class Selective(Byzantine):
    """Speaks to some and is silent to others; to whom changes with the view."""

    def _say(self, to: Peer | None, message: Message) -> None:
        for peer in sorted({peer.address for peer in self._world.endpoints}):
            is_favoured = (peer[0] + self._epochs.core.view // 3) % 2 == 0
            if (to is None or to == peer) and is_favoured:
                self._send(peer, message)
