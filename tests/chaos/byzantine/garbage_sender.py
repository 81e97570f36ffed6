"""A validator that sends garbage: `python -m tests.chaos.byzantine.garbage_sender node run ...`.

First on all protocols at once under its own name, until nobody lets it in any more; then on one after the
other, each time under another name, so that every protocol has to defend itself.
"""

import logging
from collections.abc import Mapping
from typing import Final

import trio

from node.network.identity import PeerId
from node.network.session import Session
from node.network.streams import frame
from tests.chaos.byzantine.hostile import LOOK_S, HostileNetwork, put, run
from tests.chaos.byzantine.pieces import garbage

PATIENCE_S: Final = 20.0
"""For all neighbours to end every connection with a name."""

QUIET_S: Final = 2.0
"""A name that nobody lets in for so long is banned."""

_log = logging.getLogger(__name__)


class GarbageNetwork(HostileNetwork):
    """Throws garbage at everybody."""

    async def harm(self) -> None:
        """As above."""
        await self._throw_until_banned(self.sessions, self.protocols)
        _log.warning("garbage on all protocols has ended")
        for protocol in self.protocols:
            alias = self.alias()
            async with trio.open_nursery() as nursery:
                await nursery.start(alias.run)
                await self._throw_until_banned(alias.sessions, (protocol,))
                nursery.cancel_scope.cancel()
            _log.warning("garbage on %s has ended", protocol)
        _log.warning("no garbage is left")

    async def _throw_until_banned(
        self, sessions: Mapping[PeerId, Session], protocols: tuple[str, ...]
    ) -> None:
        """Return once every neighbour has had some, and none is connected any more."""
        victims = {address.peer_id for address in self.config.bootnodes}
        begun: set[Session] = set()
        heard_at = trio.current_time()
        with trio.move_on_after(PATIENCE_S):
            async with trio.open_nursery() as nursery:
                while trio.current_time() < heard_at + QUIET_S or not victims <= {one.peer for one in begun}:
                    if sessions:
                        heard_at = trio.current_time()
                    for session in set(sessions.values()) - begun:
                        begun.add(session)
                        for protocol in protocols:
                            nursery.start_soon(self._throw, sessions, session, protocol)
                    await trio.sleep(LOOK_S)
                nursery.cancel_scope.cancel()

    async def _throw(self, sessions: Mapping[PeerId, Session], session: Session, protocol: str) -> None:
        for piece in garbage(protocol, self.source, self.spoken):
            if sessions.get(session.peer) is not session:
                return
            await put(session, protocol, frame(piece))


if __name__ == "__main__":
    run(GarbageNetwork)
