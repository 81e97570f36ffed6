"""A network of real node processes on ports of its own, and what the tests ask of it."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from socket import AF_INET, SOCK_STREAM, socket
from typing import Any, Final

import psutil  # type: ignore[import-untyped]  # published without type information

from cli.testnet_processes import Testnet
from node.rpc.client import ClientError
from primitives.vote import VOTE, Vote

PATIENCE_S: Final = 60.0
"""Nothing that is waited for takes half as long, on a busy machine; only a failing test waits so long."""

VALIDATORS: Final = ("validator-1", "validator-2", "validator-3", "validator-4")
FOLLOWER: Final = "node-1"
LATECOMER: Final = "node-2"


class LocalNetwork:
    """Four validators, a full node, and another one that is not started with them."""

    def __init__(self, testnet: Testnet) -> None:
        self.testnet = testnet

    def ask(self, node: str, method: str, *params: Any) -> Any:
        """Raises ClientError."""
        with self.testnet.rpc(node) as client:
            return client.call(method, *params)

    def height(self, node: str) -> int:
        """The finalized height of a running node."""
        found = self.ask(node, "light_finalizedHeight")
        assert isinstance(found, int)
        return found

    def await_height(self, height: int, *nodes: str) -> None:
        """Return once every one of the nodes has finalized `height`."""
        self.testnet.wait_finalized(height, PATIENCE_S, nodes)

    def await_state(self, what: str, holds: Callable[[], bool]) -> None:
        """Return once `holds` says so."""
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < deadline, f"{what} not within {PATIENCE_S} s: {self.testnet.status()}"
            time.sleep(0.05)

    def start(self, *nodes: str) -> None:
        """Start those of the nodes that do not run, all at once, and wait until they answer."""
        for node in nodes:
            if self.testnet.process(node) is None:
                self.testnet.restart(node)
        for node in nodes:
            self.await_state(f"{node} answers", partial(self._answers, node))

    def kill(self, *nodes: str) -> None:
        """End the nodes as a power cut would."""
        for node in nodes:
            self.testnet.kill(node)

    def children(self, node: str) -> list[psutil.Process]:
        """The processes that the node has started, such as its worker."""
        process = self.testnet.process(node)
        assert process is not None
        return list(process.children(recursive=True))

    def votes(self, node: str) -> list[Vote]:
        """What a node has sent and received since it was started."""
        votes: list[Vote] = []
        page = self.ask(node, "consensus_votes", 0)
        while page["votes"]:
            votes += [VOTE.decode(bytes.fromhex(vote[2:])) for vote in page["votes"]]
            page = self.ask(node, "consensus_votes", page["next"])
        return votes

    def log(self, node: str) -> str:
        """Everything that the node has printed."""
        return self.testnet.log_file(node).read_text(encoding="utf-8")

    def _answers(self, node: str) -> bool:
        assert self.testnet.process(node) is not None, self.log(node)
        try:
            self.height(node)
        except ClientError:
            return False
        return True


@contextmanager
def local_network(directory: Path) -> Iterator[LocalNetwork]:
    """A running network; whatever happens, none of its processes is left."""
    with running(Testnet.create(directory, len(VALIDATORS), 2), *VALIDATORS, FOLLOWER) as network:
        yield network


@contextmanager
def running(made: Testnet, *nodes: str) -> Iterator[LocalNetwork]:
    """The network of `made`, on ports of its own, with these nodes running; none is left at the end."""
    ports = _free_ports()
    plans = [
        replace(plan, p2p_port=next(ports), rpc_port=next(ports), metrics_port=next(ports))
        for plan in made.nodes
    ]
    network = LocalNetwork(Testnet(made.directory, plans))
    try:
        network.start(*nodes)
        network.await_height(2, *nodes)
        yield network
    finally:
        network.testnet.stop()


def _free_ports() -> Iterator[int]:
    """Ports that no other network looks for, below those that outgoing connections get."""
    return filter(_is_free, count(11_000 + os.getpid() * 29 % 15_000))


def _is_free(port: int) -> bool:
    with socket(AF_INET, SOCK_STREAM) as attempt:
        try:
            attempt.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def top_view(votes: Iterable[Vote]) -> tuple[int, int]:
    """Epoch and number of the newest view in which somebody voted."""
    return max((vote.epoch, vote.view) for vote in votes)
