"""A validator that floods: `python -m tests.chaos.byzantine.flooder node run ...`, like `consil`.

First with what an honest node might send, as fast as it can and on all protocols at once; bounded queues
have to bear that. Then with frames that are too long, for which it is banned.
"""

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import trio

from node.network.session import Session
from node.network.streams import frame
from tests.chaos.byzantine.hostile import LOOK_S, HostileNetwork, put, run
from tests.chaos.byzantine.pieces import HARMLESS

FLOOD_S: Final = 15.0
WRITERS: Final = 4
"""Streams that are written at the same time, for each neighbour and protocol."""

BATCH: Final = 64
"""Frames on one stream."""

BATCHES: Final = 16
"""Different ones for each protocol, made before, so that sending is all that takes time."""

OVERSIZE: Final = b"\xff" * 4 + b"\0" * 1024
"""The beginning of a frame of 4 GiB."""

_log = logging.getLogger(__name__)


class FloodingNetwork(HostileNetwork):
    """Sends more than anybody can take."""

    sent = 0

    async def harm(self) -> None:
        """As above."""
        self._batches = {protocol: self._ammunition(protocol) for protocol in self.protocols}
        with trio.move_on_after(FLOOD_S):
            await self._everywhere(self._flood)
        _log.warning("flooded with %d frames", self.sent)
        await self._everywhere(self._exceed)

    async def _everywhere(self, do: Callable[[Session, str], Awaitable[None]]) -> None:
        begun: set[Session] = set()
        async with trio.open_nursery() as nursery:
            while True:
                for session in set(self.sessions.values()) - begun:
                    begun.add(session)
                    for protocol in self.protocols:
                        for _ in range(WRITERS):
                            nursery.start_soon(partial(self._repeat, do, session, protocol))
                await trio.sleep(LOOK_S)

    async def _repeat(
        self, do: Callable[[Session, str], Awaitable[None]], session: Session, protocol: str
    ) -> None:
        while self.sessions.get(session.peer) is session:
            await do(session, protocol)

    def _ammunition(self, protocol: str) -> list[bytes]:
        return [
            b"".join(frame(HARMLESS[protocol](self.source)) for _ in range(BATCH)) for _ in range(BATCHES)
        ]

    async def _flood(self, session: Session, protocol: str) -> None:
        self.sent += BATCH
        await put(session, protocol, self.source.random.choice(self._batches[protocol]))

    async def _exceed(self, session: Session, protocol: str) -> None:
        await put(session, protocol, OVERSIZE)


if __name__ == "__main__":
    run(FloodingNetwork)
