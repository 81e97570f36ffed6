"""An honest node: the real engine on a disk that survives, in a process that may not."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import assert_never

from node.consensus.core import Core
from node.consensus.epochs import Epochs
from node.consensus.interface import (
    Action,
    Build,
    Built,
    Commit,
    Heard,
    Input,
    Memory,
    Peer,
    Persist,
    Position,
    Received,
    Report,
    Send,
    Serve,
    ServeFinal,
    Stop,
    TimedOut,
    Timer,
    Verdict,
    Verified,
    Verify,
    Wake,
    Woken,
)
from node.consensus.messages import Bundle, Message, blocks_within
from primitives.block import Block, Header, block_hash
from primitives.certificate import Certificate, Verifier
from primitives.types import BlockHash, EpochIndex, PublicKey, TimestampMs
from primitives.vote import Vote
from tests.simulation.chain import Chain
from tests.simulation.keys import SimulatedKey
from tests.simulation.oracles import Judge
from tests.simulation.watch import Watch
from tests.simulation.world import World


@dataclass
class Disk:
    """What a crash leaves behind."""

    votes: list[Vote] = field(default_factory=list)
    certificates: list[Certificate] = field(default_factory=list)
    heard: list[Vote] = field(default_factory=list)
    stop: Stop | None = None
    blocks: dict[BlockHash, Block] = field(default_factory=dict)
    committed: list[Block] = field(default_factory=list)
    finals: dict[EpochIndex, Certificate] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What all nodes of a run share."""

    world: World
    chain: Chain
    judge: Judge
    verifier: Verifier
    honest: frozenset[bytes]
    """Addresses whose bearers behave."""

    core: type[Core] = Core
    """The engine under test; mutants put in their own."""

    unable: float = 0.0
    """How often a host cannot build or verify while the storm lasts."""


class Validator:
    """Performs the engine's actions on a simulated disk, chain and network."""

    def __init__(self, name: str, key: SimulatedKey, setting: Setting, skew_ms: int = 0) -> None:
        self.name = name
        self.address = Peer(key.public_key)
        self.disk = Disk()
        self.is_up = False
        self.skew_ms = skew_ms
        self.crash_in: int | None = None
        """Actions until the process dies."""
        self._key = key
        self._setting = setting
        self._world = setting.world
        self._life = 0
        self._wake = self._timer = 0
        self._executed: dict[BlockHash, Header] = {}
        self._once_executed: set[BlockHash] = set()
        self._epochs: Epochs
        self._watch = Watch(name, setting.judge.byzantine, setting.verifier)
        self._genesis = setting.chain.genesis

    @property
    def height(self) -> int:
        """Of the last final block."""
        return self.disk.committed[-1].header.height if self.disk.committed else 0

    # Life and death

    def start(self) -> None:
        """Begin from the disk."""
        if self.is_up:
            return
        self.is_up = True
        self._executed = {}
        self._epochs = Epochs(self._start_core)
        self._watch.restart()
        self._world.note(self.name, f"starts at height {self.height}")
        self._begin(is_listening=True)

    def _begin(self, *, is_listening: bool) -> None:
        has_ended = self._epochs.has_begun and self._epochs.core.ended
        actions = self._epochs.begin(self._position(), self._now(), is_listening=is_listening)
        core = self._epochs.core
        memory = self._memory(core.epoch.index)
        self._watch.begun(actions, core, self._world.now_ms, memory, has_ended=has_ended)
        self._perform(actions)

    def crash(self) -> None:
        """Lose everything but the disk."""
        self._world.note(self.name, "crashes")
        self.is_up = False
        self.crash_in = None
        self._life += 1

    def _start_core(self, position: Position, silent: frozenset[PublicKey], is_listening: bool) -> Core:
        return self._setting.core(
            position,
            self._memory(position.epoch.index),
            key=self._key,
            verifier=self._setting.verifier,
            silent=silent,
            is_listening=is_listening,
        )

    def _memory(self, epoch: EpochIndex) -> Memory:
        disk = self.disk
        return Memory(
            votes=tuple(vote for vote in disk.votes if vote.epoch == epoch),
            certificates=tuple(cert for cert in disk.certificates if cert.epoch == epoch),
            heard=tuple(vote for vote in disk.heard if vote.epoch == epoch),
            stop=disk.stop,
        )

    def _position(self) -> Position:
        chain, committed = self._setting.chain, self.disk.committed
        tip = committed[-1].header if committed else self._genesis
        is_over = tip.next_set is not None
        index = EpochIndex(tip.epoch + is_over)
        own = [block for block in committed if block.header.epoch == index]
        below = [block.header for block in committed if block.header.epoch < index]
        anchor = below[-1] if below else self._genesis
        names = {block_hash(block.header) for block in own}
        return Position(
            epoch=chain.epoch(index, anchor),
            tip=tip,
            committed=tuple(names),
            final=self.disk.finals.get(index),
            blocks=tuple(
                block
                for name, block in self.disk.blocks.items()
                if block.header.epoch == index and name not in names
            ),
        )

    def _now(self) -> TimestampMs:
        return TimestampMs(max(0, self._world.now_ms + self.skew_ms))

    # Inputs

    def deliver(self, sender: Peer, message: Message) -> None:
        """A message arrives, if anybody is there to take it."""
        if self.is_up:
            self._handle(Received(self._now(), sender, message))

    def _handle(self, observed: Input) -> None:
        actions = self._epochs.handle(observed)
        self._watch.handled(observed, actions, self._epochs.core, self._world.now_ms)
        self._perform(actions)

    def _later(self, delay_ms: int, observe: Callable[[], Input | None]) -> None:
        """Hand the engine an input after a while, unless the process died meanwhile."""
        life = self._life

        def arrive() -> None:
            if self.is_up and self._life == life:
                observed = observe()
                if observed is not None:
                    self._handle(observed)

        self._world.at(self._world.now_ms + delay_ms, arrive)

    # Actions

    def _perform(self, actions: list[Action]) -> None:
        for action in actions:
            if self.crash_in is not None:
                self.crash_in -= 1
                if self.crash_in < 0:
                    self.crash()
                    return
            self._act(action)

    def _act(self, action: Action) -> None:
        match action:
            case Persist(item=item):
                self._persist(item)
            case Send(to=to, message=message):
                self._send(to, message)
            case Serve() | ServeFinal():
                self._serve(action)
            case Timer() | Wake():
                self._set_alarm(action)
            case Build():
                self._build(action)
            case Verify():
                self._verify(action)
            case Commit():
                self._commit(action)
            case Report(finding=finding):
                self._world.note(self.name, finding)
                self._setting.judge.on_report(finding, self._setting.honest)
            case Heard(vote=vote):
                self.disk.heard.append(vote)
            case _:
                assert_never(action)

    def _persist(self, item: Vote | Certificate | Block | Stop) -> None:
        if isinstance(item, Vote):
            self._world.note(
                self.name, f"votes {item.kind.name} {item.epoch}/{item.view} {item.block.hex()[:6]}"
            )
            self._on_vote(item)
            self.disk.votes.append(item)
        elif isinstance(item, Certificate):
            self._world.note(
                self.name, f"holds {item.kind.name} {item.epoch}/{item.view} {item.block.hex()[:6]}"
            )
            self.disk.certificates.append(item)
        elif isinstance(item, Stop):
            self.disk.stop = item
        else:
            self.disk.blocks[block_hash(item.header)] = item

    def _on_vote(self, vote: Vote) -> None:
        known = self._once_executed & self.disk.blocks.keys()
        self._setting.judge.on_vote(PublicKey(self.address), vote, known)

    def _send(self, to: Peer | None, message: Message) -> None:
        self._setting.judge.on_sent(message, self.disk.votes)
        self._world.send(self, to, message)

    def _serve(self, action: Serve | ServeFinal) -> None:
        if isinstance(action, Serve):
            blocks = blocks_within(self._descend(action.ask.block, action.ask.above))
            if blocks:
                self._send(action.to, Bundle(action.ask.epoch, (), blocks))
        elif action.epoch in self.disk.finals:
            self._send(action.to, Bundle(action.epoch, (self.disk.finals[action.epoch],)))

    def _descend(self, name: BlockHash, above: int) -> Iterator[Block]:
        """The block and its ancestors that are on the disk, from the top down."""
        final = {block_hash(block.header): block for block in self.disk.committed}
        block = self.disk.blocks.get(name) or final.get(name)
        while block is not None and block.header.height > above:
            yield block
            name = block.header.parent
            block = self.disk.blocks.get(name) or final.get(name)

    def _set_alarm(self, action: Timer | Wake) -> None:
        if isinstance(action, Timer):
            self._timer += 1
            timer = self._timer
            self._later(
                action.delay_ms,
                lambda: TimedOut(self._now(), action.epoch, action.view) if timer == self._timer else None,
            )
        else:
            self._wake += 1
            wake = self._wake
            self._later(
                max(0, action.at_ms - self._now()),
                lambda: Woken(self._now(), action.epoch, action.view) if wake == self._wake else None,
            )

    def _build(self, action: Build) -> None:
        salt = self._world.random.randbytes(4)
        is_known = block_hash(action.parent) in self._executed or action.parent == self._tip()
        assert is_known, "asked to build on a parent that is not executed"
        block = self._setting.chain.build(action, PublicKey(self.address), salt)
        able = self._is_able()

        def built() -> Input:
            if able:
                self._note_executed(block.header)
                self._setting.judge.on_block(block)
            return Built(self._now(), action.epoch, action.view, block if able else None)

        self._later(self._world.random.randint(1, 20), built)

    def _verify(self, action: Verify) -> None:
        block, name = action.block, block_hash(action.block.header)
        assert name in self.disk.blocks, "asked to execute a block that is not persisted"
        tip = self._tip()
        parent = tip if block_hash(tip) == block.header.parent else self._executed.get(block.header.parent)
        assert parent is not None, "asked to execute a block whose parent is not executed"
        verdict = self._setting.chain.execute(block, parent) if self._is_able() else Verdict.UNABLE

        def verified() -> Input:
            if verdict == Verdict.VALID:
                self._note_executed(block.header)
            return Verified(self._now(), action.epoch, name, verdict)

        self._later(self._world.random.randint(1, 20), verified)

    def _note_executed(self, header: Header) -> None:
        self._executed[block_hash(header)] = header
        self._once_executed.add(block_hash(header))

    def _is_able(self) -> bool:
        is_storm = self._world.now_ms < self._world.weather.well_from_ms
        return not is_storm or self._world.random.random() >= self._setting.unable

    def _tip(self) -> Header:
        return self.disk.committed[-1].header if self.disk.committed else self._genesis

    def _commit(self, action: Commit) -> None:
        for block in action.blocks:
            assert block_hash(block.header) in self._executed, "asked to commit what is not executed"
            assert block.header.height == self.height + 1, "asked to commit out of order"
            self.disk.committed.append(block)
        self._world.note(self.name, f"commits up to {self.height}")
        self.disk.finals[action.epoch] = action.certificate
        self._setting.judge.on_commit(action.blocks)
        if self._epochs.core.ended:
            self._begin(is_listening=False)
