"""The trio shell of the `simplex` engine: performs what the pure core decides.

One task takes inputs and performs actions, strictly in order: what follows a `Persist` waits until that is
durable. Building, verifying and serving run beside it and come back as inputs.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final, assert_never

import trio

from node.consensus.core import Core
from node.consensus.engine import ConsensusHost, Signers, Transport
from node.consensus.epochs import Epochs
from node.consensus.interface import (
    Action,
    Build,
    Built,
    Commit,
    Heard,
    Input,
    Memory,
    Misbehaviour,
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
    Verified,
    Verify,
    Wake,
    Woken,
)
from node.consensus.journal import Signer
from node.consensus.messages import BLOCKS_MAX, MESSAGE, Bundle, Cast, Message, blocks_within, read_message
from primitives.block import Block, block_hash
from primitives.certificate import Certificate, Verifier
from primitives.codec import CodecError
from primitives.signing import verify
from primitives.types import EpochIndex, PublicKey, TimestampMs
from primitives.vote import Vote

INPUTS_MAX: Final = 64
"""Inputs that wait for the engine; the transport holds back what is beyond."""

SERVED_AT_ONCE: Final = 4
"""Block requests answered at the same time; more are dropped, and asked again."""


def wall_clock_ms() -> TimestampMs:
    """Milliseconds since the Unix epoch."""
    return TimestampMs(time.time_ns() // 1_000_000)


class _Moved:
    """The finalized chain moved without the engine."""


@dataclass(frozen=True, slots=True)
class _Disagreed:
    """A final block is invalid here, says the host."""

    certificate: Certificate


class SimplexService:
    """The `simplex` engine."""

    def __init__(
        self,
        host: ConsensusHost,
        transport: Transport,
        *,
        signers: Signers | None = None,
        verifier: Verifier = verify,
        clock: Callable[[], TimestampMs] = wall_clock_ms,
    ) -> None:
        """Without `signers` the engine follows, and signs nothing."""
        self._host = host
        self._transport = transport
        self._signers = signers
        self._signer: Signer | None = None
        """Who signs in the epoch that runs."""

        self._signed: dict[EpochIndex, Signer | None] = {}
        """The same of that epoch and the one before, whose engine is still a witness."""

        self._verifier = verifier
        self._clock = clock
        self._epochs = Epochs(self._start_core)
        self._has_moved = False
        """That the chain moved waits to be looked at; more of it changes nothing."""
        self._send_input, self._inputs = trio.open_memory_channel[Input | _Moved | _Disagreed](INPUTS_MAX)
        self._timer: Timer | None = None
        self._timer_at = self._wake_at = float("inf")
        self._wake: Wake | None = None
        self._disk = trio.CapacityLimiter(1)
        self._serving = 0
        self._nursery: trio.Nursery

    @property
    def core(self) -> Core:
        """The running engine, to look at; there is one once `run` has started."""
        return self._epochs.core

    @property
    def is_voting(self) -> bool:
        """Whether this node's key has a vote in the epoch that runs, and uses it."""
        return self._epochs.has_begun and self.core.ballot.is_voting

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Take part until cancelled. Errors of the host and the disk end it."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            await self._begin(is_listening=True)
            nursery.start_soon(self._read)
            task_status.started()
            while True:
                observed = await self._next()
                if isinstance(observed, _Moved):
                    self._has_moved = False
                    await self._follow()
                elif isinstance(observed, _Disagreed):
                    await self._perform(self._epochs.disagree(observed.certificate))
                else:
                    await self._perform(self._epochs.handle(observed))

    async def advance(self) -> None:
        """The finalized chain moved by other means: go on from where the host stands now."""
        if not self._has_moved:
            self._has_moved = True
            await self._send_input.send(_Moved())

    async def disagree(self, certificate: Certificate) -> None:
        """A block that `certificate` makes final is invalid on this node: stop voting, for good."""
        await self._send_input.send(_Disagreed(certificate))

    # Inputs

    async def _next(self) -> Input | _Moved | _Disagreed:
        """The next input: an alarm that is due, or whatever comes first."""
        with trio.move_on_at(min(self._timer_at, self._wake_at)):
            return await self._inputs.receive()
        if self._wake is not None and self._wake_at <= self._timer_at:
            wake, self._wake, self._wake_at = self._wake, None, float("inf")
            return Woken(self._clock(), wake.epoch, wake.view)
        assert self._timer is not None
        self._timer_at = float("inf")
        return TimedOut(self._clock(), self._timer.epoch, self._timer.view)

    async def _read(self) -> None:
        while True:
            peer, frame = await self._transport.receive()
            try:
                message = read_message(frame)
            except CodecError:
                self._host.report(Misbehaviour(peer, "a message that is none"))
                continue
            await self._send_input.send(Received(self._clock(), peer, message))

    # Engines

    async def _begin(self, *, is_listening: bool = False) -> None:
        position = await self._host.position()
        self._signer = self._signers.acting(position.epoch.committee) if self._signers else None
        epoch = position.epoch.index
        former = EpochIndex(epoch - 1)
        self._signed = {former: self._signed.get(former), epoch: self._signer}
        if self._signer:
            compact = self._signer.journal.compact
            await trio.to_thread.run_sync(compact, position.epoch.index, limiter=self._disk)
        await self._perform(self._epochs.begin(position, self._clock(), is_listening=is_listening))

    async def _follow(self) -> None:
        """Start again if the chain is ahead of the engine; otherwise that is where it came from."""
        position = await self._host.position()
        if position.tip.height > self.core.tree.tip.height:
            await self._begin()

    def _start_core(self, position: Position, silent: frozenset[PublicKey], is_listening: bool) -> Core:
        epoch = position.epoch.index
        signer = self._signer
        memory = signer.journal.memory(epoch) if signer else Memory()
        return Core(
            position,
            replace(memory, heard=tuple(self._host.votes_heard(epoch))),
            key=signer.key if signer and epoch >= signer.journal.complete_from else None,
            verifier=self._verifier,
            silent=silent,
            is_listening=is_listening,
        )

    # Actions

    async def _perform(self, actions: Sequence[Action]) -> None:
        for is_persist, group in groupby(actions, key=lambda action: isinstance(action, Persist)):
            if is_persist:
                await self._persist([action.item for action in group if isinstance(action, Persist)])
                continue
            for action in group:
                await self._act(action)

    async def _act(self, action: Action) -> None:
        match action:
            case Send(to=to, message=message):
                self._send(to, message)
            case Timer():
                self._timer, self._timer_at = action, trio.current_time() + action.delay_ms / 1000
            case Wake(at_ms=at_ms):
                wait_ms = max(0, at_ms - self._clock())
                self._wake, self._wake_at = action, trio.current_time() + wait_ms / 1000
            case Build():
                self._nursery.start_soon(self._build, action)
            case Verify():
                self._nursery.start_soon(self._verify, action)
            case Commit():
                await self._commit(action)
            case Report() | Heard():
                self._tell(action)
            case Serve() | ServeFinal():
                self._start_serving(action)
            case Persist():
                raise AssertionError("persisted in groups")
            case _:
                assert_never(action)

    def _tell(self, action: Report | Heard) -> None:
        if isinstance(action, Report):
            self._host.report(action.finding)
        else:
            self._host.heard(action.vote)

    async def _persist(self, items: list[Vote | Certificate | Block | Stop]) -> None:
        """Make durable whatever stands together, with one fsync of the journal."""
        words = [item for item in items if isinstance(item, Vote | Certificate)]
        for item in items:
            if isinstance(item, Block):
                await self._host.persist(item)
            elif isinstance(item, Stop) and self._signers:
                signer = self._signed.get(item.epoch)
                await trio.to_thread.run_sync(self._signers.stop, item, signer, limiter=self._disk)
        if words and self._signer:
            await trio.to_thread.run_sync(self._signer.journal.append, words, limiter=self._disk)

    def _send(self, to: Peer | None, message: Message) -> None:
        """A vote that still waits for a slow peer gives way to a newer one of its kind, which says more."""
        frame, urgent = MESSAGE.encode(message), isinstance(message, Cast)
        replaces = message.vote.kind if isinstance(message, Cast) else None
        if to is None:
            self._transport.broadcast(frame, urgent=urgent, replaces=replaces)
        else:
            self._transport.send(to, frame, urgent=urgent, replaces=replaces)

    async def _build(self, action: Build) -> None:
        block = await self._host.build(action)
        await self._send_input.send(Built(self._clock(), action.epoch, action.view, block))

    async def _verify(self, action: Verify) -> None:
        verdict = await self._host.verify(action.block)
        name = block_hash(action.block.header)
        await self._send_input.send(Verified(self._clock(), action.epoch, name, verdict))

    async def _commit(self, action: Commit) -> None:
        await self._host.commit(action.blocks, action.certificate)
        if self.core.ended:
            await self._begin()

    def _start_serving(self, action: Serve | ServeFinal) -> None:
        if self._serving < SERVED_AT_ONCE:
            self._serving += 1
            self._nursery.start_soon(self._serve, action)

    async def _serve(self, action: Serve | ServeFinal) -> None:
        try:
            bundle = await self._answer(action)
        finally:
            self._serving -= 1
        if bundle.certs or bundle.blocks:
            self._send(action.to, bundle)

    async def _answer(self, action: Serve | ServeFinal) -> Bundle:
        if isinstance(action, ServeFinal):
            certificate = await self._host.last_certificate(action.epoch)
            return Bundle(action.epoch, (certificate,) if certificate else ())
        ask = action.ask
        blocks = await self._host.ancestors(ask.block, ask.above, BLOCKS_MAX)
        return Bundle(ask.epoch, (), blocks_within(blocks))
