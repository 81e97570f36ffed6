"""A node of the world-wide network: the real engine and the real codec on a modelled processor and disk."""

from collections.abc import Callable
from dataclasses import dataclass, field
from time import process_time

from node.consensus.core import Core
from node.consensus.epochs import Epochs
from node.consensus.interface import (
    Action,
    Build,
    Built,
    Commit,
    Epoch,
    Input,
    Key,
    Memory,
    Peer,
    Persist,
    Position,
    Received,
    Send,
    Serve,
    TimedOut,
    Timer,
    Verdict,
    Verified,
    Verify,
    Wake,
    Woken,
)
from node.consensus.messages import MESSAGE, Bundle, Cast, Message, blocks_within, read_message
from primitives.block import Block, block_hash
from primitives.certificate import Verifier
from primitives.types import BlockHash, PublicKey, TimestampMs
from tests.simulation.wide.world import RECEIVE_MS, RECEIVE_MS_PER_MIB, Wide

ENGINE_MS = 0.15
"""Processor time of the engine for one frame, a signature check included."""

DISK_MS = 2.0
"""One fsync."""

EXECUTE_MS_PER_TRANSFER = 1 / 4.5
"""4,500 transfers a second; the author executes them, then everybody else."""


@dataclass
class Records:
    """What the run is measured by."""

    proposed_ms: dict[BlockHash, tuple[float, int]] = field(default_factory=dict)
    """When a block was ready at its author, and who that is."""

    committed_ms: dict[BlockHash, dict[int, float]] = field(default_factory=dict)
    """When each node made it final."""

    heights: dict[int, int] = field(default_factory=dict)
    certificate_bytes: int = 0


class Node:
    """One validator."""

    def __init__(
        self,
        world: Wide,
        city: str,
        key: Key,
        epoch: Epoch,
        verifier: Verifier,
        records: Records,
        build: Callable[[Build, PublicKey], Block],
    ) -> None:
        """`build` makes the blocks of everybody."""
        self.index = world.join(city, self._receive)
        self.city = city
        self.processor_s = 0.0
        """Time that engine and codec really took on this machine."""

        self.is_silent = False
        self._world = world
        self._key = key
        self._epoch = epoch
        self._verifier = verifier
        self._records = records
        self._make_block = build
        self._free_ms = 0.0
        self._timer = self._wake = 0
        self._blocks: dict[BlockHash, Block] = {}
        self._everybody = [Peer(member.key) for member in epoch.committee.members]
        self._epochs = Epochs(self._start_core)

    def start(self) -> None:
        """Begin at the genesis block."""
        position = Position(epoch=self._epoch, tip=self._epoch.anchor)
        self._perform(self._epochs.begin(position, self._now()))

    def _start_core(self, position: Position, silent: frozenset[PublicKey], is_listening: bool) -> Core:
        return Core(
            position,
            Memory(),
            key=self._key,
            verifier=self._verifier,
            silent=silent,
            is_listening=is_listening,
        )

    def _now(self) -> TimestampMs:
        return TimestampMs(int(self._world.now_ms))

    # Inputs

    def _receive(self, sender: int, frame: bytes) -> None:
        """Take in a frame once the processor is free for it."""
        if self.is_silent or not self._epochs.has_begun:
            return
        cost_ms = RECEIVE_MS + ENGINE_MS + len(frame) * RECEIVE_MS_PER_MIB / (1 << 20)
        self._free_ms = max(self._world.now_ms, self._free_ms) + cost_ms
        self._world.at(self._free_ms, lambda: self._read(sender, frame))

    def _read(self, sender: int, frame: bytes) -> None:
        began = process_time()
        message = read_message(frame)
        self.processor_s += process_time() - began
        self._handle(Received(self._now(), self._everybody[sender], message))

    def _handle(self, observed: Input) -> None:
        began = process_time()
        actions = self._epochs.handle(observed)
        self.processor_s += process_time() - began
        self._perform(actions)

    # Actions

    def _perform(self, actions: list[Action]) -> None:
        """Everything after a Persist waits for the disk; what stands together takes one fsync."""
        delay_ms, was_persist = 0.0, False
        for action in actions:
            is_persist = isinstance(action, Persist)
            delay_ms += DISK_MS if is_persist and not was_persist else 0.0
            was_persist = is_persist
            self._act(action, self._world.now_ms + delay_ms)

    def _act(self, action: Action, at_ms: float) -> None:
        match action:
            case Persist(item=Block() as block):
                self._blocks[block_hash(block.header)] = block
            case Send(to=to, message=message):
                self._world.at(at_ms, lambda: self._send(to, message))
            case Timer():
                self._set_timer(action, at_ms)
            case Wake():
                self._set_wake(action)
            case Build():
                self._build(action, at_ms)
            case Verify():
                self._verify(action, at_ms)
            case Commit():
                self._commit(action, at_ms)
            case Serve():
                self._serve(action)
            case _:
                pass  # reports, and what only other epochs ask for

    def _after(self, at_ms: float, observe: Callable[[], Input]) -> None:
        self._world.at(at_ms, lambda: self._handle(observe()))

    def _send(self, to: Peer | None, message: Message) -> None:
        began = process_time()
        frame = MESSAGE.encode(message)
        self.processor_s += process_time() - began
        others = [index for index in range(len(self._everybody)) if index != self.index]
        receivers = others if to is None else [self._everybody.index(to)]
        start = self._world.random.randrange(len(receivers))
        receivers = receivers[start:] + receivers[:start]
        self._world.send(self.index, receivers, frame, urgent=isinstance(message, Cast))

    def _set_timer(self, timer: Timer, at_ms: float) -> None:
        self._timer += 1
        number = self._timer

        def expire() -> None:
            if number == self._timer:
                self._handle(TimedOut(self._now(), timer.epoch, timer.view))

        self._world.at(at_ms + timer.delay_ms, expire)

    def _set_wake(self, wake: Wake) -> None:
        self._wake += 1
        number = self._wake

        def ring() -> None:
            if number == self._wake:
                self._handle(Woken(self._now(), wake.epoch, wake.view))

        self._world.at(wake.at_ms, ring)

    def _build(self, request: Build, at_ms: float) -> None:
        block = self._make_block(request, PublicKey(self._key.public_key))
        ready_ms = at_ms + _execution_ms(block)

        def built() -> Input:
            name = block_hash(block.header)
            self._records.proposed_ms[name] = (self._world.now_ms, self.index)
            return Built(self._now(), request.epoch, request.view, block)

        self._after(ready_ms, built)

    def _verify(self, request: Verify, at_ms: float) -> None:
        name = block_hash(request.block.header)
        self._after(
            at_ms + _execution_ms(request.block),
            lambda: Verified(self._now(), request.epoch, name, Verdict.VALID),
        )

    def _serve(self, request: Serve) -> None:
        blocks = blocks_within(self._ancestors(request.ask.block, request.ask.above))
        if blocks:
            self._send(request.to, Bundle(request.ask.epoch, (), blocks))

    def _commit(self, commit: Commit, at_ms: float) -> None:
        for block in commit.blocks:
            name = block_hash(block.header)
            self._records.committed_ms.setdefault(name, {})[self.index] = at_ms + DISK_MS
            self._records.heights[self.index] = block.header.height
        size = len(MESSAGE.encode(Bundle(commit.epoch, (commit.certificate,))))
        self._records.certificate_bytes = max(self._records.certificate_bytes, size)

    def _ancestors(self, name: BlockHash, above: int) -> list[Block]:
        found: list[Block] = []
        block = self._blocks.get(name)
        while block is not None and block.header.height > above:
            found.append(block)
            block = self._blocks.get(block.header.parent)
        return found


def _execution_ms(block: Block) -> float:
    return 1.0 + EXECUTE_MS_PER_TRANSFER * len(block.body.extrinsics)
