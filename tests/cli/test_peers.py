"""`consil query peers`: a table for people, a document for programs."""

from collections.abc import Callable
from typing import Any

from tests.cli.conftest import Consil
from tests.cli.fake_chain import FakeChain
from tests.cli.fake_rpc import serving

PEER = {
    "peerId": "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp",
    "address": "/ip4/10.0.0.1/tcp/30333/p2p/12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp",
    "role": "authority",
    "direction": "outbound",
    "isInCommittee": True,
    "finalizedHeight": 7,
    "score": -20,
}
BAN = {"who": "10.0.0.2", "secondsLeft": 599}


def told(peers: list[dict[str, Any]], banned: list[dict[str, Any]]) -> FakeChain:
    fake = FakeChain()
    fake.methods |= {"system_peers": lambda: peers, "system_bannedPeers": lambda: banned}
    return fake


def test_peers_and_bans_are_shown(consil: Consil, document: Callable[..., Any]) -> None:
    with serving(told([PEER], [BAN])) as node:
        shown = consil("query", "peers", "--rpc", node.url).stdout
        assert document("query", "peers", "--rpc", node.url) == {"peers": [PEER], "banned": [BAN]}
    assert {"/ip4/10.0.0.1/tcp/30333", "outbound", "-20", "10.0.0.2", "599"} <= set(shown.split())


def test_a_lonely_node_says_so(consil: Consil) -> None:
    with serving(told([], [])) as node:
        assert consil("query", "peers", "--rpc", node.url).stdout == "no peers\n"
