"""The chain of a new local network: fresh session keys, and well-known accounts that have tokens.

The account of node NAME is //NAME, so that its session key can be replaced, and //Alice is root.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from chainspec.presets import DEVELOPMENT_NAMES, DEVELOPMENT_TOKENS, LOCAL, WIDE, Network, build_spec
from chainspec.spec import spec_text
from frame.validators import Validator
from node.identity import node_seed, session_seed
from node.network.identity import peer_id_of
from primitives.mnemonic import seed_from_uri
from primitives.signing import SigningKey
from primitives.types import AccountId, Stake

CHAIN_ID: Final = "testnet"

PACES: Final = {"local": LOCAL, "wide": WIDE}
"""How fast the chain is: as fast as one machine allows, or as validators around the world can be."""


def make_chain(
    directory: Path, file: Path, validators: Sequence[str], full_nodes: Sequence[str], pace: str = "local"
) -> dict[str, str]:
    """Write the specification to `file`, and keys under `directory`/NAME; returns name to peer id."""
    users = {name: account_of_node(name) for name in (*DEVELOPMENT_NAMES, *validators, *full_nodes)}
    peer_ids: dict[str, str] = {}
    seats: list[Validator] = []
    for name in [*validators, *full_nodes]:
        keystore = directory / name / "chains" / CHAIN_ID / "keystore"
        peer_ids[name] = peer_id_of(node_seed(keystore))
        if name in validators:
            key = SigningKey(session_seed(keystore)).public_key
            seats.append(Validator(users[name], key, Stake(1)))
    network = Network(
        name="Local test network",
        id=CHAIN_ID,
        chain_type="Local",
        consensus=PACES[pace],
        validators=seats,
        endowments=dict.fromkeys(users.values(), DEVELOPMENT_TOKENS),
        sudo=users[DEVELOPMENT_NAMES[0]],
        genesis_ms=time.time_ns() // 1_000_000,
    )
    file.write_bytes(spec_text(build_spec(network)))
    return peer_ids


def account_of_node(name: str) -> AccountId:
    """The account of a node or person: that of a secret which everybody knows."""
    return AccountId(SigningKey(seed_from_uri(f"//{name}")).public_key)
