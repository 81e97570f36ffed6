"""The steps. Each does one thing in real processes, checks that it happened, and adds to the summary."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final, Protocol

from cli.testnet_votes import count_double_votes
from examples.demo.narrator import Consil, DemoFailed, Narrator
from primitives.vote import VOTE, Vote

VALIDATORS: Final = 4
WITNESS: Final = "node-1"
"""The fifth node: it follows the chain, has no vote, and is what the light client talks to."""

VICTIM: Final = "validator-2"
SURVIVORS: Final = ("validator-1", "validator-3", "validator-4")
BLOCKS_WITHOUT_VICTIM: Final = 6
PATIENCE_S: Final = 60.0
"""No step waits longer for the network."""

AMOUNT: Final = "12.5"
DIAGNOSIS: Final = "examples/diagnosis"
BIOPSY: Final = 3
"""Row of the held-out samples that is diagnosed."""

HELD_OUT_MIN: Final = 100
"""Fewer samples would say little about the agreement of the exact model with the float one."""


class Network(Protocol):
    """The running network, as far as the steps watch it."""

    def heights(self) -> dict[str, int | None]:
        """Finalized height of every node; None for one that does not answer."""
        ...

    def call(self, node: str, method: str, *params: Any) -> Any:
        """Ask a node. Raises DemoFailed."""
        ...

    def url(self, node: str) -> str:
        """Where a node answers."""
        ...

    def is_signed(self, vote: Vote) -> bool:
        """Whether an authority of the chain signed a vote. Raises DemoFailed."""
        ...

    def processes(self) -> Sequence[int]:
        """Ids of the nodes that run, and of their workers."""
        ...

    def survivors(self, processes: Sequence[int]) -> Sequence[int]:
        """Those of `processes` that still run."""
        ...


class Reader(Protocol):
    """The light client's part: proved reads from a node, and from a node behind a liar."""

    def read(self, url: str) -> dict[str, Any]:
        """What was proved, and how large the proofs are. Raises DemoFailed."""
        ...

    def want_record(self, request: str) -> None:
        """Have the record of an inference proved too."""
        ...

    def refused(self, url: str) -> dict[str, str]:
        """Forgery to the reason for which it was refused; a forgery that was believed is missing."""
        ...


@dataclass(kw_only=True)
class Demo:
    """What the steps share."""

    consil: Consil
    network: Network
    reader: Reader
    narrator: Narrator
    directory: Path
    summary: dict[str, Any] = field(default_factory=dict)
    model: str = ""
    """Identity of the registered model."""

    votes: set[Vote] = field(default_factory=set)
    """Every vote that a node sent or received."""

    def start(self) -> None:
        """Four validators and a witness, from a generated chain specification."""
        up = ("testnet", "up", "--dir", str(self.directory), "--validators", str(VALIDATORS))
        nodes = self.consil(*up, "--nodes", "1", "--detach")
        self._ensure(len(nodes) == VALIDATORS + 1, f"{len(nodes)} nodes are up")
        self._reach(3, [node["name"] for node in nodes])
        self.summary["validators"] = VALIDATORS
        self.narrator.say(f"{VALIDATORS} validators and a full node agree on final blocks: {self._shown()}")

    def transfer(self) -> None:
        """Money moves, and the move is final."""
        url = self.network.url("validator-1")
        before = self.consil("query", "account", "//Bob", "--rpc", url)["free"]
        sent = self.consil("tx", "transfer", "//Bob", AMOUNT, "--from", "//Alice", "--wait", "--rpc", url)
        after = self.consil("query", "account", "//Bob", "--rpc", url)["free"]
        self._ensure(sent["status"] == "finalized" and "failure" not in sent, f"the transfer is {sent}")
        self._ensure(after - before == 12_500_000_000, f"//Bob's balance went from {before} to {after}")
        self.summary["transfer"] = {"hash": sent["hash"], "height": sent["height"], "amount": AMOUNT}
        self.narrator.say(f"//Bob has {AMOUNT} more; final in block {sent['height']}")

    def register(self) -> None:
        """A float model becomes exact, and every validator proves it itself."""
        url = self.network.url("validator-1")
        exact = str(self.directory / "exact.onnx")
        samples = ("--samples", f"{DIAGNOSIS}/train.csv", "--held-out", f"{DIAGNOSIS}/held_out.csv")
        converted = self.consil("model", "convert", f"{DIAGNOSIS}/model.onnx", *samples, "--out", exact)
        agreement = converted["agreement"]
        self._ensure(agreement["total"] >= HELD_OUT_MIN, f"only {agreement['total']} samples were compared")
        self.narrator.say(
            f"exact and float model agree on {agreement['matched']} of {agreement['total']} held-out biopsies"
        )
        owner = ("--name", "diagnosis", "--price", "0.01", "--from", "//Alice")
        model = self.consil("model", "register", exact, *owner, "--wait", "--rpc", url)
        agreed = [seat for seat in model["attestations"] if seat["conduct"] == "agreed"]
        self._ensure(model["state"] == "proven", f"the model is {model['state']}")
        self._ensure(3 * len(agreed) > 2 * VALIDATORS, f"only {len(agreed)} validators proved the model")
        self._ensure(model["exact_hash"] == converted["hash"], "the validators proved another model")
        self.model = model["id"]
        self.summary["model"] = {"hash": model["exact_hash"], "gas": model["gas"], "agreement": agreement}
        self.narrator.say(f"{len(agreed)} validators proved it and revealed the same certificate")

    def diagnose(self) -> None:
        """A real biopsy that no training has seen gets an answer that validators attest."""
        url = self.network.url("validator-1")
        self.narrator.say("note: inputs are public, for everybody and for ever; sealed inputs come later")
        biopsy = ("--samples", f"{DIAGNOSIS}/held_out.csv", "--row", str(BIOPSY))
        answer = self.consil(
            "infer", "request", self.model, *biopsy, "--from", "//Bob", "--wait", "--rpc", url
        )
        self._ensure(answer["status"] == "answered", f"the request is {answer['status']}")
        self._ensure(answer["panel"] == VALIDATORS, f"the panel has {answer['panel']} seats")
        agreed = answer["attestations"]
        self._ensure(3 * agreed > 2 * VALIDATORS, f"only {agreed} validators attest the answer")
        self.reader.want_record(answer["request"])
        self.summary["inference"] = {
            "record": answer["request"],
            "output": {"class": answer["class"], **answer["values"]},
            "attestations": agreed,
            "panel": answer["panel"],
        }
        named = "benign" if answer["class"] else "malignant"
        self.narrator.say(f"{agreed} of {answer['panel']} validators attest class {answer['class']}: {named}")

    def crash(self) -> None:
        """One validator dies without warning; the others go on, and it comes back."""
        self._collect_votes()
        self.consil("testnet", "kill", VICTIM, "--dir", str(self.directory))
        died_at = max(height for height in self.network.heights().values() if height is not None)
        self._ensure(self.network.heights()[VICTIM] is None, f"{VICTIM} still answers")
        self._reach(died_at + BLOCKS_WITHOUT_VICTIM, SURVIVORS)
        self.narrator.say(f"three validators finalized {BLOCKS_WITHOUT_VICTIM} more blocks: {self._shown()}")
        self.consil("testnet", "restart", VICTIM, "--dir", str(self.directory))
        target = self.network.heights()[SURVIVORS[0]] or 0
        self._reach(target + 2, [VICTIM])
        self._collect_votes()
        self.summary["crash"] = {"killed": VICTIM, "caught_up": True, "double_votes": self._double_votes()}
        self.narrator.say(f"{VICTIM} has caught up; {len(self.votes)} votes seen, none contradicts another")

    def verify(self) -> None:
        """A light client that knows the genesis alone believes proofs, and no forgery."""
        url = self.network.url(WITNESS)
        proved = self.reader.read(url)
        for name, value in proved["values"].items():
            self.narrator.say(f"proved: {name} = {value}")
        refused = self.reader.refused(url)
        for what, reason in refused.items():
            self.narrator.say(f"refused: a forged {what}, because {reason}")
        believed = {"value", "proof", "certificate", "header"} - set(refused)
        self._ensure(not believed, f"the light client believed a forged {', '.join(sorted(believed))}")
        self.summary["light_client"] = {
            "verified": True,
            "proof_bytes": proved["proof_bytes"],
            "certificate_bytes": proved["certificate_bytes"],
            "forgery_refused": True,
        }

    def stop(self) -> None:
        """Everything ends, and nothing is left."""
        heights = self.network.heights()
        gone = [name for name, height in heights.items() if height is None]
        self._ensure(not gone, f"{', '.join(gone)} ended before it was stopped")
        self._collect_votes()
        self.summary["crash"]["double_votes"] = self._double_votes()
        self.summary["finalized_height"] = max(height for height in heights.values() if height is not None)
        self.summary["finality_ms_p50"] = self._finality_ms()
        processes = self.network.processes()
        self.consil("testnet", "down", "--dir", str(self.directory))
        left = self.network.survivors(processes)
        self._ensure(not left, f"processes {left} still run")
        self.narrator.say(f"all {len(processes)} processes have ended")

    def _finality_ms(self) -> float:
        """Median time from a leader's proposal to its own durable commit, over all leaders."""
        measured: list[float] = []
        for name, height in self.network.heights().items():
            if height is not None:
                measured += self.network.call(name, "system_consensus")["finalityMs"]
        self._ensure(bool(measured), "no leader has measured a finalization")
        return round(median(measured), 1)

    def _double_votes(self) -> int:
        """Pairs of conflicting votes so far, of which there must be none."""
        pairs = count_double_votes(self.votes, self.network.is_signed)
        self._ensure(pairs == 0, f"{pairs} pairs of conflicting votes were signed")
        return pairs

    def _collect_votes(self) -> None:
        """Take in what every node has sent and received so far."""
        for name, height in self.network.heights().items():
            page = {"next": 0, "votes": [""]} if height is not None else {"next": 0, "votes": []}
            while page["votes"]:
                page = self.network.call(name, "consensus_votes", page["next"])
                self.votes.update(VOTE.decode(bytes.fromhex(vote[2:])) for vote in page["votes"])

    def _reach(self, height: int, names: Sequence[str]) -> None:
        """Wait until these nodes have finalized `height`."""
        deadline = time.monotonic() + PATIENCE_S
        while any((self.network.heights()[name] or 0) < height for name in names):
            if time.monotonic() > deadline:
                raise DemoFailed(f"block {height} is not final after {PATIENCE_S:.0f} s: {self._shown()}")
            time.sleep(0.1)

    def _shown(self) -> str:
        return ", ".join(f"{name} {height}" for name, height in self.network.heights().items())

    @staticmethod
    def _ensure(holds: bool, otherwise: str) -> None:
        if not holds:
            raise DemoFailed(otherwise)


def steps(demo: Demo) -> list[tuple[str, Callable[[], None]]]:
    """Title and action of each step, in order."""
    return [
        (f"Start {VALIDATORS} validators and a full node", demo.start),
        ("Transfer tokens, and see it final", demo.transfer),
        ("Make a float model exact, register it, and have every validator prove it", demo.register),
        ("Diagnose a biopsy, and have the answer attested", demo.diagnose),
        (f"Kill {VICTIM}, go on without it, and let it come back", demo.crash),
        ("Ask a node that nobody trusts, and believe only proofs", demo.verify),
        ("Stop everything", demo.stop),
    ]
