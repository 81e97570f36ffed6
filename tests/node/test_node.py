"""A whole node in one process, reached as a user reaches it: over HTTP."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from chainspec.presets import dev, local
from frame.metadata import decode_fields
from node.config import NodeConfig, StartError
from node.identity import begin_journal
from node.network.identity import parse_address
from node.node import DATABASE_DIRECTORY, KEYSTORE_DIRECTORY, Started, run
from primitives.extrinsic import EXTRINSIC
from primitives.mnemonic import seed_from_uri
from primitives.session_key import verify_possession
from primitives.types import AccountId, BlockHash, PublicKey, Signature
from runtime.runtime import Runtime
from tests.node.keys import ALICE, BOB, transfer
from tests.node.test_chain import build, finalize, open_chain

SPEC = dev()


def config(directory: Path, **changes: Any) -> NodeConfig:
    given: dict[str, Any] = {
        "spec": SPEC,
        "base_path": directory,
        "name": "test",
        "is_validator": True,
        "session_seed": seed_from_uri("//Alice"),
        "node_seed": None,
        "listen": parse_address("/ip4/127.0.0.1/tcp/0"),
        "bootnodes": (),
        "rpc_port": 0,
        "prometheus_port": 0,
        "undo_blocks": 256,
    }
    return NodeConfig(**{**given, **changes})


class Client:
    """Asks over HTTP; an error of the RPC is returned like a result."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def ask(self, method: str, *params: Any) -> Any:
        response = await self.http.post(
            "/", json={"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        )
        answer = response.json()
        return answer.get("result", answer.get("error"))

    async def finalized(self, extrinsic: str) -> Any:
        while True:
            status = await self.ask("author_extrinsicStatus", extrinsic)
            if status["status"] == "finalized":
                return status


@pytest.fixture
async def client(tmp_path: Path, nursery: trio.Nursery) -> AsyncIterator[Client]:
    async def start(task_status: trio.TaskStatus[Started]) -> None:
        await run(config(tmp_path), task_status.started)

    started = await nursery.start(start)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{started.rpc_port}") as http:
        yield Client(http)


async def signed_transfer(client: Client, nonce: int, amount: int) -> str:
    genesis = BlockHash(bytes.fromhex((await client.ask("chain_getBlockHash", 0))[2:]))
    return "0x" + EXTRINSIC.encode(transfer(SPEC, genesis, nonce, amount)).hex()


async def test_a_transfer_is_submitted_finalized_and_shows_in_the_state(client: Client) -> None:
    alice, bob = ("0x" + key.public_key.hex() for key in (ALICE, BOB))
    before = await client.ask("state_call", "balances.account", [bob])
    extrinsic = await signed_transfer(client, await client.ask("system_accountNextIndex", alice), 7 * 10**9)
    quote = await client.ask("payment_queryInfo", extrinsic)
    status = await client.finalized(await client.ask("author_submitExtrinsic", extrinsic))
    after = await client.ask("state_call", "balances.account", {"who": bob})
    assert status["failure"] is None
    assert after["free"] == before["free"] + 7 * 10**9
    events = {event["event"]: event["fields"] for event in status["events"]}
    declared = {one.name: one.fields for one in Runtime().metadata().pallet("balances").events}
    fields = decode_fields(declared["Transferred"], bytes.fromhex(events["Transferred"][2:]))
    assert fields == {"source": alice, "destination": bob, "amount": 7 * 10**9}
    assert sum(quote[part] for part in ("length_fee", "weight_fee", "tip")) > 0
    assert await client.ask("system_accountNextIndex", alice) == 1
    block = await client.ask("chain_getBlock", status["blockHash"])
    assert block["extrinsics"] == [extrinsic]
    assert (await client.ask("chain_getEvents", status["blockHash"]))["calls"][0]["failure"] is None


async def test_a_bad_extrinsic_is_refused_by_name(client: Client) -> None:
    good = await signed_transfer(client, 0, 10**9)
    forged = good[:-2] + ("00" if good[-2:] != "00" else "01")
    too_much = await signed_transfer(client, 0, 10**18)
    elsewhere = "0x" + EXTRINSIC.encode(transfer(SPEC, BlockHash(b"\x07" * 32), 0, 1)).hex()
    for extrinsic, name in [
        (forged, "BAD_SIGNATURE"),
        ("0x00", "Malformed"),
        (await signed_transfer(client, 1000, 1), "FUTURE_NONCE"),
        (elsewhere, "BAD_SIGNATURE"),
    ]:
        assert (await client.ask("author_submitExtrinsic", extrinsic))["data"]["name"] == name
    refused = await client.finalized(await client.ask("author_submitExtrinsic", too_much))
    assert refused["failure"] == {"pallet": "balances", "error": "InsufficientBalance"}
    assert (await client.ask("author_submitExtrinsic", too_much))["data"]["name"] in (
        "STALE_NONCE",
        "ALREADY_KNOWN",
    )


async def test_the_state_can_be_read_by_key_and_by_page(client: Client) -> None:
    first, *rest = await client.ask("state_getKeysPaged", "0x", 3)
    assert await client.ask("state_getStorage", first) is not None
    assert await client.ask("state_getStorage", "0xff") is None
    assert await client.ask("state_getKeysPaged", "0x", 2, first) == rest
    assert (await client.ask("state_call", "no.view", []))["code"] == -32602
    assert (await client.ask("state_call", "system.nonce", []))["code"] == -32602
    assert (await client.ask("state_getStorage", "0xff", "0x" + "00" * 32))["data"]["name"] == "UnknownState"


async def test_pages_of_keys_are_the_whole_in_order(client: Client) -> None:
    whole = await client.ask("state_getKeysPaged", "0x", 1000)
    assert whole == sorted(set(whole))
    for prefix in ("0x", whole[5][:20]):
        under, pages = [key for key in whole if key.startswith(prefix)], list[str]()
        while page := await client.ask("state_getKeysPaged", prefix, 2, *pages[-1:]):
            pages += page
        assert pages == under
    stray = await client.ask("state_getKeysPaged", whole[5], 2, "0x")
    assert stray["code"] == -32602


async def test_a_node_tells_who_it_is(client: Client) -> None:
    methods = await client.ask("rpc_methods")
    assert {"system_health", "chain_getBlock", "author_submitExtrinsic", "light_readProof"} <= set(methods)
    assert await client.ask("system_chain") == "Development"
    assert await client.ask("system_peers") == await client.ask("system_bannedPeers") == []
    assert await client.ask("system_health") == {"peers": 0, "isSyncing": False, "shouldHavePeers": False}
    assert (await client.ask("state_getRuntimeVersion"))["specName"] == "consilience"
    assert (await client.ask("light_epochProof", 1))["data"]["name"] == "NoProof"
    assert (await client.ask("chain_getHeader", "0x" + "00" * 32)) is None


async def test_a_second_start_on_the_same_directory_is_refused(client: Client, tmp_path: Path) -> None:
    with pytest.raises(StartError, match="in use"):
        await run(config(tmp_path), lambda _: None)


async def test_a_busy_port_stops_the_start_and_leaves_the_database_clean(
    client: Client, tmp_path: Path
) -> None:
    port = client.http.base_url.port
    assert port is not None
    with pytest.raises(StartError, match="--rpc-port"):
        await run(config(tmp_path / "other", rpc_port=port), lambda _: None)


async def test_the_instant_engine_needs_its_author(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="--alice"):
        await run(config(tmp_path, session_seed=None, is_validator=False), lambda _: None)


async def test_a_chain_that_stands_still_is_still_followed(tmp_path: Path, nursery: trio.Nursery) -> None:
    async def start(given: NodeConfig, task_status: trio.TaskStatus[Started]) -> None:
        await run(given, task_status.started)

    lonely = config(tmp_path / "validator", spec=local())
    begin_journal(lonely.directory / KEYSTORE_DIRECTORY, ALICE.public_key)
    chain = open_chain(lonely.directory / DATABASE_DIRECTORY)
    block = await build(chain)
    await chain.commit([block], await finalize(chain, block))
    chain.database.close()
    validator = await nursery.start(start, lonely)
    changes = {"is_validator": False, "session_seed": None, "bootnodes": (parse_address(validator.address),)}
    follower = await nursery.start(start, config(tmp_path / "follower", spec=local(), **changes))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{follower.rpc_port}") as http:
        with trio.fail_after(20):
            while (await Client(http).ask("chain_getHeader"))["height"] != 1:
                pass


async def test_a_known_key_without_its_journal_never_signs_beside_a_chain(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    async def start(given: NodeConfig, task_status: trio.TaskStatus[Started]) -> None:
        await run(given, task_status.started)

    lonely = config(tmp_path, spec=local())
    open_chain(lonely.directory / DATABASE_DIRECTORY).database.close()
    started = await nursery.start(start, lonely)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{started.rpc_port}") as http:
        client = Client(http)
        assert (await client.ask("author_hasSessionKeys", f"0x{ALICE.public_key.hex()}")) is False
        assert not list(lonely.directory.rglob("*.votes"))
        made = await client.ask("author_rotateKeys", f"0x{BOB.public_key.hex()}")
        key, proof = (bytes.fromhex(made[name][2:]) for name in ("key", "proof"))
        genesis = BlockHash(bytes.fromhex((await client.ask("chain_getBlockHash", 0))[2:]))
        assert verify_possession(PublicKey(key), genesis, AccountId(BOB.public_key), Signature(proof))
        assert (await client.ask("author_hasSessionKeys", made["key"])) is True
        assert len(list(lonely.directory.rglob("*.votes"))) == 1
