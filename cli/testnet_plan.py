"""Which nodes a local network has, and on which ports."""

import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from primitives.hashing import blake2b_256

NODES_MAX: Final = 16
"""More nodes than this do not run well on one machine."""

DEFAULT_DIRECTORY: Final = Path("~/.consilience/testnet")
"""The network that has the well-known ports, so that other commands find it without being told."""

WELL_KNOWN_PORTS: Final = (30333, 9944, 9615)
"""Where the search for free ports starts in the default directory: peers, RPC, metrics."""

OWN_PORTS: Final = 10_000
"""Any other directory has ports of its own, from here on, so that networks that are made at the same time do
not take each other's, nor that of a node that is down for a while. They stay below those of outgoing
connections."""

OWN_PORTS_BLOCKS: Final = 350


class TestnetError(Exception):
    """The network cannot do that; the text says why and what to do."""

    __test__ = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePlan:
    """One node of the network, as it is started every time."""

    name: str
    validator: bool
    p2p_port: int
    rpc_port: int
    metrics_port: int
    peer_id: str
    program: str | None = None
    """A module that is run in the place of `consil`, with the same arguments; None: `consil` itself."""

    @property
    def rpc_url(self) -> str:
        """Where the node answers."""
        return f"http://127.0.0.1:{self.rpc_port}"

    @property
    def address(self) -> str:
        """Where its peers reach it."""
        return f"/ip4/127.0.0.1/tcp/{self.p2p_port}/p2p/{self.peer_id}"


def first_ports(directory: Path) -> Sequence[int]:
    """Where the search for the ports of a network begins: peers, RPC, metrics."""
    if directory == DEFAULT_DIRECTORY.expanduser():
        return WELL_KNOWN_PORTS
    block = int.from_bytes(blake2b_256(bytes(directory))[:8], "big") % OWN_PORTS_BLOCKS
    first = OWN_PORTS + block * 4 * NODES_MAX
    return (first, first + NODES_MAX, first + 2 * NODES_MAX)


def make_plans(
    names: Sequence[str],
    validators: int,
    peer_ids: Mapping[str, str],
    first_ports: Sequence[int],
    programs: Mapping[str, str],
) -> list[NodePlan]:
    """The nodes of a new network, the first `validators` of them voting. Raises TestnetError."""
    p2p, rpc, metrics = (_free_ports(start) for start in first_ports)
    return [
        NodePlan(
            name=name,
            validator=index < validators,
            p2p_port=next(p2p),
            rpc_port=next(rpc),
            metrics_port=next(metrics),
            peer_id=peer_ids[name],
            program=programs.get(name),
        )
        for index, name in enumerate(names)
    ]


def _free_ports(start: int) -> Iterator[int]:
    """Ports from `start` upwards on which nobody listens now."""
    for port in range(start, start + 2000):
        with socket.socket() as attempt:
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                attempt.bind(("127.0.0.1", port))
            except OSError:
                continue
        yield port
    raise TestnetError(f"no free port between {start} and {start + 2000}: stop what uses them")
