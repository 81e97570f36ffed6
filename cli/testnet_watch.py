"""What the nodes of a local network say, held against each other: heights, blocks, votes, metrics."""

import http.client
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Final

from chainspec.genesis import GenesisBlock, genesis_block
from chainspec.spec import parse_spec
from cli.errors import UserError
from cli.offences import HISTORICAL, SHOWN_MAX, prove_offences, state_key
from cli.testnet_genesis import account_of_node
from cli.testnet_plan import TestnetError
from cli.testnet_processes import Testnet
from cli.testnet_votes import double_votes
from frame.validators import Historical
from node.consensus.leaders import leader_schedule
from node.light.client import new_client
from node.rpc.client import ClientError, RpcClient
from primitives.block import block_hash
from primitives.certificate import verify_vote
from primitives.finality import BadProof
from primitives.types import AccountId, EpochIndex
from primitives.vote import VOTE, Vote

ANSWER_TIMEOUT_S: Final = 5.0
"""A node that is paused, or has too much to do, is passed over."""

AHEAD: Final = 2
"""The leader of that many views after the last finalized one can still be surprised."""


class Contradiction(TestnetError):
    """Nodes say what cannot both be true."""


class Watcher:
    """Asks the nodes, and remembers what they said."""

    def __init__(self, network: Testnet) -> None:
        """Of a network that may not run yet."""
        self._network = network
        self._clients: dict[str, RpcClient] = {}
        self._votes: set[Vote] = set()
        self._next_vote: dict[str, int] = {}
        self._next_height: dict[str, int] = {}
        self._history: dict[EpochIndex, Historical] = {}
        self._names = {account_of_node(plan.name): plan.name for plan in network.nodes}
        self._blocks: dict[int, tuple[str, str]] = {}
        """By height: the block's hash, and who said so first."""

    def close(self) -> None:
        """Hang up."""
        for client in self._clients.values():
            client.close()

    def forget(self, name: str) -> None:
        """A node was started again: it counts its votes from 0, and may have another database."""
        if client := self._clients.pop(name, None):
            client.close()
        self._next_vote.pop(name, None)
        self._next_height.pop(name, None)

    def ask(self, name: str, method: str, *params: Any) -> Any:
        """Raises ClientError."""
        return self._client(name).call(method, *params)

    def height(self, name: str) -> int | None:
        """The finalized height of a node; None if it does not answer."""
        try:
            return int(self.ask(name, "light_finalizedHeight"))
        except ClientError:
            return None

    def heights(self, names: Iterable[str]) -> dict[str, int]:
        """Finalized heights of those nodes that answer."""
        found = {name: self.height(name) for name in names}
        return {name: height for name, height in found.items() if height is not None}

    def is_voting(self, name: str) -> bool | None:
        """Whether a node says that it votes; None if it does not answer."""
        try:
            return bool(self.ask(name, "system_consensus")["isVoting"])
        except ClientError:
            return None

    def banned(self, name: str) -> frozenset[str]:
        """Peer ids and networks that a node has banned; none if it does not answer."""
        try:
            return frozenset(ban["who"] for ban in self.ask(name, "system_bannedPeers"))
        except ClientError:
            return frozenset()

    def finality_ms(self, name: str) -> list[float]:
        """From each of the last proposals of a node to its finality there; none if it does not answer."""
        try:
            return list(self.ask(name, "system_consensus")["finalityMs"])
        except ClientError:
            return []

    def offenders(self, name: str) -> frozenset[AccountId]:
        """Accounts with an offence on record, as a node proves them to a light client.

        Empty if it does not answer, or has nothing final yet that could be proved. Raises Contradiction for a
        wrong proof.
        """
        if not self.height(name):
            return frozenset()
        client = new_client(self._client(name), self.genesis.header, self.genesis.committee)
        try:
            offences, _ = prove_offences(client, SHOWN_MAX)
        except ClientError:
            return frozenset()
        except (BadProof, UserError) as error:
            raise Contradiction(f"{name} proves no offences: {error}") from None
        return frozenset(one.record.offender for one in offences)

    def metrics(self, name: str) -> Mapping[str, float]:
        """Every metric of a node, by its name and labels; none if it does not answer."""
        port = self._network.plan(name).metrics_port
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_TIMEOUT_S)
        try:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        except (OSError, http.client.HTTPException):
            return {}
        finally:
            connection.close()
        lines = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
        return {metric: float(value) for metric, _, value in lines}

    def leader(self, names: Iterable[str]) -> str:
        """The validator that leads soon. Raises TestnetError if nobody answers."""
        for name in names:
            try:
                header = self.ask(name, "chain_getHeader")
            except ClientError:
                continue
            past = self._historical(header["epoch"], (name,))
            if past is None:
                continue
            schedule = leader_schedule(past.committee, block_hash(self.genesis.header))
            view = int(header["view"]) + AHEAD
            return self._name_of(past.accounts[schedule[(view - 1) % len(schedule)]])
        raise TestnetError("no node answers, so that nobody knows who leads")

    def events(self, name: str, height: int) -> list[str] | None:
        """Names such as `balances.Transferred` of all events of a block; None if the node does not answer."""
        try:
            found = self.ask(name, "chain_getEvents", self.ask(name, "chain_getBlockHash", height))
        except ClientError:
            return None
        records = [*found["events"], *(event for call in found["calls"] for event in call["events"])]
        return [f"{record['pallet']}.{record['event']}" for record in records]

    def is_final(self, names: Iterable[str], extrinsic: str) -> bool:
        """Whether a node says that an extrinsic is final."""
        for name in names:
            try:
                return bool(self.ask(name, "author_extrinsicStatus", extrinsic)["status"] == "finalized")
            except ClientError:
                continue
        return False

    def collect_votes(self, names: Iterable[str]) -> None:
        """Remember every vote that nodes sent and received since they were asked before."""
        for name in names:
            try:
                while (page := self.ask(name, "consensus_votes", self._next_vote.get(name, 0)))["votes"]:
                    self._votes |= {VOTE.decode(bytes.fromhex(vote[2:])) for vote in page["votes"]}
                    self._next_vote[name] = page["next"]
            except ClientError:
                continue

    @property
    def vote_count(self) -> int:
        """Distinct votes that were looked at."""
        return len(self._votes)

    def double_votes(self, names: Iterable[str]) -> list[str]:
        """Who signed two votes that convict it, by name; once for each such pair."""
        asked = tuple(names)
        found = double_votes(self._votes, lambda vote: self._is_signed(vote, asked))
        return [self._signer(first) for first, _ in found]

    def ensure_same_chain(self, names: Iterable[str]) -> int:
        """The highest block on which two nodes agree. Raises Contradiction if any two do not."""
        agreed = 0
        for name, height in self.heights(names).items():
            for number in range(self._next_height.get(name, 0), height + 1):
                try:
                    found = self.ask(name, "chain_getBlockHash", number)
                except ClientError:
                    break
                known, teller = self._blocks.setdefault(number, (found, name))
                if known != found:
                    raise Contradiction(f"block {number} is {known} at {teller} and {found} at {name}")
                agreed = max(agreed, number if teller != name else 0)
                self._next_height[name] = number + 1
        return agreed

    @cached_property
    def genesis(self) -> GenesisBlock:
        """Block 0, from the chain specification."""
        return genesis_block(parse_spec((self._network.directory / "chain.json").read_bytes()))

    def _client(self, name: str) -> RpcClient:
        client = self._clients.get(name)
        if client is None:
            url = self._network.plan(name).rpc_url
            client = self._clients[name] = RpcClient(url, timeout_s=ANSWER_TIMEOUT_S)
        return client

    def _historical(self, epoch: EpochIndex, names: Iterable[str]) -> Historical | None:
        """The committee of an epoch that has a final block, from the first node that has it on record."""
        key = "0x" + state_key("session.history", epoch).hex()
        for name in names if epoch not in self._history else ():
            try:
                found = self.ask(name, "state_getStorage", key)
            except ClientError:
                continue
            if found is not None:
                self._history[epoch] = HISTORICAL.decode(bytes.fromhex(found[2:]))
                break
        return self._history.get(epoch)

    def _name_of(self, member: AccountId) -> str:
        return self._names.get(member, f"account 0x{member.hex()}")

    def _signer(self, vote: Vote) -> str:
        return self._name_of(self._history[vote.epoch].accounts[vote.signer])

    def _is_signed(self, vote: Vote, names: Iterable[str]) -> bool:
        """Whether an authority of the chain signed a vote."""
        past = self._historical(vote.epoch, names)
        return past is not None and verify_vote(vote, past.committee, past.anchor)
