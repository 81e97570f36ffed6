"""A network in a dictionary that the demonstration takes for a real one, and that fails where told to."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from examples.demo.narrator import DemoFailed, Narrator
from examples.demo.steps import Demo
from primitives.types import AuthorityIndex, EpochIndex, Signature, View
from primitives.vote import NO_BLOCK, VOTE, Vote, VoteKind

NODES = ("validator-1", "validator-2", "validator-3", "validator-4", "node-1")
FORGERIES = ("value", "proof", "certificate", "header")

MODEL = {
    "id": "0xbb",
    "state": "proven",
    "exact_hash": "0xaa",
    "gas": 512,
    "attestations": [{"conduct": "agreed"}] * 4,
}
ANSWER = {
    "status": "answered",
    "request": "0xcc",
    "panel": 4,
    "attestations": 4,
    "class": 1,
    "values": {"margin": 2.5},
}


def vote(view: int, signer: int, kind: VoteKind = VoteKind.NOTARIZE, block: bytes = b"\x01" * 32) -> Vote:
    return Vote(kind, EpochIndex(1), View(view), block, AuthorityIndex(signer), Signature(bytes(64)))


def nullify(view: int, signer: int) -> Vote:
    return vote(view, signer, VoteKind.NULLIFY, NO_BLOCK)


@dataclass
class FakeNetwork:
    """Implements steps.Network, steps.Reader and narrator.Consil; its fields break what they name."""

    started: tuple[str, ...] = NODES
    moved: int = 12_500_000_000
    transfer: dict[str, Any] = field(
        default_factory=lambda: {"status": "finalized", "hash": "0x01", "height": 7}
    )
    agreement: dict[str, int] = field(default_factory=lambda: {"matched": 113, "total": 114})
    model: dict[str, Any] = field(default_factory=dict)
    answer: dict[str, Any] = field(default_factory=dict)
    dies: bool = True
    comes_back: bool = True
    vanishes: frozenset[str] = frozenset()
    """Nodes that end by themselves, unnoticed, when the victim is back."""

    finalizes_with: int = 3
    votes: list[Vote] = field(default_factory=lambda: [vote(view, view % 4) for view in range(1500)])
    proves: bool = True
    believes: frozenset[str] = frozenset()
    stays: tuple[int, ...] = ()
    measured: tuple[float, ...] = (40.0, 60.0, 50.0)
    refuses: frozenset[str] = frozenset()
    """Commands, by their first two words, that fail."""

    wanted: list[str] = field(default_factory=list)
    height: int = 0
    balance: int = 0
    running: set[str] = field(default_factory=set)
    commands: list[str] = field(default_factory=list)

    def consil(self, *arguments: str) -> Any:
        name = " ".join(arguments[:2])
        self.commands.append(name)
        if name in self.refuses:
            raise DemoFailed(f"`consil {name}` ended with 1: error: no")
        match arguments:
            case ("testnet", "up", *_):
                self.running = set(self.started)
                return [{"name": node} for node in self.started]
            case ("testnet", "kill", node, *_):
                self.running -= {node} if self.dies else set()
            case ("testnet", "restart", node, *_):
                self.running |= {node} if self.comes_back else set()
                self.running -= self.vanishes
            case ("testnet", "down", *_):
                self.running.clear()
            case ("query", "account", *_):
                return {"free": self.balance}
            case ("tx", "transfer", *_):
                self.balance += self.moved
                return self.transfer
            case _:
                return self._inference(arguments)
        return {}

    def _inference(self, arguments: Sequence[str]) -> Any:
        match arguments:
            case ("model", "convert", *_):
                return {"hash": "0xaa", "agreement": self.agreement}
            case ("model", "register", *_):
                return MODEL | self.model
            case ("infer", "request", "0xbb", *_):
                return ANSWER | self.answer
            case _:
                raise AssertionError(f"the demonstration ran an unexpected command: {arguments}")

    def heights(self) -> dict[str, int | None]:
        """Every look finds ten more blocks, if enough validators run."""
        voting = [node for node in self.running if node.startswith("validator")]
        self.height += 10 if len(voting) >= self.finalizes_with else 0
        return {node: self.height if node in self.running else None for node in NODES}

    def call(self, node: str, method: str, *params: Any) -> Any:
        assert node in self.running
        if method == "system_consensus":
            return {"finalityMs": list(self.measured)}
        assert method == "consensus_votes"
        page = self.votes[params[0] : params[0] + 1000]
        return {"next": params[0] + len(page), "votes": ["0x" + VOTE.encode(one).hex() for one in page]}

    def url(self, node: str) -> str:
        return f"http://{node}"

    def is_signed(self, vote: Vote) -> bool:
        return vote.signature == bytes(64)

    def processes(self) -> Sequence[int]:
        return [1, 2]

    def survivors(self, processes: Sequence[int]) -> Sequence[int]:
        return list(self.stays)

    def read(self, url: str) -> dict[str, Any]:
        if not self.proves:
            raise DemoFailed("the light client could not verify the truth: WRONG_STATE")
        return {"values": {"balance of //Bob": 1}, "proof_bytes": 600, "certificate_bytes": 400}

    def want_record(self, request: str) -> None:
        self.wanted.append(request)

    def refused(self, url: str) -> dict[str, str]:
        return {what: "WRONG_STATE" for what in FORGERIES if what not in self.believes}


def demo_on(network: FakeNetwork) -> Demo:
    return Demo(
        consil=network.consil,
        network=network,
        reader=network,
        narrator=Narrator(),
        directory=Path("nowhere"),
    )
