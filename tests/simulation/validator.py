"""An honest node: the real engine on a disk that survives, in a process that may not.

Mirrors `node.consensus.service`: one task takes inputs and performs actions strictly in order, and while it
waits for the disk, inputs wait; building, executing and sync run beside it and come back as inputs. Unlike
there, no input is dropped because too many wait.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final, assert_never

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
from primitives.block import Block, block_hash
from primitives.certificate import Certificate, Verifier
from primitives.finality import BadProof, FinalityProof, Trusted, verify_finality
from primitives.types import BlockHash, EpochIndex, PublicKey, TimestampMs
from primitives.vote import Vote
from tests.simulation.chain import Chain
from tests.simulation.database import Database, Executed, VoteJournal
from tests.simulation.keys import SimulatedKey
from tests.simulation.oracles import Judge, Oracle, Violation
from tests.simulation.scenario import FOLLOWER_KIND, Node, Scenario
from tests.simulation.watch import Watch
from tests.simulation.world import World

WORK_MS: Final = 20
"""Longest that building or executing a block takes."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What all nodes of a run share."""

    scenario: Scenario
    world: World
    chain: Chain
    judge: Judge
    verifier: Verifier


class Moved:
    """The finalized chain moved without the engine."""


_Event = Input | Moved
_Later = Callable[[], _Event | None]
"""What is observed once its turn comes; None if it has become void."""


class Validator:
    """Performs the engine's actions on a simulated disk, chain and network."""

    is_fast = False

    def __init__(self, node: Node, key: SimulatedKey, setting: Setting) -> None:
        self.name = node.name
        self.is_keyless = node.kind == FOLLOWER_KIND
        self.address = Peer(node.name.encode().ljust(32)) if self.is_keyless else Peer(key.public_key)
        self.chain = setting.chain
        self.database = Database(setting.chain)
        self.journal = VoteJournal(is_forgetful=setting.scenario.is_journal_forgetful)
        self.is_up = False
        self.skew_ms = node.skew_ms
        self.crash_in: int | None = None
        """Actions until the process dies."""
        self.key = key
        self._setting = setting
        self._scenario = setting.scenario
        self._world = setting.world
        self._judge = setting.judge
        self._chance: Random = setting.world.stream(node.name)
        self._life = 0
        self._wake = self._timer = 0
        self._is_waiting = self._has_moved = self._is_syncing = False
        self._inputs: deque[_Later] = deque()
        self._actions: deque[Action] = deque()
        self._executed = Executed(setting.chain, self.database)
        self._once_executed: set[BlockHash] = set()
        self._epochs: Epochs
        self._watch = Watch(node.name, setting.judge.byzantine, setting.verifier)

    @property
    def height(self) -> int:
        """Of the last final block."""
        return self.database.height

    # Life and death

    def start(self) -> None:
        """Begin from the disk."""
        if self.is_up:
            return
        self.is_up = True
        self._is_waiting = self._has_moved = self._is_syncing = False
        self._inputs.clear()
        self._actions.clear()
        self._executed = Executed(self.chain, self.database)
        self._epochs = Epochs(self._start_core)
        self._watch.restart()
        self._world.note(self.name, "starts at height", self.height)
        self._begin(is_listening=True)
        self._pump()

    def crash(self) -> None:
        """Lose everything but the disk."""
        if self.is_up:
            self._world.note(self.name, "crashes")
        self.is_up = False
        self.crash_in = None
        self._life += 1

    def restore(self, backup: Database) -> None:
        """Put an older copy in the place of the database of a dead process."""
        assert not self.is_up
        self._world.note(self.name, "is restored from height", self.height, "to", backup.height)
        self.database = backup

    def _begin(self, *, is_listening: bool) -> None:
        """Start an engine where the database stands; sync may move that while the position is read."""
        position = self.database.position()

        def begin() -> None:
            self.journal.compact(position.epoch.index)
            has_ended = self._epochs.has_begun and self._epochs.core.ended
            actions = self._epochs.begin(position, self._now(), is_listening=is_listening)
            self._on_begun(actions, has_ended=has_ended)
            self._actions.extend(actions)

        self._wait(begin)

    def _start_core(self, position: Position, silent: frozenset[PublicKey], is_listening: bool) -> Core:
        epoch = position.epoch.index
        may_sign = not self.is_keyless and epoch >= self.journal.complete_from
        return Core(
            position,
            self._memory(epoch),
            key=self.key if may_sign else None,
            verifier=self._setting.verifier,
            silent=silent,
            is_listening=is_listening,
        )

    def _memory(self, epoch: EpochIndex) -> Memory:
        return Memory() if self.is_keyless else self.journal.memory(epoch)

    def _now(self) -> TimestampMs:
        return TimestampMs(max(0, self._world.now_ms + self.skew_ms))

    # Inputs

    def deliver(self, sender: Peer, message: Message) -> None:
        """A message arrives, if anybody is there to take it."""
        if self.is_up:
            received = Received(self._now(), sender, message)
            self._enqueue(lambda: received)

    def moved(self) -> None:
        """Sync moved the chain."""
        if not self._has_moved:
            self._has_moved = True
            self._enqueue(Moved)

    def _later(self, delay_ms: int, observe: _Later) -> None:
        """Hand the engine an input after a while, unless the process died meanwhile."""
        self._beside(delay_ms, lambda: self._enqueue(observe))

    def _beside(self, delay_ms: int, work: Callable[[], None]) -> None:
        """Do something after a while, unless the process died meanwhile."""
        life = self._life

        def arrive() -> None:
            if self.is_up and self._life == life:
                work()

        self._world.at(self._world.now_ms + delay_ms, arrive)

    def _enqueue(self, observe: _Later) -> None:
        self._inputs.append(observe)
        self._pump()

    def _pump(self) -> None:
        """Take inputs and perform actions, until there is neither or the disk is waited for."""
        while self.is_up and not self._is_waiting:
            if self._actions:
                self._step(self._actions.popleft())
            elif self._inputs:
                observed = self._inputs.popleft()()
                if isinstance(observed, Moved):
                    self._follow()
                elif observed is not None:
                    actions = self._epochs.handle(observed)
                    self._on_handled(observed, actions)
                    self._actions.extend(actions)
            else:
                return

    def _on_begun(self, actions: list[Action], *, has_ended: bool) -> None:
        core = self._epochs.core
        memory = self._memory(core.epoch.index)
        self._watch.begun(actions, core, self._world.now_ms, memory, has_ended=has_ended)

    def _on_handled(self, observed: Input, actions: list[Action]) -> None:
        self._watch.handled(observed, actions, self._epochs.core, self._world.now_ms)
        self._judge.on_handled(self.name, observed, self._epochs.core)

    def _follow(self) -> None:
        """Start again if the chain is ahead of the engine; otherwise that is where it came from."""
        self._has_moved = False
        if self.height > self._epochs.core.tree.tip.height:
            self._world.note(self.name, "follows sync to height", self.height)
            self._begin(is_listening=False)

    def _wait(self, work: Callable[[], None]) -> None:
        """Do something that takes the engine's task some time; a crash meanwhile undoes it."""
        delay_ms = self._chance.randint(0, self._scenario.disk_ms) if self._scenario.disk_ms else 0
        if delay_ms == 0:
            work()
            return
        self._is_waiting = True

        def done() -> None:
            self._is_waiting = False
            work()
            self._pump()

        self._beside(delay_ms, done)

    # Actions

    def _step(self, action: Action) -> None:
        """One action, or death in its place."""
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
                self._wait(lambda: self._commit(action))
            case Report(finding=finding):
                self._watch.told(finding)
                self._world.note(self.name, "reports", type(finding).__name__, finding)
                self._judge.on_report(self.name, finding)
            case Heard(vote=vote):
                self.journal.hear(vote)
            case _:
                assert_never(action)

    def _persist(self, item: Vote | Certificate | Block | Stop) -> None:
        if isinstance(item, Block):
            self.database.keep(item)
        elif self._actions and isinstance(self._actions[0], Persist):
            self._write(item)
        else:  # what stands together is one write, which takes its time
            self._wait(lambda: self._write(item))

    def _write(self, item: Vote | Certificate | Stop) -> None:
        if isinstance(item, Stop):
            self.journal.append(item)
            return
        verb = "votes" if isinstance(item, Vote) else "holds"
        self._world.note(self.name, verb, item.kind.name, f"{item.epoch}/{item.view}", item.block.hex()[:6])
        if isinstance(item, Vote):
            name = BlockHash(item.block)
            is_here = self.database.is_kept(name) or self.database.is_final(name)
            # While the vote waits for the disk, sync may drop what it passes by.
            is_known = (is_here or self._is_overtaken()) and name in self._once_executed
            self._judge.on_vote(self, item, is_known=is_known)
        else:
            self._judge.on_certificate(item)
        self.journal.append(item)

    def _send(self, to: Peer | None, message: Message) -> None:
        self._judge.on_sent(message, self.journal)
        self._world.send(self, to, message)

    def _serve(self, action: Serve | ServeFinal) -> None:
        if isinstance(action, Serve):
            ask = action.ask
            blocks = blocks_within(self.database.descend(ask.block, ask.above))
            if blocks:
                self._send(action.to, Bundle(ask.epoch, (), blocks))
            return
        certificate = self.database.last_certificate(action.epoch)
        if certificate is not None:
            self._send(action.to, Bundle(action.epoch, (certificate,)))

    def _set_alarm(self, action: Timer | Wake) -> None:
        """One alarm of each sort; the later one replaces the earlier, also one that went off unheard."""
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
        salt = self._chance.randbytes(4)
        self._ensure_possible(block_hash(action.parent), "build on")
        is_able = self._is_able()

        def build() -> None:
            block = self._executed.build(action, PublicKey(self.address), salt) if is_able else None
            if block is not None:
                self._once_executed.add(block_hash(block.header))
                self._judge.on_block(block)
            self._enqueue(lambda: Built(self._now(), action.epoch, action.view, block))

        self._beside(self._chance.randint(1, WORK_MS), build)

    def _verify(self, action: Verify) -> None:
        block, name = action.block, block_hash(action.block.header)
        is_here = self.database.is_kept(name) or self._is_overtaken()
        assert is_here, "asked to execute a block that is not persisted"
        self._ensure_possible(block.header.parent, "execute on")
        is_able = self._is_able()

        def verify() -> None:
            verdict = self._executed.execute(block) if is_able else Verdict.UNABLE
            if verdict == Verdict.VALID:
                self._once_executed.add(name)
            self._enqueue(lambda: Verified(self._now(), action.epoch, name, verdict))

        self._beside(self._chance.randint(1, WORK_MS), verify)

    def _ensure_possible(self, parent: BlockHash, verb: str) -> None:
        is_known = self._executed.parent(parent) is not None or self._is_overtaken()
        assert is_known, f"asked to {verb} a parent that is not executed"

    def _is_overtaken(self) -> bool:
        """Whether sync is ahead of the engine, which may then ask for what is gone."""
        return self.height > self._epochs.core.tree.tip.height

    def _is_able(self) -> bool:
        is_storm = self._world.now_ms < self._world.weather.well_from_ms
        return not is_storm or self._chance.random() * 100 >= self._scenario.unable_percent

    def _commit(self, action: Commit) -> None:
        self._audit_commit(action)
        fresh = self._executed.commit(action.blocks, action.certificate)
        self._on_commit(fresh)
        if self._epochs.core.ended:
            self._begin(is_listening=False)

    def _audit_commit(self, action: Commit) -> None:
        """Blocks rise by one from the tip or below, to the one that a durable finalization names."""
        cert, heights = action.certificate, [block.header.height for block in action.blocks]
        rises = heights == list(range(heights[0], heights[0] + len(heights)))
        if not rises or heights[0] > self.height + 1:
            raise Violation(Oracle.AUDIT, f"{self.name}: a commit out of order")
        if not self.journal.has(cert.epoch, (cert.kind, cert.view, cert.block)):
            raise Violation(Oracle.DURABILITY, f"{self.name}: a commit before its finalization is durable")

    def _on_commit(self, blocks: tuple[Block, ...]) -> None:
        self._world.note(self.name, "commits up to", self.height)
        self._judge.on_commit(self.name, blocks)

    # Sync

    def fetch_from(self, other: "Validator") -> None:
        """Fetch what another node has final, and import it beside the engine."""
        sync = self._scenario.sync
        assert sync is not None
        if not self.is_up or self._is_syncing or other.height < self.height + sync.gap:
            return
        run = other.database.run_from(self.height + 1, sync.run_max)
        if run is None:
            return
        blocks, certificate = run

        def imported() -> None:
            self._is_syncing = False
            self._import(blocks, certificate)

        self._is_syncing = True
        self._beside(self._chance.randint(1, 2 * WORK_MS + 4 * len(blocks)), imported)

    def _import(self, blocks: tuple[Block, ...], certificate: Certificate) -> None:
        """Take finalized blocks as `node.chain` does: verify, execute, commit, and tell the engine."""
        if blocks[-1].header.height <= self.height or not self._is_able():
            return
        epoch = self.database.position().epoch
        trusted = Trusted(epoch.anchor_hash, epoch.committee)
        proof = FinalityProof(tuple(block.header for block in blocks), certificate)
        try:
            verify_finality(trusted, proof, self._setting.verifier)
        except BadProof as error:
            raise AssertionError(f"sync refuses what an honest node has final: {error}") from error
        for block in blocks:
            verdict = self._executed.execute(block)
            assert verdict == Verdict.VALID, "sync finds a final block invalid"
        self._world.note(self.name, "imports by sync up to", blocks[-1].header.height)
        self._on_commit(self._executed.commit(blocks, certificate))
        self.moved()
