"""The network and the light client of the demonstration, for real."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import msgspec
import psutil  # type: ignore[import-untyped]  # published without type information

from chainspec.genesis import GenesisBlock, genesis_block
from chainspec.spec import parse_spec
from cli.testnet_processes import Testnet
from examples.demo.lying_proxy import FORGERIES, lying_proxy
from examples.demo.narrator import DemoFailed
from frame.metadata import Metadata, StorageInfo, decode_value, storage_key
from node.light.client import LightClient, new_client
from node.rpc.client import ClientError, RpcClient
from primitives.certificate import verify_vote
from primitives.finality import BadProof
from primitives.mnemonic import seed_from_uri
from primitives.signing import SigningKey
from primitives.types import BlockHash, BlockNumber
from primitives.vote import Vote
from runtime.constants import TOKEN, TOKEN_DECIMALS
from runtime.runtime import Runtime

GRACE_S: Final = 5.0
"""Within this a worker notices that its node has ended."""

BOB: Final = "0x" + SigningKey(seed_from_uri("//Bob")).public_key.hex()


class RealNetwork:
    """Implements `steps.Network` over the processes that `consil testnet` started in a directory."""

    def __init__(self, directory: Path) -> None:
        """The network may be made later."""
        self._directory = directory

    @cached_property
    def _testnet(self) -> Testnet:
        return Testnet.open(self._directory)

    @cached_property
    def genesis(self) -> GenesisBlock:
        """Block 0, from the chain specification."""
        return genesis_block(parse_spec((self._directory / "chain.json").read_bytes()))

    def heights(self) -> dict[str, int | None]:
        """Finalized height of every node; None for one that does not run, or does not answer."""
        found: dict[str, int | None] = {}
        for plan in self._testnet.nodes:
            if self._testnet.process(plan.name) is None:
                found[plan.name] = None  # whoever answers at its port now is somebody else
                continue
            try:
                with RpcClient(plan.rpc_url, timeout_s=5.0) as client:
                    found[plan.name] = int(client.call("light_finalizedHeight"))
            except ClientError:
                found[plan.name] = None
        return found

    def call(self, node: str, method: str, *params: Any) -> Any:
        """Ask a node. Raises DemoFailed."""
        try:
            with RpcClient(self.url(node)) as client:
                return client.call(method, *params)
        except ClientError as error:
            raise DemoFailed(f"{node} does not answer {method}: {error}") from None

    def url(self, node: str) -> str:
        """Where a node answers."""
        return self._testnet.plan(node).rpc_url

    def is_signed(self, vote: Vote) -> bool:
        """Whether an authority of the chain signed a vote. Raises DemoFailed."""
        first = self.genesis.committee
        anchor = BlockNumber((vote.epoch - 1) * first.last_height)
        found = self.call(self._testnet.nodes[0].name, "chain_getBlockHash", anchor)
        committee = msgspec.structs.replace(first, epoch=vote.epoch)
        return found is not None and verify_vote(vote, committee, BlockHash(bytes.fromhex(found[2:])))

    def processes(self) -> Sequence[int]:
        """Ids of the nodes that run, and of their workers."""
        nodes = [process for plan in self._testnet.nodes if (process := self._testnet.process(plan.name))]
        workers = [worker for node in nodes for worker in node.children(recursive=True)]
        return [process.pid for process in (*nodes, *workers)]

    def survivors(self, processes: Sequence[int]) -> Sequence[int]:
        """Those of `processes` that still run."""
        _, alive = psutil.wait_procs(
            [psutil.Process(pid) for pid in processes if psutil.pid_exists(pid)], timeout=GRACE_S
        )
        return [process.pid for process in alive]


class LightReader:
    """Implements `steps.Reader` with a light client that knows the genesis block and nothing else."""

    def __init__(self, network: RealNetwork) -> None:
        """Reads what the demonstration changed on `network`."""
        self._network = network
        self._wanted: dict[str, tuple[StorageInfo, bytes]] = {}
        self.want("balance of //Bob", "system", "accounts", [BOB])

    def want(self, name: str, pallet: str, item: str, keys: Sequence[Any]) -> None:
        """Have an entry of the state proved too."""
        metadata: Metadata = Runtime().metadata()
        info = next(one for one in metadata.pallet(pallet).storage if one.name == item)
        self._wanted[name] = (info, storage_key(info, keys))

    def want_record(self, request: str) -> None:
        """Have the record of an inference proved too."""
        self.want("record of the diagnosis", "inference", "records", [request])

    def read(self, url: str) -> dict[str, Any]:
        """What was proved, and how large the proofs are. Raises DemoFailed."""
        with RpcClient(url) as rpc:
            try:
                client = self._new_client(rpc)
                header = client.sync()
                answer = client.read([key for _, key in self._wanted.values()])
            except (BadProof, ClientError) as error:
                raise DemoFailed(f"the light client could not verify the truth: {error}") from None
        values = {"block": f"{header.height}, final", "committee of epoch": header.epoch}
        for name, (info, key) in self._wanted.items():
            value = answer.values[key]
            if value is None:
                raise DemoFailed(f"the chain has no {name}")
            values[name] = _shown(decode_value(info.value, value))
        finality = answer.certificate_bytes
        size = (answer.proof_bytes - finality) // len(self._wanted)
        return {"values": values, "proof_bytes": size, "certificate_bytes": finality}

    def refused(self, url: str) -> dict[str, str]:
        """Forgery to the reason for which it was refused; a forgery that was believed is missing.

        Raises DemoFailed.
        """
        reasons: dict[str, str] = {}
        for what, forgery in FORGERIES.items():
            with lying_proxy(url, forgery) as proxy, RpcClient(proxy) as rpc:
                try:
                    client = self._new_client(rpc)
                    client.sync()
                    client.read([key for _, key in self._wanted.values()])
                except BadProof as refusal:
                    reasons[what] = str(refusal)
                except ClientError as error:
                    raise DemoFailed(f"nobody could be asked for a forged {what}: {error}") from None
        return reasons

    def _new_client(self, rpc: RpcClient) -> LightClient:
        return new_client(rpc, self._network.genesis.header, self._network.genesis.committee)


def _shown(value: dict[str, Any]) -> str:
    """What a person wants to see of an entry: money, or the answer and who stands behind it."""
    if "free" in value:
        whole, rest = divmod(value["free"], TOKEN)
        return f"{whole}.{rest:0{TOKEN_DECIMALS}d}".rstrip("0").rstrip(".") + " tokens"
    return f"class {value['classes'][0]}, attested by {value['agreed_stake']} of {value['panel_stake']} stake"
