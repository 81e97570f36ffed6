import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from libp2p.identity_utils import create_identity_from_seed
from libp2p.peer.id import ID

from node.network.identity import (
    Address,
    AddressError,
    network_of,
    parse_address,
    parse_peer_id,
    peer_id_of,
    peer_id_of_key,
)
from primitives.types import Seed

PEER = peer_id_of(Seed(bytes(32)))


@pytest.mark.parametrize("number", [0, 1, 255])
def test_peer_ids_are_those_of_libp2p(number: int) -> None:
    seed = Seed(bytes([number]) * 32)
    assert peer_id_of(seed) == ID.from_pubkey(create_identity_from_seed(seed).public_key).to_base58()


@given(st.binary(min_size=32, max_size=32))
def test_every_key_has_a_peer_id_that_reads_back(key: bytes) -> None:
    peer_id = peer_id_of_key(key)
    assert parse_peer_id(peer_id) == peer_id


@given(st.text(max_size=60))
def test_nothing_else_is_a_peer_id(text: str) -> None:
    with pytest.raises(AddressError):
        parse_peer_id(text)


@pytest.mark.parametrize(
    "address",
    [
        Address(host="127.0.0.1", port=30333),
        Address(host="::1", port=0, peer_id=PEER),
        Address(host="node-1.example.org", port=65535, peer_id=PEER),
    ],
)
def test_addresses_read_back(address: Address) -> None:
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "127.0.0.1:30333",
        "/ip4/::1/tcp/1",
        "/ip6/127.0.0.1/tcp/1",
        "/ip4/127.0.0.1/udp/1",
        "/ip4/127.0.0.1/tcp/65536",
        "/ip4/127.0.0.1/tcp/-1",
        "/ip4/127.0.0.1/tcp/٣",
        "/dns/a b/tcp/1",
        "/dns/127.0.0.1/tcp/1",
        "/ip4/127.0.0.1/tcp/1/p2p/12D3KooW",
        f"/ip4/127.0.0.1/tcp/1/p2p/{PEER}/p2p-circuit",
        "/dns/" + "a" * 400 + "/tcp/1",
    ],
)
def test_other_text_is_no_address(text: str) -> None:
    with pytest.raises(AddressError):
        parse_address(text)


def test_one_owner_is_one_ipv4_address_or_one_ipv6_prefix() -> None:
    assert network_of("10.0.0.1") != network_of("10.0.0.2")
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:1")
    assert network_of("2001:db8::1") != network_of("2001:db8:0:1::1")
    assert network_of("::ffff:10.0.0.1") == network_of("10.0.0.1")


def test_identity_is_known_without_libp2p() -> None:
    program = "import sys, node.network.identity; sys.exit('libp2p' in sys.modules or 'trio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
