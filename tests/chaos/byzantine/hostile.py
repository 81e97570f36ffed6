"""The network of a node that also harms its neighbours, under its own name and under others."""

import logging
import secrets
from abc import abstractmethod
from collections.abc import Hashable, Mapping
from typing import Any, Final

import trio

import node.node
from cli.main import main
from node.network.channel import Channel, ChannelLimits
from node.network.host import Network, NetworkConfig
from node.network.identity import PeerId
from node.network.negotiation import NegotiationFailed
from node.network.session import Session
from node.network.streams import Stream, StreamClosed
from tests.chaos.byzantine.pieces import Source

PEACE_BLOCKS: Final = 4
"""Blocks for which the node is as good as any, so that it is known and trusted."""

LOOK_S: Final = 0.1
PAUSE_S: Final = 0.02
"""After a stream that came to nothing: there may be no room for another at once."""

_log = logging.getLogger(__name__)


class HostileNetwork(Network):
    """Does all that a network does, and from some block on harms whoever it is connected with."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        self.config = config
        self.spoken: dict[str, bytes] = {}
        """The last real frame or question by protocol."""

        self._seen = 0
        self._alias: Alias | None = None
        self._peace_is_over = trio.Event()
        self.source = Source(1, config.genesis, self._height)

    def _height(self) -> int:
        """The highest final block that anybody has spoken of."""
        self._seen = max([self._seen, self._peering.finalized_height, *self._heights()])
        return self._seen

    def _heights(self) -> list[int]:
        return [peer.finalized_height for one in (self, self._alias) if one for peer in one.peers()]

    @property
    def sessions(self) -> Mapping[PeerId, Session]:
        """The connections."""
        return self._peering.sessions

    @property
    def protocols(self) -> tuple[str, ...]:
        """All that a node speaks."""
        return tuple(self._peering.handlers)

    def channel(self, protocol: str, limits: ChannelLimits) -> Channel:
        channel = super().channel(protocol, limits)
        honest = channel.send

        def send(
            peer: PeerId, data: bytes, *, urgent: bool = False, replaces: Hashable | None = None
        ) -> bool:
            self.spoken[protocol] = data
            return honest(peer, data, urgent=urgent, replaces=replaces)

        channel.send = send  # type: ignore[method-assign]  # the one word in which this channel differs
        return channel

    async def request(self, peer: PeerId, protocol: str, payload: bytes, **how: Any) -> bytes:
        self.spoken[protocol] = payload
        return await super().request(peer, protocol, payload, **how)

    def set_status(self, finalized_height: int) -> None:
        super().set_status(finalized_height)
        if finalized_height >= PEACE_BLOCKS:
            self._peace_is_over.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(super().run)
            nursery.start_soon(self._wait_and_harm)
            task_status.started()

    async def _wait_and_harm(self) -> None:
        await self._peace_is_over.wait()
        await self.harm()

    @abstractmethod
    async def harm(self) -> None:
        """Do it, for as long as there is anything to do."""

    def alias(self) -> "Alias":
        """A connection to the same neighbours under another name, with the same session key."""
        config = self.config
        self._alias = Alias(
            NetworkConfig(
                listen=None,
                seed=config.seed.__class__(secrets.token_bytes(32)),
                genesis=config.genesis,
                role=config.role,
                bootnodes=config.bootnodes,
                signer=config.signer,
            )
        )
        return self._alias


class Alias(Network):
    """Has a name and connections, and answers nothing."""

    @property
    def sessions(self) -> Mapping[PeerId, Session]:
        """The connections."""
        return self._peering.sessions


async def put(session: Session, protocol: str, data: bytes, *, is_awaited: bool = True) -> None:
    """Write `data` to a new stream, and wait until the other end is through with it."""
    stream: Stream | None = None
    try:
        stream = await session.open_stream(protocol)
        await stream.write(data)
        await stream.close()
        if is_awaited:
            with trio.move_on_after(1):
                await stream.read_exactly(1)
    except (StreamClosed, NegotiationFailed):
        await trio.sleep(PAUSE_S)
    finally:
        if stream is not None:
            await stream.reset()


def run(network: type[HostileNetwork]) -> None:
    """Be `consil`, with another network."""
    node.node.Network = network  # type: ignore[attr-defined]  # what nodes are built from
    main()
